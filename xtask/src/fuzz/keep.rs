//! Keeps in the repository what searches found, where it is small: `crates/fuzz/corpus`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use basalt_cmd::Cmd;

use super::build::Target;
use super::folder;
use crate::program::{self, Output};
use crate::session::Session;

/// Where it is kept.
const CORPUS: &str = "crates/fuzz/corpus";
const PICK_DEADLINE: Duration = Duration::from_secs(300);

/// The lines of each file of the corpus.
type Files = BTreeMap<OsString, BTreeSet<String>>;

/// Picks from what was found with every target, and adds it to the corpus. Nothing is taken out of
/// that: what was bad once is in it too.
///
/// # Errors
/// A program fails, or a file cannot be written.
pub(super) fn all(session: &Session, targets: &[Target]) -> Result<()> {
    session.progress.heading("what is kept of it");
    let mut files = Files::new();
    for target in targets {
        add(&mut files, pick(session, target)?.path())?;
    }
    let corpus = session.root.join(CORPUS);
    fs::create_dir_all(&corpus).with_context(|| format!("cannot make `{}`", corpus.display()))?;
    for (name, lines) in files.into_iter().filter(|(_, lines)| !lines.is_empty()) {
        let path = corpus.join(name);
        let lines = joined(lines, &fs::read_to_string(&path).unwrap_or_default());
        println!("{:>5} inputs in {}", lines.len(), path.display());
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    Ok(())
}

/// What was picked, and what the file had.
fn joined(mut lines: BTreeSet<String>, text: &str) -> BTreeSet<String> {
    lines.extend(text.lines().map(str::to_owned));
    lines
}

/// Has the program of a target pick; the folder with what it picked.
fn pick(session: &Session, target: &Target) -> Result<tempfile::TempDir> {
    let picked = tempfile::tempdir().context("no temporary folder")?;
    let cmd = Cmd::new(&target.program)
        .args(["--exact", &target.test, "--nocapture", "--test-threads", "1"])
        .env("BASALT_FUZZ_FOLDER", folder(session, target))
        .env("BASALT_FUZZ_PICKED", picked.path())
        .current_dir(&session.root);
    program::run(session, cmd, Output::StdoutKept, PICK_DEADLINE)?;
    Ok(picked)
}

/// Targets of one source file share a file.
fn add(files: &mut Files, picked: &Path) -> Result<()> {
    for entry in fs::read_dir(picked).context("nothing was picked")? {
        let entry = entry.context("nothing was picked")?;
        let text = fs::read_to_string(entry.path()).context("what was picked is no text")?;
        let lines = files.entry(entry.file_name()).or_default();
        lines.extend(text.lines().map(str::to_owned));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_targets_of_one_file_picked_is_kept_once() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(one.path().join("a.src.lib.txt"), "x\n\\x00\n").unwrap();
        fs::write(other.path().join("a.src.lib.txt"), "x\ny\n").unwrap();
        let mut files = Files::new();
        add(&mut files, one.path()).unwrap();
        add(&mut files, other.path()).unwrap();
        let lines: Vec<_> = files.into_values().flatten().collect();
        assert_eq!(lines, ["\\x00", "x", "y"]);
    }

    #[test]
    fn what_was_kept_before_stays() {
        let lines = joined(BTreeSet::from(["new".to_owned()]), "bad once\nnew\n");
        assert_eq!(lines.into_iter().collect::<Vec<_>>(), ["bad once", "new"]);
    }
}
