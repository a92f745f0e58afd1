//! The cargo tools that the tests need: taken from where they are, else built once into a cache.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use basalt_cmd::Cmd;

use crate::program::{self, Output};
use crate::session::{self, Session};

/// The larger one takes 2 min 26 s on two cores.
const DEADLINE: Duration = Duration::from_secs(1800);

/// A cargo subcommand in a program of its own. The versions build with the workspace's
/// `rust-version`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tool {
    name: &'static str,
    version: &'static str,
    /// Whether one that the machine has will do: what it prints may not depend on the version.
    any_version: bool,
}

impl Tool {
    /// Runs tests.
    pub(crate) const NEXTEST: Self =
        Self { name: "cargo-nextest", version: "0.9.114", any_version: true };
    /// Checks licences, bans and sources. Its rules and their names change between versions.
    pub(crate) const DENY: Self =
        Self { name: "cargo-deny", version: "0.20.2", any_version: false };

    fn folder(self) -> Result<PathBuf> {
        Ok(cache_root()?.join("tools").join(format!("{}-{}", self.name, self.version)))
    }
}

/// Installs what is missing: rustfmt, clippy and both tools.
pub(super) fn install(session: &Session) -> Result<()> {
    for component in ["fmt", "clippy"] {
        component_is_there(session, component)?;
    }
    for tool in [Tool::NEXTEST, Tool::DENY] {
        if program(tool)?.is_none() {
            build(session, tool)?;
        }
    }
    Ok(())
}

/// The tool's own file; `None` when it is not installed.
pub(crate) fn program(tool: Tool) -> Result<Option<PathBuf>> {
    let built = tool.folder()?.join("bin").join(tool.name);
    if built.exists() {
        return Ok(Some(built));
    }
    if !tool.any_version {
        return Ok(None);
    }
    let cargo_bin = session::cargo().parent().map(Path::to_owned);
    let own = std::env::home_dir().map(|home| home.join(".cargo/bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(cargo_bin).chain(own);
    Ok(find(folders, OsStr::new(tool.name)))
}

fn find(folders: impl IntoIterator<Item = PathBuf>, name: &OsStr) -> Option<PathBuf> {
    folders.into_iter().map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// cargo places the program only when it is whole, so an interrupted build leaves none.
fn build(session: &Session, tool: Tool) -> Result<()> {
    let Tool { name, version, .. } = tool;
    session.progress.heading(&format!("{name} {version}, built once, takes minutes"));
    let cmd = Cmd::new(session::cargo())
        .args(["install", "--locked", "--version", version, name, "--root"])
        .arg(tool.folder()?)
        // Not beside the workspace, whose settings are not meant for it.
        .current_dir("/");
    program::run(session, cmd, Output::Shown, DEADLINE).map(|_| ())
}

fn component_is_there(session: &Session, name: &str) -> Result<()> {
    let version = Cmd::new(session::cargo()).args([name, "--version"]).output()?;
    if version.status.success() {
        return Ok(());
    }
    let component = if name == "fmt" { "rustfmt" } else { name };
    let cmd = Cmd::new("rustup").args(["component", "add", component]);
    let added = program::run(session, cmd, Output::Shown, DEADLINE);
    if let Err(error) = added {
        bail!(
            "this Rust toolchain lacks `{component}`: {error:#}\nhint: install it where the \
             toolchain came from"
        );
    }
    Ok(())
}

/// Where builds, packages and tools are kept between runs: the same place that `basalt` uses.
pub(crate) fn cache_root() -> Result<PathBuf> {
    let set = std::env::var_os("XDG_CACHE_HOME").filter(|folder| Path::new(folder).is_absolute());
    let folder = match set {
        Some(folder) => PathBuf::from(folder),
        None => std::env::home_dir().context("this user has no home folder")?.join(".cache"),
    };
    Ok(folder.join("basalt"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_found_in_the_first_folder_that_has_it() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let paths = || folders.iter().map(|folder| folder.path().to_owned());
        assert_eq!(find(paths(), OsStr::new("tool")), None);
        std::fs::write(folders[1].path().join("tool"), "").unwrap();
        assert_eq!(find(paths(), OsStr::new("tool")), Some(folders[1].path().join("tool")));
    }

    #[test]
    fn a_folder_with_the_name_of_the_tool_is_none() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("tool")).unwrap();
        assert_eq!(find([folder.path().to_owned()], OsStr::new("tool")), None);
    }
}
