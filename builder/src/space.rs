//! Which folder is full when a build ends because something is.

use std::path::Path;

use anyhow::Error;
use rustix::fs::statvfs;

/// What the system and every tool say; and libostree, which stops while 3 % are still free.
const NO_SPACE: [&str; 3] =
    ["No space left on device", "min-free-space-percent", "min-free-space-size"];

/// Names the fuller one of a build's folders, when that is why it failed and nobody has said so
/// yet. Each folder comes with the flag that names another.
#[must_use]
pub fn explain(error: Error, folders: &[(&Path, &str)]) -> Error {
    let text = format!("{error:#}");
    if !NO_SPACE.iter().any(|words| text.contains(words)) || text.contains("hint: ") {
        return error;
    }
    let fullest = folders.iter().min_by_key(|(folder, _)| free(folder));
    let Some((folder, flag)) = fullest else { return error };
    error.context(format!(
        "no space left, most likely in `{}`\nhint: free some space there, or name another folder \
         with `{flag}`",
        folder.display()
    ))
}

/// Bytes that can still be written; one that cannot be asked is not the full one.
fn free(folder: &Path) -> u64 {
    statvfs(folder).map_or(u64::MAX, |room| room.f_bavail.saturating_mul(room.f_frsize))
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    fn check(error: Error, expected: &str) {
        let folders = [(Path::new("/nowhere"), "--cache"), (Path::new("/proc"), "--out")];
        assert_eq!(format!("{:#}", explain(error, &folders)), expected);
    }

    #[test]
    fn the_fullest_folder_is_named_with_its_flag() {
        check(
            anyhow!("copy: No space left on device"),
            "no space left, most likely in `/proc`\nhint: free some space there, or name another \
             folder with `--out`: copy: No space left on device",
        );
    }

    #[test]
    fn libostree_stops_before_the_disk_is_full() {
        let said = "Writing content object: min-free-space-percent '3%' would be exceeded";
        let error = explain(anyhow!(said), &[(Path::new("/proc"), "--cache")]);
        let text = basalt_explain::explain(&error);
        assert!(text.starts_with("no space left, most likely in `/proc`: Writing"), "{text}");
        assert!(text.ends_with("name another folder with `--cache`"), "{text}");
    }

    #[test]
    fn another_error_stays_as_it_is() {
        check(anyhow!("no route"), "no route");
        check(anyhow!("No space left on device\nhint: x"), "No space left on device\nhint: x");
    }
}
