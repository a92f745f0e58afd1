//! Scripts of the kickstart: in the installer, or in the installed system.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Error, Result};
use basalt_cmd::Cmd;
use basalt_kickstart::model::Script;

use super::mounts::Mounts;
use crate::log::Log;

/// How long one may run.
const DEADLINE: Duration = Duration::from_secs(3600);
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs one in the installer.
///
/// # Errors
/// It failed and says that this ends the installation, or cannot be run.
pub(crate) fn run(script: &Script, log: &mut Log) -> Result<()> {
    execute(script, None, log)
}

/// Runs a `%post` script, in the installed system unless it says otherwise.
pub(super) fn post(script: &Script, mounts: &Mounts, log: &mut Log) -> Result<()> {
    let system = mounts.system();
    execute(script, script.chroot.then_some(system.as_path()), log)
}

fn execute(script: &Script, inside: Option<&Path>, log: &mut Log) -> Result<()> {
    // In the installed system, `/tmp` is there for as long as it is shown.
    let folder = inside.map_or_else(std::env::temp_dir, |root| root.join("tmp"));
    let file = tempfile::Builder::new().prefix("kickstart-script-").tempfile_in(&folder);
    let mut file = file.with_context(|| format!("cannot write to `{}`", folder.display()))?;
    file.write_all(script.body.reveal().as_bytes())?;
    file.as_file().set_permissions(Permissions::from_mode(0o700))?;
    // What is open for writing cannot be run.
    let path = file.into_temp_path();
    let seen = match inside {
        Some(root) => Path::new("/").join(path.strip_prefix(root).unwrap_or(&path)),
        None => path.to_path_buf(),
    };
    let mut words = script.interpreter.split_whitespace();
    let program = words.next().unwrap_or("/bin/sh");
    let cmd = Cmd::new(program).args(words).arg(&seen).deadline(DEADLINE);
    let cmd = cmd.env_clear().env("PATH", PATH).env("HOME", "/root").env("LANG", "C.UTF-8");
    let cmd = match inside {
        Some(root) => cmd.behind([Path::new("chroot"), root]),
        None => cmd,
    };
    let mut lines = String::new();
    let done = cmd.run_with_lines(|line| {
        log.say(&format!("  {line}"));
        lines.push_str(line);
        lines.push('\n');
    });
    judge(script, "a script failed", done.map(drop).map_err(Error::from), log)?;
    judge(script, "a script has no log", keep(script, inside, &lines), log)
}

/// A failure ends the installation where the script says so, and else is told.
fn judge(script: &Script, what: &str, done: Result<()>, log: &mut Log) -> Result<()> {
    match done {
        Err(error) if script.error_on_fail => {
            Err(error.context(format!("{what}, and says that this ends all")))
        }
        Err(error) => {
            log.say(&format!("warning: {what}: {error:#}"));
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// What `--log=` asks for.
fn keep(script: &Script, inside: Option<&Path>, lines: &str) -> Result<()> {
    let Some(path) = &script.log else { return Ok(()) };
    let at: PathBuf = inside.unwrap_or(Path::new("/")).join(path.trim_start_matches('/'));
    let doing = || format!("cannot write the script's log `{path}`");
    if let Some(above) = at.parent() {
        fs::create_dir_all(above).with_context(doing)?;
    }
    let file = OpenOptions::new().create(true).append(true).open(&at);
    file.and_then(|mut file| file.write_all(lines.as_bytes())).with_context(doing)
}
