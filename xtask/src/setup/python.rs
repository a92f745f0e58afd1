//! What tests compare with that is written in Python: installed once into the cache, by its hash.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use basalt_cmd::Cmd;

use super::tools::cache_root;
use crate::program::{self, Output};
use crate::session::Session;

const DEADLINE: Duration = Duration::from_secs(600);
/// What is installed, as `NAME==VERSION --hash=…`; and, before it, what builds it: pip would else
/// take whichever is the newest.
const REQUIREMENTS: &str = "kickstart/language/tests/reference/pykickstart.txt";
const BUILT_BY: &str = "kickstart/language/tests/reference/setuptools.txt";

/// Installs pykickstart, the reference of the kickstart language, in an environment of its own.
pub(super) fn install(session: &Session) -> Result<()> {
    let requirements = session.root.join(REQUIREMENTS);
    let text = fs::read_to_string(&requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    let folder = cache_root()?.join("tools").join(folder_name(&text));
    if folder.exists() {
        return Ok(());
    }
    session.progress.heading("pykickstart, installed once");
    // Whole under its name, or not there.
    let new = folder.with_extension("new");
    if new.exists() {
        fs::remove_dir_all(&new).with_context(|| format!("cannot remove {}", new.display()))?;
    }
    // Debian's own, which the list of packages brings; another may come first in the path.
    run(session, Cmd::new("/usr/bin/python3").args(["-m", "venv"]).arg(&new))?;
    pip(session, &new, &session.root.join(BUILT_BY))?;
    pip(session, &new, &requirements)?;
    fs::rename(&new, &folder).with_context(|| format!("cannot make {}", folder.display()))
}

/// It depends on `requests` to fetch files, which no test does.
fn pip(session: &Session, venv: &Path, requirements: &Path) -> Result<()> {
    let python: PathBuf = venv.join("bin/python3");
    let pip = Cmd::new(python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"])
        .args(["--no-build-isolation", "--require-hashes", "--requirement"])
        .arg(requirements);
    run(session, pip)
}

fn run(session: &Session, cmd: Cmd) -> Result<()> {
    program::run(session, cmd, Output::Shown, DEADLINE).map(|_| ())
}

/// `pykickstart-3.78` of `pykickstart==3.78 --hash=…`: the tests look for it there.
fn folder_name(requirements: &str) -> String {
    requirements.split_whitespace().next().unwrap_or_default().replace("==", "-")
}

#[cfg(test)]
mod tests {
    #[test]
    fn another_version_is_another_folder() {
        let name = super::folder_name("pykickstart==3.78 --hash=sha256:00\n");
        assert_eq!(name, "pykickstart-3.78");
    }
}
