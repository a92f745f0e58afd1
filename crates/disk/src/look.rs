//! What the kernel tells of a disk: in `/sys`, and who uses it, in `/proc`. Reads, and decides
//! nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A device's number: major, minor.
pub type Number = (u32, u32);

/// The folders that the kernel tells in; tests lay some out.
#[derive(Debug, Clone)]
pub struct System {
    root: PathBuf,
}

/// A disk of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskFacts {
    /// The kernel's name, as `sdb`.
    pub name: String,
    /// Of which disk it is a partition, if it is one.
    pub partition_of: Option<String>,
    /// Its size in bytes.
    pub size: u64,
    /// What its maker calls it.
    pub model: Option<String>,
    /// Its serial number.
    pub serial: Option<String>,
    /// What it is attached by.
    pub bus: Bus,
    /// Whether it says that its medium may be taken out.
    pub removable: bool,
    /// Whether it is write-protected.
    pub read_only: bool,
    /// Its partitions, in the order of their numbers.
    pub parts: Vec<Part>,
    /// Who uses it or a part of it.
    pub uses: Vec<Use>,
    /// Its folder in `/sys`.
    pub folder: PathBuf,
}

/// What a disk is attached by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bus {
    /// A stick, or a disk in a case.
    Usb,
    /// A card.
    SdCard,
    /// Anything in the machine, by the name that people know.
    Inside(&'static str),
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// As `sdb1`.
    pub name: String,
    /// Its first byte on the disk.
    pub start: u64,
    /// Its size in bytes.
    pub size: u64,
    number: Number,
}

/// Who uses a disk or a partition of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Use {
    /// It is mounted.
    Mounted {
        /// The disk or partition.
        name: String,
        /// Where.
        at: String,
    },
    /// It is swapped to.
    Swap {
        /// The disk or partition.
        name: String,
    },
    /// A disk of disks (RAID, LVM, encryption) is made of it.
    Holds {
        /// The disk or partition.
        name: String,
        /// The disk that is made of it.
        by: String,
    },
}

impl System {
    /// This machine.
    #[must_use]
    pub fn live() -> Self {
        Self::under(Path::new("/"))
    }

    /// A machine that is laid out in a folder.
    #[must_use]
    pub fn under(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// What is known of the disk with this number.
    ///
    /// # Errors
    /// The kernel tells nothing of it.
    pub fn disk(&self, number: Number) -> Result<DiskFacts> {
        let (major, minor) = number;
        let link = self.root.join(format!("sys/dev/block/{major}:{minor}"));
        let folder = fs::canonicalize(&link)
            .with_context(|| format!("the kernel tells nothing of it in `{}`", link.display()))?;
        let name = name_of(&folder);
        let partition_of =
            if folder.join("partition").exists() { folder.parent().map(name_of) } else { None };
        let parts =
            parts(&folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
        let mut uses = self.uses(&name, number, &folder)?;
        for part in &parts {
            uses.extend(self.uses(&part.name, part.number, &folder.join(&part.name))?);
        }
        Ok(DiskFacts {
            partition_of,
            size: bytes(&folder).unwrap_or(0),
            model: model(&folder),
            serial: serial(&folder),
            bus: Bus::of(&folder),
            removable: text(&folder.join("removable")).as_deref() == Some("1"),
            read_only: text(&folder.join("ro")).as_deref() == Some("1"),
            parts,
            uses,
            name,
            folder,
        })
    }

    fn uses(&self, name: &str, number: Number, folder: &Path) -> Result<Vec<Use>> {
        let name = name.to_owned();
        let mut uses = Vec::new();
        for at in self.mounts(&name, number)? {
            uses.push(Use::Mounted { name: name.clone(), at });
        }
        let swaps = self.read("proc/swaps")?;
        if swaps.lines().skip(1).any(|line| self.is(line, &name)) {
            uses.push(Use::Swap { name: name.clone() });
        }
        for by in entries(&folder.join("holders")).unwrap_or_default() {
            uses.push(Use::Holds { name: name.clone(), by: name_of(&by) });
        }
        Ok(uses)
    }

    /// Where it is mounted: by its number, or by its name, for btrfs has numbers of its own.
    fn mounts(&self, name: &str, (major, minor): Number) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let number = format!("{major}:{minor}");
        for line in self.read("proc/self/mountinfo")?.lines() {
            let (before, after) = line.split_once(" - ").unwrap_or((line, ""));
            let words: Vec<&str> = before.split(' ').collect();
            let source = after.split(' ').nth(1).unwrap_or_default();
            if words.get(2) == Some(&number.as_str()) || self.is(source, name) {
                found.push(unescape(words.get(4).unwrap_or(&"?")));
            }
        }
        Ok(found)
    }

    /// Whether a line begins with a path of the device.
    fn is(&self, line: &str, name: &str) -> bool {
        let path = line.split_whitespace().next().unwrap_or_default();
        if !path.starts_with("/dev/") {
            return false;
        }
        let there = self.root.join(path.trim_start_matches('/'));
        let there = fs::canonicalize(&there).unwrap_or(there);
        name_of(&there) == name
    }

    fn read(&self, path: &str) -> Result<String> {
        let path = self.root.join(path);
        fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))
    }
}

