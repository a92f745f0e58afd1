//! The command line: what was typed, and handing it on.

mod formats;
mod kickstart;
mod publish;
mod pxe;
mod write;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use basalt_manual::{CompletionArgs, ManArgs};
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::build::{self, Options};
use crate::cache::CachePaths;
use crate::definition::{Definition, Format};
use crate::diff::{self, DeltaSize};
use crate::lock::{Lock, LockPolicy};
use crate::manifest::Manifest;
use crate::plan::{self, Places, Request};
use crate::progress::Progress;
use crate::run::{self, Login, Writes};
use crate::{key, namespace, space, stage};
use formats::Word;

/// Composes, boots and keeps host images.
#[derive(Debug, Parser)]
#[command(name = "basalt", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build an image from its definition
    Build(BuildArgs),
    /// Show the stages of a build and which of them are cached; does nothing
    Plan(PlanArgs),
    /// Offer a build to hosts: in an archive that any web server serves
    Publish(publish::PublishArgs),
    /// Show what changed between two builds
    Diff(DiffArgs),
    /// Boot a disk in QEMU on this terminal
    Run(RunArgs),
    /// Write a disk image onto a disk or a stick, and read it back
    ///
    /// All of it is on the disk and was read back, or the disk boots nowhere: the partition table
    /// comes last. The disk gets ids of its own and its whole size. What is mounted or in use and
    /// the disk of the running system are never written; a disk that is neither removable nor on
    /// USB has to be named twice, by `--to` and `--fixed`. What is to be overwritten is shown, and
    /// at a terminal its name has to be typed.
    ///
    /// `manifest.json` beside the image says whether all of it came, `manifest.signed.json` also
    /// whose it is: with `--key` nothing is written but what such a key signed.
    Write(write::WriteArgs),
    /// Put a live system where machines boot it from the network
    ///
    /// Kernel, initrd, root, a script for iPXE and SHA256SUMS, for any web server; a TFTP server
    /// needs iPXE alone (`ipxe.efi`), told to run the script. The initrd names its root by length
    /// and SHA-256, and boots no other; it fetches it into memory, with 1 GiB enough, and tries
    /// again where the network breaks off. Nothing is written to a disk.
    ///
    /// Kernel arguments: `basalt.live=host` (the script says so) is a host that keeps nothing,
    /// but for `/var` where one partition is named `basalt-var` (a file system is made there only
    /// if it holds none); `basalt.live.url=` is where the root is; `basalt.live.overlay=256M` or
    /// `=20%` how much may be written over it [default: a quarter of what is left]; `ip=` an
    /// address where there is no DHCP.
    Pxe(pxe::PxeArgs),
    /// Check an image definition; touches nothing
    Check(CheckArgs),
    /// Make and manage release keys
    ///
    /// The image that runs says which keys a host takes the next release from. So a key follows
    /// another in two releases: the first is signed by the old key and trusts both (`basalt build
    /// --sign-key old.key --trust new.pub`, `basalt publish --sign-key old.key`); the second is
    /// signed by the new one, and the old one is gone with it (`basalt build --sign-key new.key`,
    /// `basalt publish --sign-key new.key --trust old.pub`, which goes on with the sequence and the
    /// deltas of before). A host that missed the first takes it by its version (`hostctl os update
    /// --version V`), and the second after it.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Look after kickstarts, which say how a host is installed
    #[command(subcommand)]
    Kickstart(kickstart::KickstartCommand),
    /// Print a shell's completion script
    Completion(CompletionArgs),
    /// Write the man pages
    Man(ManArgs),
}

#[derive(Debug, Args)]
struct PlaceArgs {
    /// The image definition, as `images/base.toml`
    definition: PathBuf,
    /// Where images and the repository go
    #[arg(long, value_name = "DIR", default_value = "out")]
    out: PathBuf,
    /// Where packages and stages are kept between builds [default: ~/.cache/basalt]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Folder with the programs `hostd`, `hostctl`, `hostd-virt` and `hostd-os` for the host, and
    /// `basalt-live-boot` for a live system [default: where basalt lies]
    #[arg(long, value_name = "DIR")]
    host_programs: Option<PathBuf>,
    /// Refuse to change the package lock
    #[arg(long)]
    locked: bool,
    /// Make the package lock anew from what the mirrors have today
    #[arg(long, conflicts_with = "locked")]
    update: bool,
    /// The release's version [default: the last one plus one, when anything changed]
    #[arg(long = "version", value_name = "VERSION", id = "release")]
    release: Option<String>,
    /// Secret key that signs the release [default: a development key that no host trusts]
    #[arg(long, value_name = "FILE")]
    sign_key: Option<PathBuf>,
    /// Public key, `NAME.pub`, that hosts of this image trust beside the one that signs it; several
    /// may be given. See `basalt key --help` for how a key follows another
    #[arg(long, value_name = "FILE", requires = "sign_key")]
    trust: Vec<PathBuf>,
    /// What is made beside the commit: `raw`, a disk image; `qcow2`, the same for QEMU; `live`, a
    /// kernel, an initrd and a root that is fetched; `iso`, a medium with these; or `none`, for a
    /// release that is published only [default: what the definition says]
    #[arg(long, value_name = "FORMAT", value_delimiter = ',')]
    format: Option<Vec<Word>>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(disable_version_flag = true)]
