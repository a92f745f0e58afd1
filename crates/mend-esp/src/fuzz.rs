//! Whatever a partition holds, it is mended or left; the second time nothing is found; and nothing
//! that reads whole is lost, whenever the power goes.

mod made;
mod memory;
mod reader;

use basalt_fuzz::run;

use crate::{Found, Mended, look, mend};
use made::{changed, sound, torn};
use memory::Memory;
use reader::files;

/// Mends it, and looks whether all of that is so.
fn check(memory: &Memory, before: &[(String, Vec<u8>)], known: &[String]) -> Option<Mended> {
    let untouched = memory.all.borrow().clone();
    let found = match mend(memory) {
        Ok(found) => found,
        Err(error) => {
            assert!(!error.to_string().contains("settle"), "{error}");
            assert!(*memory.all.borrow() == untouched, "it was written to, and then: {error}");
            return None;
        }
    };
    let mended = match found {
        Found::Well => Mended::default(),
        Found::Left(left) => Mended { left, ..Mended::default() },
        Found::Torn(mended) => mended,
    };
    let again = match look(memory).unwrap() {
        Found::Well => Vec::new(),
        Found::Left(left) => left,
        Found::Torn(more) => panic!("{mended:?} was mended, and then {more:?}"),
    };
    assert_eq!(again, mended.left);
    let after = files(memory);
    let is_gone = |path: &str| {
        let mut gone = mended.gone.iter().chain(known);
        gone.any(|gone| {
            path.strip_prefix(gone.as_str()).is_some_and(|it| it.is_empty() || it.starts_with('/'))
        })
    };
    for file in before.iter().filter(|(path, _)| !is_gone(path)) {
        assert!(after.contains(file), "{} is lost: {mended:?}", file.0);
    }
    Some(mended)
}

/// And whenever its power goes.
fn check_with_cuts(all: &[u8]) {
    let memory = Memory::of(all.to_vec());
    let before = files(&memory);
    let Some(mended) = check(&memory, &before, &[]) else { return };
    let writes = usize::MAX - memory.left.get();
    for cut in 0..writes.min(12) {
        let memory = Memory::of(all.to_vec());
        memory.left.set(writes - 1 - cut);
        mend(&memory).unwrap_err();
        let memory = memory.cut(cut + all.len());
        assert!(check(&memory, &before, &mended.gone).is_some(), "it cannot be mended any more");
    }
}

#[test]
fn fuzz_torn_partition() {
    run(&[&torn(), &sound()], check_with_cuts);
}

#[test]
fn fuzz_changes_of_a_sound_partition() {
    let torn: [&[u8]; 4] = [
        // A folder and a file that the table does not know.
        &[0, 16, 0, 0, 0, 17, 0, 0],
        // A file that leads into another's, and a folder that leads into a kernel.
        &[0, 20, 7, 5, 0, 16, 7, 6],
        // The first table alone is broken, and a folder has grown.
        &[1, 5, 0, 0, 1, 6, 0, 0, 0, 3, 7, 29],
        // A size, and a name.
        &[3, 1, 92, 1, 3, 1, 64, 0x42],
    ];
    run(&torn, |changes| check_with_cuts(&changed(changes)));
}

#[test]
fn the_seed_is_torn() {
    let Found::Torn(mended) = mend(&Memory::of(torn())).unwrap() else { panic!("it is well") };
    assert_eq!(mended.gone, ["BASALT/FF34E6~1"]);
    assert_eq!(mended.freed, 512);
}

#[test]
fn the_sound_one_is_sound() {
    let memory = Memory::of(sound());
    assert_eq!(files(&memory).len(), made::FILES.len());
    assert_eq!(mend(&memory).unwrap(), Found::Well);
}
