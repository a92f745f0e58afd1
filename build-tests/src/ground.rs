//! Where one test builds: an output folder, a cache and programs of its own.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use basalt_cmd::{Cmd, Output, Running};
use serde_json::Value;
use tempfile::TempDir;

use crate::hindrance::Hindrance;

/// The folder of the image that was built before, with its manifest.
const IMAGE: &str = "BASALT_IMAGE_DIR";
/// A whole build on a slow and busy machine.
const DEADLINE: Duration = Duration::from_secs(1200);
const TICK: Duration = Duration::from_millis(20);

/// What a build left, or why it left nothing.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code.
    pub code: Option<i32>,
    /// The manifest that it printed.
    pub manifest: Option<Value>,
    /// What it said.
    pub stderr: String,
}

impl Ended {
    /// The commit that it made.
    ///
    /// # Panics
    /// It failed.
    pub fn commit(&self) -> &str {
        let commit = self.manifest.as_ref().and_then(|manifest| manifest["commit"].as_str());
        commit.unwrap_or_else(|| panic!("the build failed: {}", self.stderr))
    }
}

/// What a test's cache has at the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Has {
    /// All that the image's build left.
    Everything,
    /// The packages alone.
    Packages,
    /// Nothing.
    Nothing,
}

/// Where one test builds.
#[derive(Debug)]
pub struct Ground {
    folder: TempDir,
    /// The manifest of the image that was built before.
    pub image: Value,
}

impl Ground {
    /// A ground of its own; `None`, said in one line, where no image was built before.
    ///
    /// # Panics
    /// It cannot be prepared, or nothing may be skipped here.
    #[must_use]
    pub fn prepare(has: Has) -> Option<Self> {
        let Some(image) = std::env::var_os(IMAGE) else {
            return skip(&format!("{IMAGE} names no folder as `out/base/1`"));
        };
        // Hindrances are mounts and other users; and a user cannot link to root's cache.
        if Cmd::new("id").arg("-u").run().expect("id runs").stdout_text() != "0" {
            return skip("only root can stand in a build's way");
        }
        let manifest = Path::new(&image).join("manifest.json");
        let text = fs::read_to_string(&manifest).expect("the image has a manifest");
        // Links need the cache's file system; another user must reach what it builds in.
        let folder = match has {
            Has::Everything => tempfile::tempdir_in(shared_cache()),
            Has::Packages | Has::Nothing => tempfile::tempdir(),
        };
        let folder = folder.expect("a folder");
        let image = serde_json::from_str(&text).expect("the manifest is JSON");
        let ground = Self { folder, image };
        ground.copy_cache(has);
        ground.copy_programs();
        ground.copy(&workspace().join("images"), "images");
        Some(ground)
    }

