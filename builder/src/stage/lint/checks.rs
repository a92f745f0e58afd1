//! Checks of a boot that the image brings: `hostctl checks` runs them on each host.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

/// Where they lie: the image's own, and what it brings for `/etc`.
const FOLDERS: [&str; 4] = [
    "usr/lib/basalt/required.d",
    "usr/lib/basalt/wanted.d",
    "usr/etc/basalt/required.d",
    "usr/etc/basalt/wanted.d",
];

/// One that cannot be run fails on every host: that is better said now.
pub(super) fn check(tree: &Path, broken: &mut Vec<String>) -> Result<()> {
    for folder in FOLDERS {
        let entries = match fs::read_dir(tree.join(folder)) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            entries => entries.with_context(|| format!("cannot list `/{folder}`"))?,
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // A link may lead anywhere in the tree, and is right only once that is `/`.
            let about = entry.metadata()?;
            if about.is_file() && about.permissions().mode() & 0o111 == 0 {
                broken.push(format!(
                    "`/{folder}/{name}` is not executable, and every check is run: `chmod +x` it"
                ));
            }
        }
    }
    Ok(())
}
