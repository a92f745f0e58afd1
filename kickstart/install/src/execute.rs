//! Carries a plan out, step by step. It decides nothing; what cannot be done ends it, and what was
//! done until then boots nowhere.

mod apply;
mod array;
mod disk;
mod format;
mod kept;
mod mounts;
mod script;
mod var;

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use basalt_api::install::InstallState;
use basalt_deploy::{HostSysroot, Repo, Transfer};
use basalt_disk::{EspFile, EspFiles, FirstEntry, Volume};
use basalt_sysroot::slot::Slot;
use rustix::fs::statvfs;
use uuid::Uuid;

use crate::image::{About, Origin, REMOTE};
use crate::log::Log;
use crate::plan::{DiskPlan, PartPlan, Plan, Role, Step, steps};
use mounts::Mounts;

pub(crate) use disk::tool;
pub(crate) use mounts::leave_the_others;
pub(crate) use script::run as run_script;

/// How often it is said how far a download is.
const SAY: Duration = Duration::from_secs(10);
/// Between two looks whether it is done.
const TICK: Duration = Duration::from_millis(100);
/// The log, on the installed host.
const LOG: &str = "log/basalt-install.log";

/// An installation that is under way.
struct Work<'a> {
    plan: &'a Plan,
    log: &'a mut Log,
    /// Open and locked until the end, in the order of the plan.
    disks: Vec<File>,
    mounts: Option<Mounts>,
    /// The folder of the deployment.
    deployed: Option<PathBuf>,
    /// What goes to the EFI partition.
    esp: Option<EspFiles>,
}

/// The disks of a plan, which are nobody else's as long as this lives.
pub(crate) struct Held(Vec<File>);

/// Takes the disks of a plan. Nothing of them is changed.
///
/// # Errors
/// Somebody else uses one, or the plan lacks what the kickstart includes.
pub(crate) fn hold(plan: &Plan) -> Result<Held> {
    if let Some(file) = plan.unread.first() {
        bail!("`{file}`, which the kickstart includes, is not there, and no `%pre` has written it");
    }
    Ok(Held(plan.disks.iter().map(disk::hold).collect::<Result<_>>()?))
}

/// Carries it out; `log` is told each step before it begins. Call [`leave_the_others`] before.
///
/// # Errors
/// A step failed: the disk boots nowhere.
pub(crate) fn carry_out(plan: &Plan, held: Held, log: &mut Log) -> Result<()> {
    let mut work = Work { plan, log, disks: held.0, mounts: None, deployed: None, esp: None };
    let done = work.all();
    work.leave(done.is_ok());
    done
}

