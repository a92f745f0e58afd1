//! Where kernels and initramfs images lie on the ESP: each in a folder named by its own content.
//!
//! So a file is never overwritten by another one, two entries may share it, and what is there can
//! be checked against its name.

use std::fmt;

/// The folder of all boot files, seen from the root of the ESP.
pub const FOLDER: &str = "basalt";
/// Bytes of the SHA-256 that the name holds: 128 bits are more than accidents can reach.
const HASH_BYTES: usize = 16;

/// What a boot file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A kernel.
    Linux,
    /// An initramfs.
    Initrd,
}

/// The place of one boot file. Prints as the absolute path on the ESP that a boot entry names:
/// `/basalt/<32 hex digits>/linux`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BootFile {
    kind: Kind,
    hash: [u8; HASH_BYTES],
}

impl BootFile {
    /// The place of a file with this content.
    #[must_use]
    pub fn new(kind: Kind, sha256: &[u8; 32]) -> Self {
        let mut hash = [0; HASH_BYTES];
        hash.copy_from_slice(&sha256[..HASH_BYTES]);
        Self { kind, hash }
    }

    /// Reads a path as a boot entry names it; `None` when it is none of these.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let (hash, name) =
            path.strip_prefix('/')?.strip_prefix(FOLDER)?.strip_prefix('/')?.split_once('/')?;
        let kind = [Kind::Linux, Kind::Initrd].into_iter().find(|kind| kind.file_name() == name)?;
        Some(Self { kind, hash: parse_hash(hash)? })
    }

    /// The name of its own folder within [`FOLDER`]: 32 lower-case hex digits.
    #[must_use]
    pub fn folder(&self) -> String {
        self.hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The name of the file in its folder.
    #[must_use]
    pub fn file_name(&self) -> &'static str {
        self.kind.file_name()
    }

    /// Whether a file with this SHA-256 is the one that belongs here.
    #[must_use]
    pub fn matches(&self, sha256: &[u8; 32]) -> bool {
        sha256.starts_with(&self.hash)
    }
}

impl Kind {
    fn file_name(self) -> &'static str {
        match self {
            Self::Linux => "linux",
            Self::Initrd => "initrd",
        }
    }
}

impl fmt::Display for BootFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{FOLDER}/{}/{}", self.folder(), self.file_name())
    }
}

fn parse_hash(text: &str) -> Option<[u8; HASH_BYTES]> {
    let is_lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != 2 * HASH_BYTES || !text.bytes().all(is_lower_hex) {
        return None;
    }
    let mut hash = [0; HASH_BYTES];
    for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_path_is_the_first_half_of_the_hash() {
        let file = BootFile::new(Kind::Linux, &[0xab; 32]);
        assert_eq!(file.to_string(), format!("/basalt/{}/linux", "ab".repeat(16)));
        assert!(file.matches(&[0xab; 32]));
        assert!(!file.matches(&[0xac; 32]));
    }

    #[test]
    fn other_paths_are_none_of_ours() {
        let hash = "ab".repeat(16);
        for path in [
            "/EFI/Linux/x.efi".to_owned(),
            format!("basalt/{hash}/linux"),
            format!("/basalt/{}/linux", hash.to_uppercase()),
            format!("/basalt/{hash}/vmlinuz"),
            format!("/basalt/{hash}0/linux"),
            format!("/basalt/{hash}/sub/linux"),
        ] {
            assert_eq!(BootFile::parse(&path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn a_printed_path_parses_to_itself(hash: [u8; 32], initrd: bool) {
            let file = BootFile::new(if initrd { Kind::Initrd } else { Kind::Linux }, &hash);
            prop_assert_eq!(BootFile::parse(&file.to_string()), Some(file));
        }

        #[test]
        fn no_path_makes_the_parser_panic(path in "/basalt/\\PC*") {
            let _ = BootFile::parse(&path);
        }
    }
}
