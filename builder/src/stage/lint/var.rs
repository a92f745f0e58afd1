//! What a host finds in its /var, which is empty in an image, comes by tmpfiles.d.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Where dpkg's database lies in an image.
const DPKG: &str = "usr/lib/sysimage/dpkg";
/// A part of it that is always there.
pub(super) const DPKG_STATUS: &str = "usr/lib/sysimage/dpkg/status";
/// Folders that a program does not make for itself: (folder, the file in the tree that wants it,
/// what is lost without it).
pub(super) const FOLDERS: [(&str, &str, &str); 3] = [
    (
        "/var/log/journal",
        "usr/lib/systemd/systemd-journald",
        "the log of a boot that failed is lost",
    ),
    ("/var/log/libvirt", "usr/sbin/libvirtd", "libvirt cannot start a machine"),
    ("/var/lib/libvirt/images", "usr/sbin/libvirtd", "libvirt has no place for disks"),
];

/// Checks that tmpfiles.d brings them.
///
/// # Errors
/// A file of tmpfiles.d cannot be read.
pub(super) fn check(tree: &Path, broken: &mut Vec<String>) -> Result<()> {
    let lines = lines(tree)?;
    let has_folder = |path: &str| {
        lines.iter().any(|line| line.starts_with(['d', 'D', 'v', 'q', 'Q']) && of(line) == path)
    };
    for (path, wanted_by, loss) in FOLDERS {
        if tree.join(wanted_by).exists() && !has_folder(path) {
            broken.push(format!("no line of tmpfiles.d makes `{path}`: {loss}"));
        }
    }
    let links = |line: &String| {
        let target = line.split_whitespace().nth(6).unwrap_or_default();
        line.starts_with('L')
            && of(line) == "/var/lib/dpkg"
            && target.trim_start_matches("../").trim_start_matches('/') == DPKG
    };
    if !lines.iter().any(links) {
        broken.push(format!("no line of tmpfiles.d links `/var/lib/dpkg` to `/{DPKG}`"));
    }
    Ok(())
}

/// The path that a line of tmpfiles.d is about.
fn of(line: &str) -> &str {
    line.split_whitespace().nth(1).unwrap_or_default()
}

/// The lines of every file of tmpfiles.d.
fn lines(tree: &Path) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for folder in ["usr/lib/tmpfiles.d", "usr/etc/tmpfiles.d"] {
        for entry in fs::read_dir(tree.join(folder)).into_iter().flatten() {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "conf") {
                let text = fs::read_to_string(&path)
                    .with_context(|| format!("cannot read `{}`", path.display()))?;
                lines.extend(text.lines().map(str::to_owned));
            }
        }
    }
    Ok(lines)
}
