//! Stories: each boots one machine, and each of its steps is a test. Steps build on those before
//! them, so that a boot is shared; after one that failed the rest is not tried.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use basalt_site::{Place, Site};
use basalt_vm::console::last_lines;
use basalt_vm::{Machine, Vm};
use libtest_mimic::{Arguments, Failed, Trial};

use crate::host::Host;
use crate::image::{Image, VARIABLE};
use crate::install::Ground;
use crate::live::{Live, Purpose};
use crate::releases::Releases;

/// Machines that run at a time: each keeps a processor busy.
const AT_A_TIME: usize = 2;
/// Lines of the console that a step which failed shows.
const TAIL: usize = 30;

/// One machine and what it goes through.
pub struct Story {
    /// The name of its folder, where the console's log stays.
    pub name: &'static str,
    /// The machine.
    pub machine: Start,
    /// What it goes through.
    pub steps: &'static [Step],
}

/// What a machine is made from.
pub enum Start {
    /// The image alone.
    Image(fn(&Image) -> Machine),
    /// A disk of its own, in a folder that is there for it.
    Disk(fn(&Image, &Path) -> Result<Machine>),
    /// The image and what stands around the host; a folder is there for what the machine keeps.
    Site(fn(&Image, &Site, &Path) -> Result<Machine>),
    /// The image's live system, which is served; the image's disk is there for a machine to have.
    Live(fn(&Live, &Image) -> Result<Machine>),
    /// The same as it installs a host, what stands around that, and a folder for the disk.
    Install(fn(&Ground<'_>) -> Result<Machine>),
    /// An image of its own, signed, what it can be updated to, and what stands around the host.
    Releases(fn(&Releases) -> Result<Image>),
}

/// A test: its name, a sentence that could be false, and what it does.
pub type Step = (&'static str, fn(&mut Host) -> Result<()>);

type Outcome = (&'static str, Result<(), String>);

/// Runs the stories that the command line asks for, and tells of their steps as of tests.
#[must_use]
pub fn run(stories: &'static [Story], logs: &Path) -> ExitCode {
    let arguments = Arguments::from_args();
    if arguments.list {
        let names = stories.iter().flat_map(|story| story.steps.iter().map(|(name, _)| *name));
        let trials = names.map(|name| Trial::test(name, || Ok(()))).collect();
        return libtest_mimic::run(&arguments, trials).exit_code();
    }
    let outcomes = match Image::from_env() {
        Ok(image) => tell(&chosen(stories, &arguments), &image, logs),
        Err(error) if std::env::var_os(VARIABLE).is_none() && may_skip() => {
            eprintln!("skipped: {error:#}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let trial = |(name, outcome): Outcome| Trial::test(name, || outcome.map_err(Failed::from));
    libtest_mimic::run(&arguments, outcomes.into_iter().map(trial).collect()).exit_code()
}

fn may_skip() -> bool {
    std::env::var_os("BASALT_NO_SKIP").is_none()
}

/// The stories with a step that the filter lets through.
fn chosen(stories: &'static [Story], arguments: &Arguments) -> Vec<&'static Story> {
    let filter = arguments.filter.as_deref().unwrap_or_default();
    let is_chosen = |story: &&Story| story.steps.iter().any(|(name, _)| name.contains(filter));
    stories.iter().filter(is_chosen).collect()
}

/// Runs them, some at a time. Each machine belongs to the thread that started it.
fn tell(stories: &[&'static Story], image: &Image, logs: &Path) -> Vec<Outcome> {
    let next = Mutex::new(stories.iter());
    let outcomes = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let story = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(story) = story else { return };
                    let told = story.tell(image, &logs.join(story.name));
                    outcomes.lock().unwrap_or_else(PoisonError::into_inner).extend(told);
                }
            });
        }
    });
    outcomes.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// What failed, and what the console showed last; a wait for the console says so by itself.
fn told(error: &anyhow::Error, vm: &Vm) -> String {
    let mut text = format!("{error:#}");
    let log = vm.console_file().display().to_string();
    if !text.contains(&log) {
        let tail = last_lines(&vm.console(), TAIL);
        text.push_str(&format!("\nthe console, all of it in `{log}`, ended with\n{tail}"));
    }
    text
}

impl Story {
    fn tell(&self, image: &Image, folder: &Path) -> Vec<Outcome> {
        let mut host = self.start(image, folder).map_err(|error| format!("{error:#}"));
        let mut outcomes = Vec::new();
        for (name, step) in self.steps {
            let began = Instant::now();
            let outcome = match &mut host {
                Ok(host) => step(host).map_err(|error| told(&error, &host.vm)),
                Err(reason) => Err(reason.clone()),
            };
            let seconds = began.elapsed().as_secs();
            match &outcome {
                Ok(()) => eprintln!("{}: {name} ok, {seconds} s", self.name),
                Err(reason) => eprintln!("{}: {name} FAILED, {seconds} s: {reason}", self.name),
            }
            if outcome.is_err() && host.is_ok() {
                host = Err(format!("not tried: `{name}` failed before"));
            }
            outcomes.push((*name, outcome));
        }
        outcomes
    }

    fn start(&self, image: &Image, folder: &Path) -> Result<Host> {
        clear(folder).with_context(|| format!("cannot clear `{}`", folder.display()))?;
        let (mut image, mut site, mut releases, mut live) = (image.clone(), None, None, None);
        let machine = match self.machine {
            Start::Image(machine) => machine(&image),
            Start::Disk(machine) => machine(&image, folder)?,
            Start::Site(machine) => machine(&image, site.insert(self::site(folder)?), folder)?,
            Start::Live(machine) => {
                machine(live.insert(served(folder, &image, Purpose::Host)?), &image)?
            }
            Start::Install(machine) => {
                let live = live.insert(served(folder, &image, Purpose::Install)?);
                let site = site.insert(self::site(folder)?);
                machine(&Ground { live, site, image: &image, folder })?
            }
            Start::Releases(first) => {
                let place = folder.join("releases");
                let all = releases.insert(Releases::start(&place, &programs()?)?);
                image = first(all)?.on(&folder.join("disk.qcow2"))?;
                all.machine(&image, site.insert(self::site(folder)?))?
            }
        };
        let vm = machine.start(folder)?;
        Ok(Host { vm, image, folder: folder.to_owned(), site, releases, live })
    }
}

/// Our own programs lie where cargo puts them, two folders above the test's own file.
///
/// # Errors
/// A test has no file.
pub fn programs() -> Result<PathBuf> {
    let own = std::env::current_exe().context("a test is a program")?;
    Ok(own.ancestors().nth(2).context("it lies in target/release/deps")?.to_owned())
}

fn served(folder: &Path, image: &Image, purpose: Purpose) -> Result<Live> {
    Live::start(&folder.join("served"), &programs()?, image, purpose)
}

/// The guest's disk is kept beside what the stories leave.
fn site(folder: &Path) -> Result<Site> {
    let programs = programs()?;
    let cache = folder.with_file_name("guest");
    let site = folder.join("site");
    std::fs::create_dir(&site).with_context(|| format!("cannot make `{}`", site.display()))?;
    Site::start(&Place { folder: &site, programs: &programs, cache: &cache })
}

/// What an earlier run left must not be taken for this one's.
fn clear(folder: &Path) -> io::Result<PathBuf> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => std::fs::create_dir_all(folder).map(|()| folder.to_owned()),
    }
}