struct BuildArgs {
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Debug, Args)]
#[command(disable_version_flag = true)]
struct PlanArgs {
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// The disk image, as `out/base/1/disk.raw`
    disk: PathBuf,
    /// Log root in on the serial console; the image stays without a password
    #[arg(long)]
    shell: bool,
    /// The machine's memory, in MiB
    #[arg(long, value_name = "N", default_value_t = 2048)]
    memory_mib: u32,
    /// Keep what the machine writes in the disk image
    #[arg(long)]
    keep_writes: bool,
}

#[derive(Debug, Args)]
struct DiffArgs {
    /// The build before: its folder, as `out/base/1`, or a ref or commit of the repository
    old: String,
    /// The build after
    new: String,
    /// The repository that has both
    #[arg(long, value_name = "DIR", default_value = "out/repo")]
    repo: PathBuf,
    /// Also list the files
    #[arg(long)]
    files: bool,
    /// Also make the static delta between them, and say how large it is
    #[arg(long)]
    delta: bool,
    /// Print it as JSON, with every file
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// The image definition, as `images/base.toml`
    definition: PathBuf,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Make a release key: `NAME.key`, which stays secret, and `NAME.pub`
    Create {
        /// Name of the key and of its files
        #[arg(long, default_value = "release")]
        name: String,
        /// Folder for the two files
        #[arg(long, value_name = "DIR", default_value = ".")]
        out: PathBuf,
    },
}

impl RunArgs {
    fn options(self) -> run::Options {
        run::Options {
            disk: self.disk,
            memory_mib: self.memory_mib,
            login: if self.shell { Login::Root } else { Login::AsInTheImage },
            writes: if self.keep_writes { Writes::Kept } else { Writes::Discarded },
        }
    }
}

impl PlaceArgs {
    fn formats(&self) -> Result<Option<Vec<Format>>> {
        self.format.as_deref().map(formats::formats).transpose()
    }

    fn lock_policy(&self) -> LockPolicy {
        match (self.locked, self.update) {
            (true, _) => LockPolicy::Keep,
            (_, true) => LockPolicy::Update,
            _ => LockPolicy::Follow,
        }
    }

    fn places(&self) -> Result<Places> {
        let cache = match &self.cache {
            Some(cache) => cache.clone(),
            None => CachePaths::default_root()?,
        };
        let programs = match &self.host_programs {
            Some(folder) => folder.clone(),
            None => own_folder()?,
        };
        Ok(Places {
            definition: self.definition.clone(),
            out: self.out.clone(),
            cache: CachePaths::new(cache),
            programs,
        })
    }
}

fn own_folder() -> Result<PathBuf> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    Ok(program.parent().map_or_else(PathBuf::new, PathBuf::from))
}

/// Does what was typed. `now` is in seconds since 1970.
///
/// # Errors
/// Whatever the command says.
pub fn execute(cli: Cli, now: u64) -> Result<()> {
    match cli.command {
        Command::Build(args) => build(args.place, now),
        Command::Plan(args) => plan(&args.place),
        Command::Publish(args) => publish::publish(args, now),
        Command::Diff(args) => diff(&args),
        Command::Run(args) => run::run(&args.options()),
        Command::Write(args) => write::write(args),
        Command::Pxe(args) => pxe::pxe(args),
        Command::Check(args) => check(&args),
        Command::Key(KeyCommand::Create { name, out }) => create_key(&name, &out),
        Command::Kickstart(command) => kickstart::execute(&command),
        Command::Completion(args) => print(&basalt_manual::completion(Cli::command(), &args)),
        Command::Man(args) => {
            basalt_manual::write_pages(Cli::command(), &args).context("cannot write")?;
            Ok(())
        }
    }
}

