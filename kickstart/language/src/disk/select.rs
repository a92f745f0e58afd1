//! Which of the disks that are there.

use std::fmt;

use super::{Bus, Compare, Condition, DiskSelector, Pick};

/// A disk that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The kernel's name, as `sda`.
    pub name: String,
    /// Its other names below `/dev`, as `disk/by-id/…`.
    pub links: Vec<String>,
    /// Bytes.
    pub size: u64,
    /// What it hangs on, where that is known.
    pub bus: Option<Bus>,
    /// The model, where it has one.
    pub model: Option<String>,
    /// The serial number, where it has one.
    pub serial: Option<String>,
    /// Whether the installer was started from it.
    pub is_boot_medium: bool,
}

/// Why a disk is not meant, or that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Matches,
    /// The installer was started from it.
    BootMedium,
    /// It has another name.
    OtherName,
    /// This does not hold.
    Not(Condition),
    /// Another one is smaller, or larger.
    NotPicked(Pick),
}

/// Not exactly one disk is meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct NotOne {
    /// What was looked for.
    pub selector: DiskSelector,
    /// Every disk, and why it is not meant.
    pub disks: Vec<(Disk, Verdict)>,
}

impl DiskSelector {
    /// The one disk that is meant, of all that are there.
    ///
    /// # Errors
    /// None is, or several are; why.
    pub fn select<'a>(&self, disks: &'a [Disk]) -> Result<&'a Disk, NotOne> {
        let mut verdicts: Vec<Verdict> = disks.iter().map(|disk| self.verdict(disk)).collect();
        if let Self::Like { pick: Some(pick), .. } = self {
            pick_one(*pick, disks, &mut verdicts);
        }
        let mut meant = disks.iter().zip(&verdicts).filter(|(_, it)| **it == Verdict::Matches);
        match (meant.next(), meant.next()) {
            (Some((disk, _)), None) => Ok(disk),
            _ => Err(NotOne {
                selector: self.clone(),
                disks: disks.iter().cloned().zip(verdicts).collect(),
            }),
        }
    }

    fn verdict(&self, disk: &Disk) -> Verdict {
        if disk.is_boot_medium {
            return Verdict::BootMedium;
        }
        match self {
            Self::Named(name) if name == &disk.name => Verdict::Matches,
            Self::Named(name) => {
                let names = disk.links.iter().chain([&disk.name]);
                let is_there = names.into_iter().any(|link| matches(name, link));
                if is_there { Verdict::Matches } else { Verdict::OtherName }
            }
            Self::Like { conditions, .. } => {
                let broken = conditions.iter().find(|condition| !condition.holds(disk));
                broken.cloned().map_or(Verdict::Matches, Verdict::Not)
            }
        }
    }
}

/// Of those that match, only the smallest or largest do; of several that are so, all.
fn pick_one(pick: Pick, disks: &[Disk], verdicts: &mut [Verdict]) {
    let matching = disks.iter().zip(&*verdicts).filter(|(_, it)| **it == Verdict::Matches);
    let sizes = matching.map(|(disk, _)| disk.size);
    let best = match pick {
        Pick::Smallest => sizes.min(),
        Pick::Largest => sizes.max(),
    };
    for (disk, verdict) in disks.iter().zip(verdicts) {
        if *verdict == Verdict::Matches && Some(disk.size) != best {
            *verdict = Verdict::NotPicked(pick);
        }
    }
}

impl Condition {
    fn holds(&self, disk: &Disk) -> bool {
        let is_like = |glob: &str, text: &Option<String>| {
            text.as_deref().is_some_and(|text| matches(glob, text))
        };
        let has_link = |folder: &str, glob: &str| {
            disk.links
                .iter()
                .any(|link| link.strip_prefix(folder).is_some_and(|name| matches(glob, name)))
        };
        match self {
            Self::Serial(glob) => is_like(glob, &disk.serial),
            Self::Model(glob) => is_like(glob, &disk.model),
            Self::Id(glob) => has_link("disk/by-id/", glob),
            Self::Path(glob) => has_link("disk/by-path/", glob),
            Self::Bus(bus) => disk.bus == Some(*bus),
            Self::Size(compare, bytes) => compare.holds(disk.size, *bytes),
        }
    }
}

impl Compare {
    fn holds(self, size: u64, than: u64) -> bool {
        match self {
            Self::Less => size < than,
            Self::AtMost => size <= than,
            Self::More => size > than,
            Self::AtLeast => size >= than,
            Self::About => size.abs_diff(than) <= than / 20,
        }
    }
}

/// Whether a text is like a glob with `*` and `?`. Capitals are letters like others, and udev writes
/// `_` for a blank.
fn matches(glob: &str, text: &str) -> bool {
    let plain = |text: &str| -> Vec<char> {
        text.trim().chars().map(|c| if c == ' ' { '_' } else { c.to_ascii_lowercase() }).collect()
    };
    let (glob, text) = (plain(glob), plain(text));
    let (mut g, mut t) = (0, 0);
    // Where the last star stands, and how much of the text it has taken.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match glob.get(g) {
            Some('*') => {
                star = Some((g, t));
                g += 1;
            }
            Some(&c) if c == '?' || c == text[t] => {
                g += 1;
                t += 1;
            }
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                g = at + 1;
                t = taken + 1;
            }
        }
    }
    glob[g..].iter().all(|&c| c == '*')
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Matches => f.write_str("matches"),
            Self::BootMedium => f.write_str("no: the installer was started from it"),
            Self::OtherName => f.write_str("no: it has another name"),
            Self::Not(condition) => write!(f, "no: not `{condition}`"),
            Self::NotPicked(pick) => write!(f, "no: it is not the {}", pick.name()),
        }
    }
}

