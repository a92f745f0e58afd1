//! A small guest that boots by UEFI in seconds: Debian's cloud kernel, systemd-boot and a busybox
//! that does what is written below. Made once and kept with what cargo makes.

use std::fs::{self, File};
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use basalt_cmd::Cmd;
use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};
use rustix::fs::{FlockOperation, flock};

use crate::ground::sha256;

/// What the guest does. It says what it sees, and listens to the button.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
for module in MODULES; do insmod /modules/$module.ko 2>/dev/null; done
acpid -l /dev/console
echo "cpus: $(nproc), memory: $(awk '/MemTotal/ { print int($2 / 1024) }' /proc/meminfo)"
until [ -b /dev/vda ]; do usleep 50000; done
echo "disk: $(blockdev --getsize64 /dev/vda)"
if [ -b /dev/vdb ]; then
  mount -t vfat -o ro /dev/vdb /mnt
  sed 's/^/seed: /' /mnt/user-data /mnt/meta-data
  fills=$(sed -n 's/^fill: //p' /mnt/user-data)
fi
if [ -d /sys/class/net/eth0 ]; then
  ip link set eth0 up
  udhcpc -q -n -i eth0 -s /bin/true >/dev/null && echo "lease: yes"
fi
echo "guest is up"
if [ "$fills" ]; then
  dd if=/dev/zero of=/dev/vda bs=1M seek=64 count="$fills" conv=fsync && echo "guest has written"
fi
while :; do sleep 3600; done
"#;
/// What follows the button.
const BUTTON: &str = "#!/bin/busybox sh\necho 'guest goes down' > /dev/console\npoweroff -f\n";
/// In the order in which they need each other; what a kernel has built in is not there.
const MODULES: [&str; 19] = [
    "button",
    "evdev",
    "virtio_ring",
    "virtio",
    "virtio_pci_modern_dev",
    "virtio_pci_legacy_dev",
    "virtio_pci",
    "virtio_blk",
    "failover",
    "net_failover",
    "virtio_net",
    "fat",
    "vfat",
    "nls_cp437",
    "nls_ascii",
    "nls_utf8",
    "nls_iso8859-1",
    "af_packet",
    "virtio_rng",
];
const LOADER: &str = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi";
const DOWNLOAD: Duration = Duration::from_secs(300);
const DISK: usize = 40 << 20;

/// The raw disk image.
pub(crate) fn image() -> PathBuf {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guest");
    fs::create_dir_all(&cache).unwrap();
    let lock = File::create(cache.join("lock")).unwrap();
    // One makes it, the others wait.
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let kernel = kernel_package();
    let recipe = format!("{kernel}{INIT}{BUTTON}{MODULES:?}{DISK}");
    let path = cache.join(format!("{:.16}.raw", sha256(recipe.as_bytes())));
    if !path.is_file() {
        let tree = tree(&cache, &kernel);
        let new = path.with_extension("new");
        fs::write(&new, disk(tree.path())).unwrap();
        fs::rename(&new, &path).unwrap();
    }
    path
}

/// The name of Debian's present kernel for clouds.
fn kernel_package() -> String {
    let cmd = Cmd::new("apt-cache").args(["depends", "--important", "linux-image-cloud-amd64"]);
    let text = cmd.run().unwrap().stdout_text();
    let name = text.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    name.unwrap_or_else(|| panic!("apt knows no kernel\nhint: `apt-get update`\n{text}")).to_owned()
}

/// The package's files, downloaded once.
fn tree(cache: &Path, kernel: &str) -> tempfile::TempDir {
    let is_it = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with(&format!("{kernel}_")) && name.ends_with(".deb")
    };
    let find = || fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path()).find(is_it);
    let deb = find().unwrap_or_else(|| {
        let cmd = Cmd::new("apt-get").args(["download", kernel]).current_dir(cache);
        cmd.deadline(DOWNLOAD).run().unwrap();
        find().expect("apt-get downloaded it")
    });
    let tree = tempfile::tempdir().unwrap();
    Cmd::new("dpkg-deb").arg("-x").args([&deb, tree.path()]).run().unwrap();
    tree
}

