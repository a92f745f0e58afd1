//! Power cuts, by chance: what of the log is on the disk then.
//!
//! A disk keeps each sector whole, and everything that was written before its last flush that
//! ended; of what came later any part may be there, in any order. That is one kind of cut. The
//! other is stricter with the update: there it cannot count on anybody's flush but its own syncs.
//! So the ESP has all of what came before the update's last sync of it and any part of what came
//! later, which the kernel may write at any time and in any order. The root and `/var`, whose
//! journals keep their order, are each as at any moment since the update's last sync of them.

use std::io;

use fastrand::Rng;

use crate::disk::{Source, written};
use crate::log::{Did, Log};
use crate::parts::{Parts, Volume};
use crate::syncs::{Awaited, Sync};

/// Writes that are longer are a file's content; shorter ones are folders, tables, entries.
const SHORT: u64 = 16;

/// What is on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Cut {
    /// The entries that are there whole.
    pub(crate) whole: usize,
    /// Sectors beyond these.
    pub(crate) beyond: Vec<Source>,
    /// The entry of the log before which the power went.
    pub(crate) at: usize,
}

/// What cuts are made of.
pub(crate) struct Chances<'a> {
    pub(crate) log: &'a Log,
    pub(crate) parts: &'a Parts,
    /// The entries among which the power goes.
    pub(crate) begin: usize,
    pub(crate) last: usize,
    pub(crate) syncs: &'a [Sync],
}

/// How far a file system is.
struct Moment {
    volume: Volume,
    /// What was written before is there.
    whole: usize,
    /// Of what was written from there up to here a part is.
    until: usize,
}

/// Which part of what may be there is there.
#[derive(Debug, Clone, Copy)]
enum Shape {
    All,
    Nothing,
    /// Each write by chance.
    Writes,
    /// Each sector by chance.
    Sectors,
    /// All but one write.
    WithoutOne,
    OnlyOne,
    /// Folders and tables without the content of files, and the other way round.
    Short,
    Long,
    /// Each sector of folders and tables by chance, and all content.
    SplitShort,
}

const SHAPES: [Shape; 9] = [
    Shape::All,
    Shape::Nothing,
    Shape::Writes,
    Shape::Sectors,
    Shape::WithoutOne,
    Shape::OnlyOne,
    Shape::Short,
    Shape::Long,
    Shape::SplitShort,
];

