//! `hostd-os mend-esp DEVICE`: before the ESP is mounted.

use std::ffi::OsString;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use basalt_mend_esp::{Found, Mended, mend};
use rustix::fs::OFlags;

/// Mends it where a power cut left names of what was not written.
pub(crate) fn mend_esp(device: Option<OsString>) -> Result<()> {
    let device = device.context("which partition? as `hostd-os mend-esp /dev/basalt/esp`")?;
    let device = Path::new(&device);
    let doing = || format!("cannot mend `{}`", device.display());
    // A partition that is mounted is nobody's to open so.
    let exclusively = i32::try_from(OFlags::EXCL.bits())?;
    let file = File::options().read(true).write(true).custom_flags(exclusively).open(device);
    if file.as_ref().is_err_and(|error| error.kind() == ErrorKind::ResourceBusy) {
        eprintln!("{} is in use, and was not looked at", device.display());
        return Ok(());
    }
    if let Found::Torn(mended) = mend(&file.with_context(doing)?).with_context(doing)? {
        eprintln!("{} was not unmounted: {}", device.display(), told(&mended));
    }
    Ok(())
}

/// Pure.
fn told(mended: &Mended) -> String {
    let Mended { gone, left, freed } = mended;
    let mut told = Vec::new();
    if !gone.is_empty() {
        told.push(format!("removed what was not written to its end: {}", gone.join(", ")));
    }
    if *freed > 0 {
        told.push(format!("{} KiB were nobody's", freed / 1024));
    }
    if !left.is_empty() {
        told.push(format!("left what is broken and not Basalt's: {}", left.join(", ")));
    }
    if told.is_empty() { "nothing was amiss".to_owned() } else { told.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_mended_is_told() {
        assert_eq!(told(&Mended::default()), "nothing was amiss");
        let gone = vec!["basalt/aa".to_owned(), "basalt/bb".to_owned()];
        let mended = Mended { gone, left: vec!["EFI/x".to_owned()], freed: 2048 };
        assert_eq!(
            told(&mended),
            "removed what was not written to its end: basalt/aa, basalt/bb; 2 KiB were nobody's; \
             left what is broken and not Basalt's: EFI/x"
        );
    }

    #[test]
    fn what_cannot_be_opened_is_told() {
        let said = format!("{:#}", mend_esp(Some("/nowhere".into())).unwrap_err());
        assert!(said.starts_with("cannot mend `/nowhere`: "), "{said}");
    }
}