impl fmt::Display for NotOne {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let matching = self.disks.iter().filter(|(_, it)| *it == Verdict::Matches).count();
        let how_many = match (self.disks.len(), matching) {
            (0, _) => "there is no disk".to_owned(),
            (_, 0) => "no disk matches".to_owned(),
            (_, count) => format!("{count} disks match"),
        };
        write!(f, "`{}` must mean exactly one disk, and {how_many}", self.selector)?;
        for (disk, verdict) in &self.disks {
            write!(f, "\n  {disk}: {verdict}")?;
        }
        Ok(())
    }
}

/// `sda, 500.1 GB, sata, Samsung SSD 860, serial S3Z9NB0K`.
impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = self.size / 100_000_000;
        write!(f, "{}, {}.{} GB", self.name, tenths / 10, tenths % 10)?;
        let bus = self.bus.map(Bus::name);
        for known in [bus, self.model.as_deref()].into_iter().flatten() {
            write!(f, ", {}", known.trim())?;
        }
        self.serial.as_ref().map_or(Ok(()), |serial| write!(f, ", serial {}", serial.trim()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(name: &str, gb: u64, bus: Bus, model: &str, serial: &str) -> Disk {
        let id = format!("disk/by-id/{}-{}_{serial}", bus.name(), model.replace(' ', "_"));
        Disk {
            name: name.to_owned(),
            links: vec![id, format!("disk/by-path/pci-{name}")],
            size: gb * 1_000_000_000 + 107_862_016,
            bus: Some(bus),
            model: Some(model.to_owned()),
            serial: Some(serial.to_owned()),
            is_boot_medium: false,
        }
    }

    fn disks() -> Vec<Disk> {
        let stick = disk("sdc", 32, Bus::Usb, "Ultra", "4C53");
        vec![
            disk("nvme0n1", 500, Bus::Nvme, "Samsung SSD 980", "S3Z9"),
            disk("sda", 2000, Bus::Sata, "WDC WD2000", "WD-A"),
            disk("sdb", 2000, Bus::Sata, "WDC WD2000", "WD-B"),
            Disk { is_boot_medium: true, ..stick },
        ]
    }

    /// The disk's name, or what is said.
    fn selected(text: &str) -> String {
        let disks = disks();
        let selector: DiskSelector = text.parse().unwrap();
        selector.select(&disks).map_or_else(|error| error.to_string(), |disk| disk.name.clone())
    }

    #[test]
    fn each_way_to_say_it_finds_its_disk() {
        for (text, expected) in [
            ("nvme0n1", "nvme0n1"),
            ("disk/by-id/nvme-Samsung_SSD_980_S3Z9", "nvme0n1"),
            ("disk/by-id/sata-*WD-B", "sdb"),
            ("@serial=wd-a", "sda"),
            ("@model=Samsung?SSD*", "nvme0n1"),
            ("@id=nvme-*", "nvme0n1"),
            ("@path=pci-sdb", "sdb"),
            ("@bus=nvme", "nvme0n1"),
            ("@size<1TB", "nvme0n1"),
            ("@size~500GB", "nvme0n1"),
            ("@smallest", "nvme0n1"),
            ("@smallest&size>=400GB", "nvme0n1"),
            ("@model=WDC_WD2000&serial=*B", "sdb"),
        ] {
            assert_eq!(selected(text), expected, "{text}");
        }
    }

    #[test]
    fn what_the_installer_was_started_from_is_never_meant() {
        for text in ["sdc", "@bus=usb", "disk/by-id/usb-*", "@serial=4C53"] {
            let said = selected(text);
            assert!(said.contains("and no disk matches"), "{said}");
            assert!(said.contains("sdc, 32.1 GB, usb, Ultra, serial 4C53: no: the installer was"));
        }
        assert_eq!(selected("@smallest"), "nvme0n1", "although the stick is smaller");
    }

    #[test]
    fn several_disks_are_none_and_each_is_told_with_its_reason() {
        assert_eq!(
            selected("@bus=sata"),
            "`@bus=sata` must mean exactly one disk, and 2 disks match\n  \
             nvme0n1, 500.1 GB, nvme, Samsung SSD 980, serial S3Z9: no: not `bus=sata`\n  \
             sda, 2000.1 GB, sata, WDC WD2000, serial WD-A: matches\n  \
             sdb, 2000.1 GB, sata, WDC WD2000, serial WD-B: matches\n  \
             sdc, 32.1 GB, usb, Ultra, serial 4C53: no: the installer was started from it"
        );
        assert!(selected("@largest").contains("2 disks match"));
        assert!(selected("@largest").contains("S3Z9: no: it is not the largest"));
        assert!(selected("sdd").contains("WD-A: no: it has another name"));
    }

    #[test]
    fn globs_match_as_they_do_everywhere() {
        for (glob, text, expected) in [
            ("*", "", true),
            ("a*b*c", "aXbXbc", true),
            ("a*b*c", "aXbXcd", false),
            ("?", "ä", true),
            ("a b", "A_B", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(glob, text), expected, "{glob} {text}");
        }
    }
}
