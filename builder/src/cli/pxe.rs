//! `basalt pxe`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use basalt_live::arguments::fetchable;
use clap::{Args, Subcommand};

use super::{mb, print_line};
use crate::progress::Progress;
use crate::pxe::{self, Options, Placed, serve};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct PxeArgs {
    #[command(subcommand)]
    command: Option<PxeCommand>,
    #[command(flatten)]
    put: Option<PutArgs>,
}

#[derive(Debug, Subcommand)]
enum PxeCommand {
    /// Serve a live system to the machines of a network, until Ctrl-C
    ///
    /// For a lab: dnsmasq tells machines with UEFI what to boot, beside whichever server gives
    /// them addresses, and sends them iPXE; a web server of its own sends the rest. It takes the
    /// packages `dnsmasq-base` and `ipxe`, and root.
    Serve(ServeArgs),
}

#[derive(Debug, Args)]
struct PutArgs {
    /// The folder of a build with a live system, as `out/base/1`
    #[arg(value_name = "BUILD")]
    build: PathBuf,
    /// Where it goes; each build gets a folder of its own there, and `boot.ipxe` boots the last one
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Under which URL that folder is served, as `http://boot.example/basalt`
    #[arg(long, value_name = "URL")]
    url: String,
    /// What machines install themselves by, as `http://boot.example/host.ks`; they are live hosts
    /// without it. `basalt kickstart check` says whether it is good. The
    /// installed disk is the first in the firmware's list then, unless `bootloader
    /// --leavebootorder` stands there; a machine that prefers the network all the same is installed
    /// each time that it starts
    #[arg(long, value_name = "URL")]
    kickstart: Option<String>,
    /// A further kernel argument, as `basalt.live.overlay=256M`; may be given several times
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    append: Vec<String>,
    /// Print what was put there as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// The folder of a build with a live system, as `out/base/1`
    #[arg(value_name = "BUILD")]
    build: PathBuf,
    /// The network, as `eth0` [default: the only one]
    #[arg(long, value_name = "IF")]
    interface: Option<String>,
    /// The port of the web server [default: one that is free]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// What machines install themselves by, as `http://boot.example/host.ks`; they are live hosts
    /// without it. `basalt kickstart check` says whether it is good. The
    /// installed disk is the first in the firmware's list then, unless `bootloader
    /// --leavebootorder` stands there; a machine that prefers the network all the same is installed
    /// each time that it starts
    #[arg(long, value_name = "URL")]
    kickstart: Option<String>,
    /// A further kernel argument, as `basalt.live.overlay=256M`; may be given several times
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    append: Vec<String>,
}

/// All further kernel arguments.
fn arguments(kickstart: Option<&str>, more: Vec<String>) -> Result<Vec<String>> {
    let mut arguments = Vec::new();
    if let Some(kickstart) = kickstart {
        let url = fetchable(kickstart).with_context(|| {
            format!("`{kickstart}` is no http or https URL\nhint: `--append` names other places")
        })?;
        arguments.extend(["basalt.live=install".to_owned(), format!("inst.ks={url}")]);
    }
    arguments.extend(more);
    Ok(arguments)
}

pub(super) fn pxe(args: PxeArgs) -> Result<()> {
    match args {
        PxeArgs { command: Some(PxeCommand::Serve(args)), .. } => serve(args),
        PxeArgs { put: Some(args), .. } => put(args),
        PxeArgs { .. } => bail!("nothing is asked for\nhint: `basalt pxe --help`"),
    }
}

fn serve(args: ServeArgs) -> Result<()> {
    let ServeArgs { build, interface, port, kickstart, append } = args;
    let append = arguments(kickstart.as_deref(), append)?;
    serve::serve(&serve::Options { build, interface, port: port.unwrap_or(0), append })
}

fn put(args: PutArgs) -> Result<()> {
    let PutArgs { build, dir, url, kickstart, append, json } = args;
    let append = arguments(kickstart.as_deref(), append)?;
    let placed = pxe::put(&Options { build, dir, url, append }, Progress::for_stderr())?;
    if json {
        return print_line(&serde_json::to_string_pretty(&placed)?);
    }
    let Placed { name, version, folder, script, size } = placed;
    print_line(&format!(
        "{name} {version}, {} MB\n  folder  {}\n  script  {script}",
        mb(size),
        folder.display()
    ))
}