    /// Its folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// A path within it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn copy_cache(&self, has: Has) {
        fs::create_dir(self.path("cache")).expect("a cache");
        let parts: &[(&str, &str)] = match has {
            // Links instead of copies: the builder replaces files and never writes into one.
            Has::Everything => &[("-al", "packages"), ("-al", "repo"), ("-al", "initramfs")],
            Has::Packages => &[("-a", "packages")],
            Has::Nothing => &[],
        };
        for (how, part) in parts {
            let (from, to) = (shared_cache().join(part), self.path("cache"));
            let copy = Cmd::new("cp").arg(how).arg(from).arg(to).deadline(DEADLINE);
            copy.run().expect("the cache can be copied");
        }
    }

    fn copy(&self, from: &Path, name: &str) {
        Cmd::new("cp").arg("-a").arg(from).arg(self.path(name)).run().expect("it can be copied");
    }

    fn copy_programs(&self) {
        fs::create_dir(self.path("programs")).expect("a folder");
        for name in ["basalt", "hostd", "hostctl", "hostd-virt", "hostd-os"] {
            fs::copy(programs().join(name), self.path("programs").join(name)).expect("a program");
        }
    }

    /// Makes a hostd that nobody has built into an image yet. Bytes after the end of an ELF file
    /// change what it is, not what it does.
    pub fn change_hostd(&self) {
        let file = File::options().append(true).open(self.path("programs/hostd"));
        file.and_then(|mut file| file.write_all(b"changed")).expect("hostd can be changed");
    }

    /// Makes a file in the cached commits readable for all and writable for none, as a `chmod -R`
    /// would; one that is linked from nowhere else, for most are the shared cache's own.
    ///
    /// # Panics
    /// There is none.
    pub fn damage_what_no_other_ground_has(&self) {
        let names = ["-name", "*.file", "-type", "f", "-links", "-2", "-size", "+1M"];
        let find = Cmd::new("find").arg(self.path("cache/repo/objects")).args(names);
        let found = find.run().expect("find runs").stdout_text();
        let file = found.lines().next().expect("a large file that only this cache has");
        fs::set_permissions(file, fs::Permissions::from_mode(0o444)).expect("its mode changes");
    }

    /// The build of this ground, with the lock as it is.
    #[must_use = "a command does nothing until it is run"]
    pub fn command(&self) -> Cmd {
        self.unlocked().arg("--locked")
    }

    fn unlocked(&self) -> Cmd {
        self.unlocked_into("out")
    }

    fn unlocked_into(&self, out: &str) -> Cmd {
        Cmd::new(self.path("programs/basalt"))
            .args(["build", "images/base.toml", "--json", "--out"])
            .arg(self.path(out))
            .arg("--cache")
            .arg(self.path("cache"))
            .current_dir(self.folder.path())
            .deadline(DEADLINE)
    }

    /// Runs it to its end.
    #[must_use]
    pub fn build(&self) -> Ended {
        ended(&self.command().output().expect("basalt runs"))
    }

    /// Runs it where something hinders it.
    #[must_use]
    pub fn build_hindered(&self, hindrance: &Hindrance<'_>) -> Ended {
        ended(&hindrance.around(self.command()).output().expect("basalt runs"))
    }

    /// Starts it with these flags, its words going to a file of this name.
    #[must_use]
    pub fn start_with(&self, log: &str, flags: &[&str]) -> Running {
        self.start(self.unlocked().args(flags), log)
    }

    /// Starts it with the lock as it is and another output folder.
    #[must_use]
    pub fn start_into(&self, out: &str, log: &str) -> Running {
        self.start(self.unlocked_into(out).arg("--locked"), log)
    }

    fn start(&self, command: Cmd, log: &str) -> Running {
        let log = File::create(self.path(log)).expect("a log");
        command.spawn(Stdio::null(), Stdio::null(), log.into()).expect("basalt runs")
    }

    /// Starts it and kills it once it is in `stage` and, where that is asked, has made `made`.
    ///
    /// # Panics
    /// It never gets there.
    pub fn kill_in(&self, stage: &str, made: Option<&str>) {
        let mut running = self.start_with("killed", &["--locked"]);
        self.wait_until("killed", &format!("{stage} …"), &mut running);
        if let Some(made) = made {
            self.wait_for(made, &mut running, || self.path(made).exists());
        }
        running.kill();
    }

    /// Waits until a running build has said `text`.
    ///
    /// # Panics
    /// It ends, or takes too long, before it does.
    pub fn wait_until(&self, log: &str, text: &str, running: &mut Running) {
        let said = || fs::read_to_string(self.path(log)).unwrap_or_default();
        self.wait_for(&format!("`{text}` in `{log}`"), running, || said().contains(text));
    }

    /// Waits until something is there while a build runs.
    ///
    /// # Panics
    /// The build ends, or takes too long, before it is.
    pub fn wait_for(&self, what: &str, running: &mut Running, is_there: impl Fn() -> bool) {
        let until = Instant::now() + DEADLINE;
        while !is_there() {
            let has_ended = running.wait_for(TICK).expect("the build is ours").is_some();
            assert!(!has_ended && Instant::now() < until, "it never came to {what}");
        }
    }

    /// Names of the packages in its cache, sorted; also of what should not be there.
    #[must_use]
    pub fn cached_packages(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("cache/packages")).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// The folder of packages that the image was built from.
    #[must_use]
    pub fn shared_packages(&self) -> PathBuf {
        shared_cache().join("packages")
    }

    /// The versions in the output folder that have a manifest, sorted by name.
    #[must_use]
    pub fn versions(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("out/base")).into_iter().flatten().flatten();
        let finished = entries.filter(|entry| entry.path().join("manifest.json").exists());
        let mut names: Vec<String> =
            finished.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Whether a build would take this stage from the cache.
    ///
    /// # Panics
    /// There is no such stage.
    #[must_use]
    pub fn has_cached(&self, stage: &str) -> bool {
        let plan = Cmd::new(self.path("programs/basalt"))
            .args(["plan", "images/base.toml", "--json", "--out"])
            .arg(self.path("out"))
            .arg("--cache")
            .arg(self.path("cache"))
            .current_dir(self.folder.path());
        let plan = plan.run().expect("basalt plan works").stdout_text();
        let plan: Value = serde_json::from_str(&plan).expect("the plan is JSON");
        let mut stages = plan.as_array().into_iter().flatten();
        let found = stages.find(|found| found["stage"] == stage);
        found.and_then(|found| found["cached"].as_bool()).expect("the stage is in the plan")
    }
}

/// Says why in one line, where anything may be skipped.
fn skip(why: &str) -> Option<Ground> {
    assert!(std::env::var_os("BASALT_NO_SKIP").is_none(), "nothing may be skipped here: {why}");
    eprintln!("skipped: {why}");
    None
}

/// What a finished program says.
fn ended(output: &Output) -> Ended {
    Ended {
        code: output.status.code(),
        manifest: serde_json::from_slice(&output.stdout).ok(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The folder with `images/`.
fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Where cargo puts programs: two folders above the test's own file.
fn programs() -> PathBuf {
    let own = std::env::current_exe().expect("a test is a program");
    own.ancestors().nth(2).map(Path::to_owned).expect("it lies in target/release/deps")
}

fn shared_cache() -> PathBuf {
    let named = |variable: &str| std::env::var_os(variable).map(PathBuf::from);
    named("BASALT_CACHE")
        .or_else(|| named("XDG_CACHE_HOME").map(|base| base.join("basalt")))
        .or_else(|| named("HOME").map(|home| home.join(".cache/basalt")))
        .expect("a home folder")
}
