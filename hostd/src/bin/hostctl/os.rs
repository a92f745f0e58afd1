//! The system of the host, through `hostd-os`.

use std::io::{BufRead, IsTerminal, Write, stderr, stdin};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use basalt_api::os::{Progress, Reboot, Release, Reply, Request, ResetDepth, Status, Wanted};
use hostd::config;
use hostd::os::ask;
use hostd::paths::Paths;
use hostd::show;

use crate::cli::{Os, OsSource, RebootWhen};
use crate::{print, print_json};

pub(crate) async fn run(paths: &Paths, command: Os) -> Result<ExitCode> {
    let (request, json) = meant(paths, command)?;
    let opens = opens_at(paths);
    if reboot_of(&request) == Some(Reboot::Window) && opens.is_none() {
        bail!(
            "this host has no window to reboot in\nhint: set `windows` under `[updates]` in \
             /etc/basalt/hostd.toml, as `[\"Sat,Sun 02:00-05:00 Europe/Berlin\"]`"
        );
    }
    let mut shown = Shown::default();
    let reply = ask(&paths.os_socket(), &request, |progress| shown.show(progress)).await;
    shown.end();
    let mut reply = reply?;
    if let Reply::Status(Status { reboot: Some(wish), .. }) = &mut reply {
        wish.opens_at.clone_from(&opens);
    }
    if json {
        print_json(&reply)?;
    } else {
        print(told(&reply, &request, opens.as_deref()).as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What was typed means this request, and its answer is printed as JSON or not.
fn meant(paths: &Paths, command: Os) -> Result<(Request, bool)> {
    Ok(match command {
        Os::Status { json } => (Request::Status, json),
        Os::Check { source, json } => (Request::Check(wanted(paths, source)?), json),
        Os::Update { source, download_only: true, json, .. } => {
            (Request::Fetch(wanted(paths, source)?), json)
        }
        Os::Update { source, tries, reboot, json, .. } => {
            let wanted = wanted(paths, source)?;
            (Request::Update { wanted, tries, reboot: reboot.into() }, json)
        }
        Os::Rollback { reboot, json } => (Request::Rollback { reboot: reboot.into() }, json),
        Os::Cancel { json } => (Request::Cancel, json),
        Os::Kargs { append, delete, tries, reboot, json } => {
            (Request::Kargs { append, delete, tries, reboot: reboot.into() }, json)
        }
        Os::FactoryReset { cancel: true, json, .. } => (Request::CancelReset, json),
        Os::FactoryReset { all, yes, reboot, json, .. } => {
            let depth = if all { ResetDepth::All } else { ResetDepth::Settings };
            if !yes {
                confirm(depth)?;
            }
            (Request::FactoryReset { depth, reboot: reboot.into() }, json)
        }
        Os::History { json } => (Request::History, json),
        Os::Pin { reason, json } => (Request::Pin { reason }, json),
        Os::Unpin { json } => (Request::Unpin, json),
        Os::Clear { release, json } => (Request::Clear { release }, json),
    })
}

impl From<RebootWhen> for Reboot {
    fn from(when: RebootWhen) -> Self {
        match when {
            RebootWhen::Now => Self::Now,
            RebootWhen::Window => Self::Window,
            RebootWhen::Never => Self::Never,
        }
    }
}

/// What was left open, the configuration says.
fn wanted(paths: &Paths, source: OsSource) -> Result<Wanted> {
    let OsSource { version, url, ca } = source;
    let updates = config::load(paths, Some(&paths.system_credentials())).config.updates;
    // Its own CA vouches for the archive of the configuration, and for no other.
    let configured = if url.is_some() { None } else { updates.ca };
    let url = url.or(updates.url).context(
        "no archive of releases is known\nhint: set `url` under `[updates]` in \
         /etc/basalt/hostd.toml, or add `--url`",
    )?;
    let ca = ca.or(configured).map(|ca| absolute(&ca)).transpose()?;
    Ok(Wanted { url, ca, version })
}

/// Has somebody type at a terminal what shall be lost.
fn confirm(depth: ResetDepth) -> Result<()> {
    if !stdin().is_terminal() {
        bail!("nobody can be asked here\nhint: `--yes` resets without asking");
    }
    let (losses, word) = show::os::losses(depth);
    eprint!("{losses}\ntype `{word}` to go on: ");
    stderr().flush().context("cannot ask")?;
    let mut answer = String::new();
    stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
    if answer.trim() != word {
        bail!("nothing is reset");
    }
    Ok(())
}

/// `hostd-os` works in another folder.
fn absolute(path: &Path) -> Result<String> {
    let absolute: PathBuf = std::path::absolute(path).context("cannot tell where this is")?;
    match absolute.to_str() {
        Some(text) => Ok(text.to_owned()),
        None => bail!("`{}` is not UTF-8", path.display()),
    }
}

/// When a window of the host's is open next, for a person.
fn opens_at(paths: &Paths) -> Option<String> {
    let updates = config::load(paths, Some(&paths.system_credentials())).config.updates;
    let at = basalt_window::opens_at(&updates.windows, hostd::clock::unix_s())?;
    Some(jiff::Timestamp::from_second(at).ok()?.to_string())
}

/// What follows what is asked for, where that is something that boots next.
fn reboot_of(request: &Request) -> Option<Reboot> {
    match request {
        Request::Update { reboot, .. }
        | Request::Rollback { reboot }
        | Request::Kargs { reboot, .. }
        | Request::FactoryReset { reboot, .. } => Some(*reboot),
        _ => None,
    }
}

/// `opens` is when a window is.
fn told(reply: &Reply, request: &Request, opens: Option<&str>) -> String {
    let reboot = reboot_of(request);
    let when = match (reboot, opens) {
        (Some(Reboot::Now), _) => ": rebooting".to_owned(),
        (Some(Reboot::Window), Some(at)) => format!(": the host reboots at {at}, in its window"),
        _ => String::new(),
    };
    match reply {
        Reply::Status(status) => show::os::status(status),
        Reply::Kargs { image, host } => show::os::kargs(image, host),
        Reply::History { events } => show::os::history(events),
        Reply::Offered(release) => format!("{} is offered\n", named(release)),
        Reply::UpToDate(release) => format!("{} is offered, and runs\n", named(release)),
        Reply::Fetched(release) => {
            format!("{} is here; nothing else has changed\n", named(release))
        }
        Reply::BootsNext(release) if !when.is_empty() => {
            format!("{} is in place{when}\n", named(release))
        }
        Reply::BootsNext(release) => format!("{} boots at the next reboot\n", named(release)),
        Reply::Withdrawn(release) => {
            format!("{} is not tried; what runs boots again\n", named(release))
        }
        Reply::ResetsNext { .. } if reboot == Some(Reboot::Now) => {
            "rebooting into the factory reset\n".to_owned()
        }
        Reply::ResetsNext { .. } => format!(
            "the next reboot resets this host{when}; until then `hostctl os factory-reset \
             --cancel` withdraws it\n"
        ),
        Reply::Done | Reply::Progress(_) | Reply::Failed { .. } => String::new(),
    }
}

fn named(Release { version, commit }: &Release) -> String {
    format!("version {version}, commit {commit}")
}

/// Progress for who looks on: on a terminal a download stays in one line, elsewhere it is told at
/// each quarter.
#[derive(Default)]
struct Shown {
    /// Whether a line is open.
    is_open: bool,
    /// The quarter of the download that was told last.
    quarter: u64,
}

impl Shown {
    fn show(&mut self, progress: &Progress) {
        let line = show::os::progress(progress);
        let Progress::Download { bytes, of_bytes, files, of_files } = progress else {
            self.end();
            eprintln!("{line}");
            return;
        };
        if stderr().is_terminal() {
            eprint!("\r{line}\x1b[K");
            let _ = stderr().flush();
            self.is_open = true;
            return;
        }
        let (done, all) = match of_bytes {
            0 => (u64::from(*files), u64::from(*of_files)),
            of => (*bytes, *of),
        };
        let quarter = 1 + done.saturating_mul(4) / all.max(1);
        if quarter > self.quarter {
            self.quarter = quarter;
            eprintln!("{line}");
        }
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.is_open) {
            eprintln!();
        }
    }
}
