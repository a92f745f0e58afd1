//! From a text to a selector.

use std::ops::Range;
use std::str::FromStr;

use basalt_document::nearest;

use super::{Bus, Compare, Condition, DiskSelector, Pick};

const KEYS: [&str; 8] = ["serial", "model", "id", "path", "bus", "size", "smallest", "largest"];
/// Bytes of a unit, the largest first.
const UNITS: [(&str, u64); 7] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("B", 1),
];

/// Why a text says no disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}\nhint: {hint}")]
pub struct NoSelector {
    /// The bytes that are to blame.
    pub range: Range<usize>,
    /// The reason.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl NoSelector {
    fn new(range: Range<usize>, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { range, message: message.into(), hint: hint.into() }
    }
}

impl FromStr for DiskSelector {
    type Err = NoSelector;

    fn from_str(text: &str) -> Result<Self, NoSelector> {
        if let Some(at) = text.find(',') {
            let hint = "one disk stands here; in a condition, `?` stands for a comma";
            return Err(NoSelector::new(at..at + 1, "a comma divides a list of disks", hint));
        }
        if let Some(at) = text.find('|') {
            let hint = "`@smallest`, `@bus=nvme` and other conditions mean one disk on every \
                        machine; a comma divides a list";
            let message = "one disk is meant, and not whichever of several is there";
            return Err(NoSelector::new(at..at + 1, message, hint));
        }
        match text.strip_prefix('@') {
            Some(conditions) => like(text, conditions),
            None => named(text),
        }
    }
}

fn named(text: &str) -> Result<DiskSelector, NoSelector> {
    let wrong = |message: &str, hint: &str| Err(NoSelector::new(0..text.len(), message, hint));
    let name = text.strip_prefix("/dev/").unwrap_or(text);
    let hint = "as `sda`, `disk/by-id/NAME` or `@serial=NUMBER`";
    if name.is_empty() || name.contains(char::is_whitespace) || name.starts_with(['/', '@']) {
        return wrong("this is no name of a disk", hint);
    }
    // What udev makes of an id may have a `=` in it; a kernel's name has none.
    if name.contains('=') && !name.contains('/') {
        return wrong("this is a partition, or a condition without its `@`", hint);
    }
    if is_partition(name) {
        return wrong("this is a partition and no disk", "leave its number away");
    }
    Ok(DiskSelector::Named(name.to_owned()))
}

/// Whether it is a kernel's name of a partition, as `sda1` or `nvme0n1p2`.
fn is_partition(name: &str) -> bool {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if stem.len() == name.len() {
        return false;
    }
    let letters = |prefix: &str| {
        let disk = stem.strip_prefix(prefix);
        disk.is_some_and(|disk| !disk.is_empty() && disk.bytes().all(|c| c.is_ascii_lowercase()))
    };
    let numbered = ["nvme", "mmcblk"].iter().any(|prefix| stem.starts_with(prefix));
    letters("sd") || letters("vd") || letters("hd") || numbered && stem.ends_with('p')
}

fn like(text: &str, conditions: &str) -> Result<DiskSelector, NoSelector> {
    let (mut pick, mut found) = (None, Vec::new());
    let mut start = text.len() - conditions.len();
    for part in conditions.split('&') {
        let range = start..start + part.len();
        start = range.end + 1;
        let picked = [Pick::Smallest, Pick::Largest]
            .into_iter()
            .find(|pick| part.eq_ignore_ascii_case(pick.name()));
        match picked {
            Some(_) if pick.is_some() => {
                let hint = "one of `smallest` and `largest`";
                return Err(NoSelector::new(range, "one disk is picked twice", hint));
            }
            Some(picked) => pick = Some(picked),
            None => found.push(condition(part, range)?),
        }
    }
    Ok(DiskSelector::Like { pick, conditions: found })
}

fn condition(part: &str, range: Range<usize>) -> Result<Condition, NoSelector> {
    let end = part.find(['=', '<', '>', '~']).unwrap_or(part.len());
    let (key, rest) = part.split_at(end);
    let key = key.to_ascii_lowercase();
    if !KEYS.contains(&key.as_str()) {
        let at = range.start..range.start + end;
        let message = format!("a disk has no `{key}` to choose it by");
        return Err(NoSelector::new(at, message, nearest(&key, &KEYS)));
    }
    let value_at = |sign: usize| range.start + end + sign..range.end;
    if key == "size" {
        return size_condition(rest, range.start + end..range.end);
    }
    let value = rest.strip_prefix('=').filter(|value| !value.is_empty() && !value.contains('\n'));
    let Some(value) = value.filter(|_| !["smallest", "largest"].contains(&key.as_str())) else {
        let hint = "as `@serial=NUMBER`, `@bus=nvme&size>=500GB` or `@smallest&size>=200GB`";
        return Err(NoSelector::new(range, "this is no condition", hint));
    };
    let glob = value.to_owned();
    match key.as_str() {
        "serial" => Ok(Condition::Serial(glob)),
        "model" => Ok(Condition::Model(glob)),
        "id" => Ok(Condition::Id(glob)),
        "path" => Ok(Condition::Path(glob)),
        _ => bus(value).map(Condition::Bus).ok_or_else(|| {
            let known: Vec<_> = Bus::ALL.iter().map(|bus| bus.name()).collect();
            NoSelector::new(value_at(1), "there is no such bus", nearest(value, &known))
        }),
    }
}

