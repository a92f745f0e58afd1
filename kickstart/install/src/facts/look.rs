//! Reads what the machine is from the kernel and from its disks. Decides nothing but which of the
//! kernel's disks are any.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use basalt_disk::{DiskFacts, Ends, LOOKED_AT, Number, System, describe, refuse};
use basalt_kickstart::disk::{Bus, Disk};
use basalt_sysroot::loader::{EFIVARS_FOLDER, Variable};
use basalt_sysroot::partition::SectorSize;
use uuid::Uuid;

use super::{Card, Content, DiskFact, Facts, PartFact, part_device};

/// Kernel names of what is no disk of a machine.
const NO_DISKS: [&str; 9] = ["ram", "zram", "dm-", "md", "sr", "fd", "nbd", "mtdblock", "zd"];
/// Where the system that the installer runs in has its files.
const OWN_MOUNTS: [&str; 5] =
    ["/", "/sysroot", "/run/initramfs", "/run/install", "/run/rootfsbase"];
/// Offset of the id and of the label in an ext4, and of its mark.
const EXT4_ID: usize = 0x468;
const EXT4_LABEL: usize = 0x478;
const EXT4_MARK: usize = 0x438;

/// This machine.
///
/// # Errors
/// The kernel does not tell, or a disk cannot be read.
pub fn look() -> Result<Facts> {
    let own = Own { loader: loader_partition(), medium: live_medium() };
    let mut disks = Vec::new();
    for name in names(Path::new("/sys/block"))? {
        if !NO_DISKS.iter().any(|prefix| name.starts_with(prefix)) {
            disks.extend(disk(&name, &own)?);
        }
    }
    let cmdline = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let mut parts = disks.iter().flat_map(DiskFact::parts);
    let loader_device = parts.find(|part| own.has_loader(part));
    Ok(Facts {
        loader_device: loader_device.map(|part| part.device.clone()),
        cards: cards()?,
        boot_mac: boot_mac(&cmdline),
        disks,
    })
}

/// The medium that the installer was started from: a live system's, or the disk of its loader; none
/// where it came over the network.
///
/// # Errors
/// The kernel does not tell.
pub(crate) fn medium() -> Result<Option<DiskFacts>> {
    let device = match live_medium() {
        Some(device) => Some(device),
        None => look()?.loader_device,
    };
    let known = |name: &str| {
        let number = number(&Path::new("/sys/class/block").join(name));
        System::live().disk(number.with_context(|| format!("there is no `{name}` any more"))?)
    };
    let medium = device.map(|device| known(&device)).transpose()?;
    match medium.as_ref().and_then(|it| it.partition_of.as_deref()) {
        Some(whole) => Ok(Some(known(whole)?)),
        None => Ok(medium),
    }
}

/// What the installer was started from.
struct Own {
    /// The partition of the loader.
    loader: Option<Uuid>,
    /// The kernel's name of the medium of a live system.
    medium: Option<String>,
}

impl Own {
    fn has_loader(&self, part: &PartFact) -> bool {
        Some(part.id) == self.loader
    }

    fn is_medium(&self, device: &str) -> bool {
        self.medium.as_deref() == Some(device)
    }
}

/// A disk; none where there is no medium in it.
fn disk(name: &str, own: &Own) -> Result<Option<DiskFact>> {
    let folder = Path::new("/sys/block").join(name);
    let Some(number) = number(&folder) else { return Ok(None) };
    let known = System::live().disk(number)?;
    if known.size == 0 || read(&folder.join("hidden")).as_deref() == Some("1") {
        return Ok(None);
    }
    let sector = read(&folder.join("queue/logical_block_size"));
    let sector = sector.and_then(|text| text.parse().ok()).unwrap_or(512);
    // Another disk may be meant, and this one be what is broken.
    let (content, broken) = match content(name, known.size, sector) {
        Ok(content) => (content, None),
        Err(error) => (Content::Nothing, Some(format!("`{name}` cannot be read: {error:#}"))),
    };
    let mut fact = DiskFact {
        disk: Disk {
            name: name.to_owned(),
            links: links(name),
            size: known.size,
            bus: bus(known.bus),
            model: known.model.clone(),
            serial: known.serial.clone(),
            is_boot_medium: false,
        },
        sector,
        refused: broken.or_else(|| refuse(&known).map(|refusal| refusal.to_string())),
        content,
    };
    let is_own = |part: &PartFact| own.has_loader(part) || own.is_medium(&part.device);
    let is_from_it = own.is_medium(name) || fact.parts().iter().any(is_own);
    fact.disk.is_boot_medium = is_from_it || has_own_mounts(&known);
    Ok(Some(fact))
}

