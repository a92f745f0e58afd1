//! `basalt publish`, here or over there.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use basalt_cmd::Cmd;
use basalt_release::{Delta, Manifest};
use clap::Args;
use jiff::{SignedDuration, Timestamp};

use super::{mb, print_line};
use crate::progress::Progress;
use crate::publish::{self, Remote, Target};
use crate::{key, namespace, space};

/// For the process that publishes here, once it has said what.
const END: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(super) struct PublishArgs {
    /// The repository of a build, as `out/repo`
    repo: PathBuf,
    /// The archive, which is made when it is not there; a web server serves this folder as it is.
    /// On another machine by rsync, as `ssh://USER@HOST/FOLDER` or `rsync://HOST/MODULE/FOLDER`
    #[arg(long, value_name = "DIR|URL")]
    to: Target,
    /// With a URL, the folder in which the archive is kept here: what others published is brought
    /// over first, and each thing is sent after what it leads to [default: `archive` beside REPO]
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
    /// Secret key that signed the build; its other half, `NAME.manifest.key` beside it, signs the
    /// release manifest
    #[arg(long, value_name = "FILE")]
    sign_key: PathBuf,
    /// Public key, `NAME.pub`, that signed releases before: their sequence, versions and deltas are
    /// gone on with
    #[arg(long, value_name = "FILE")]
    trust: Vec<PathBuf>,
    /// Which image, when the repository has several
    #[arg(long = "ref", value_name = "REF", id = "ref")]
    ref_name: Option<String>,
    /// From how many of the releases before a static delta leads to this one
    #[arg(long, value_name = "N", default_value_t = 3)]
    deltas: usize,
    /// For how many days hosts may believe that this is the release; publish again before
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3650))]
    valid_days: u32,
    /// Print the release manifest as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn publish(args: PublishArgs, now: u64) -> Result<()> {
    let json = args.json;
    let (manifest, place) = match args.to.clone() {
        Target::Folder(folder) => here(args, folder, now)?,
        Target::Remote(remote) => there(&args, &remote)?,
    };
    if json {
        return print_line(&serde_json::to_string_pretty(&manifest)?);
    }
    print_line(&text(&manifest, &place))
}

fn here(args: PublishArgs, to: PathBuf, now: u64) -> Result<(Manifest, String)> {
    if args.archive.is_some() {
        bail!("`--archive` goes with a URL\nhint: `--to DIR` is the archive itself");
    }
    namespace::become_root()?;
    key::clear_on_signals()?;
    let now = i64::try_from(now).ok().and_then(|now| Timestamp::from_second(now).ok());
    let options = publish::Options {
        source: args.repo,
        to,
        ref_name: args.ref_name,
        sign_key: args.sign_key,
        trust: args.trust,
        deltas: args.deltas,
        valid: SignedDuration::from_hours(24 * i64::from(args.valid_days)),
        now: now.context("the clock is wrong")?,
    };
    let published = publish::publish(&options, Progress::for_stderr())
        .map_err(|error| space::explain(error, &[(&options.to, "--to")]))?;
    Ok((published.manifest, published.file.display().to_string()))
}

/// What is done here is done by a process of its own: a user's becomes root of a namespace for it,
/// and there ssh would not find the user's keys.
fn there(args: &PublishArgs, remote: &Remote) -> Result<(Manifest, String)> {
    let beside = || args.repo.parent().unwrap_or(Path::new("")).join("archive");
    let archive = args.archive.clone().unwrap_or_else(beside);
    let locally = || publish_in(args, &archive, remote);
    let progress = Progress::for_stderr();
    let manifest = publish::publish_remotely(remote, &archive, locally, progress)
        .map_err(|error| space::explain(error, &[(&archive, "--archive")]))?;
    let place = format!("{}/releases/{}.json", remote.url.trim_end_matches('/'), manifest.name);
    Ok((manifest, place))
}

fn publish_in(args: &PublishArgs, archive: &Path, remote: &Remote) -> Result<Manifest> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let mut words: Vec<OsString> = vec!["publish".into(), args.repo.clone().into()];
    let mut flag = |name: &str, value: OsString| words.extend([name.into(), value]);
    flag("--to", absolute(archive)?.into());
    flag("--sign-key", args.sign_key.clone().into());
    args.trust.iter().for_each(|key| flag("--trust", key.clone().into()));
    args.ref_name.iter().for_each(|name| flag("--ref", name.into()));
    flag("--deltas", args.deltas.to_string().into());
    flag("--valid-days", args.valid_days.to_string().into());
    words.push("--json".into());
    let cmd = Cmd::new(program).args(words);
    let mut running = cmd.spawn(Stdio::null(), Stdio::piped(), Stdio::inherit())?;
    let mut said = Vec::new();
    let stdout = running.child().stdout.take().context("it has no stdout")?;
    { stdout }.read_to_end(&mut said).context("cannot read what was published")?;
    let ended = running.wait_for(END)?;
    if !ended.is_some_and(|status| status.success()) {
        bail!("nothing was sent to `{}`", remote.url);
    }
    serde_json::from_slice(&said).context("cannot read what was published")
}

/// So that no folder is taken for a URL.
fn absolute(archive: &Path) -> Result<PathBuf> {
    std::path::absolute(archive).with_context(|| format!("cannot use `{}`", archive.display()))
}

fn text(manifest: &Manifest, place: &str) -> String {
    let Manifest { name, version, sequence, commit, expires, .. } = manifest;
    let (download, deltas) = (mb(manifest.download_bytes), deltas(manifest));
    format!(
        "published {name} {version}, sequence {sequence}\n  commit    {commit}\n  download  \
         {download} MB, or by delta: {deltas}\n  expires   {expires}\n  manifest  {place}"
    )
}

fn deltas(manifest: &Manifest) -> String {
    let one =
        |delta: &Delta| format!("{} kB from {}…", delta.bytes.div_ceil(1000), &delta.from[..12]);
    match &manifest.deltas[..] {
        [] => "none".to_owned(),
        deltas => deltas.iter().map(one).collect::<Vec<_>>().join(", "),
    }
}
