//! Many power cuts, each looked at.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde::Serialize;

use crate::check::{Boots, Check};
use crate::cut::{Chances, Cut, chances_of};
use crate::disk::Disk;
use crate::flushes::{Flushes, Taken, flushes};
use crate::fsck::Fsck;
use crate::log::Log;
use crate::parts::{Parts, parts};
use crate::syncs::{Awaited, Sync, syncs};
use crate::{Problem, Recording, doing};

/// An update whose power cuts can be looked at.
pub struct Torture {
    recording: Recording,
    base: File,
    log: Log,
    parts: Parts,
    check: Check,
    /// Entries of the log: its first, the one behind its last, the first after it was done.
    begin: usize,
    last: usize,
    end: usize,
    syncs: Vec<Sync>,
    flushes: Vec<usize>,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// Power cuts that were looked at.
    pub states: u64,
    /// Different disks that they left, each of which was looked at once.
    pub distinct: u64,
    /// The flushes that they were taken of.
    pub flushes: Flushes,
    /// Disks that boot what ran before.
    pub old: u64,
    /// Disks that boot what was installed.
    pub new: u64,
    /// What each of them boots.
    #[serde(skip)]
    pub boots: Vec<(u64, Boots)>,
    /// Those that do not boot what they should.
    pub findings: Vec<Finding>,
    /// Milliseconds that one disk took on one processor.
    pub state_ms: f64,
}

/// A power cut that the host does not survive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its number.
    pub state: u64,
    /// What is wrong.
    pub what: String,
}

/// Cuts that leave the same disk: one of them, and the number of each with the entry before which
/// its power went.
type Alike = (Cut, Vec<(u64, usize)>);
/// The number of a cut, and what came of it.
type Outcome = (u64, Result<Boots, String>);

impl Torture {
    /// Reads a recording, and finds what an update waits for in it.
    ///
    /// # Errors
    /// It cannot be read, or what it says is not on its disk.
    pub fn of(recording: &Recording) -> Result<Self, Problem> {
        let base = File::open(&recording.base).map_err(doing("open", &recording.base))?;
        let log = Log::read(&recording.log, recording.last)?;
        let [begin, end, last] =
            [recording.begin, recording.end, recording.last].map(|at| log.entry_at(at));
        let failed = |error| doing("read", &recording.base)(error);
        let mut disk = Disk::new(&base, &log).map_err(failed)?;
        let parts = parts(&disk).map_err(failed)?;
        let mut check = Check::new(parts.clone(), &recording.from.commit, &recording.to.commit);
        let mut done = Disk::new(&base, &log).map_err(failed)?;
        done.advance(last).map_err(failed)?;
        disk.advance(begin).map_err(failed)?;
        check.learn(&disk).map_err(failed)?;
        check.learn(&done).map_err(failed)?;
        let unexpected = |when, found| Problem::Recording(format!("{when} it boots {found:?}"));
        let before = check.boots(&disk);
        if before != Ok(Boots::Old) {
            return Err(unexpected("before the update", before));
        }
        let after = check.boots(&done);
        if after != Ok(Boots::New) {
            return Err(unexpected("after the update", after));
        }
        drop(done);
        let idle = check.chosen(&disk).map_err(Problem::Recording)?.slot.other();
        let syncs = syncs(&log, &mut disk, (begin, last), &mut check, idle).map_err(failed)?;
        drop(disk);
        let (recording, flushes) = (recording.clone(), flushes(&log, (begin, last)));
        Ok(Self { recording, base, log, parts, check, begin, last, end, syncs, flushes })
    }

    /// The syncs that were found, in the order in which they ended.
    pub fn awaited(&self) -> impl Iterator<Item = Awaited> {
        self.syncs.iter().map(|sync| sync.awaited)
    }

    /// How many flushes the update has.
    #[must_use]
    pub fn flush_count(&self) -> u64 {
        Taken::none(&self.flushes).count().all
    }

