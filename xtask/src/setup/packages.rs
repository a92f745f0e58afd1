//! The Debian packages that building, booting and testing need, each with its reason.
//!
//! The names are those of Debian 12 and of Debian 13.

use super::Purpose;

/// A Debian package and why it is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Package {
    pub(super) name: &'static str,
    pub(super) reason: &'static str,
}

const fn package(name: &'static str, reason: &'static str) -> Package {
    Package { name, reason }
}

/// What building, booting and giving work needs, in the order in which it is first used.
const PACKAGES: &[Package] = &[
    package("gcc", "links the programs and compiles the C of their TLS library"),
    package("libc6-dev", "what gcc links against"),
    package("pkg-config", "finds libostree for cargo"),
    package("libglib2.0-dev", "libostree's own library"),
    package("libostree-dev", "writes commits and deployments"),
    package("ca-certificates", "to trust crates.io and mirrors over HTTPS"),
    package("debian-archive-keyring", "to verify Debian's packages"),
    package("gnupg", "makes release keys, signs commits"),
    package("mmdebstrap", "installs packages into a tree"),
    package("uidmap", "builds as a user without root"),
    package("bubblewrap", "runs tools inside the tree"),
    package("zstd", "compresses the initramfs"),
    package("xz-utils", "uncompresses kernel modules"),
    package("ostree", "looks into repositories in tests and benchmarks"),
    package("e2fsprogs", "makes and checks ext4 file systems from folders"),
    package("dosfstools", "checks EFI system partitions in tests"),
    package("mtools", "reads EFI system partitions in tests"),
    package("gdisk", "checks partition tables in tests"),
    package("fdisk", "reads partition tables in tests"),
    package("qemu-system-x86", "boots images"),
    package("qemu-utils", "makes and checks virtual machines' disks"),
    package("squashfs-tools", "packs the root of a live system"),
    package("ipxe-qemu", "what boots a virtual machine from the network"),
    package("xorriso", "puts a live system on a medium"),
    package("libvirt-dev", "what `hostd-virt` links against"),
    package("openssh-client", "makes the key with which a person looks into a kept demo"),
    package("ovmf", "the UEFI firmware that it boots them with"),
    package("docker-registry", "a registry that images are fetched from"),
    package("busybox-static", "what small images and guests are made of, and a web server"),
    package("apache2-utils", "the registry's passwords"),
    package("openssl", "the registry's certificates"),
    package("curl", "fills the registry"),
    package("systemd-boot-efi", "boots the small guest by UEFI"),
    package("syslinux", "boots it by a BIOS"),
];

/// What only the tests need: real engines of containers, and what is in and around them. Each test
/// starts its own; nothing of it has to run as a service.
const TEST_PACKAGES: &[Package] = &[
    package("podman", "runs containers as the image does"),
    package("runc", "podman's runtime that knows both versions of cgroups"),
    package("conmon", "watches podman's containers"),
    package("netavark", "podman's networks"),
    package("aardvark-dns", "the names in them"),
    package("docker.io", "the other engine that hostd runs containers on"),
    package("iptables", "leads published ports into containers"),
    package("nftables", "the same, where an engine prefers it"),
    package("iproute2", "makes a network of a test's own"),
    package("dnsmasq-base", "gives virtual machines their addresses"),
    package("ipxe", "what `basalt pxe serve` sends to machines"),
    package("rsync", "brings an archive to another machine"),
    package("strace", "kills `basalt` at each step in tests"),
    package("python3-venv", "what the reference of kickstarts is written in"),
    package("libfaketime", "a program whose clock is a year off"),
    package("libvirt-clients", "looks at virtual machines in tests"),
    package("libvirt-daemon-driver-qemu", "libvirt's half of QEMU"),
    package("libvirt-daemon-system", "runs virtual machines in tests"),
];

/// What only benchmarks need: what others do for the same end.
const PEER_PACKAGES: &[Package] = &[
    package("rauc", "updates hosts as we do, to be measured beside"),
    package("casync", "what RAUC fetches only what changed with"),
];

/// Everything that is needed for `purpose`.
pub(super) fn needed(purpose: Purpose) -> impl Iterator<Item = Package> {
    let more = match purpose {
        Purpose::Run => &[],
        Purpose::Test => TEST_PACKAGES,
        Purpose::Peers => PEER_PACKAGES,
    };
    PACKAGES.iter().chain(more).copied()
}

/// The packages that are not installed, by what `dpkg-query -W -f '${Package} ${db:Status-Status}\n'`
/// printed. One that dpkg never heard of has no line there. Pure.
pub(super) fn missing(installed: &str, purpose: Purpose) -> Vec<Package> {
    let is_there =
        |name| installed.lines().any(|line| line.split_once(' ') == Some((name, "installed")));
    needed(purpose).filter(|package| !is_there(package.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything is installed, but for `except`, which stands there with that status.
    fn check(except: &str, status: Option<&str>, expected: &[&str]) {
        let line = |package: &Package| match status {
            _ if package.name != except => format!("{} installed\n", package.name),
            Some(status) => format!("{} {status}\n", package.name),
            None => String::new(),
        };
        let all = needed(Purpose::Test);
        let installed: String = all.map(|package| line(&package)).collect();
        let names: Vec<_> =
            missing(&installed, Purpose::Test).iter().map(|package| package.name).collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn nothing_is_missing_where_all_is_installed() {
        check("", None, &[]);
    }

    #[test]
    fn a_package_that_dpkg_never_heard_of_is_missing() {
        check("ovmf", None, &["ovmf"]);
    }

    #[test]
    fn a_removed_package_whose_configuration_is_left_is_missing() {
        check("gnupg", Some("config-files"), &["gnupg"]);
    }

    #[test]
    fn a_half_installed_package_is_missing() {
        check("ostree", Some("half-installed"), &["ostree"]);
    }

    #[test]
    fn another_package_whose_name_begins_alike_does_not_count() {
        let installed = "ostree-boot installed\n";
        assert!(missing(installed, Purpose::Run).iter().any(|package| package.name == "ostree"));
    }

    #[test]
    fn no_package_is_listed_twice_or_without_a_reason() {
        let mut names: Vec<_> = needed(Purpose::Test).map(|package| package.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(needed(Purpose::Test).all(|package| !package.reason.is_empty()));
    }

    #[test]
    fn who_only_looks_needs_no_engine_of_containers() {
        let looks_with = |name| needed(Purpose::Run).any(|package| package.name == name);
        assert!(looks_with("mmdebstrap") && !looks_with("podman"));
        assert!(needed(Purpose::Test).any(|package| package.name == "podman"));
    }
}
