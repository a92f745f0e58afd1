//! A `/var` that is kept was a host's: the new system goes on as that one. `hostd` takes state that
//! another `/etc/machine-id` made for a copy, and starts nothing of it.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::settings::Change;

/// Where `hostd` keeps as whom it is enrolled, below `/var`.
const ENROLLED: &str = "lib/hostd/identity/enrolled.json";
/// Bytes that it may have.
const MAX_BYTES: u64 = 1 << 20;

/// What of it is wanted here.
#[derive(Deserialize)]
struct Enrolled {
    machine_id: String,
}

/// The change that makes the new system the machine which this `/var` belongs to; none where it
/// belongs to nobody yet.
///
/// # Errors
/// It cannot be read, or makes no sense.
pub(super) fn machine_id(var: &Path) -> Result<Option<Change>> {
    let doing = || format!("cannot read who `/var` belongs to, `/var/{ENROLLED}`");
    let path = var.join(ENROLLED);
    if fs::symlink_metadata(&path).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        return Ok(None);
    }
    let text = |path: &Path| path.display().to_string();
    let file = File::from(basalt_beneath::open(&text(&path), &[text(var)]).with_context(doing)?);
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text).with_context(doing)?;
    let Enrolled { machine_id } = serde_json::from_str(&text).with_context(doing)?;
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if machine_id.len() != 32 || !machine_id.bytes().all(is_hex) {
        bail!("{}: its `machine_id` is no machine's id", doing());
    }
    Ok(Some(Change::machine_id(&machine_id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_var_that_is_kept_says_which_machine_it_belongs_to() {
        let var = tempfile::tempdir().unwrap();
        assert_eq!(machine_id(var.path()).unwrap(), None);
        let file = var.path().join(ENROLLED);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let id = "0123456789abcdef0123456789abcdef";
        fs::write(&file, format!("{{\"name\": \"a\", \"machine_id\": \"{id}\"}}")).unwrap();
        let change = machine_id(var.path()).unwrap().unwrap();
        assert_eq!(change, Change::machine_id(id));
        assert_eq!(change.path(), "/etc/machine-id");
        for bad in ["", "{}", "{\"machine_id\": \"../x\"}"] {
            fs::write(&file, bad).unwrap();
            assert!(machine_id(var.path()).is_err(), "{bad}");
        }
        // Nobody is led elsewhere by it.
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", &file).unwrap();
        assert!(machine_id(var.path()).is_err());
    }
}