impl Work<'_> {
    fn all(&mut self) -> Result<()> {
        let steps = steps(self.plan);
        for (number, step) in (1..).zip(&steps) {
            let said = format!("step {number} of {}: {}", steps.len(), step.words(self.plan));
            self.log.tell(InstallState::Installing, &said);
            if *step == Step::Loader {
                self.let_go()?;
            }
            self.step(step)?;
        }
        Ok(())
    }

    /// Ends what is written of the new host, before the disk can boot: nothing fails after that. The
    /// root stays, to be read: the loader is in it.
    fn let_go(&mut self) -> Result<()> {
        self.log.end_file().context("cannot keep the log")?;
        self.mounts.as_mut().map_or(Ok(()), Mounts::end_what_is_written)?;
        self.plan.arrays.iter().try_for_each(array::stop)
    }

    /// Leaves the disks to whoever comes next. Nothing of the host is lost where that fails: after
    /// the loader only the root is mounted, to be read.
    fn leave(&mut self, is_done: bool) {
        // The log lies on the host's `/var`, which could not be unmounted while it is open.
        let log = self.log.end_file().context("cannot keep the log");
        let mut left = vec![log, self.mounts.take().map_or(Ok(()), Mounts::end)];
        if !is_done {
            // Those that were made: of the others `mdadm` says that they are not there.
            let made = self.plan.arrays.iter().filter(|array| device(&array.device()).exists());
            left.extend(made.map(array::stop));
        }
        for error in left.into_iter().filter_map(Result::err) {
            self.log.say(&format!("warning: {error:#}"));
        }
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Erase { disk } => disk::erase(&self.disks[*disk], &self.plan.disks[*disk]),
            Step::Clear { disk } => disk::clear(&self.disks[*disk], &self.plan.disks[*disk]),
            Step::Partition { disk } => {
                disk::partition(&self.disks[*disk], &self.plan.disks[*disk])
            }
            Step::Format { disk, number } => {
                let disk = &self.plan.disks[*disk];
                let part = disk.parts.iter().find(|part| part.number == *number);
                format::make(disk, part.context("the partition is not in the plan")?)
            }
            Step::Array { array } => array::make(&self.plan.arrays[*array]),
            Step::Mount => self.mount(),
            Step::Pull => self.pull(),
            Step::Deploy => self.deploy(),
            Step::Settings => self.settings(),
            Step::Var => {
                let mounts = self.mounts.as_ref().context("nothing is mounted")?;
                var::make(self.plan, mounts, self.log);
                Ok(())
            }
            Step::Script { script } => {
                let mounts = self.mounts.as_ref().context("nothing is mounted")?;
                script::post(&self.plan.scripts[*script], mounts, self.log)
            }
            Step::CheckRoot => self.check_root(),
            Step::Esp => self.make_esp(),
            Step::CheckEsp => self.check_esp(),
            Step::Loader => self.loader(),
        }
    }

    fn mount(&mut self) -> Result<()> {
        let mounts = Mounts::begin(self.plan)?;
        let log = mounts.var().join(LOG);
        self.mounts = Some(mounts);
        apply::folder(log.parent().unwrap_or(&log), 0o755)?;
        let begun = self.log.begin_file(&log);
        begun.with_context(|| format!("cannot write the log `{}`", log.display()))
    }

    fn pull(&mut self) -> Result<()> {
        let root = self.mounts()?.root();
        let image = &self.plan.image;
        match &image.origin {
            Origin::Repository(from) => {
                let pull = || pull_from(from, image, &root);
                while_it_is_said(self.log, image.bytes, &root, pull)
            }
            Origin::Archive(archive) => {
                let repo = HostSysroot::init(&root)?.repo()?;
                let told = told(self.log);
                Ok(repo.pull(&archive.remote(), &image.branch, &image.commit, told)?)
            }
        }
    }

    fn deploy(&mut self) -> Result<()> {
        let image = &self.plan.image;
        let sysroot = HostSysroot::init(&self.mounts()?.root())?;
        let refspec = format!("{REMOTE}:{}", image.branch);
        let deployed = sysroot.deploy(&image.commit, &refspec, Slot::A)?;
        drop(sysroot);
        let mounts = self.mounts.as_mut().context("nothing is mounted")?;
        mounts.show_system(&deployed.dir)?;
        self.deployed = Some(deployed.dir);
        Ok(())
    }

    fn settings(&mut self) -> Result<()> {
        let mounts = self.mounts.as_ref().context("nothing is mounted")?;
        for change in &self.plan.settings.changes {
            apply::change(change, mounts)
                .with_context(|| format!("cannot write `{}` of the host", change.path()))?;
        }
        let kept = match self.plan.keeps_var() {
            true => kept::machine_id(&mounts.var()),
            false => Ok(None),
        };
        match kept {
            Ok(Some(change)) => apply::change(&change, mounts)?,
            Ok(None) => (),
            // All else of the host is good, and an operator decides.
            Err(error) => self.log.say(&format!(
                "warning: {error:#}\nhint: `hostd` may take its state for a copy, and then says what to do"
            )),
        }
        apply::units(&self.plan.settings.units, mounts)
    }

    /// What the disk has, and not what memory has of it.
    fn check_root(&mut self) -> Result<()> {
        let mounts = self.mounts.as_mut().context("nothing is mounted")?;
        mounts.reread_root()?;
        let root = mounts.root().to_owned();
        let commit = &self.plan.image.commit;
        let sysroot = HostSysroot::look(&root)?;
        if sysroot.link(Slot::A)?.is_none_or(|deployment| deployment.commit != *commit) {
            bail!("the link of slot a does not lead to {commit} after it was read back");
        }
        if let Some(damage) = sysroot.repo()?.damage(commit)? {
            bail!(
                "what was written does not read back: {damage}\nhint: the disk or its controller \
                 fails, see `journalctl -k`"
            );
        }
        Ok(())
    }

    fn make_esp(&mut self) -> Result<()> {
        let image = &self.plan.image;
        let first = FirstEntry {
            title: image.title.clone(),
            arguments: image.arguments.clone(),
            own: self.plan.arguments.clone(),
        };
        let deployed = self.deployed.as_ref().context("nothing is deployed")?;
        let files = EspFiles::gather(deployed, &first)?;
        let (disk, plan, esp) = self.esp_place()?;
        let (id, ..) = Uuid::new_v4().as_fields();
        let volume = Volume { extent: esp.extent, sector: plan.sector_size()?, id };
        let but_the_loader = files.iter().filter(|file| !EspFiles::is_fallback(file));
        basalt_disk::make(disk, &volume, &but_the_loader.collect::<Vec<_>>())?;
        disk.sync_all().context("cannot make the EFI partition safe")?;
        self.esp = Some(files);
        Ok(())
    }

    fn check_esp(&self) -> Result<()> {
        let (disk, _, esp) = self.esp_place()?;
        for file in self.esp_files()?.filter(|file| !EspFiles::is_fallback(file)) {
            basalt_disk::check_file(disk, esp.extent, file)?;
        }
        Ok(())
    }

    fn loader(&self) -> Result<()> {
        let (disk, _, esp) = self.esp_place()?;
        for file in self.esp_files()?.filter(|file| EspFiles::is_fallback(file)) {
            basalt_disk::put(disk, esp.extent, file)?;
            disk.sync_all().context("cannot make the loader safe")?;
            basalt_disk::check_file(disk, esp.extent, file)?;
        }
        Ok(())
    }

    fn esp_files(&self) -> Result<impl Iterator<Item = &EspFile>> {
        Ok(self.esp.as_ref().context("the EFI partition has no files")?.iter())
    }

    fn esp_place(&self) -> Result<(&File, &DiskPlan, &PartPlan)> {
        let (disk, plan) = self.disks.iter().zip(&self.plan.disks).next().context("no disk")?;
        Ok((disk, plan, plan.part(&Role::Esp).context("the plan has no EFI partition")?))
    }

    fn mounts(&self) -> Result<&Mounts> {
        self.mounts.as_ref().context("nothing is mounted")
    }
}

