//! What the host is told, written into its `/etc` and `/var`.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::disk::tool;
use super::mounts::Mounts;
use crate::settings::{Change, Owner, Units};

/// Makes one change.
pub(super) fn change(change: &Change, mounts: &Mounts) -> Result<()> {
    let at = place(change.path(), mounts)?;
    if let Some(above) = at.parent() {
        folder(above, 0o755)?;
    }
    match change {
        Change::Folder { mode, owner, .. } => {
            folder(&at, *mode)?;
            fs::set_permissions(&at, Permissions::from_mode(*mode))?;
            own(&at, *owner)
        }
        Change::File { mode, owner, text, .. } => {
            basalt_durable::write(&at, text.0.as_bytes(), *mode)?;
            own(&at, *owner)
        }
        Change::Link { to, .. } => {
            basalt_durable::remove(&at)?;
            Ok(symlink(to, &at)?)
        }
    }
}

/// Switches units on and off, by the links that systemd itself makes.
pub(super) fn units(units: &Units, mounts: &Mounts) -> Result<()> {
    for (verb, names) in [("disable", &units.disable), ("enable", &units.enable)] {
        if names.is_empty() {
            continue;
        }
        let systemctl = tool("systemctl").arg(format!("--root={}", mounts.system().display()));
        let done = systemctl.env("SYSTEMD_OFFLINE", "1").args([verb, "--"]).args(names).run();
        done.with_context(|| format!("cannot {verb} {}", names.join(", ")))?;
    }
    Ok(())
}

/// Makes a folder and those above it, where there are none.
pub(super) fn folder(path: &Path, mode: u32) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent() {
        folder(above, 0o755)?;
    }
    let made = DirBuilder::new().mode(mode).create(path);
    made.with_context(|| format!("cannot make the folder `{}`", path.display()))
}

fn own(at: &Path, owner: Owner) -> Result<()> {
    Ok(chown(at, Some(owner.uid), Some(owner.gid))?)
}

/// Where a path of the host's is now. A `/var` that was kept may hold links that somebody put there;
/// none is followed.
fn place(path: &str, mounts: &Mounts) -> Result<PathBuf> {
    let (base, rest) = match (path.strip_prefix("/var/"), path.strip_prefix("/etc/")) {
        (Some(rest), _) => (mounts.var(), rest),
        (_, Some(rest)) => (mounts.system().join("etc"), rest),
        _ => bail!("a host is written to in /etc and /var alone"),
    };
    let mut at = base;
    let mut names = rest.split('/').peekable();
    while let Some(name) = names.next() {
        if name.is_empty() || name == "." || name == ".." {
            bail!("`{path}` is no plain path");
        }
        at.push(name);
        if names.peek().is_some() && at.is_symlink() {
            bail!("`{}` is a link, and not followed", at.display());
        }
    }
    Ok(at)
}