impl Chances<'_> {
    /// A cut anywhere in the update.
    pub(crate) fn cut(&self, rng: &mut Rng) -> io::Result<Cut> {
        if rng.bool() {
            return self.by_flushes(rng);
        }
        let at = self.moment(rng);
        self.by_syncs(rng, at, self.syncs)
    }

    /// One that shows what `without` is for, if anything: it was left out, and the power goes
    /// before the next sync of its file system.
    pub(crate) fn cut_without(&self, rng: &mut Rng, without: Awaited) -> io::Result<Cut> {
        let others: Vec<Sync> =
            self.syncs.iter().copied().filter(|sync| sync.awaited != without).collect();
        let begin = self.syncs.iter().find(|sync| sync.awaited == without);
        let begin = begin.map_or(self.begin, |sync| sync.flush);
        let same = |sync: &&Sync| sync.awaited.volume() == without.volume();
        let next = others.iter().filter(same).map(|sync| sync.flush).find(|at| *at > begin);
        let at = rng.usize(begin..=next.unwrap_or(self.last));
        // The last moment has most to lose.
        let at = if rng.bool() { at } else { next.unwrap_or(self.last) };
        self.by_syncs(rng, at, &others)
    }

    /// A moment, half of the time one at which the ESP is written.
    fn moment(&self, rng: &mut Rng) -> usize {
        let all = self.begin..=self.last;
        if rng.bool() {
            return rng.usize(all);
        }
        let on_esp = |at: &usize| self.parts.of(self.log.entries[*at].did) == Some(Volume::Esp);
        let writes: Vec<usize> = (self.begin..self.last).filter(on_esp).collect();
        rng.choice(&writes).map_or(self.last, |at| at + 1)
    }

    /// Everybody's flushes count.
    fn by_flushes(&self, rng: &mut Rng) -> io::Result<Cut> {
        let at = self.moment(rng);
        let whole = self.flush_before(at);
        let (mut beyond, shape) = (Vec::new(), shape(rng));
        self.some(rng, shape, (whole..at).collect(), &mut beyond)?;
        Ok(Cut { whole, beyond, at })
    }

    /// Only these syncs count.
    fn by_syncs(&self, rng: &mut Rng, at: usize, syncs: &[Sync]) -> io::Result<Cut> {
        let volumes = Volume::ALL.map(|volume| self.of_volume(rng, at, syncs, volume));
        let of = |number: usize| {
            let volume = self.parts.of(self.log.entries[number].did);
            volumes.iter().find(|it| Some(it.volume) == volume)
        };
        let wholes = volumes.iter().map(|it| it.whole);
        let whole = wholes.clone().min().unwrap_or(self.begin);
        let mut beyond = Vec::new();
        for number in whole..wholes.max().unwrap_or(whole) {
            if of(number).is_some_and(|it| number < it.whole) {
                beyond.extend(written(self.log, number)?);
            }
        }
        for it in &volumes {
            let is_own = |number: &usize| of(*number).is_some_and(|of| of.volume == it.volume);
            let numbers = (it.whole..it.until).filter(is_own).collect();
            let shape = shape(rng);
            self.some(rng, shape, numbers, &mut beyond)?;
        }
        Ok(Cut { whole, beyond, at })
    }

    fn of_volume(&self, rng: &mut Rng, at: usize, syncs: &[Sync], volume: Volume) -> Moment {
        let own = syncs.iter().filter(|sync| sync.awaited.volume() == volume);
        let own = own.map(|sync| sync.flush).filter(|flush| *flush < at);
        let synced = own.max().unwrap_or(self.begin);
        if volume == Volume::Esp {
            return Moment { volume, whole: synced, until: at };
        }
        // Within it its own flushes count, by which a journal keeps its order.
        let until = rng.usize(synced..=at);
        Moment { volume, whole: self.flush_before(until).max(synced), until }
    }

    /// The entries that a flush before this one made durable.
    fn flush_before(&self, at: usize) -> usize {
        self.log.entries[..at].iter().rposition(|entry| entry.is_flush()).unwrap_or(0)
    }

    /// Adds a part of what these entries wrote. Where a sector was written more than once, any of
    /// its contents may stay.
    fn some(
        &self,
        rng: &mut Rng,
        shape: Shape,
        numbers: Vec<usize>,
        beyond: &mut Vec<Source>,
    ) -> io::Result<()> {
        let writes = |number: &usize| !self.log.entries[*number].is_flush();
        let numbers: Vec<usize> = numbers.into_iter().filter(writes).collect();
        let Some(one) = rng.choice(&numbers).copied() else { return Ok(()) };
        for number in numbers {
            let is_short = matches!(
                self.log.entries[number].did, Did::Write { count, .. } if count <= SHORT
            );
            let each = |rng: &mut Rng, sources: &mut dyn Iterator<Item = Source>| {
                sources.filter(|_| rng.bool()).collect::<Vec<_>>()
            };
            let is_there = match shape {
                Shape::All => true,
                Shape::Nothing => false,
                Shape::Writes => rng.bool(),
                Shape::WithoutOne => number != one,
                Shape::OnlyOne => number == one,
                Shape::Short => is_short,
                Shape::Long => !is_short,
                Shape::SplitShort if !is_short => true,
                Shape::SplitShort | Shape::Sectors => {
                    beyond.extend(each(rng, &mut written(self.log, number)?));
                    continue;
                }
            };
            if is_there {
                beyond.extend(written(self.log, number)?);
            }
        }
        Ok(())
    }
}

