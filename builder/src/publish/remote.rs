//! An archive on another machine: brought over, gone on with here, and sent back.
//!
//! rsync moves each file whole or not at all, and each thing goes after what it leads to, as in an
//! archive of this machine: objects and deltas, refs, the summary with its signature, the release's
//! manifest, the manifest of now. Only files of this publication replace others.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use basalt_cmd::{Cmd, CmdError};
use basalt_deploy::Repo;
use basalt_release::Manifest;

use super::target::Remote;
use crate::cache::{self, Claim};
use crate::progress::{Progress, Step};

/// Held over the whole of it; the archive's own lock is for what is done here.
const LOCK: &str = ".remote.lock";
/// A first publication over a slow line; rsync itself gives up when nothing moves.
const DEADLINE: Duration = Duration::from_secs(24 * 3600);
/// Seconds without a byte.
const STALL: &str = "--timeout=120";
/// For what is small and may be written twice in a second, which size and time do not tell apart.
const SMALL: &str = "--checksum";
/// What is never changed once it is there.
const LASTING: [&str; 2] = ["/objects/***", "/deltas/***"];
/// What is empty in an archive, and has to be there for ostree's own tools.
const FOLDERS: [&str; 3] = ["extensions", "refs/mirrors", "refs/remotes"];
/// What is this machine's alone.
const OWN: [&str; 4] = ["/tmp", "/.lock", "/.publish.lock", "/.remote.lock"];

/// Brings the archive over to `archive`, publishes there by `locally`, and sends it back.
///
/// # Errors
/// rsync cannot reach the other machine or write there, `locally` fails, or somebody else published
/// the same image there meanwhile.
pub fn publish(
    remote: &Remote,
    archive: &Path,
    locally: impl FnOnce() -> Result<Manifest>,
    progress: Progress,
) -> Result<Manifest> {
    let claim = Claim { user: "publication", what: "archive", flag: "--archive" };
    fs::create_dir_all(archive)
        .with_context(|| format!("cannot create `{}`", archive.display()))?;
    let _lock = cache::lock(&archive.join(LOCK), claim, progress)?;
    // rsync brings files; this makes the folders that an archive has beside them.
    Repo::open_or_create_archive(archive)?;
    let transfer = Transfer { remote, archive };
    let seen = tempfile::tempdir().context("cannot make a temporary folder")?;
    let step = progress.step("bring over");
    transfer.remember(seen.path(), &step)?;
    transfer.bring(&step)?;
    step.finish(&remote.url);
    let manifest = locally()?;
    let step = progress.step("send");
    transfer.send_content(&step)?;
    transfer.nobody_published_since(seen.path(), &step)?;
    transfer.send_names(&manifest, &step)?;
    step.finish(&remote.url);
    Ok(manifest)
}

struct Transfer<'a> {
    remote: &'a Remote,
    archive: &'a Path,
}

