//! Picks what is worth keeping of what searches found: the smallest inputs that each reach a place
//! which neither the seeds, nor what was kept before, nor a smaller one reach; and all that were bad
//! once.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs, process};

use crate::guided::FOLDER;
use crate::{Target, corpus};

/// Where the picked inputs are written to, as the files of `corpus` are.
const PICKED: &str = "BASALT_FUZZ_PICKED";
/// Bytes of an input that may be kept.
const MAX_INPUT: u64 = 256;
/// Bytes of all inputs of a target that are kept.
const MAX_TOGETHER: usize = 4 << 10;
/// How the names of files begin that libFuzzer writes of bad inputs.
const BAD: [&str; 4] = ["crash-", "leak-", "oom-", "timeout-"];

/// Picks, and ends the process.
pub(crate) fn if_asked_for(source: &str, seeds: &[Vec<u8>], target: Target) {
    let (Some(into), Some(folder)) = (env::var_os(PICKED), env::var_os(FOLDER)) else { return };
    let (into, folder) = (PathBuf::from(into), PathBuf::from(folder));
    let found = files(&folder.join("corpus"), |_| true);
    let mut picked = new_places(seeds, found, target);
    picked.extend(files(&folder, |name| BAD.iter().any(|bad| name.starts_with(bad))));
    let lines: BTreeSet<String> =
        picked.iter().map(|input| format!("{}\n", input.escape_ascii())).collect();
    let path = into.join(corpus::name(source));
    let text: String = lines.into_iter().collect();
    fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    process::exit(0);
}

/// The small files of a folder whose names are wanted.
fn files(folder: &Path, is_wanted: fn(&str) -> bool) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_small = |entry: &fs::DirEntry| {
        let is_file = entry.metadata().is_ok_and(|it| it.is_file() && it.len() <= MAX_INPUT);
        is_file && is_wanted(&entry.file_name().to_string_lossy())
    };
    entries.filter(is_small).filter_map(|entry| fs::read(entry.path()).ok()).collect()
}

fn new_places(seeds: &[Vec<u8>], mut found: Vec<Vec<u8>>, target: Target) -> Vec<Vec<u8>> {
    let mut seen = BTreeSet::new();
    // Twice: what happens only the first time in a process is no place of this input.
    for seed in seeds.iter().chain(seeds).chain([&Vec::new()]) {
        seen.extend(places(seed, target));
    }
    found.sort_by(|one, other| (one.len(), one).cmp(&(other.len(), other)));
    let mut room = MAX_TOGETHER;
    found.retain(|input| {
        let before = seen.len();
        seen.extend(places(input, target));
        let is_new = seen.len() > before && input.len() <= room;
        room -= if is_new { input.len() } else { 0 };
        is_new
    });
    found
}

/// The places that an input reaches.
#[expect(unsafe_code, reason = "the counters are the compiler's, and the linker names them")]
fn places(input: &[u8], target: Target) -> Vec<usize> {
    unsafe extern "C" {
        /// SanitizerCoverage: one byte for each place, between these two.
        static mut __start___sancov_cntrs: u8;
        static mut __stop___sancov_cntrs: u8;
    }
    let (start, stop) = (&raw mut __start___sancov_cntrs, &raw mut __stop___sancov_cntrs);
    let count = stop as usize - start as usize;
    // SAFETY: the linker puts all counters between the two, and no other thread of ours runs.
    unsafe { start.write_bytes(0, count) };
    target(input);
    // SAFETY: as above; a byte has no wrong value.
    (0..count).filter(|&index| unsafe { start.add(index).read() } != 0).collect()
}
