//! Power cuts: what of the log is on the disk then. First each flush has its turn, and what is left
//! is by chance.
//!
//! A disk keeps each sector whole, and everything that was written before its last flush that
//! ended; of what came later any part may be there, in any order. That is one kind of cut. The
//! other is stricter with the update: there it cannot count on anybody's flush but its own syncs.
//! So the ESP has all of what came before the update's last sync of it and any part of what came
//! later, which the kernel may write at any time and in any order. The root and `/var`, whose
//! journals keep their order, are each as at any moment since the update's last sync of them.

use std::hash::{DefaultHasher, Hash, Hasher};
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
    /// The flushes among them, each of which has its turns.
    pub(crate) flushes: &'a [usize],
}

/// What a cut of some number is.
enum Turn {
    /// This flush, and nothing of what came later.
    Flush(usize),
    /// It, and a part of what came up to the next one.
    FlushAndMore(usize),
    Chance,
}

/// How far a file system is.
struct Moment {
    volume: Volume,
    /// What was written before is there.
    whole: usize,
    /// Of what was written from there up to here a part is.
    until: usize,
}

/// What was written before a sync that it should have waited for.
struct Early {
    volume: Volume,
    from: usize,
}

impl Early {
    fn has(&self, moment: &Moment, number: usize) -> bool {
        self.volume == moment.volume && number >= self.from
    }
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

/// The chances that the cut of this number takes: the same for the same seed.
pub(crate) fn chances_of(seed: u64, number: u64) -> Rng {
    let mut hasher = DefaultHasher::new();
    (seed, number).hash(&mut hasher);
    Rng::with_seed(hasher.finish())
}

impl Chances<'_> {
    /// The cut of this number, anywhere in the update.
    pub(crate) fn cut(&self, rng: &mut Rng, number: u64) -> io::Result<Cut> {
        match self.turn(number) {
            Turn::Flush(flush) => Ok(Cut { whole: flush, beyond: Vec::new(), at: flush + 1 }),
            Turn::FlushAndMore(flush) => self.flush_and_more(rng, flush),
            Turn::Chance => self.by_chance(rng),
        }
    }

    /// Each flush once, then each with more, every other time: a few hundred states already have
    /// some of each kind.
    fn turn(&self, number: u64) -> Turn {
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        if let Some(flush) = self.flushes.get(number) {
            return Turn::Flush(*flush);
        }
        let later = number - self.flushes.len();
        let flush = self.flushes.get(later / 2).filter(|_| later.is_multiple_of(2));
        flush.map_or(Turn::Chance, |flush| Turn::FlushAndMore(*flush))
    }

    fn flush_and_more(&self, rng: &mut Rng, flush: usize) -> io::Result<Cut> {
        let next = self.flushes.iter().find(|next| **next > flush);
        let next = *next.unwrap_or(&self.last);
        // At least one write, if there is any.
        let at = rng.usize((flush + 2).min(next)..=next);
        loop {
            let (mut beyond, shape) = (Vec::new(), shape(rng));
            self.some(rng, shape, (flush..at).collect(), &mut beyond)?;
            if !beyond.is_empty() || at <= flush + 1 {
                return Ok(Cut { whole: flush, beyond, at });
            }
        }
    }

    fn by_chance(&self, rng: &mut Rng) -> io::Result<Cut> {
        if rng.bool() {
            return self.by_flushes(rng);
        }
        let at = self.moment(rng);
        self.by_syncs(rng, at, self.syncs, None)
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
        // Most of all where what came too early is there, and something is not that it came after.
        let early = Early { volume: without.volume(), from: begin };
        let early = Some(early).filter(|_| rng.bool());
        self.by_syncs(rng, at, &others, early.as_ref())
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

    /// Only these syncs count. What came too early, if anything, is there.
    fn by_syncs(
        &self,
        rng: &mut Rng,
        at: usize,
        syncs: &[Sync],
        early: Option<&Early>,
    ) -> io::Result<Cut> {
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
            let numbers = (it.whole..it.until).filter(is_own);
            let is_early = |number: &usize| early.is_some_and(|early| early.has(it, *number));
            let (there, open) = numbers.partition(is_early);
            let shape = shape(rng);
            self.some(rng, shape, open, &mut beyond)?;
            self.some(rng, Shape::All, there, &mut beyond)?;
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
mod tests;
