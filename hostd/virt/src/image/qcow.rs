//! Which qcow2 images a host takes: those that are all there is, with nothing under or beside
//! them that could be a file of the host's. Pure.

use serde::Deserialize;

/// Bytes of an image's head that are looked at.
pub(super) const HEAD: usize = 104;
/// "External data file bit", bit 2 of the incompatible features (QEMU, docs/interop/qcow2.txt).
const DATA_FILE: u64 = 1 << 2;
/// What a guest may be offered: beyond it are only images that want to do harm.
const MAX_BYTES: u64 = 1 << 46;

/// What qemu-img tells of an image, as far as it matters.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Info {
    format: String,
    virtual_size: u64,
    #[serde(default)]
    backing_filename: Option<String>,
    #[serde(default)]
    encrypted: bool,
    #[serde(default)]
    format_specific: Option<Specific>,
}

#[derive(Debug, Deserialize)]
struct Specific {
    #[serde(default)]
    data: SpecificData,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct SpecificData {
    #[serde(default)]
    data_file: Option<String>,
    #[serde(default)]
    encrypt: Option<serde_json::Value>,
    #[serde(default)]
    corrupt: bool,
}

/// What an image offers to a guest, in bytes, by its first bytes. Looked at before any other
/// program opens it: a name in it may lead that program anywhere.
pub(super) fn judge_head(head: &[u8]) -> Result<u64, String> {
    let u64_at = |at: usize| {
        let bytes = head.get(at..at + 8).and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
        bytes.map(u64::from_be_bytes)
    };
    let u32_at = |at: usize| {
        let bytes = head.get(at..at + 4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
        bytes.map(u32::from_be_bytes)
    };
    let not = || "is no qcow2 image".to_owned();
    if !head.starts_with(b"QFI\xfb") {
        return Err(not());
    }
    let version = u32_at(4).ok_or_else(not)?;
    if !(2..=3).contains(&version) {
        return Err(format!("is a qcow of version {version}, which nobody here knows"));
    }
    if u64_at(8).ok_or_else(not)? != 0 {
        return Err(
            "has a backing file, and only images that are all there is are taken".to_owned()
        );
    }
    if u32_at(32).ok_or_else(not)? != 0 {
        return Err("is encrypted, and nobody here has its key".to_owned());
    }
    if version == 3 && u64_at(72).ok_or_else(not)? & DATA_FILE != 0 {
        return Err(
            "has its data in another file, and only images that are all there is are taken"
                .to_owned(),
        );
    }
    match u64_at(24).ok_or_else(not)? {
        0 => Err("offers no bytes at all".to_owned()),
        size if size > MAX_BYTES => Err(format!("says that it offers {size} bytes")),
        size => Ok(size),
    }
}

/// The same by what `qemu-img info --output=json` says of it.
pub(super) fn judge_info(json: &str) -> Result<(), String> {
    let info: Info = serde_json::from_str(json)
        .map_err(|error| format!("cannot be judged: qemu-img's answer cannot be read: {error}"))?;
    let data = info.format_specific.map(|specific| specific.data).unwrap_or_default();
    if info.format != "qcow2" {
        return Err(format!("is {} and no qcow2 image", info.format));
    }
    if info.backing_filename.is_some() {
        return Err(
            "has a backing file, and only images that are all there is are taken".to_owned()
        );
    }
    if data.data_file.is_some() {
        return Err(
            "has its data in another file, and only images that are all there is are taken"
                .to_owned(),
        );
    }
    if info.encrypted || data.encrypt.is_some() {
        return Err("is encrypted, and nobody here has its key".to_owned());
    }
    if data.corrupt {
        return Err("says itself that it is corrupt".to_owned());
    }
    if info.virtual_size == 0 || info.virtual_size > MAX_BYTES {
        return Err(format!("says that it offers {} bytes", info.virtual_size));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A good head of version 3 that offers 1 GiB, with these bytes written over it.
    fn head(changes: &[(usize, &[u8])]) -> Vec<u8> {
        let mut head = vec![0; HEAD];
        head[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
        head[24..32].copy_from_slice(&(1_u64 << 30).to_be_bytes());
        for (at, bytes) in changes {
            head[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        head
    }

    fn check_head(head: &[u8], expected: &str) {
        let error = judge_head(head).expect_err(expected);
        assert!(error.starts_with(expected), "{error}");
    }

    fn check_info(fields: &str, expected: &str) {
        let json = format!(r#"{{"format": "qcow2", "virtual-size": 1024{fields}}}"#);
        let said = judge_info(&json).err().unwrap_or_default();
        assert!(said.starts_with(expected) && said.is_empty() == expected.is_empty(), "{said}");
    }

    #[test]
    fn an_image_that_is_all_there_is_is_taken() {
        assert_eq!(judge_head(&head(&[])), Ok(1 << 30));
        let specific = r#""type": "qcow2", "data": {"compat": "1.1", "corrupt": false}"#;
        check_info(&format!(r#", "format-specific": {{{specific}}}, "dirty-flag": false"#), "");
    }

    #[test]
    fn what_leads_to_other_files_is_refused() {
        check_head(&head(&[(8, &[0, 0, 0, 0, 0, 0, 1, 0])]), "has a backing file");
        check_head(&head(&[(79, &[4])]), "has its data in another file");
        check_info(r#", "backing-filename": "/etc/shadow""#, "has a backing file");
        let data = r#", "format-specific": {"data": {"data-file": "/etc/shadow"}}"#;
        check_info(data, "has its data in another file");
    }

    #[test]
    fn what_cannot_be_read_or_makes_no_sense_is_refused() {
        check_head(&head(&[(32, &[0, 0, 0, 2])]), "is encrypted");
        check_head(&head(&[(4, &[0, 0, 0, 9])]), "is a qcow of version 9");
        check_head(&head(&[(24, &[0xff])]), "says that it offers");
        check_head(&head(&[(24, &[0; 8])]), "offers no bytes");
        check_head(b"QFI\xfb\0\0\0\x03", "is no qcow2 image");
        check_head(b"MZ", "is no qcow2 image");
        check_info(r#", "encrypted": true"#, "is encrypted");
        check_info(r#", "format-specific": {"data": {"corrupt": true}}"#, "says itself");
        assert!(judge_info("{}").is_err() && judge_info("").is_err());
        assert!(judge_info(r#"{"format": "raw", "virtual-size": 1}"#).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_judges_panic(
            mut bytes in prop::collection::vec(any::<u8>(), 0..120),
            is_qcow in any::<bool>(),
            text in "[{}\":a-z0-9, -]{0,60}",
        ) {
            if is_qcow && bytes.len() > 8 {
                bytes[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
            }
            let _ = judge_head(&bytes);
            let _ = judge_info(&text);
        }
    }

    #[test]
    fn fuzz_head_of_an_image() {
        basalt_fuzz::run(&[&head(&[]), b"QFI\xfb\0\0\0\x02"], |bytes| {
            // Nothing that names another file is taken.
            let is_taken = judge_head(bytes).is_ok();
            assert!(!is_taken || bytes[8..16] == [0; 8], "a backing file");
        });
    }

    #[test]
    fn fuzz_words_of_qemu_img() {
        let seed = r#"{"format":"qcow2","virtual-size":1024,"encrypted":false,"format-specific":
            {"type":"qcow2","data":{"compat":"1.1","corrupt":false,"data-file":"x"}}}"#;
        basalt_fuzz::run_on_text!(&[seed], |text| judge_info(text));
    }
}
