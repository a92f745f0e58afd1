//! What an update weighs on the wire: our static delta beside a plain pull, `zstd --patch-from` of
//! the two trees, RAUC with casync, and the whole image; for a new `hostd`, and for ten packages or
//! a few more that Debian changed.

mod changes;
mod peers;
mod time;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use basalt_cmd::Cmd;
use serde::Deserialize;

use super::{DEADLINE, Ground, Measure};
use changes::{hostd_with_other_words, other_packages};

/// The host programs that an image is built with.
const PROGRAMS: [&str; 4] = ["hostd", "hostctl", "hostd-virt", "hostd-os"];
/// Packages that change at least.
const CHANGED: usize = 10;

pub(super) fn run(ground: &Ground<'_>) -> Result<Vec<Measure>> {
    let builds = Builds::new(ground)?;
    let lock = read(&ground.session.root.join("images/base.lock"))?;
    let programs = builds.programs("programs", None)?;
    let before = builds.build("1", &lock, &programs)?;

    let hostd = hostd_with_other_words(ground)?;
    let programs_after = builds.programs("programs-after", Some(&hostd))?;
    let after = builds.build("2", &lock, &programs_after)?;
    let mut measures = rows(&builds, "new hostd", [&before, &after])?;

    let (lock, number) = other_packages(&lock, CHANGED, &ground.folder("packages")?)?;
    let after = builds.build("3", &lock, &programs)?;
    measures.extend(rows(&builds, &format!("{number} packages"), [&before, &after])?);

    let image = ground.image()?;
    measures.push(Measure::new("whole image, zstd -19", mb(peers::whole(ground, image)?), "MB"));
    measures.extend(time::measures(ground)?);
    Ok(measures)
}

/// Every way from one commit to another, and how ours stands to `zstd`.
fn rows(builds: &Builds<'_>, what: &str, commits: [&str; 2]) -> Result<Vec<Measure>> {
    let ground = builds.ground;
    let delta = builds.delta(commits)?;
    let repo = builds.repo();
    let peers = peers::Peers::new(ground, &repo, what, commits)?;
    let (pull, patch, casync) = (peers.pull()?, peers.zstd()?, peers.rauc()?);
    let row = |how: &str, bytes: u64| Measure::new(format!("{what}: {how}"), mb(bytes), "MB");
    let delta_row = row("static delta", delta);
    let ratio = Measure::new(
        format!("{what}: static delta over zstd --patch-from"),
        delta as f64 / patch.max(1) as f64,
        "×",
    );
    let (delta_row, ratio) = if what == "new hostd" {
        (delta_row.at_most(3.0), ratio)
    } else {
        (delta_row, ratio.at_most(1.3))
    };
    Ok(vec![
        delta_row,
        row("zstd -19 --patch-from, of the trees' tars", patch),
        ratio,
        row("plain pull", pull),
        row("RAUC with casync", casync),
    ])
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))
}

/// Builds of the base image with small differences, all in one repository.
struct Builds<'a> {
    ground: &'a Ground<'a>,
    folder: PathBuf,
}

/// What `basalt build --json` says, as far as it is wanted here.
#[derive(Deserialize)]
struct Built {
    commit: String,
}

/// What `basalt diff --json` says, as far as it is wanted here.
#[derive(Deserialize)]
struct Difference {
    delta_bytes: u64,
}

impl<'a> Builds<'a> {
    fn new(ground: &'a Ground<'a>) -> Result<Self> {
        // The programs come with it.
        ground.image()?;
        Ok(Self { ground, folder: ground.folder("builds")? })
    }

    /// The programs of this commit, in a folder; `hostd` is another one where one is given.
    fn programs(&self, name: &str, hostd: Option<&Path>) -> Result<PathBuf> {
        let folder = self.ground.folder(name)?;
        for program in PROGRAMS {
            let from = self.ground.session.program(program);
            let from = hostd.filter(|_| program == "hostd").unwrap_or(&from);
            fs::copy(from, folder.join(program))
                .with_context(|| format!("cannot copy `{}`", from.display()))?;
        }
        Ok(folder)
    }

    /// Builds it, with this text as the lock of its packages. Returns the commit.
    fn build(&self, version: &str, lock: &str, programs: &Path) -> Result<String> {
        let base = self.ground.session.root.join("images/base.toml");
        let definition = format!("name = \"base\"\nref = \"bench/base\"\ninherit = {base:?}\n");
        fs::write(self.folder.join(format!("{version}.toml")), definition)?;
        fs::write(self.folder.join(format!("{version}.lock")), lock)?;
        let cmd = Cmd::new(self.ground.session.program("basalt"))
            .args(["build", &format!("{version}.toml"), "--locked", "--json"])
            .args(["--version", version, "--host-programs"])
            .arg(programs)
            .current_dir(&self.folder);
        let said = self.ground.say(cmd)?;
        let built: Built = serde_json::from_str(&said).context("what `basalt build` says")?;
        Ok(built.commit)
    }

    fn repo(&self) -> PathBuf {
        self.folder.join("out/repo")
    }

    /// Bytes of the static delta.
    fn delta(&self, [before, after]: [&str; 2]) -> Result<u64> {
        let cmd = Cmd::new(self.ground.session.program("basalt"))
            .args(["diff", before, after, "--delta", "--json", "--repo"])
            .arg(self.repo());
        let said = self.ground.say(cmd)?;
        let said: Difference = serde_json::from_str(&said).context("what `basalt diff` says")?;
        Ok(said.delta_bytes)
    }
}

impl Ground<'_> {
    /// Runs a command; returns what it printed.
    fn say(&self, cmd: Cmd) -> Result<String> {
        use crate::program::{Output, run};
        Ok(run(self.session, cmd, Output::StdoutKept, DEADLINE)?.join("\n"))
    }
}