impl DiskFacts {
    /// Whether it can be pulled out, and so is none that the machine lives on.
    #[must_use]
    pub fn is_loose(&self) -> bool {
        self.removable || matches!(self.bus, Bus::Usb | Bus::SdCard)
    }

    /// Whether it is a drive for discs.
    #[must_use]
    pub fn is_disc(&self) -> bool {
        self.name.starts_with("sr")
    }
}

impl Bus {
    /// By the way to the disk, which `/sys` spells out.
    fn of(folder: &Path) -> Self {
        let way = folder.to_string_lossy();
        let is_card = || text(&folder.join("device/type")).as_deref() == Some("SD");
        match () {
            () if way.contains("/usb") => Self::Usb,
            () if way.contains("/mmc") && is_card() => Self::SdCard,
            () if way.contains("/mmc") => Self::Inside("eMMC"),
            () if way.contains("/nvme") => Self::Inside("NVMe"),
            () if way.contains("/virtio") => Self::Inside("virtio"),
            () if way.contains("/ata") => Self::Inside("SATA"),
            () if way.contains("/virtual/") => Self::Inside("virtual"),
            () => Self::Inside("SCSI"),
        }
    }

    /// How people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Usb => "USB",
            Self::SdCard => "SD card",
            Self::Inside(name) => name,
        }
    }
}

fn parts(folder: &Path) -> io::Result<Vec<Part>> {
    let mut parts = Vec::new();
    for path in entries(folder)? {
        let Some(index) = text(&path.join("partition")) else { continue };
        let number = text(&path.join("dev")).and_then(|dev| {
            let (major, minor) = dev.split_once(':')?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        });
        let index: u32 = index.parse().unwrap_or(u32::MAX);
        let start = sectors(&path.join("start")).unwrap_or(0);
        let (name, size) = (name_of(&path), bytes(&path).unwrap_or(0));
        // A number that nobody can have matches no mount.
        let number = number.unwrap_or((u32::MAX, u32::MAX));
        parts.push((index, Part { name, start, size, number }));
    }
    parts.sort_by_key(|(index, _)| *index);
    Ok(parts.into_iter().map(|(_, part)| part).collect())
}

/// Bytes of a disk or partition.
fn bytes(folder: &Path) -> Option<u64> {
    sectors(&folder.join("size"))
}

/// The kernel counts 512 bytes, whatever the disk addresses.
fn sectors(path: &Path) -> Option<u64> {
    text(path)?.parse::<u64>().ok()?.checked_mul(512)
}

fn model(folder: &Path) -> Option<String> {
    let read = |name: &str| text(&folder.join("device").join(name)).filter(|it| !it.is_empty());
    let model = read("model").or_else(|| read("name"))?;
    // What SATA disks have there is no maker's name.
    let vendor = read("vendor").filter(|vendor| vendor != "ATA" && !vendor.starts_with("0x"));
    Some(vendor.map_or(model.clone(), |vendor| format!("{vendor} {model}")))
}

/// The disk's own, or of what it sits in, as a USB stick's.
fn serial(folder: &Path) -> Option<String> {
    let usable = |serial: &String| !serial.is_empty();
    let own = [folder.join("serial"), folder.join("device/serial")];
    if let Some(serial) = own.iter().find_map(|path| text(path).filter(usable)) {
        return Some(serial);
    }
    // A page of SCSI: four bytes of header, then the text.
    if let Ok(page) = fs::read(folder.join("device/vpd_pg80")) {
        let serial = String::from_utf8_lossy(page.get(4..).unwrap_or_default()).trim().to_owned();
        if usable(&serial) {
            return Some(serial);
        }
    }
    let devices = folder.ancestors().take_while(|path| !path.ends_with("devices"));
    devices.skip(1).find_map(|path| text(&path.join("serial")).filter(usable))
}