    /// Which flushes the power cuts of these numbers are of. Looks at none of them.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn flushes(&self, seed: u64, numbers: Range<u64>) -> Result<Flushes, Problem> {
        let mut taken = Taken::none(&self.flushes);
        for number in numbers {
            taken.add(&self.cut(seed, number, &chosen)?);
        }
        Ok(taken.count())
    }

    /// Looks at the power cuts of these numbers. The first ones are of each flush in turn, so that
    /// as many as there are flushes have each.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn states(&self, seed: u64, numbers: Range<u64>) -> Result<Report, Problem> {
        let base = &self.recording.base;
        let fsck = || Fsck::new(base, &self.log, &self.parts).map(Some);
        self.report(seed, numbers, fsck, chosen)
    }

    /// Looks at as many that would be possible if a sync was left out.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn states_without(
        &self,
        without: Awaited,
        seed: u64,
        numbers: Range<u64>,
    ) -> Result<Report, Problem> {
        // What is wrong there is to be seen by what boots.
        self.report(seed, numbers, || Ok(None), |chances, rng, _| chances.cut_without(rng, without))
    }

    /// Writes the disk of one power cut to `disk`, raw; what boots there.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, seed: u64, number: u64, disk: &Path) -> Result<Boots, Problem> {
        let cut = self.cut(seed, number, &chosen)?;
        basalt_cmd::Cmd::new("cp")
            .arg("--sparse=always")
            .arg(&self.recording.base)
            .arg(disk)
            .run()?;
        let failed = |error| doing("write", disk)(error);
        let mut state = Disk::new(&self.base, &self.log).map_err(failed)?;
        let found = self.look(&mut state, &cut, &mut self.check.again(), None)?;
        let found = self.judged(found, cut.at);
        state.apply(&cut.beyond).map_err(failed)?;
        let file = File::options().write(true).open(disk).map_err(failed)?;
        state.write_differences(&file).map_err(failed)?;
        found.map_err(|what| Problem::Recording(format!("state {number} does not boot: {what}")))
    }

    fn report(
        &self,
        seed: u64,
        numbers: Range<u64>,
        fsck: impl Fn() -> Result<Option<Fsck>, Problem> + core::marker::Sync,
        choose: impl Fn(&Chances<'_>, &mut Rng, u64) -> io::Result<Cut>,
    ) -> Result<Report, Problem> {
        let (mut cuts, mut taken) = (Vec::new(), Taken::none(&self.flushes));
        for number in numbers {
            let cut = self.cut(seed, number, &choose)?;
            taken.add(&cut);
            cuts.push((number, cut));
        }
        let flushes = taken.count();
        let states = cuts.len() as u64;
        let mut cuts = alike(cuts);
        let distinct = cuts.len() as u64;
        // Disks only go forward.
        cuts.sort_by_key(|(cut, _)| cut.whole);
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let (mut all, mut took) = (Vec::new(), Duration::ZERO);
        thread::scope(|scope| {
            let share = |part: usize| cuts.iter().skip(part).step_by(workers);
            let fsck = &fsck;
            let threads: Vec<_> = (0..workers)
                .map(|part| scope.spawn(move || self.look_at(share(part), fsck()?)))
                .collect();
            for thread in threads {
                // One that panicked has said why.
                let (outcomes, time) = thread.join().map_err(|_| panicked())??;
                all.extend(outcomes);
                took += time;
            }
            Ok::<_, Problem>(())
        })?;
        let state_ms = took.as_secs_f64() * 1000.0 / distinct.max(1) as f64;
        Ok(Report { states, distinct, flushes, state_ms, ..tally(all) })
    }

    fn cut(
        &self,
        seed: u64,
        number: u64,
        choose: &impl Fn(&Chances<'_>, &mut Rng, u64) -> io::Result<Cut>,
    ) -> Result<Cut, Problem> {
        let (log, parts, begin) = (&self.log, &self.parts, self.begin);
        let (syncs, flushes) = (&self.syncs, &self.flushes);
        let chances = Chances { log, parts, begin, last: self.last, syncs, flushes };
        choose(&chances, &mut chances_of(seed, number), number)
            .map_err(doing("read", &self.recording.log))
    }

    fn look_at<'a>(
        &self,
        cuts: impl Iterator<Item = &'a Alike>,
        mut fsck: Option<Fsck>,
    ) -> Result<(Vec<Outcome>, Duration), Problem> {
        let began = Instant::now();
        let mut disk =
            Disk::new(&self.base, &self.log).map_err(doing("read", &self.recording.base))?;
        let mut check = self.check.again();
        let mut outcomes = Vec::new();
        for (cut, numbers) in cuts {
            let found = self.look(&mut disk, cut, &mut check, fsck.as_mut())?;
            let judged = |(number, at): &(u64, usize)| (*number, self.judged(found.clone(), *at));
            outcomes.extend(numbers.iter().map(judged));
        }
        Ok((outcomes, began.elapsed()))
    }

    /// Once the update was done, nothing but what it installed may boot.
    fn judged(&self, found: Result<Boots, String>, at: usize) -> Result<Boots, String> {
        match found {
            Ok(Boots::Old) if at >= self.end => {
                Err("the update was done, and the old one boots".to_owned())
            }
            found => found,
        }
    }

    /// What boots after a cut; leaves the disk as it was but for what is there whole.
    fn look(
        &self,
        disk: &mut Disk<'_>,
        cut: &Cut,
        check: &mut Check,
        fsck: Option<&mut Fsck>,
    ) -> Result<Result<Boots, String>, Problem> {
        let failed = |error| doing("read", &self.recording.base)(error);
        disk.advance(cut.whole).map_err(failed)?;
        let before = disk.apply(&cut.beyond).map_err(failed)?;
        let mut found = check.boots(disk);
        if let (Some(fsck), Ok(_)) = (fsck, &found)
            && let Err(what) = fsck.look(disk)?
        {
            found = Err(what);
        }
        disk.undo(before).map_err(failed)?;
        Ok(found)
    }
}

/// The cut of an update that leaves nothing out.
fn chosen(chances: &Chances<'_>, rng: &mut Rng, number: u64) -> io::Result<Cut> {
    chances.cut(rng, number)
}

/// Cuts by the disk that they leave.
fn alike(cuts: Vec<(u64, Cut)>) -> Vec<Alike> {
    let mut places = HashMap::new();
    let mut all: Vec<Alike> = Vec::new();
    for (number, cut) in cuts {
        let place = *places.entry((cut.whole, cut.beyond.clone())).or_insert(all.len());
        let at = cut.at;
        if place == all.len() {
            all.push((cut, Vec::new()));
        }
        all[place].1.push((number, at));
    }
    all
}

/// What came of them.
fn tally(mut outcomes: Vec<Outcome>) -> Report {
    outcomes.sort_by_key(|(number, _)| *number);
    let mut report = Report::default();
    for (state, outcome) in outcomes {
        report.boots.extend(outcome.as_ref().ok().map(|boots| (state, *boots)));
        match outcome {
            Ok(Boots::Old) => report.old += 1,
            Ok(Boots::New) => report.new += 1,
            Err(what) => report.findings.push(Finding { state, what }),
        }
    }
    report
}

fn panicked() -> Problem {
    Problem::Recording("a thread that looked at it panicked".to_owned())
}
