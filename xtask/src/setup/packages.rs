//! The Debian packages that building, booting and testing need: one list, each with its reason.
//!
//! The names are those of Debian 12 and of Debian 13.

/// A Debian package and why it is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Package {
    pub(super) name: &'static str,
    pub(super) reason: &'static str,
}

const fn package(name: &'static str, reason: &'static str) -> Package {
    Package { name, reason }
}

/// Everything, in the order in which it is first used.
pub(super) const PACKAGES: &[Package] = &[
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
    package("libvirt-dev", "what `hostd-virt` links against"),
    package("libvirt-daemon-system", "runs virtual machines in tests"),
    package("libvirt-daemon-driver-qemu", "libvirt's half of QEMU"),
    package("libvirt-clients", "looks at virtual machines in tests"),
    package("dnsmasq-base", "gives virtual machines their addresses"),
    package("iptables", "lets libvirt's network out in tests"),
    package("systemd-boot-efi", "boots the small guest of the tests"),
    package("busybox-static", "all that the small guest of the tests has"),
    package("openssh-client", "makes the key with which a person looks into a kept demo"),
    package("ovmf", "the UEFI firmware that it boots them with"),
];

/// The packages that are not installed, by what `dpkg-query -W -f '${Package} ${db:Status-Status}\n'`
/// printed. One that dpkg never heard of has no line there. Pure.
pub(super) fn missing(installed: &str) -> Vec<Package> {
    let is_there =
        |name| installed.lines().any(|line| line.split_once(' ') == Some((name, "installed")));
    PACKAGES.iter().copied().filter(|package| !is_there(package.name)).collect()
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
        let installed: String = PACKAGES.iter().map(line).collect();
        let names: Vec<_> = missing(&installed).iter().map(|package| package.name).collect();
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
        assert!(missing(installed).iter().any(|package| package.name == "ostree"));
    }

    #[test]
    fn no_package_is_listed_twice_or_without_a_reason() {
        let mut names: Vec<_> = PACKAGES.iter().map(|package| package.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(PACKAGES.iter().all(|package| !package.reason.is_empty()));
    }
}