impl Transfer<'_> {
    /// What is there and not here, and what is another there: hosts have seen that, and nothing of
    /// what was left here by a publication that broke off. Where there is nothing yet, there is an
    /// empty folder afterwards.
    fn bring(&self, step: &Step) -> Result<()> {
        let make = ["--mkpath", "--dirs", "--exclude=*"];
        self.run(self.rsync(&make).arg(self.here("")).arg(&self.remote.place), step, |_| ())?;
        let lasting = LASTING.map(|pattern| format!("--include={pattern}"));
        let objects = self.rsync(&["--ignore-existing"]).args(lasting).arg("--exclude=*");
        self.run(objects.arg(&self.remote.place).arg(self.here("")), step, |_| ())?;
        let others = LASTING.iter().chain(&OWN).map(|pattern| format!("--exclude={pattern}"));
        let rest = self.rsync(&[SMALL]).args(others);
        self.run(rest.arg(&self.remote.place).arg(self.here("")), step, |_| ())
    }

    fn send_content(&self, step: &Step) -> Result<()> {
        let is_there = |name: &&str| self.archive.join(name).exists();
        // The first release of all has no delta.
        let content: Vec<&str> = ["objects", "deltas"].into_iter().filter(is_there).collect();
        self.put(&["--ignore-existing"], &content, step)?;
        let folders: Vec<&str> = FOLDERS.into_iter().filter(is_there).collect();
        self.put(&[], &folders, step)
    }

    fn send_names(&self, manifest: &Manifest, step: &Step) -> Result<()> {
        let Manifest { name, version, ref_name, .. } = manifest;
        let own_ref = format!("refs/heads/releases/{name}/{version}");
        self.put(&[SMALL], &["config", &format!("refs/heads/{ref_name}"), &own_ref], step)?;
        self.put(&[SMALL, "--delay-updates"], &["summary", "summary.sig"], step)?;
        self.put(&[SMALL], &[&format!("releases/{name}")], step)?;
        self.put(&[SMALL], &[&format!("releases/{name}.json")], step)
    }

    /// Sends these with the folders that they are in.
    fn put(&self, flags: &[&str], names: &[&str], step: &Step) -> Result<()> {
        let sources = names.iter().map(|name| self.here(name));
        let cmd = self.rsync(&["--relative"]).args(flags).args(sources);
        self.run(cmd.arg(&self.remote.place), step, |_| ())
    }

    /// What has been published there, for [`Self::nobody_published_since`].
    fn remember(&self, seen: &Path, step: &Step) -> Result<()> {
        self.releases(seen, &[], step).map(|_| ())
    }

    /// # Errors
    /// Somebody has: with the sequence that ours has, and without knowing of it.
    fn nobody_published_since(&self, seen: &Path, step: &Step) -> Result<()> {
        let changed = self.releases(seen, &["--dry-run", SMALL], step)?;
        let Some(file) = changed.first() else { return Ok(()) };
        bail!(
            "somebody published at `{}` meanwhile: `releases/{file}` is new\nhint: run this again, \
             which brings it over first",
            self.remote.url
        )
    }

    /// Brings the manifests over to `to`. Returns those that are other than there.
    fn releases(&self, to: &Path, flags: &[&str], step: &Step) -> Result<Vec<String>> {
        let there = format!("{}releases/", self.remote.place);
        let mut files = Vec::new();
        let cmd = self.rsync(flags).arg(there).arg(to);
        match self.run(cmd, step, |name| files.push(name.to_owned())) {
            // Of the first release there is no such folder yet.
            Err(error) if is_not_there(&error) => Ok(Vec::new()),
            result => result.map(|()| files),
        }
    }

    /// A path in the archive here, from which rsync makes folders there.
    fn here(&self, name: &str) -> String {
        format!("{}/./{name}", self.archive.display())
    }

    fn rsync(&self, flags: &[&str]) -> Cmd {
        let cmd = Cmd::new("rsync")
            .args(["--recursive", "--times", "--chmod=D755,F644", "--fsync", "--secluded-args"])
            .args([STALL, "--out-format=%l %n"])
            .args(flags)
            .deadline(DEADLINE);
        if !self.remote.is_ssh || std::env::var_os("RSYNC_RSH").is_some() {
            return cmd;
        }
        let port = self.remote.port.map(|port| format!(" -p {port}")).unwrap_or_default();
        // Nobody is there to be asked for a password or whether a host is known.
        cmd.arg(format!("--rsh=ssh -o BatchMode=yes -o ConnectTimeout=30{port}"))
    }

    /// Tells each file that is moved.
    fn run(&self, cmd: Cmd, step: &Step, mut each: impl FnMut(&str)) -> Result<()> {
        let (mut files, mut bytes) = (0_u64, 0_u64);
        let count = |line: &str| {
            if let Some((size, name)) = line.split_once(' ')
                && let Ok(size) = size.parse::<u64>()
                && !name.ends_with('/')
            {
                each(name);
                (files, bytes) = (files + 1, bytes.saturating_add(size));
                step.note(&format!("{files} files, {} MB", bytes / 1_000_000));
            }
        };
        cmd.run_with_lines(count).with_context(|| self.doing()).map(|_| ())
    }

    fn doing(&self) -> String {
        format!(
            "cannot bring the archive to or from `{}`\nhint: rsync 3.2.4 or later has to be on both \
             machines, and a key for which ssh asks nothing",
            self.remote.url
        )
    }
}

fn is_not_there(error: &anyhow::Error) -> bool {
    let failed = error.downcast_ref::<CmdError>();
    matches!(failed, Some(CmdError::Failed { status, .. }) if status.code() == Some(PARTIAL))
}

/// rsync(1): "Partial transfer due to error", as when a folder is not there.
const PARTIAL: i32 = 23;