fn text(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries: io::Result<Vec<_>> =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect();
    entries.map(|mut entries| {
        entries.sort();
        entries
    })
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A path in `mountinfo` has octal numbers for spaces and what else would be misread.
fn unescape(path: &str) -> String {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.iter().fold(path.to_owned(), |path, (code, plain)| path.replace(code, plain))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A machine with a disk in it and a stick.
    pub(crate) struct Machine(tempfile::TempDir);

    pub(crate) const STICK: Number = (8, 16);
    pub(crate) const INTERNAL: Number = (259, 0);
    const USB: &str = "sys/devices/pci0/usb1/1-2/1-2:1.0/host3/target3:0:0/3:0:0:0/block/sdb";
    const NVME: &str = "sys/devices/pci0/nvme/nvme0/nvme0n1";

    impl Machine {
        pub(crate) fn new() -> Self {
            let machine = Self(tempfile::tempdir().unwrap());
            machine.put("proc/swaps", "Filename Type Size Used Priority\n");
            machine.put("proc/self/mountinfo", "22 27 0:21 / /proc rw - proc proc rw\n");
            machine.add(USB, STICK, "1");
            machine.put("sys/devices/pci0/usb1/1-2/serial", "AA0123\n");
            machine.put(&format!("{USB}/device/model"), "DataTraveler 3.0\n");
            machine.put(&format!("{USB}/device/vendor"), "Kingston\n");
            machine.add_part(USB, "sdb1", (8, 17));
            machine.add_part(USB, "sdb2", (8, 18));
            machine.add(NVME, INTERNAL, "0");
            machine.put("sys/devices/pci0/nvme/nvme0/serial", "S4E\n");
            machine.put(&format!("{NVME}/device/model"), "Samsung 980\n");
            machine.add_part(NVME, "nvme0n1p1", (259, 1));
            machine
        }

        pub(crate) fn put(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn add(&self, folder: &str, (major, minor): Number, removable: &str) {
            self.put(&format!("{folder}/removable"), removable);
            self.put(&format!("{folder}/ro"), "0");
            self.put(&format!("{folder}/size"), "62500000\n");
            self.link(folder, (major, minor));
        }

        fn add_part(&self, disk: &str, name: &str, number: Number) {
            let folder = format!("{disk}/{name}");
            let index = name.chars().next_back().unwrap();
            self.put(&format!("{folder}/partition"), &index.to_string());
            self.put(&format!("{folder}/start"), "2048");
            self.put(&format!("{folder}/size"), "4096");
            self.put(&format!("{folder}/dev"), &format!("{}:{}\n", number.0, number.1));
            self.link(&folder, number);
        }

        fn link(&self, folder: &str, (major, minor): Number) {
            let links = self.0.path().join("sys/dev/block");
            fs::create_dir_all(&links).unwrap();
            let to = Path::new("../../..").join(folder);
            symlink(to, links.join(format!("{major}:{minor}"))).unwrap();
        }

        pub(crate) fn disk(&self, number: Number) -> DiskFacts {
            System::under(self.0.path()).disk(number).unwrap()
        }

        pub(crate) fn mount(&self, number: &str, at: &str, source: &str) {
            let line = format!("30 27 {number} / {at} rw shared:1 - ext4 {source} rw\n");
            self.put("proc/self/mountinfo", &line);
        }

        pub(crate) fn hold(&self, part: &str) {
            self.put(&format!("{USB}/{part}/holders/dm-0/dev"), "254:0");
        }

        pub(crate) fn protect(&self) {
            self.put(&format!("{USB}/ro"), "1");
        }
    }

    #[test]
    fn a_disk_is_described_as_its_label_does() {
        let machine = Machine::new();
        let stick = machine.disk(STICK);
        assert_eq!(stick.name, "sdb");
        assert_eq!(stick.model.as_deref(), Some("Kingston DataTraveler 3.0"));
        assert_eq!(stick.serial.as_deref(), Some("AA0123"));
        assert_eq!((stick.size, stick.bus, stick.removable), (32_000_000_000, Bus::Usb, true));
        let names: Vec<_> = stick.parts.iter().map(|part| part.name.as_str()).collect();
        assert_eq!((names, stick.parts[0].start), (vec!["sdb1", "sdb2"], 1 << 20));
        let internal = machine.disk(INTERNAL);
        assert_eq!(internal.serial.as_deref(), Some("S4E"));
        assert_eq!((internal.bus, internal.removable), (Bus::Inside("NVMe"), false));
    }

    #[test]
    fn whoever_uses_it_or_a_part_of_it_is_seen() {
        let check = |change: &dyn Fn(&Machine), expected: Use| {
            let machine = Machine::new();
            assert_eq!(machine.disk(STICK).uses, []);
            change(&machine);
            assert_eq!(machine.disk(STICK).uses, [expected]);
            assert_eq!(machine.disk(INTERNAL).uses, []);
        };
        let mounted = |name: &str, at: &str| {
            let [name, at] = [name, at].map(str::to_owned);
            Use::Mounted { name, at }
        };
        check(
            &|machine| machine.mount("8:18", "/mnt/a\\040b", "/dev/x"),
            mounted("sdb2", "/mnt/a b"),
        );
        check(&|machine| machine.mount("8:16", "/mnt", "/dev/sdb"), mounted("sdb", "/mnt"));
        // btrfs has a number that no disk has.
        check(&|machine| machine.mount("0:40", "/srv", "/dev/sdb1"), mounted("sdb1", "/srv"));
        let swap = |machine: &Machine| {
            machine.put("proc/swaps", "Filename Type\n/dev/sdb2 partition 1 0 -2\n");
        };
        check(&swap, Use::Swap { name: "sdb2".to_owned() });
        let held = Use::Holds { name: "sdb1".to_owned(), by: "dm-0".to_owned() };
        check(&|machine| machine.hold("sdb1"), held);
    }

    #[test]
    fn a_partition_is_known_as_one() {
        let machine = Machine::new();
        assert_eq!(machine.disk((8, 17)).partition_of.as_deref(), Some("sdb"));
        assert_eq!(machine.disk(STICK).partition_of, None);
    }
}