/// The number of a device, by its folder in `/sys`.
fn number(folder: &Path) -> Option<Number> {
    let number = read(&folder.join("dev"))?;
    let (major, minor) = number.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn bus(bus: basalt_disk::Bus) -> Option<Bus> {
    use basalt_disk::Bus as Way;
    match bus {
        Way::Usb => Some(Bus::Usb),
        Way::SdCard | Way::Inside("eMMC") => Some(Bus::Mmc),
        Way::Inside("NVMe") => Some(Bus::Nvme),
        Way::Inside("virtio") => Some(Bus::Virtio),
        Way::Inside("SATA") => Some(Bus::Sata),
        Way::Inside("SCSI") => Some(Bus::Scsi),
        Way::Inside(_) => None,
    }
}

/// The kernel's name of what a live system was copied from; nothing of it is mounted any more.
fn live_medium() -> Option<String> {
    let text = fs::read_to_string(basalt_live::volume::FROM).ok()?;
    Some(text.trim().trim_start_matches("/dev/").to_owned())
}

/// Whether the installer's own system lies on it.
fn has_own_mounts(known: &DiskFacts) -> bool {
    known.uses.iter().any(|used| match used {
        basalt_disk::Use::Mounted { at, .. } => {
            OWN_MOUNTS.iter().any(|own| at == own || *own != "/" && Path::new(at).starts_with(own))
        }
        _ => false,
    })
}

/// The id of the partition that systemd-boot was started from, where it was.
fn loader_partition() -> Option<Uuid> {
    let path = Path::new(EFIVARS_FOLDER).join(Variable::DevicePartUuid.file_name());
    basalt_sysroot::loader::decode_part_uuid(&fs::read(path).ok()?).ok()
}

fn content(name: &str, size: u64, sector: u64) -> Result<Content> {
    let disk = File::open(Path::new("/dev").join(name))?;
    let mut first = vec![0; LOOKED_AT];
    let length = usize::try_from(size).unwrap_or(LOOKED_AT).min(LOOKED_AT);
    disk.read_exact_at(&mut first[..length], 0)?;
    let sector = match sector {
        512 => Some(SectorSize::B512),
        4096 => Some(SectorSize::B4096),
        _ => None,
    };
    let table = sector.and_then(|sector| Ends::read(&disk, size).ok()?.table(sector).ok());
    if let Some(table) = table {
        let parts = table.entries.iter().map(|(number, entry)| {
            let mut first = vec![0; LOOKED_AT];
            let known = disk.read_at(&mut first, entry.extent.start).unwrap_or(0);
            let first = &first[..known];
            PartFact {
                number: *number,
                device: part_device(name, *number),
                extent: entry.extent,
                kind: entry.kind,
                id: entry.id,
                name: entry.name.clone(),
                flags: entry.flags,
                holds: describe(first),
                names: part_names(entry.id, &entry.name, first),
            }
        });
        return Ok(Content::Table { id: table.id, parts: parts.collect() });
    }
    Ok(describe(&first).map_or(Content::Nothing, Content::Other))
}

/// As `--onpart=` may name it.
fn part_names(id: Uuid, name: &str, first: &[u8]) -> Vec<String> {
    let mut names = vec![format!("PARTUUID={id}")];
    if !name.is_empty() {
        names.push(format!("PARTLABEL={name}"));
    }
    if first.get(EXT4_MARK..EXT4_MARK + 2) == Some(&[0x53, 0xef]) {
        let id = first.get(EXT4_ID..EXT4_ID + 16).and_then(|it| Uuid::from_slice(it).ok());
        names.extend(id.map(|id| format!("UUID={id}")));
        let label = first.get(EXT4_LABEL..EXT4_LABEL + 16).unwrap_or_default();
        let label = label.split(|byte| *byte == 0).next().unwrap_or_default();
        if !label.is_empty() {
            names.push(format!("LABEL={}", String::from_utf8_lossy(label)));
        }
    }
    names
}

/// What udev calls a disk, below `/dev`.
fn links(name: &str) -> Vec<String> {
    let device = Path::new("/dev").join(name);
    let mut found = Vec::new();
    for folder in ["disk/by-id", "disk/by-path", "disk/by-diskseq"] {
        for link in names(&Path::new("/dev").join(folder)).unwrap_or_default() {
            let to = fs::canonicalize(Path::new("/dev").join(folder).join(&link));
            if to.is_ok_and(|to| to == device) {
                found.push(format!("{folder}/{link}"));
            }
        }
    }
    found
}

fn cards() -> Result<Vec<Card>> {
    let folder = Path::new("/sys/class/net");
    let mut cards = Vec::new();
    for name in names(folder)? {
        let card = folder.join(&name);
        // What the kernel makes itself (bridges, tunnels) has no device.
        if !card.join("device").exists() {
            continue;
        }
        let mac = read(&card.join("address")).unwrap_or_default().to_lowercase();
        let has_cable = read(&card.join("carrier")).as_deref() == Some("1");
        cards.push(Card { name, mac, has_cable });
    }
    Ok(cards)
}

/// `BOOTIF=01-52-54-00-12-34-56`, as PXELINUX and iPXE say it.
fn boot_mac(cmdline: &str) -> Option<String> {
    let value = cmdline.split_whitespace().find_map(|word| word.strip_prefix("BOOTIF="))?;
    let mac = value.strip_prefix("01-").unwrap_or(value);
    Some(mac.to_lowercase().replace('-', ":"))
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let doing = || format!("cannot list `{}`", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(doing)? {
        let entry: PathBuf = entry.with_context(doing)?.path();
        names.extend(entry.file_name().and_then(|name| name.to_str()).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(4096).read_to_string(&mut text).ok()?;
    Some(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_card_of_the_boot_is_told_by_its_address() {
        assert_eq!(
            boot_mac("quiet BOOTIF=01-52-54-00-AB-34-56 x").as_deref(),
            Some("52:54:00:ab:34:56")
        );
        assert_eq!(boot_mac("quiet"), None);
    }

    #[test]
    fn a_partition_of_a_disk_whose_name_ends_in_a_digit_has_a_p_in_its_own() {
        assert_eq!(part_device("sda", 2), "sda2");
        assert_eq!(part_device("nvme0n1", 2), "nvme0n1p2");
    }
}