fn pull_from(repository: &Path, image: &About, root: &Path) -> Result<()> {
    let repo = HostSysroot::init(root)?.repo()?;
    // All of it is made safe at once and read back, before anything boots.
    repo.without_fsync();
    repo.pull_local(&Repo::open(repository)?, &image.commit)?;
    Ok(repo.set_remote_ref(REMOTE, &image.branch, &image.commit)?)
}

/// Does it, and says now and then how much of so many bytes is on the root: libostree does not tell
/// how far it is between two repositories of one machine.
fn while_it_is_said(
    log: &mut Log,
    bytes: u64,
    root: &Path,
    work: impl FnOnce() -> Result<()> + Send,
) -> Result<()> {
    let used = || statvfs(root).map_or(0, |it| (it.f_blocks - it.f_bfree) * it.f_frsize);
    let (before, mut said) = (used(), Instant::now());
    thread::scope(|scope| {
        let working = scope.spawn(work);
        while !working.is_finished() {
            sleep(TICK);
            if said.elapsed() >= SAY {
                said = Instant::now();
                let there = used().saturating_sub(before) / 1_000_000;
                log.say(&format!("{there} of {} MB are there", bytes / 1_000_000));
            }
        }
        working.join().map_err(|_| anyhow!("the thread that brings it over panicked"))?
    })
}

/// Says now and then how far a download is.
fn told(log: &mut Log) -> impl Fn(Transfer) {
    let (log, said) = (RefCell::new(log), Cell::new(Instant::now()));
    move |Transfer { bytes, files: (files, of), .. }| {
        if said.get().elapsed() >= SAY {
            said.set(Instant::now());
            let mb = bytes / 1_000_000;
            log.borrow_mut().say(&format!("{files} of {of} files came, {mb} MB"));
        }
    }
}

/// What the kernel calls a device.
fn device(name: &str) -> PathBuf {
    Path::new("/dev").join(name)
}
