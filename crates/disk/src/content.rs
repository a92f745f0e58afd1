//! What is on a disk or a partition now, as far as its first bytes tell: for whoever has to decide
//! whether it may go.

/// Bytes from the beginning that are looked at: btrfs has its name furthest behind.
pub const LOOKED_AT: usize = 68 << 10;

/// A kind of content, where its mark lies and what the mark is.
const KINDS: [(&str, usize, &[u8]); 10] = [
    ("ext4", 0x438, &[0x53, 0xef]),
    ("XFS", 0, b"XFSB"),
    ("btrfs", 0x10040, b"_BHRfS_M"),
    ("NTFS", 3, b"NTFS    "),
    ("exFAT", 3, b"EXFAT   "),
    ("FAT", 82, b"FAT32   "),
    ("FAT16", 54, b"FAT1"),
    ("encrypted (LUKS)", 0, b"LUKS\xba\xbe"),
    ("swap", 4086, b"SWAPSPACE2"),
    ("ISO 9660", 0x8001, b"CD001"),
];
/// Where a label lies and how long it may be, for those kinds that have one.
const LABELS: [(&str, usize, usize); 5] = [
    ("ext4", 0x478, 16),
    ("XFS", 108, 12),
    ("btrfs", 0x1012b, 256),
    ("FAT", 71, 11),
    ("ISO 9660", 0x8028, 32),
];

/// What begins with these bytes; `None` when nothing is known of it.
#[must_use]
pub fn describe(first: &[u8]) -> Option<String> {
    let has = |at: usize, mark: &[u8]| first.get(at..).is_some_and(|rest| rest.starts_with(mark));
    if let Some((name, ..)) = KINDS.iter().find(|(_, at, mark)| has(*at, mark)) {
        let label = LABELS.iter().find(|(kind, ..)| kind == name);
        let label = label.and_then(|(_, at, length)| label_at(first, *at, *length));
        return Some(label.map_or((*name).to_owned(), |label| format!("{name} \"{label}\"")));
    }
    if has(0x218, b"LVM2 001") || has(24, b"LVM2 001") {
        return Some("LVM".to_owned());
    }
    let is_gpt = has(512, b"EFI PART") || has(4096, b"EFI PART");
    match (is_gpt, has(510, &[0x55, 0xaa])) {
        (true, _) => Some("a partition table (GPT)".to_owned()),
        (false, true) => Some("a partition table (MBR)".to_owned()),
        (false, false) => None,
    }
}

fn label_at(first: &[u8], at: usize, length: usize) -> Option<String> {
    let bytes = first.get(at..at + length)?;
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    // It goes to a terminal.
    let text: String =
        String::from_utf8_lossy(text).chars().filter(|one| !one.is_control()).collect();
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use basalt_cmd::Cmd;

    use super::*;

    fn made(tool: &str, args: &[&str]) -> Option<String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(40 << 20).unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        let cmd = Cmd::new(tool).env("PATH", format!("{path}:/usr/sbin")).args(args);
        cmd.arg(file.path()).run().unwrap();
        describe(&std::fs::read(file.path()).unwrap()[..LOOKED_AT])
    }

    #[test]
    fn what_the_usual_tools_make_is_known_by_its_label() {
        let ext4 = made("mke2fs", &["-q", "-F", "-t", "ext4", "-L", "photos"]);
        assert_eq!(ext4.as_deref(), Some("ext4 \"photos\""));
        let fat = made("mkfs.fat", &["-F", "32", "-n", "STICK"]);
        assert_eq!(fat.as_deref(), Some("FAT \"STICK\""));
        assert_eq!(made("mkswap", &["-q"]).as_deref(), Some("swap"));
        let gpt = made("sgdisk", &["-n", "1:0:0"]);
        assert_eq!(gpt.as_deref(), Some("a partition table (GPT)"));
    }

    #[test]
    fn a_label_sends_nothing_to_the_terminal() {
        let mut first = vec![0; LOOKED_AT];
        first[0x438..0x43a].copy_from_slice(&[0x53, 0xef]);
        first[0x478..0x47c].copy_from_slice(b"\x1b[2J");
        assert_eq!(describe(&first).as_deref(), Some("ext4 \"[2J\""));
    }

    #[test]
    fn nothing_is_nothing() {
        assert_eq!(describe(&vec![0; LOOKED_AT]), None);
        assert_eq!(describe(b""), None);
    }
}
