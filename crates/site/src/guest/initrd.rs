//! All of the guest but its kernel: a busybox, the modules of its devices, and what it does.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use basalt_cmd::Cmd;

use crate::image::busybox;

/// What the guest does. It says what it sees, and listens to the button. By its user-data it also
/// fills a part of its disk, or listens to nothing.
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
  grep -q '^deaf$' /mnt/user-data && killall acpid && echo "guest hears no button"
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
/// Bytes that a module may have.
const MAX_MODULE: usize = 16 << 20;

/// All that makes one other than the next, the package's files apart.
pub(super) fn recipe() -> String {
    format!("{INIT}{BUTTON}{MODULES:?}")
}

/// The archive, with modules out of a kernel package's files.
pub(super) fn initrd(tree: &Path) -> Result<Vec<u8>> {
    let mut archive = Vec::new();
    let folders = ["bin", "dev", "proc", "sys", "mnt", "run", "var", "var/run", "modules", "etc"];
    for folder in folders.into_iter().chain(["etc/acpi", "etc/acpi/PWRF"]) {
        add(&mut archive, folder, 0o40_755, b"");
    }
    let place = busybox()?;
    let busybox = fs::read(place).with_context(|| format!("cannot read `{place}`"))?;
    add(&mut archive, "bin/busybox", 0o100_755, &busybox);
    add(&mut archive, "init", 0o100_755, INIT.replace("MODULES", &MODULES.join(" ")).as_bytes());
    add(&mut archive, "etc/acpi/PWRF/00000080", 0o100_755, BUTTON.as_bytes());
    let listed = Cmd::new("find").arg(tree).args(["-name", "*.ko*"]).run()?.stdout_text();
    for path in listed.lines() {
        let file = path.rsplit('/').next().unwrap_or_default();
        let name = file.split(".ko").next().unwrap_or_default();
        if MODULES.contains(&name) {
            add(&mut archive, &format!("modules/{name}.ko"), 0o100_644, &module(path)?);
        }
    }
    add(&mut archive, "TRAILER!!!", 0, b"");
    Ok(archive)
}

fn module(path: &str) -> Result<Vec<u8>> {
    if path.ends_with(".xz") {
        return Ok(Cmd::new("xz").args(["-dc", path]).output_cap(MAX_MODULE).run()?.stdout);
    }
    fs::read(path).with_context(|| format!("cannot read `{path}`"))
}

/// Adds a file as cpio's "newc" form has it (the kernel's `initramfs/buffer-format`).
fn add(archive: &mut Vec<u8>, name: &str, mode: u32, bytes: &[u8]) {
    // Nothing here comes near 4 GiB.
    let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    let size = length(bytes.len());
    let fields = [0, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, length(name.len() + 1), 0];
    archive.extend(b"070701");
    for field in fields {
        archive.extend(format!("{field:08x}").into_bytes());
    }
    for part in [format!("{name}\0").as_bytes(), bytes] {
        archive.extend(part);
        archive.resize(archive.len().next_multiple_of(4), 0);
    }
}
