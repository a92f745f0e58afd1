//! `hostd-os mend-esp DEVICE`: before the ESP is mounted.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use basalt_mend_esp::{Found, Mended, look, mend};
use rustix::fs::OFlags;

/// Names that are told of; a journal's line is read by a person.
const NAMES: usize = 10;

/// Mends it where a power cut left names of what was not written. It is opened to be written only
/// where something is to be: a disk may allow no more than to be read, and udev looks at it anew
/// each time that a writer closes it.
pub(crate) fn mend_esp(device: Option<OsString>) -> Result<()> {
    let device = device.context("which partition? as `hostd-os mend-esp /dev/basalt/esp`")?;
    let device = Path::new(&device);
    let doing = || format!("cannot mend `{}`", device.display());
    let file = match open(device, OpenOptions::new().read(true)) {
        Err(error) if error.kind() == ErrorKind::ResourceBusy => {
            eprintln!("{} is in use, and was not looked at", device.display());
            return Ok(());
        }
        file => file.with_context(doing)?,
    };
    let mut found = look(&file).with_context(doing)?;
    if let Found::Torn(_) = found {
        drop(file);
        let file = open(device, OpenOptions::new().read(true).write(true)).with_context(doing)?;
        found = mend(&file).with_context(doing)?;
    }
    if let Some(told) = told(&found) {
        eprintln!("{}: {told}", device.display());
    }
    Ok(())
}

/// A partition that is mounted is nobody's to open so.
fn open(device: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let exclusively = i32::try_from(OFlags::EXCL.bits()).map_err(io::Error::other)?;
    options.custom_flags(exclusively).open(device)
}

/// Pure; nothing where there is nothing to tell.
fn told(found: &Found) -> Option<String> {
    match found {
        Found::Well => None,
        Found::Left(left) => Some(told_of_left(left)),
        Found::Torn(mended) => Some(told_of_torn(mended)),
    }
}

fn told_of_torn(mended: &Mended) -> String {
    let Mended { gone, righted, left, freed } = mended;
    let mut told = Vec::new();
    if !gone.is_empty() {
        told.push(format!("removed what was not written to its end: {}", listed(gone)));
    }
    if !righted.is_empty() {
        told.push(format!("set right where these end: {}", listed(righted)));
    }
    if *freed > 0 {
        told.push(format!("{} KiB were nobody's", freed / 1024));
    }
    if !left.is_empty() {
        told.push(told_of_left(left));
    }
    if told.is_empty() {
        return "was not unmounted; no name was amiss".to_owned();
    }
    told.join("; ")
}

fn told_of_left(left: &[String]) -> String {
    format!("left what is broken and not Basalt's to mend: {}", listed(left))
}

/// The first names. What wrote them may be anything, so that what no terminal should get is
/// escaped.
fn listed(names: &[String]) -> String {
    let first = names.iter().take(NAMES).map(|name| name.escape_debug().to_string());
    let first = first.collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_mended_is_told() {
        let torn = |mended| told(&Found::Torn(mended)).unwrap();
        assert_eq!(torn(Mended::default()), "was not unmounted; no name was amiss");
        let gone = vec!["basalt/aa".to_owned(), "basalt/bb".to_owned()];
        let (righted, left) = (vec!["basalt/cc".to_owned()], vec!["EFI/x".to_owned()]);
        assert_eq!(
            torn(Mended { gone, righted, left: left.clone(), freed: 2048 }),
            "removed what was not written to its end: basalt/aa, basalt/bb; set right where these \
             end: basalt/cc; 2 KiB were nobody's; left what is broken and not Basalt's to mend: \
             EFI/x"
        );
        let said = told(&Found::Left(left));
        assert_eq!(said.unwrap(), "left what is broken and not Basalt's to mend: EFI/x");
        assert_eq!(told(&Found::Well), None);
    }

    #[test]
    fn names_that_no_terminal_should_get_are_escaped_and_many_are_counted() {
        assert_eq!(listed(&["A\nERR\u{1b}[2.EFI".to_owned()]), "A\\nERR\\u{1b}[2.EFI");
        let many: Vec<String> = (0..12).map(|number| number.to_string()).collect();
        assert_eq!(listed(&many), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more");
        assert_eq!(listed(&many[..10]), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9");
    }

    /// Each closing of a writer lets udev look at it anew.
    #[test]
    fn what_is_well_is_opened_to_be_read_alone() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 20).unwrap();
        let inotify = rustix::fs::inotify::init(rustix::fs::inotify::CreateFlags::NONBLOCK);
        let inotify = inotify.unwrap();
        let closed_by_writer = rustix::fs::inotify::WatchFlags::CLOSE_WRITE;
        rustix::fs::inotify::add_watch(&inotify, file.path(), closed_by_writer).unwrap();
        mend_esp(Some(file.path().into())).unwrap();
        let seen = rustix::io::read(&inotify, &mut [0; 256]);
        assert_eq!(seen, Err(rustix::io::Errno::AGAIN));
    }

    #[test]
    fn what_cannot_be_opened_is_told() {
        let said = format!("{:#}", mend_esp(Some("/nowhere".into())).unwrap_err());
        assert!(said.starts_with("cannot mend `/nowhere`: "), "{said}");
    }
}
