//! All of the guest but its kernel: a busybox, the modules of its devices, and what it does.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use basalt_cmd::Cmd;

use crate::cpio::Cpio;
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
    let mut archive = Cpio::default();
    let folders = ["bin", "dev", "proc", "sys", "mnt", "run", "var", "var/run", "modules", "etc"];
    for folder in folders.into_iter().chain(["etc/acpi", "etc/acpi/PWRF"]) {
        archive.add(folder, 0o40_755, b"");
    }
    let place = busybox()?;
    let busybox = fs::read(place).with_context(|| format!("cannot read `{place}`"))?;
    archive.add("bin/busybox", 0o100_755, &busybox);
    archive.add("init", 0o100_755, INIT.replace("MODULES", &MODULES.join(" ")).as_bytes());
    archive.add("etc/acpi/PWRF/00000080", 0o100_755, BUTTON.as_bytes());
    let listed = Cmd::new("find").arg(tree).args(["-name", "*.ko*"]).run()?.stdout_text();
    for path in listed.lines() {
        let file = path.rsplit('/').next().unwrap_or_default();
        let name = file.split(".ko").next().unwrap_or_default();
        if MODULES.contains(&name) {
            archive.add(&format!("modules/{name}.ko"), 0o100_644, &module(path)?);
        }
    }
    Ok(archive.end())
}

fn module(path: &str) -> Result<Vec<u8>> {
    if path.ends_with(".xz") {
        return Ok(Cmd::new("xz").args(["-dc", path]).output_cap(MAX_MODULE).run()?.stdout);
    }
    fs::read(path).with_context(|| format!("cannot read `{path}`"))
}