/// The whole disk as one FAT, which UEFI boots from as it does from a stick.
fn disk(tree: &Path) -> Vec<u8> {
    let boot = fs::read_dir(tree.join("boot")).unwrap().map(|entry| entry.unwrap().path());
    let kernel =
        boot.into_iter().find(|path| path.to_string_lossy().contains("/vmlinuz-")).unwrap();
    let mut disk = Cursor::new(vec![0; DISK]);
    fatfs::format_volume(&mut disk, FormatVolumeOptions::new()).unwrap();
    {
        let fat = FileSystem::new(&mut disk, FsOptions::new()).unwrap();
        let put = |path: &str, bytes: &[u8]| {
            let folders: Vec<_> = path.match_indices('/').map(|(at, _)| &path[..at]).collect();
            folders.iter().for_each(|folder| drop(fat.root_dir().create_dir(folder).unwrap()));
            fat.root_dir().create_file(path).unwrap().write_all(bytes).unwrap();
        };
        put("EFI/BOOT/BOOTX64.EFI", &fs::read(LOADER).unwrap());
        put("loader/loader.conf", b"timeout 0\n");
        let options = "options console=ttyS0 quiet panic=-1\n";
        let entry = format!("title guest\nlinux /vmlinuz\ninitrd /initrd\n{options}");
        put("loader/entries/guest.conf", entry.as_bytes());
        put("vmlinuz", &fs::read(kernel).unwrap());
        put("initrd", &initrd(tree));
    }
    disk.into_inner()
}

fn initrd(tree: &Path) -> Vec<u8> {
    let mut archive = Vec::new();
    for folder in
        ["bin", "dev", "proc", "sys", "mnt", "run", "var", "var/run", "modules", "etc", "etc/acpi"]
    {
        entry(&mut archive, folder, 0o40_755, b"");
    }
    entry(&mut archive, "etc/acpi/PWRF", 0o40_755, b"");
    entry(&mut archive, "bin/busybox", 0o100_755, &fs::read("/bin/busybox").unwrap());
    entry(&mut archive, "init", 0o100_755, INIT.replace("MODULES", &MODULES.join(" ")).as_bytes());
    entry(&mut archive, "etc/acpi/PWRF/00000080", 0o100_755, BUTTON.as_bytes());
    let listed = Cmd::new("find").arg(tree).args(["-name", "*.ko*"]).run().unwrap().stdout_text();
    for path in listed.lines() {
        let name = path.rsplit('/').next().unwrap().split(".ko").next().unwrap();
        if MODULES.contains(&name) {
            let bytes = if path.ends_with(".xz") {
                Cmd::new("xz").args(["-dc", path]).run().unwrap().stdout
            } else {
                fs::read(path).unwrap()
            };
            entry(&mut archive, &format!("modules/{name}.ko"), 0o100_644, &bytes);
        }
    }
    entry(&mut archive, "TRAILER!!!", 0, b"");
    archive
}

/// A file as cpio's "newc" form has it (the kernel's `initramfs/buffer-format`).
fn entry(archive: &mut Vec<u8>, name: &str, mode: u32, bytes: &[u8]) {
    let fields = [0, mode, 0, 0, 1, 0, u32::try_from(bytes.len()).unwrap(), 0, 0, 0, 0];
    let length = u32::try_from(name.len() + 1).unwrap();
    archive.extend(b"070701");
    for field in fields.into_iter().chain([length, 0]) {
        archive.extend(format!("{field:08x}").into_bytes());
    }
    let mut add = |bytes: &[u8]| {
        archive.extend(bytes);
        archive.resize(archive.len().next_multiple_of(4), 0);
    };
    add(format!("{name}\0").as_bytes());
    add(bytes);
}
