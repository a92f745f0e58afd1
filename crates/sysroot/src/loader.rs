//! The EFI variables through which systemd-boot and the host tell each other things.
//!
//! Decodes what efivarfs hands out: four bytes of attributes, then UTF-16LE. The bytes come from
//! the firmware, so nothing about them is taken for granted.

use uuid::Uuid;

use crate::entry::EntryName;

/// Where efivarfs is mounted.
pub const EFIVARS_FOLDER: &str = "/sys/firmware/efi/efivars";
/// The vendor id of systemd-boot's variables (Boot Loader Interface).
const VENDOR: &str = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
/// Bytes of attributes that efivarfs puts before the value.
const ATTRIBUTES: usize = 4;

/// Why a boot on trial failed, as `boot-failed` keeps it for who runs afterwards: the name of its
/// file in [`EFIVARS_FOLDER`]. Read it with [`decode_failure`].
pub const FAILURE_FILE: &str = "BasaltBootFailure-52f8a5c6-e92f-4f13-9885-6219a3993527";

/// Why a boot on trial failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The kernel's id of that boot, where it said one.
    pub boot_id: Option<Uuid>,
    /// What failed, in a few lines.
    pub text: String,
}

/// A variable of systemd-boot's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Variable {
    /// The counted entry of this boot, as a path under its new name; absent when it was not
    /// counted. Read it with [`decode_boot_count_path`].
    BootCountPath,
    /// The entries that the loader found, under their names of before this boot. Read it with
    /// [`decode_entries`].
    Entries,
    /// The file name of the entry that was booted, of before this boot.
    EntrySelected,
    /// The partition id of the ESP that the loader came from. Read it with [`decode_part_uuid`].
    DevicePartUuid,
    /// The entry that boots by default, instead of the first; must be clear before a trial.
    EntryDefault,
    /// The entry that boots once; must be clear before a trial.
    EntryOneShot,
    /// The loader's name and version.
    Info,
    /// Microseconds since power-on when the loader began.
    TimeInitUsec,
    /// Microseconds since power-on when the loader started the kernel.
    TimeExecUsec,
}

/// Why a variable's bytes make no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Fewer bytes than the attributes take, or half a character.
    #[error("an EFI variable of {length} bytes is cut off")]
    CutOff {
        /// How many bytes there are, attributes included.
        length: usize,
    },
    /// The value is no UTF-16.
    #[error("the EFI variable is not UTF-16 text")]
    NotText,
    /// The boot count path leads to no boot entry of Basalt's.
    #[error("`{path}` is not the path of a Basalt boot entry")]
    NoEntry {
        /// The path.
        path: String,
    },
    /// The value is no partition id.
    #[error("`{text}` is not a partition id")]
    NoPartUuid {
        /// The value.
        text: String,
    },
}

impl Variable {
    /// Its name in the Boot Loader Interface, such as `LoaderBootCountPath`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BootCountPath => "LoaderBootCountPath",
            Self::Entries => "LoaderEntries",
            Self::EntrySelected => "LoaderEntrySelected",
            Self::DevicePartUuid => "LoaderDevicePartUUID",
            Self::EntryDefault => "LoaderEntryDefault",
            Self::EntryOneShot => "LoaderEntryOneShot",
            Self::Info => "LoaderInfo",
            Self::TimeInitUsec => "LoaderTimeInitUSec",
            Self::TimeExecUsec => "LoaderTimeExecUSec",
        }
    }

    /// The name of its file in [`EFIVARS_FOLDER`].
    #[must_use]
    pub fn file_name(self) -> String {
        format!("{}-{VENDOR}", self.name())
    }
}

/// Decodes [`FAILURE_FILE`]: `boot`, its id, a newline, then what failed, as UTF-8 that may have
/// been cut off anywhere.
///
/// # Errors
/// There are no attributes.
pub fn decode_failure(bytes: &[u8]) -> Result<Failure, DecodeError> {
    let length = bytes.len();
    let value = bytes.get(ATTRIBUTES..).ok_or(DecodeError::CutOff { length })?;
    let text = String::from_utf8_lossy(value);
    let Some(rest) = text.strip_prefix("boot ") else {
        return Ok(Failure { boot_id: None, text: text.trim().to_owned() });
    };
    let (id, text) = rest.split_once('\n').unwrap_or((rest, ""));
    Ok(Failure { boot_id: id.trim().parse().ok(), text: text.trim().to_owned() })
}

/// Decodes a variable that holds one text, such as [`Variable::Info`].
///
/// # Errors
/// The bytes are cut off or no text.
pub fn decode_text(bytes: &[u8]) -> Result<String, DecodeError> {
    let text = decode(bytes)?;
    // The terminating NUL belongs to the format, not to the text.
    Ok(text.split('\0').next().unwrap_or_default().to_owned())
}

/// Decodes [`Variable::Entries`]: file names of boot entries, each ended by a NUL. Others than
/// Basalt's, such as `auto-reboot-to-firmware-setup`, are left out.
///
/// # Errors
/// The bytes are cut off or no text.
pub fn decode_entries(bytes: &[u8]) -> Result<Vec<EntryName>, DecodeError> {
    Ok(decode(bytes)?.split('\0').filter_map(|name| name.parse().ok()).collect())
}

/// Decodes [`Variable::BootCountPath`], such as `\loader\entries\basalt-2-b+2-1.conf`.
///
/// # Errors
/// The bytes are cut off or no text, or lead to another entry than Basalt's.
pub fn decode_boot_count_path(bytes: &[u8]) -> Result<EntryName, DecodeError> {
    let path = decode_text(bytes)?;
    let name = path.rsplit(['\\', '/']).next().unwrap_or_default().parse();
    name.map_err(|_| DecodeError::NoEntry { path })
}

