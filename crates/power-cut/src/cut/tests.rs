use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;

use super::*;
use crate::SECTOR;
use crate::disk::{BASE, Disk};
use crate::fat::Fat;
use crate::fat::tests::{empty, put, tool};
use crate::flushes::{Flushes, Taken, flushes};
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

/// Everything that the log has, without turns for its flushes.
fn all_of<'a>(log: &'a Log, parts: &'a Parts) -> Chances<'a> {
    Chances { log, parts, begin: 0, last: log.entries.len(), syncs: &[], flushes: &[] }
}

/// Each cut of many, as sectors that are there, and the moment.
fn cuts(
    sectors: &[u64],
    syncs: &[Sync],
    make: impl Fn(&Chances<'_>, &mut Rng) -> io::Result<Cut>,
) -> Vec<(Vec<u64>, usize)> {
    with(sectors, |log, parts| {
        let chances = Chances { syncs, ..all_of(log, parts) };
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
        chances.by_syncs(rng, at, chances.syncs, None)
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

#[test]
fn as_many_states_as_there_are_flushes_take_each_of_them_alone() {
    // The first flush was before the update; nothing lies between the third and the fourth.
    let sectors = [1, 0, 2, 102, 0, 3, 0, 0, 4];
    with(&sectors, |log, parts| {
        let flushes = flushes(log, (2, sectors.len()));
        assert_eq!(flushes, [4, 6, 7]);
        let chances = Chances { begin: 2, flushes: &flushes, ..all_of(log, parts) };
        let taken = |states| {
            let mut taken = Taken::none(&flushes);
            let cut = |number| chances.cut(&mut chances_of(1, number), number).unwrap();
            (0..states).for_each(|number| taken.add(&cut(number)));
            taken.count()
        };
        assert_eq!(taken(2), Flushes { all: 3, alone: 2, and_more: 0 });
        assert_eq!(taken(3), Flushes { all: 3, alone: 3, and_more: 0 });
        // Each again with more, every other time; of one there is no more.
        for seed in 0..100 {
            for (number, flush, next) in [(3, 4, 6), (5, 6, 7), (7, 7, 9)] {
                let Cut { whole, beyond, at } =
                    chances.cut(&mut chances_of(seed, number), number).unwrap();
                assert!(whole == flush && (flush..=next).contains(&at), "{whole}, {at}");
                assert_eq!(beyond.is_empty(), flush == 6, "{beyond:?}");
            }
        }
        let Flushes { alone, and_more, .. } = taken(9);
        assert!(alone == 3 && and_more == 2, "{alone}, {and_more}");
    });
}

#[test]
fn the_same_seed_makes_the_same_cuts_and_another_one_others() {
    let sectors = [1, 101, 0, 2, 102, 0, 3, 103, 203, 0, 4];
    with(&sectors, |log, parts| {
        let flushes = flushes(log, (0, sectors.len()));
        let chances = Chances { flushes: &flushes, ..all_of(log, parts) };
        let cut = |seed, number| chances.cut(&mut chances_of(seed, number), number).unwrap();
        let all = |seed| (0..100).map(|number| cut(seed, number)).collect::<Vec<_>>();
        assert_eq!(all(1), all(1));
        // The first ones are no chance.
        assert_eq!(all(1)[..3], all(2)[..3]);
        assert_ne!(all(1)[3..], all(2)[3..]);
    });
}

/// What was written to make `after` of `before`: each run of sectors at once.
fn written_between(before: &Path, after: &Path, path: &Path) -> Log {
    let [before, after] = [before, after].map(|path| fs::read(path).unwrap());
    let differ = |at: &usize| before[*at..at + SECTOR] != after[*at..at + SECTOR];
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for at in (0..before.len()).step_by(SECTOR).filter(differ) {
        match runs.last_mut() {
            Some((_, end)) if *end == at => *end += SECTOR,
            _ => runs.push((at, at + SECTOR)),
        }
    }
    let write = |(begin, end): &(usize, usize)| ((begin / SECTOR) as u64, &after[*begin..*end]);
    let writes: Vec<_> = runs.iter().map(|run| Some(write(run))).collect();
    Log::read(path, log_of(path, &writes)).unwrap()
}

/// An ESP, and another one with one more entry, of whose long name the beginning lies in another
/// sector than the end and the short name. Something else was there before.
fn with_a_name_over_two_sectors(folder: &Path, new: &str) -> [std::path::PathBuf; 2] {
    let after = empty(folder, 2);
    let entry = |name: &str| put(&after, &format!("loader/entries/{name}"), "entry\n");
    // Sixteen entries of FAT are a sector. The folder has two of its own, and each name three.
    (1..=4).for_each(|serial| entry(&format!("basalt-{serial}-a.conf")));
    ["X.TXT", "basalt-0-a+3.conf", "basalt-5-a.conf"].into_iter().for_each(entry);
    tool("mdel", &after).arg("::loader/entries/basalt-0-a+3.conf").run().unwrap();
    let before = folder.join("before");
    fs::copy(&after, &before).unwrap();
    put(&after, &format!("loader/entries/{new}"), "entry\n");
    [before, after]
}

#[test]
fn of_a_long_name_over_two_sectors_either_may_be_lost() {
    const NEW: &str = "basalt-9-b+3.conf";
    let folder = tempfile::tempdir().unwrap();
    let [before, after] = with_a_name_over_two_sectors(folder.path(), NEW);
    let log = written_between(&before, &after, &folder.path().join("log"));
    let writes = |at: usize| written(&log, at).unwrap().map(|(sector, _)| sector);
    // The tables have one sector each, and the file another.
    let both = (0..log.entries.len()).map(writes).find(|it| it.size_hint().0 == 2).unwrap();
    let sectors: Vec<u64> = both.collect();
    let base = File::open(&before).unwrap();
    let length = base.metadata().unwrap().len();
    let parts = Parts { esp: 0..length, root: length..length, var: length..length };
    let chances = all_of(&log, &parts);
    let mut disk = Disk::new(&base, &log).unwrap();
    let names = |disk: &Disk<'_>| {
        let all = Fat::open(disk, 0).unwrap().list("loader/entries").unwrap();
        let names: BTreeSet<String> = all.into_iter().map(|it| it.name).collect();
        names
    };
    let old = names(&disk);
    let mut found = BTreeSet::new();
    for number in 0..300 {
        let Cut { whole, beyond, .. } = chances.cut(&mut chances_of(1, number), number).unwrap();
        let whole = (0..whole).flat_map(|at| written(&log, at).unwrap());
        let was = disk.apply(&whole.chain(beyond).collect::<Vec<_>>()).unwrap();
        let lost = sectors.iter().map(|sector| disk.source(*sector).unwrap() == BASE);
        let new: Vec<String> = names(&disk).difference(&old).cloned().collect();
        found.insert((lost.collect::<Vec<_>>(), new.concat()));
        disk.undo(was).unwrap();
    }
    // Where its beginning is lost, the short name is left; where its end is, there is none.
    let [none, both, first, second] =
        [[true, true], [false, false], [true, false], [false, true]].map(Vec::from);
    let short = found.iter().find(|(lost, _)| *lost == first).map(|(_, name)| name.clone());
    let short = short.unwrap();
    assert!(short.starts_with("BASA") && short.ends_with(".CON"), "{short}");
    let expected = [(none, ""), (both, NEW), (first, &short), (second, "")];
    let expected = expected.map(|(lost, name)| (lost, name.to_owned()));
    assert_eq!(found, BTreeSet::from(expected));
}
