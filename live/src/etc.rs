//! Says in a root's `/etc`, which lies in memory, what is otherwise on a live system.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result};
use basalt_live::{Mode, Room};

use crate::console::say;
use crate::facts;
use crate::fstab::{self, Var};

/// The root that boots, as the initrd sees it.
const ROOT: &str = "/sysroot";
/// What lies beside the deployments and only a live system has, seen from that root.
const LIVE: &str = "sysroot/live/etc";
/// What a system is started for, where it is not a host.
const INSTALL: &str = "/etc/systemd/system/basalt-install.target";

/// Lays what only a live system has over `/etc`, and says where `/var` is.
///
/// # Errors
/// Nobody can know where `/var` is, or the overlay is full.
pub fn make_live() -> Result<()> {
    let (asked, rootfs) = (facts::asked()?, facts::rootfs()?);
    let room = Room::plan(facts::memory()?, rootfs.size, asked.overlay)?;
    let var = fstab::choose(asked.mode, &fstab::partitions()?, room.var)?;
    say(match var {
        Var::Memory(_) => "/var is in memory: what is written there goes with this boot",
        Var::Partition => "/var is on the partition `basalt-var`",
    });
    lay(Path::new(ROOT), asked.mode, &fstab::text(&var))
}

fn lay(root: &Path, mode: Mode, fstab: &str) -> Result<()> {
    let etc = root.join("etc");
    copy(&root.join(LIVE), &etc)?;
    let write = |path: &Path, text: &str| {
        remove(path)
            .and_then(|()| fs::write(path, text))
            .with_context(|| format!("cannot write `{}`", path.display()))
    };
    write(&etc.join("fstab"), fstab)?;
    if mode == Mode::Install {
        let link = etc.join("systemd/system/default.target");
        remove(&link)
            .and_then(|()| symlink(INSTALL, &link))
            .with_context(|| format!("cannot make `{}`", link.display()))?;
    }
    Ok(())
}

/// Copies what is in a folder, with its links and modes, over what is in another.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let doing = || format!("cannot copy `{}` to `{}`", from.display(), to.display());
    for entry in fs::read_dir(from).with_context(doing)? {
        let entry = entry.with_context(doing)?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().with_context(doing)?;
        if kind.is_dir() {
            fs::create_dir_all(&target).with_context(doing)?;
            copy(&source, &target)?;
            continue;
        }
        remove(&target).with_context(doing)?;
        if kind.is_symlink() {
            fs::read_link(&source).and_then(|to| symlink(to, &target)).with_context(doing)?;
        } else {
            fs::copy(&source, &target).with_context(doing)?;
        }
    }
    Ok(())
}

/// Removes a file or link, so that nothing is written through a link.
fn remove(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A root with an `/etc` and what a live system has beside it.
    fn ground() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let live = root.path().join(LIVE).join("systemd/system");
        fs::create_dir_all(&live).unwrap();
        symlink("/dev/null", live.join("efi.mount")).unwrap();
        fs::write(live.join("basalt-install.target"), "[Unit]").unwrap();
        let etc = root.path().join("etc/systemd/system");
        fs::create_dir_all(&etc).unwrap();
        fs::write(etc.join("efi.mount"), "of the image").unwrap();
        fs::write(etc.join("other.service"), "stays").unwrap();
        fs::write(root.path().join("etc/fstab"), "/dev/basalt/var /var").unwrap();
        root
    }

    #[test]
    fn what_a_live_system_has_takes_the_place_of_the_images() {
        let root = ground();
        lay(root.path(), Mode::Host, "tmpfs /var").unwrap();
        let etc = root.path().join("etc");
        assert_eq!(fs::read_to_string(etc.join("fstab")).unwrap(), "tmpfs /var");
        let units = etc.join("systemd/system");
        assert_eq!(fs::read_link(units.join("efi.mount")).unwrap(), Path::new("/dev/null"));
        assert_eq!(fs::read_to_string(units.join("other.service")).unwrap(), "stays");
        assert!(!units.join("default.target").exists());
    }

    #[test]
    fn an_installer_is_started_for_that_and_nothing_else() {
        let root = ground();
        lay(root.path(), Mode::Install, "").unwrap();
        lay(root.path(), Mode::Install, "").unwrap();
        let link = root.path().join("etc/systemd/system/default.target");
        assert_eq!(fs::read_link(link).unwrap(), Path::new(INSTALL));
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let root = ground();
        let outside = tempfile::NamedTempFile::new().unwrap();
        let fstab = root.path().join("etc/fstab");
        remove(&fstab).unwrap();
        symlink(outside.path(), &fstab).unwrap();
        lay(root.path(), Mode::Host, "tmpfs /var").unwrap();
        assert_eq!(fs::read(outside.path()).unwrap(), b"");
        assert_eq!(fs::read_to_string(fstab).unwrap(), "tmpfs /var");
    }
}
