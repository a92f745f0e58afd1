//! What can be asked for, and how it is shown.

use std::cell::Cell;
use std::fs;
use std::io::{IsTerminal, stderr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use basalt_deploy::Transfer;
use basalt_sysroot::loader::EFIVARS_FOLDER;
use basalt_sysroot::update::Step;
use clap::{Args, Parser, Subcommand};
use jiff::Timestamp;

use crate::disk::Places;
use crate::standing::{Memory, What};
use crate::update::{Progress, Updater, Wanted};

/// Updates the system of this host as a whole
#[derive(Debug, Parser)]
#[command(name = "hostd-os", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show which release is offered, and do nothing
    Check(Source),
    /// Put a release into the other slot; the next boot is its trial
    Update(Source),
    /// Boot the other slot's release at the next boot
    Rollback,
    /// Show what was done to the system
    History,
    /// Take no update until `unpin`
    Pin {
        /// Why
        reason: String,
    },
    /// Take updates again
    Unpin,
    /// Forget that a release was bad here
    Clear {
        /// Its commit
        commit: String,
    },
}

#[derive(Debug, Args)]
struct Source {
    /// The archive
    #[arg(long, value_name = "URL")]
    url: String,
    /// The CA of its server, where the system's do not know it
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// This version, also an older one
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// Boots that it has to prove itself
    #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=9))]
    tries: u32,
}

/// Does it.
///
/// # Errors
/// It cannot be done, and why.
pub(crate) fn execute(cli: Cli, now: Timestamp) -> Result<()> {
    let updater = Updater::of_this_host()?;
    match cli.command {
        Command::Check(source) => {
            let manifest = updater.check(&source.wanted(), now)?;
            println!("{} is offered, commit {}", manifest.version, manifest.commit);
        }
        Command::Update(source) => {
            let manifest = updater.update(&source.wanted(), now, shown())?;
            println!("{} is installed: it boots at the next reboot", manifest.version);
        }
        Command::Rollback => {
            let commit = updater.roll_back(now, shown())?;
            println!("{commit} boots at the next reboot");
        }
        Command::History => show_history(&updater.memory)?,
        Command::Pin { reason } => set_pin(&updater.memory, Some(reason))?,
        Command::Unpin => set_pin(&updater.memory, None)?,
        Command::Clear { commit } => clear(&updater.memory, &commit)?,
    }
    Ok(())
}

impl Source {
    fn wanted(self) -> Wanted {
        Wanted { url: self.url, ca: self.ca, version: self.version, tries: self.tries }
    }
}

impl Updater {
    /// As a host has it.
    fn of_this_host() -> Result<Self> {
        let path = "/etc/os-release";
        let text = fs::read_to_string(path).with_context(|| format!("cannot read `{path}`"))?;
        let field = |name: &str| {
            let values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            let value = values.map(|value| value.trim_matches('"').to_owned()).next();
            value.with_context(|| format!("`{path}` has no {name}: this is no Basalt host"))
        };
        Ok(Self {
            places: Places {
                sysroot: PathBuf::from("/"),
                esp: PathBuf::from("/efi"),
                variables: PathBuf::from(EFIVARS_FOLDER),
            },
            keys: PathBuf::from("/usr/share/basalt/keys"),
            memory: Memory::at(Path::new("/var/lib/hostd-os")),
            image: field("IMAGE_ID")?,
            version: field("IMAGE_VERSION")?,
        })
    }
}

/// Says how far it is: on a terminal in one line, otherwise a line for each quarter.
fn shown() -> impl Fn(Progress) + Clone + 'static {
    let last = Cell::new(0);
    let is_terminal = stderr().is_terminal();
    move |progress| match progress {
        Progress::Plan { version, download } => {
            eprintln!("{version}: {} to download", mb(download));
        }
        Progress::Transfer(transfer) => {
            let quarter = quarter(transfer);
            if is_terminal {
                eprint!("\r{}\x1b[K", line(transfer));
            } else if quarter > last.get() {
                eprintln!("{}", line(transfer));
            }
            last.set(quarter);
        }
        Progress::Step(step) => {
            if is_terminal && last.get() > 0 {
                eprintln!();
                last.set(0);
            }
            eprintln!("{}", words(&step));
        }
    }
}

fn line(Transfer { bytes, of, files: (came, all) }: Transfer) -> String {
    match of {
        0 => format!("download {}, {came} of {all} files", mb(bytes)),
        of => format!("download {} of {}", mb(bytes), mb(of)),
    }
}

/// Which quarter of the download is under way, from 1.
fn quarter(Transfer { bytes, of, files: (came, all) }: Transfer) -> u64 {
    let (done, all) = if of > 0 { (bytes, of) } else { (u64::from(came), u64::from(all)) };
    1 + done.saturating_mul(4) / all.max(1)
}

fn mb(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}

fn words(step: &Step) -> String {
    match step {
        Step::DropEntry(name) => format!("removing the boot entry {name}"),
        Step::Deploy { commit } => format!("deploying {commit}"),
        Step::Link(slot) => format!("linking slot {slot}"),
        Step::WriteFile(file) => format!("writing {file}"),
        Step::Sync(_) => "waiting for the disk".to_owned(),
        Step::ClearChoice => "clearing the loader's choice".to_owned(),
        Step::WriteEntry(name, _) => format!("writing the boot entry {name}"),
        Step::DropFile(file) => format!("removing {file}"),
        Step::CleanDeployments => "removing what no slot needs".to_owned(),
    }
}

fn show_history(memory: &Memory) -> Result<()> {
    for event in memory.history()? {
        let what = match event.what {
            What::Installed => "installed",
            What::RolledBack => "rolled back to",
        };
        println!("{}  {what} {}, commit {}", event.at, event.version, event.commit);
    }
    Ok(())
}

fn set_pin(memory: &Memory, pinned: Option<String>) -> Result<()> {
    let mut standing = memory.standing()?;
    standing.pinned = pinned;
    memory.keep_standing(&standing)
}

fn clear(memory: &Memory, commit: &str) -> Result<()> {
    let mut standing = memory.standing()?;
    if standing.verdicts.remove(commit).is_none() {
        bail!("nothing is known of {commit}");
    }
    memory.keep_standing(&standing)
}