fn bus(name: &str) -> Option<Bus> {
    let name = name.to_ascii_lowercase();
    match name.as_str() {
        "ata" => Some(Bus::Sata),
        "sas" => Some(Bus::Scsi),
        name => Bus::ALL.into_iter().find(|bus| bus.name() == name),
    }
}

fn size_condition(rest: &str, range: Range<usize>) -> Result<Condition, NoSelector> {
    let signs = [Compare::AtLeast, Compare::AtMost, Compare::More, Compare::Less, Compare::About];
    let Some(compare) = signs.into_iter().find(|compare| rest.starts_with(compare.sign())) else {
        let hint = "no disk has a round size: `size~500GB` is within a twentieth of it, or `<`, \
                    `<=`, `>`, `>=`";
        return Err(NoSelector::new(range, "a size is compared otherwise", hint));
    };
    let text = &rest[compare.sign().len()..];
    let at = range.start + compare.sign().len()..range.end;
    let bytes = size(text)
        .ok_or_else(|| NoSelector::new(at, "this is no size", "as `500GB`, `1.5TB` or `465GiB`"))?;
    Ok(Condition::Size(compare, bytes))
}

/// A number with a unit, with up to three digits behind its point.
fn size(text: &str) -> Option<u64> {
    let (number, unit) = UNITS.iter().find_map(|(name, unit)| {
        let cut = text.len().checked_sub(name.len())?;
        let (number, end) = text.split_at_checked(cut)?;
        end.eq_ignore_ascii_case(name).then_some((number, *unit))
    })?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_number = |text: &str| text.bytes().all(|c| c.is_ascii_digit());
    if whole.is_empty() || fraction.len() > 3 || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let thousandths: u64 = format!("{fraction:0<3}").parse().ok()?;
    let whole: u64 = whole.parse().ok()?;
    whole.checked_mul(unit)?.checked_add(unit.checked_mul(thousandths)? / 1000)
}

/// A size so that it is read as the same: in the largest unit that divides it.
pub(super) fn exact_size(bytes: u64) -> String {
    let divides = |unit: u64| bytes.is_multiple_of(unit);
    let (name, unit) =
        UNITS.into_iter().find(|(_, unit)| bytes > 0 && divides(*unit)).unwrap_or(("B", 1));
    format!("{}{name}", bytes / unit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(text.parse::<DiskSelector>().unwrap().to_string(), expected);
    }

    fn wrong(text: &str, at: &str, expected: &str) {
        let error = text.parse::<DiskSelector>().unwrap_err();
        assert_eq!(&text[error.range.clone()], at, "{text}");
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[test]
    fn anacondas_names_stay_what_they_are() {
        for name in ["sda", "nvme0n1", "disk/by-id/ata-X_1=2", "disk/by-id/usb-*", "mmcblk0"] {
            check(name, name);
        }
        check("/dev/sda", "sda");
        check("/dev/disk/by-path/pci-0000:00:1f.2-ata-1", "disk/by-path/pci-0000:00:1f.2-ata-1");
        // Not a partition: an id ends in whatever it ends in.
        check("disk/by-id/ata-SD1", "disk/by-id/ata-SD1");
    }

    #[test]
    fn conditions_are_read_and_printed() {
        check("@serial=S3Z9NB0K", "@serial=S3Z9NB0K");
        check("@BUS=NVMe&size>=0.5TB", "@bus=nvme&size>=500GB");
        check("@smallest&size>200GiB", "@smallest&size>200GiB");
        check("@size~1TB&bus=sas", "@size~1TB&bus=scsi");
        check("@model=WDC WD*", "@model=WDC WD*");
    }

    #[test]
    fn what_is_no_selector_is_told_at_its_place() {
        wrong("sda1", "sda1", "a partition and no disk");
        wrong("nvme0n1p2", "nvme0n1p2", "a partition and no disk");
        wrong("serial=X", "serial=X", "without its `@`");
        wrong("@seril=X", "seril", "did you mean `serial`?");
        wrong("@bus=nvm", "nvm", "did you mean `nvme`?");
        wrong("@size=500GB", "=500GB", "size~500GB");
        wrong("@bus=nvme&size>500", "500", "this is no size");
        wrong("@size>1.2345GB", "1.2345GB", "this is no size");
        wrong("@size>99999999999TB", "99999999999TB", "this is no size");
        wrong("@smallest&largest", "largest", "picked twice");
        wrong("@", "", "");
        wrong("", "", "no name of a disk");
        wrong("/dev/@sda", "/dev/@sda", "no name of a disk");
        wrong("sda,sdb", ",", "divides a list");
        wrong("sda|nvme0n1", "|", "not whichever of several is there");
        wrong("@serial=a|b", "|", "a comma divides a list");
        wrong("@smallest=3", "smallest=3", "no condition");
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_as_the_same(text in "@?[a-z]{0,9}[=<>~]{0,2}[0-9A-Za-z.*&]{0,9}|\\PC{0,20}") {
            if let Ok(selector) = text.parse::<DiskSelector>() {
                prop_assert_eq!(selector.to_string().parse::<DiskSelector>(), Ok(selector));
            }
        }
    }
}