fn build(args: PlaceArgs, now: u64) -> Result<()> {
    namespace::become_root()?;
    key::clear_on_signals()?;
    let json = args.json;
    let options = Options {
        places: args.places()?,
        lock: args.lock_policy(),
        formats: args.formats()?,
        version: args.release,
        sign_key: args.sign_key,
        trust: args.trust,
        now,
    };
    let built = build::build(&options, Progress::for_stderr()).map_err(|error| {
        let places = &options.places;
        space::explain(error, &[(places.cache.root(), "--cache"), (&places.out, "--out")])
    })?;
    if json {
        return print_line(&serde_json::to_string_pretty(&built.manifest)?);
    }
    let manifest = &built.manifest;
    let state = if built.fresh { "built" } else { "nothing changed:" };
    let note = if manifest.release == "unsigned" { ", unsigned release" } else { "" };
    let Manifest { name, version, commit, .. } = manifest;
    let made = made(manifest, &built.folder);
    print_line(&format!("{state} {name} {version}{note}\n  commit  {commit}{made}"))
}

/// A line for each thing that a build has.
fn made(manifest: &Manifest, folder: &Path) -> String {
    let mut text = String::new();
    if let Some(disk) = &manifest.disk {
        let (used, size) = (mb(disk.allocated), mb(disk.size));
        let file = folder.join(&disk.file);
        text += &format!("\n  disk    {}\n  size    {used} MB of {size} MB", file.display());
    }
    if let Some(part) = &manifest.qcow2 {
        text += &format!("\n  qcow2   {}, {} MB", folder.join(&part.file).display(), mb(part.size));
    }
    if let Some(live) = &manifest.live {
        let size: u64 = live.parts().map(|part| part.size).iter().sum();
        let folder = folder.join(stage::live::FOLDER);
        text += &format!("\n  live    {}, {} MB", folder.display(), mb(size));
    }
    if let Some(part) = &manifest.iso {
        text += &format!("\n  iso     {}, {} MB", folder.join(&part.file).display(), mb(part.size));
    }
    text
}

fn diff(args: &DiffArgs) -> Result<()> {
    if args.delta {
        // A delta is made from every file, and some only root may read.
        namespace::become_root()?;
    }
    let delta = if args.delta { DeltaSize::Measured } else { DeltaSize::NotAsked };
    let diff = diff::diff(&args.repo, &args.old, &args.new, delta, Progress::for_stderr())?;
    if args.json {
        return print_line(&serde_json::to_string_pretty(&diff)?);
    }
    print(diff.text(args.files).as_bytes())
}

fn mb(bytes: u64) -> u64 {
    bytes / 1_000_000
}

fn plan(args: &PlaceArgs) -> Result<()> {
    let places = args.places()?;
    let mut definition = Definition::load(&places.definition)?;
    if let Some(formats) = args.formats()? {
        definition.formats = formats;
    }
    let lock =
        plan::usable_lock(&definition, &Lock::path_for(&places.definition), args.lock_policy())?;
    key::clear_on_signals()?;
    let trusted_keys = key::trusted(args.sign_key.as_deref(), &args.trust)?;
    let request = Request { version: args.release.clone(), trusted_keys };
    let stages = plan::stages(&definition, lock.as_ref(), &places, &request)?;
    if args.json {
        return print_line(&serde_json::to_string_pretty(&stages)?);
    }
    let lines: Vec<String> = stages.iter().map(ToString::to_string).collect();
    print_line(&lines.join("\n"))
}

fn check(args: &CheckArgs) -> Result<()> {
    let definition = Definition::load(&args.definition)?;
    print_line(&format!("{}: good ({})", args.definition.display(), definition.summary()))
}

fn create_key(name: &str, out: &Path) -> Result<()> {
    key::clear_on_signals()?;
    let (secret, public) = key::create(name, out)?;
    print_line(&format!(
        "secret key  {}  (keep it; `basalt build --sign-key` reads it)\npublic key  {}\nfor release \
         manifests, beside them: `{name}.manifest.key` (keep it too) and `{name}.manifest.pub`",
        secret.display(),
        public.display()
    ))
}

fn print_line(text: &str) -> Result<()> {
    print(format!("{text}\n").as_bytes())
}

fn print(bytes: &[u8]) -> Result<()> {
    match io::stdout().write_all(bytes) {
        // Whoever reads has seen enough, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot print"),
    }
}
