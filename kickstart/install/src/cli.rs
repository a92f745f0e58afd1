//! The command line: what was typed, and handing it on.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};

use crate::facts::look::look;
use crate::image;
use crate::log::Log;
use crate::run::{Ended, Options, run};

/// Installs a host as a kickstart says, on the machine that it runs on.
///
/// All of it is checked before anything is written: the kickstart, the disks that it means, the
/// room on them, the commit and who signed it, users, keys, the network, how the host enrols. What
/// is wrong is told at once, each with its place, and nothing is changed. From the first write on
/// the disk boots nowhere; it boots once all is there and was read back from it, by the loader,
/// which comes last. What is cut off is begun again by the next run.
///
/// `clearpart` without `--drives=` clears the disks that are installed to, and no other. Where the
/// kickstart makes no `/var`, the installer makes it in the rest of the disk, as a host would at its
/// first boot. A disk of which anything is mounted or held is never written, nor is the medium that
/// the installer was started from.
///
/// Scripts of `%pre` run once nothing is known to be wrong in the kickstart; what it includes and they
/// may write, and the disks, are looked at after them. Where there is no program for a script
/// (`--interpreter=`), in the installer or in the image for `%post`, nothing is written. A `%post`
/// finds what a first boot makes of a new `/var`, as `/root`, `/opt` and `/usr/local`; a `/var` that is
/// kept stays as it is. `%onerror` runs wherever the installation fails once its kickstart was read.
///
/// In the end a boot entry `Basalt` for the disk is made by `efibootmgr`, and is the first in the
/// firmware's list; entries of that name whose partition is gone are removed. `bootloader
/// --leavebootorder` leaves that list alone. Where it cannot be changed, or there is no UEFI, that is
/// said, and the installation is good: firmware finds the loader by itself. `--eject` of `reboot`,
/// `poweroff` and `halt` opens the drive of the disc that the installer was started from, and lets a
/// stick go; a stick that stays in is there again at the next start.
///
/// Without `--kickstart`, it is looked for: where the kernel argument `inst.ks=` says (http, https,
/// `hd:LABEL=NAME:/PATH`, `file:/PATH`); as `/ks.cfg` on a volume that is called `OEMDRV`; as
/// `/ks.cfg` or `/basalt/host.ks` on the partition that the loader was started from; as the systemd
/// credential `basalt.kickstart`. The first that is there is taken, and the log says which.
#[derive(Debug, Parser)]
#[command(name = "basalt-install", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(flatten)]
    install: InstallArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the disks of this machine, and what they can be chosen by
    Disks,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
struct InstallArgs {
    /// The kickstart: a file, or an http(s) URL
    #[arg(long, value_name = "FILE|URL")]
    kickstart: Option<String>,
    /// Ask at this terminal instead: for the disk, the host's name and a key that may log in
    #[arg(long, conflicts_with = "kickstart")]
    ask: bool,
    /// Print what would be done, and do nothing; scripts do not run, those of `%pre` neither
    #[arg(long)]
    dry_run: bool,
    /// Print it as JSON
    #[arg(long, requires = "dry_run")]
    json: bool,
    /// The OSTree repository that holds the system
    #[arg(long, value_name = "REPO", default_value = "/sysroot/ostree/repo")]
    source: PathBuf,
    /// Which ref of it, where it has several
    #[arg(long = "ref", value_name = "REF")]
    branch: Option<String>,
    /// The folder with the keys that may have signed the system
    #[arg(long, value_name = "FOLDER", default_value = image::KEYS)]
    keys: PathBuf,
    /// Say how far it is on every console of the kernel, too; where there is no kickstart, or it
    /// cannot be carried out, ask at each of them, as a live system does
    #[arg(long)]
    consoles: bool,
    /// Leave the machine on in the end, whatever the kickstart says
    #[arg(long)]
    stay: bool,
}

/// Carries out what was typed; `now` is when that was.
///
/// # Errors
/// Something cannot be listed or printed. What speaks against an installation was said already.
pub fn execute(cli: &Cli, now: SystemTime) -> Result<ExitCode> {
    match &cli.command {
        Some(Command::Disks) => disks()?,
        None => return install(&cli.install, now),
    }
    Ok(ExitCode::SUCCESS)
}

fn install(args: &InstallArgs, now: SystemTime) -> Result<ExitCode> {
    let mut log = if args.consoles { Log::on_consoles() } else { Log::default() };
    let options = Options {
        now,
        kickstart: args.kickstart.clone(),
        source: args.source.clone(),
        branch: args.branch.clone(),
        keys: args.keys.clone(),
        dry_run: args.dry_run,
        ask: args.ask,
        stay: args.stay,
        consoles: args.consoles,
    };
    match run(&options, &mut log) {
        Ended::Planned(plan) if args.json => {
            let plan = serde_json::json!({ "plan": plan });
            print(&serde_json::to_string_pretty(&plan)?)?;
        }
        Ended::Planned(plan) => print(plan.to_string().trim_end())?,
        Ended::Installed | Ended::Asking => (),
        Ended::Failed => return Ok(ExitCode::from(1)),
    }
    Ok(ExitCode::SUCCESS)
}

fn disks() -> Result<()> {
    for fact in look()?.disks.iter().filter(|fact| !fact.is_loop()) {
        let mut text = fact.disk.to_string();
        if fact.disk.is_boot_medium {
            text.push_str(": the installer was started from it");
        } else if let Some(why) = &fact.refused {
            text.push_str(&format!(": {}", why.lines().next().unwrap_or_default()));
        }
        for link in &fact.disk.links {
            text.push_str(&format!("\n  {link}"));
        }
        for part in fact.parts() {
            let holds = part.holds.as_deref().unwrap_or("nothing that is known");
            text.push_str(&format!("\n  {}: {holds}, {}", part.device, part.names.join(", ")));
        }
        print(&text)?;
    }
    Ok(())
}

fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").context("cannot print")
}