fn shape(rng: &mut Rng) -> Shape {
    SHAPES[rng.usize(..SHAPES.len())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SECTOR;
    use crate::log::tests::log_of;

    /// Where each file system begins, in sectors.
    const ESP: u64 = 0;
    const ROOT: u64 = 100;
    const VAR: u64 = 200;

    /// Writes to these sectors, one each; 0 is a flush.
    fn with<T>(sectors: &[u64], look: impl FnOnce(&Log, &Parts) -> T) -> T {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let bytes = [1; SECTOR];
        let entry = |sector: &u64| Some((*sector, bytes.as_slice())).filter(|it| it.0 > 0);
        let last = log_of(&path, &sectors.iter().map(entry).collect::<Vec<_>>());
        let range = |begin: u64| begin * SECTOR as u64..(begin + 100) * SECTOR as u64;
        let parts = Parts { esp: range(ESP), root: range(ROOT), var: range(VAR) };
        look(&Log::read(&path, last).unwrap(), &parts)
    }

    /// Each cut of many, as sectors that are there, and the moment.
    fn cuts(
        sectors: &[u64],
        syncs: &[Sync],
        make: impl Fn(&Chances<'_>, &mut Rng) -> io::Result<Cut>,
    ) -> Vec<(Vec<u64>, usize)> {
        with(sectors, |log, parts| {
            let chances = Chances { log, parts, begin: 0, last: sectors.len(), syncs };
            let all = (0..2000).map(|seed| {
                let cut = make(&chances, &mut Rng::with_seed(seed)).unwrap();
                let there = sectors[..cut.whole].iter().copied().filter(|sector| *sector > 0);
                let beyond = cut.beyond.iter().map(|(sector, _)| *sector);
                (there.chain(beyond).collect(), cut.at)
            });
            all.collect()
        })
    }

    #[test]
    fn what_was_flushed_is_there_and_of_what_came_later_any_part() {
        let by_flushes = |chances: &Chances<'_>, rng: &mut Rng| chances.by_flushes(rng);
        let found = cuts(&[1, 101, 0, 2, 102, 0, 3], &[], by_flushes);
        for (there, at) in &found {
            let has = |sector| there.contains(&sector);
            assert!(*at < 3 || has(1) && has(101), "{there:?} at {at}");
            assert!(*at < 6 || has(2) && has(102), "{there:?} at {at}");
            assert!(*at > 5 || !has(3), "{there:?} at {at}");
            assert!(*at > 2 || !has(2), "{there:?} at {at}");
        }
        for some in [&[1, 101, 2][..], &[1, 101, 102], &[1, 101], &[101], &[1]] {
            assert!(found.iter().any(|(there, _)| there == some), "never {some:?}");
        }
    }

    #[test]
    fn a_sync_counts_for_its_own_file_system_alone() {
        let sync = |awaited, flush| Sync { awaited, flush };
        // The first flush is the ESP's sync, the second the root's.
        let sectors = [1, 101, 201, 0, 2, 102, 0, 3];
        let syncs = [sync(Awaited::EntriesGone, 3), sync(Awaited::Deployed, 6)];
        let by_syncs = |chances: &Chances<'_>, rng: &mut Rng| {
            let at = rng.usize(7..=8);
            chances.by_syncs(rng, at, chances.syncs)
        };
        let found = cuts(&sectors, &syncs, by_syncs);
        for (there, _) in &found {
            let has = |sector| there.contains(&sector);
            assert!(has(1) && has(101) && has(102), "{there:?}");
        }
        let some = |look: fn(&[u64]) -> bool| found.iter().any(|(there, _)| look(there));
        assert!(some(|it| !it.contains(&2) && it.contains(&3)), "the ESP waits for its own sync");
        assert!(some(|it| !it.contains(&201)), "/var has none of its own");
    }

    #[test]
    fn without_a_sync_what_it_waited_for_may_be_missing() {
        let sync = |awaited, flush| Sync { awaited, flush };
        let sectors = [101, 0, 2, 0, 3];
        let syncs = [sync(Awaited::Deployed, 1), sync(Awaited::BootFiles, 3)];
        for (awaited, sector) in [(Awaited::Deployed, 101), (Awaited::BootFiles, 2)] {
            let found = cuts(&sectors, &syncs, |chances, rng| chances.cut_without(rng, awaited));
            let lost = found.iter().filter(|(there, at)| *at > 3 && !there.contains(&sector));
            assert!(lost.count() > 0, "{awaited}");
        }
    }
}
