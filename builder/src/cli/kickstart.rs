//! `basalt kickstart`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use basalt_kickstart_file::{self as kickstart, Report};
use clap::{Args, Subcommand};

use super::print_line;

#[derive(Debug, Subcommand)]
pub(super) enum KickstartCommand {
    /// Check a kickstart; touches nothing
    ///
    /// Everything that is wrong is told, each with its place, the reason and what to do: errors,
    /// with which nothing is installed, and warnings, of what has no effect on a host. No option is
    /// taken and ignored in silence. The language is that of Anaconda (RHEL 9), and `hostname NAME`,
    /// which Anaconda does not know; what has no sense for a system that is one image, as
    /// `%packages`, `url` and `repo`, is told and never ignored.
    ///
    /// `%include` is followed into files that are here. One that is missing is an error, but a
    /// warning where the kickstart has a `%pre`, which may write it: it is checked at the
    /// installation, which does not begin without it.
    ///
    /// Where Anaconda takes the name of a disk (`--ondisk=`, `--drives=`, `--only-use=`,
    /// `--boot-drive=`), a condition may stand that exactly one disk fulfils, behind an `@`:
    /// `@serial=S3Z9NB0K`, `@id=nvme-eui.0025*`, `@path=pci-0000:3b:00.0*`, `@model=Samsung*`,
    /// `@bus=nvme` (sata, scsi, usb, virtio, mmc), `@size>=500GB` (`<`, `<=`, `>`, or `~` for about),
    /// `@smallest`, `@largest`, and several of them with `&`, as `@smallest&size>=200GB`. The medium
    /// that the installer was started from is never meant. Anaconda's `sda|nvme0n1`, for whichever
    /// is there, is refused: a condition says which one.
    ///
    /// How the host enrols stands in lines `key = value` of `%addon basalt`: `endpoint = URL`;
    /// `ca-sha256 = HEX`, `ca = FILE` or the certificate itself; `token-file = FILE`, or `join-file
    /// = FILE` with a whole join string; `label = KEY=VALUE`.
    ///
    /// Passwords and tokens are shown nowhere, not in `--json` either.
    Check(CheckArgs),
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The kickstart, as `host.ks`
    file: PathBuf,
    /// Print all of it as JSON: what is wrong, and what a good file asks for
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(command: &KickstartCommand) -> Result<()> {
    let KickstartCommand::Check(args) = command;
    let parsed = kickstart::load(&args.file)?;
    if args.json {
        let report = Report::of(&parsed);
        print_line(&serde_json::to_string_pretty(&report)?)?;
        if !parsed.is_good() {
            bail!("`{}` is no good kickstart; what is wrong is in the JSON", args.file.display());
        }
        return Ok(());
    }
    for warning in kickstart::warnings(&parsed) {
        eprintln!("warning: {warning}\n");
    }
    kickstart::errors(&parsed)?;
    let summary = kickstart::summary(&parsed.kickstart);
    print_line(&format!("{}: good ({summary})", args.file.display()))
}
