//! The place of one test: namespaces of its own, a folder, and an engine in it.
//!
//! A test calls [`Ground::prepare`] on its own thread before it starts anything else; whatever the
//! thread starts then lives in the same place, a real `hostd` too.

pub(crate) mod orphans;
mod rooms;

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::engine::{Engine, Kind};
use crate::image::Image;
use crate::process::Process;

pub use rooms::{ADDRESS, HOST, fill, own_small_disk, small_disk};

/// The image that is there from the beginning.
pub const TINY: &str = "example.test/tiny:1";

/// The place of one test.
#[derive(Debug)]
pub struct Ground {
    /// The engine of this place.
    pub engine: Engine,
    folder: TempDir,
}

impl Ground {
    /// A place with an engine that runs and has the image [`TINY`]; `None`, said in one line, where
    /// this cannot be.
    ///
    /// # Panics
    /// It cannot be made although it should, or nothing may be skipped here.
    #[must_use]
    pub fn prepare(kind: Kind) -> Option<Self> {
        let ground = Self::prepare_empty(kind)?;
        ground.engine.load(&Image::tiny(TINY));
        Some(ground)
    }

    /// The same, without any image.
    ///
    /// # Panics
    /// As [`Self::prepare`].
    #[must_use]
    pub fn prepare_empty(kind: Kind) -> Option<Self> {
        Self::prepare_in(kind, |_| ())
    }

    /// The same, with a store that has no more than these MiB.
    ///
    /// # Panics
    /// As [`Self::prepare`].
    #[must_use]
    pub fn prepare_small(kind: Kind, mib: u32) -> Option<Self> {
        Self::prepare_in(kind, |store| {
            rooms::small_disk(store, mib).expect("a disk of its own");
        })
    }

    fn prepare_in(kind: Kind, prepare_store: impl FnOnce(&Path)) -> Option<Self> {
        if let Some(why) = why_not(kind) {
            assert!(std::env::var_os("BASALT_NO_SKIP").is_none(), "{why}");
            eprintln!("skipped: {why}");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        orphans::adopt().expect("processes without a parent come to this one");
        rooms::enter(folder.path()).expect("namespaces of its own");
        fs::create_dir("/run/basalt").expect("a folder on tmpfs");
        let engine = Engine::start(kind, &folder.path().join("engine"), prepare_store);
        Some(Self { engine, folder })
    }

    /// Another engine of the same kind in the same place, as of another host, with the image
    /// [`TINY`].
    ///
    /// # Panics
    /// It does not come up.
    #[must_use]
    pub fn another_engine(&self, name: &str) -> Engine {
        let engine = Engine::start(self.engine.kind, &self.path(name), |_| ());
        engine.load(&Image::tiny(TINY));
        engine
    }

    /// A path in its folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The shells of this place that have this variable, with its value: seen in the kernel,
    /// whatever an engine says.
    #[must_use]
    pub fn shells_with(&self, variable: &str) -> Vec<String> {
        let processes = orphans::descendants().into_iter();
        let processes = processes.filter_map(|pid| u64::try_from(pid.as_raw_pid()).ok());
        let shells = processes.map(Process).filter(|one| {
            // What was begun by a shell is in the same environment.
            one.words("cmdline").first().is_some_and(|word| word == "sh")
        });
        let value = |word: &String| {
            let (name, value) = word.split_once('=')?;
            (name == variable).then(|| value.to_owned())
        };
        shells.filter_map(|one| one.words("environ").iter().find_map(value)).collect()
    }

    /// A folder on tmpfs.
    #[must_use]
    pub fn private(&self) -> &'static Path {
        Path::new("/run/basalt")
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.engine.remove_all();
        // Nothing is left that it could put in order, and dockerd takes a second to see that.
        self.engine.abandon();
        orphans::end();
        rooms::unmount_below(self.folder.path());
    }
}

/// What is missing here.
fn why_not(kind: Kind) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("engines of containers need root".to_owned());
    }
    let folders = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];
    let is_there = |name: &&str| folders.iter().any(|folder| Path::new(folder).join(name).exists());
    let programs = [kind.program(), "busybox", "ip", "docker-registry", "openssl", "htpasswd"];
    let missing = programs.iter().find(|name| !is_there(name));
    missing.map(|name| format!("`{name}` is not installed"))
}
