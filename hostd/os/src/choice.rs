//! The firmware's variables that tell the loader which entry to boot.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;

use basalt_sysroot::entry::{EntryName, choose};
use basalt_sysroot::loader::{
    FAILURE_FILE, Failure, Variable, decode_boot_count_path, decode_failure, decode_text,
};
use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

/// Makes the loader choose by serial alone. A variable that is not there is as good.
///
/// # Errors
/// A variable cannot be removed.
pub(crate) fn clear(variables: &Path) -> io::Result<()> {
    for variable in [Variable::EntryDefault, Variable::EntryOneShot] {
        remove(&variables.join(variable.file_name()))?;
    }
    Ok(())
}

/// Why the last trial failed, if it left word of it.
pub(crate) fn failure(variables: &Path) -> Option<Failure> {
    let bytes = fs::read(variables.join(FAILURE_FILE)).ok()?;
    decode_failure(&bytes).ok()
}

/// Makes room for the next trial's word.
///
/// # Errors
/// The variable cannot be removed.
pub(crate) fn forget_failure(variables: &Path) -> io::Result<()> {
    remove(&variables.join(FAILURE_FILE))
}

fn remove(path: &Path) -> io::Result<()> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    make_mutable(&file)?;
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// The kernel makes variables that it does not know immutable.
fn make_mutable(file: &File) -> io::Result<()> {
    match ioctl_getflags(file) {
        Ok(flags) if flags.contains(IFlags::IMMUTABLE) => {
            Ok(ioctl_setflags(file, flags - IFlags::IMMUTABLE)?)
        }
        // A file system without such flags.
        _ => Ok(()),
    }
}

/// The entry of this boot, as it is named now among `entries`: the loader says its name of before
/// this boot, or, where it was counted, the one of during it; it is blessed later.
pub(crate) fn running(variables: &Path, entries: &[EntryName]) -> Option<EntryName> {
    let read = |variable: Variable| fs::read(variables.join(variable.file_name())).ok();
    let counted = read(Variable::BootCountPath).and_then(|it| decode_boot_count_path(&it).ok());
    let selected = read(Variable::EntrySelected).and_then(|it| decode_text(&it).ok());
    let said = counted.or_else(|| selected?.parse().ok())?;
    let same: Vec<EntryName> =
        entries.iter().copied().filter(|name| name.is_same_entry(said)).collect();
    choose(&same)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, variable: Variable, text: &str) {
        let units = text.encode_utf16().flat_map(u16::to_le_bytes);
        let bytes: Vec<u8> = [6, 0, 0, 0].into_iter().chain(units).collect();
        fs::write(folder.join(variable.file_name()), bytes).unwrap();
    }

    fn check(counted: Option<&str>, selected: Option<&str>, there: &str, expected: Option<&str>) {
        let dir = tempfile::tempdir().unwrap();
        if let Some(name) = counted {
            let path = format!("\\loader\\entries\\{name}\0");
            write(dir.path(), Variable::BootCountPath, &path);
        }
        if let Some(name) = selected {
            write(dir.path(), Variable::EntrySelected, &format!("{name}\0"));
        }
        let entries: Vec<EntryName> =
            there.split(' ').map(|name| format!("basalt-{name}.conf").parse().unwrap()).collect();
        let found = running(dir.path(), &entries).map(|name| name.to_string());
        assert_eq!(found, expected.map(|name| format!("basalt-{name}.conf")));
    }

    #[test]
    fn the_running_entry_is_found_under_its_name_of_now() {
        let on_trial = Some("basalt-2-b+2-1.conf");
        check(on_trial, Some("basalt-2-b+3.conf"), "1-a 2-b+2-1", Some("2-b+2-1"));
        check(on_trial, Some("basalt-2-b+3.conf"), "1-a 2-b", Some("2-b"));
        check(None, Some("basalt-1-a.conf"), "1-a 2-b+3", Some("1-a"));
        check(None, Some("basalt-7-a.conf"), "1-a", None);
        check(None, Some("windows.conf"), "1-a", None);
        check(None, None, "1-a", None);
    }

    #[test]
    fn what_the_loader_was_told_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        clear(dir.path()).unwrap();
        for variable in [Variable::EntryDefault, Variable::EntryOneShot, Variable::Info] {
            write(dir.path(), variable, "x\0");
        }
        clear(dir.path()).unwrap();
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().flatten().collect();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].file_name(), Variable::Info.file_name().as_str());
    }
}