/// Decodes [`Variable::DevicePartUuid`]. It prints in lower case, as udev names partitions.
///
/// # Errors
/// The bytes are cut off, no text, or anything but 36 hex digits and dashes.
pub fn decode_part_uuid(bytes: &[u8]) -> Result<Uuid, DecodeError> {
    let text = decode_text(bytes)?;
    match Uuid::try_parse(&text) {
        // The parser also knows forms with braces and without dashes, which no loader writes.
        Ok(id) if text.len() == 36 => Ok(id),
        _ => Err(DecodeError::NoPartUuid { text }),
    }
}

fn decode(bytes: &[u8]) -> Result<String, DecodeError> {
    let cut_off = DecodeError::CutOff { length: bytes.len() };
    let (units, rest) = match bytes.get(ATTRIBUTES..) {
        Some(value) => value.as_chunks::<2>(),
        None => return Err(cut_off),
    };
    if !rest.is_empty() {
        return Err(cut_off);
    }
    let units = units.iter().map(|pair| u16::from_le_bytes(*pair));
    char::decode_utf16(units).collect::<Result<_, _>>().map_err(|_| DecodeError::NotText)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn variable(text: &str) -> Vec<u8> {
        let units = text.encode_utf16().flat_map(u16::to_le_bytes);
        [6, 0, 0, 0].into_iter().chain(units).collect()
    }

    fn name(text: &str) -> EntryName {
        text.parse().unwrap()
    }

    #[test]
    fn the_boot_count_path_names_the_entry() {
        let check = |path: &str, expected: &str| {
            assert_eq!(decode_boot_count_path(&variable(path)), Ok(name(expected)));
        };
        check("\\loader\\entries\\basalt-2-b+2-1.conf\0", "basalt-2-b+2-1.conf");
        check("\\loader\\entries\\basalt-2-b+2-1.conf", "basalt-2-b+2-1.conf");
        check("/loader/entries/basalt-2-a+0-3.conf\0", "basalt-2-a+0-3.conf");
    }

    #[test]
    fn a_foreign_boot_count_path_is_named() {
        let error = decode_boot_count_path(&variable("\\EFI\\Linux\\arch+3.efi\0")).unwrap_err();
        assert_eq!(
            error.to_string(),
            r"`\EFI\Linux\arch+3.efi` is not the path of a Basalt boot entry"
        );
    }

    #[test]
    fn the_list_of_entries_leaves_out_what_is_not_ours() {
        let list = "basalt-2-b+3.conf\0basalt-1-a.conf\0auto-reboot-to-firmware-setup\0";
        let expected = vec![name("basalt-2-b+3.conf"), name("basalt-1-a.conf")];
        assert_eq!(decode_entries(&variable(list)), Ok(expected));
        assert_eq!(decode_entries(&variable("")), Ok(Vec::new()));
    }

    #[test]
    fn a_partition_id_is_read_in_either_case_and_prints_in_lower_case() {
        let id = decode_part_uuid(&variable("0F5C0DE6-5C2D-4D5C-8B8E-0A4F3D2C1B0A\0")).unwrap();
        assert_eq!(id.to_string(), "0f5c0de6-5c2d-4d5c-8b8e-0a4f3d2c1b0a");
    }

    #[test]
    fn what_is_not_a_partition_id_is_refused() {
        for text in [
            "",
            "\0",
            "../../etc/passwd",
            "0f5c0de65c2d4d5c8b8e0a4f3d2c1b0a",
            "{0f5c0de6-5c2d-4d5c-8b8e-0a4f3d2c1b0a}",
        ] {
            let error = decode_part_uuid(&variable(text));
            assert!(matches!(error, Err(DecodeError::NoPartUuid { .. })), "{text}");
        }
    }

    #[test]
    fn cut_off_and_garbled_bytes_are_errors() {
        assert_eq!(decode_text(&[6, 0, 0]), Err(DecodeError::CutOff { length: 3 }));
        assert_eq!(decode_text(&[6, 0, 0, 0, b'a']), Err(DecodeError::CutOff { length: 5 }));
        assert_eq!(decode_text(&[6, 0, 0, 0, 0, 0xd8]), Err(DecodeError::NotText));
        assert_eq!(decode_text(&[6, 0, 0, 0]), Ok(String::new()));
    }

    #[test]
    fn the_file_name_carries_the_vendor() {
        let expected = "LoaderDevicePartUUID-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
        assert_eq!(Variable::DevicePartUuid.file_name(), expected);
    }

    #[test]
    fn a_failure_has_the_boot_and_what_failed_however_short_it_was_cut() {
        let id = "1d2b4c3e-52f8-4f13-9885-6219a3993527";
        let whole = format!("\u{7}\0\0\0boot {id}\ngate: x\ny\n");
        let failure = decode_failure(whole.as_bytes()).unwrap();
        assert_eq!((failure.boot_id, &*failure.text), (id.parse().ok(), "gate: x\ny"));
        let none = decode_failure(b"\x07\0\0\0boot \nwhy").unwrap();
        assert_eq!(none, Failure { boot_id: None, text: "why".into() });
        for end in 4..whole.len() {
            assert!(decode_failure(&whole.as_bytes()[..end]).is_ok());
        }
        assert_eq!(decode_failure(&[7, 0]), Err(DecodeError::CutOff { length: 2 }));
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_decoder_panic(bytes: Vec<u8>) {
            let _ = decode_text(&bytes);
            let _ = decode_entries(&bytes);
            let _ = decode_boot_count_path(&bytes);
            let _ = decode_part_uuid(&bytes);
            let _ = decode_failure(&bytes);
        }

        #[test]
        fn text_reads_back(text in "[^\0]*") {
            prop_assert_eq!(decode_text(&variable(&text)), Ok(text));
        }
    }
}
