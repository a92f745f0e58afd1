//! Fuzz targets: a test named `fuzz_…` beside each parser of foreign bytes calls [`run`].
//!
//! As an ordinary test it tries its seeds, what was found before (`corpus`), every beginning of
//! them, and a few hundred changes, the same ones each time. `cargo xtask fuzz` builds these tests
//! with coverage (feature `guided`) and lets libFuzzer search for inputs.

mod corpus;
#[cfg(feature = "guided")]
mod guided;
#[cfg(feature = "guided")]
mod pick;
mod plain;

use std::env;
use std::panic::Location;

/// What is fuzzed: must neither panic nor run for long, whatever the bytes.
pub type Target = fn(&[u8]);

/// Bytes of an input at most; no parser of ours needs more to show what it does.
pub const MAX_BYTES: usize = 16 << 10;

/// A file with the one input to try, as one that a search kept because it is bad.
const INPUT: &str = "BASALT_FUZZ_INPUT";

/// Tries a target. The seeds are good inputs, and bad ones that were found once.
///
/// # Panics
/// The target does, or a file of inputs cannot be read.
#[track_caller]
pub fn run(seeds: &[&[u8]], target: Target) {
    if let Some(path) = env::var_os(INPUT) {
        let input = std::fs::read(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        return target(&input);
    }
    let source = Location::caller().file();
    let mut inputs: Vec<Vec<u8>> = seeds.iter().map(|seed| seed.to_vec()).collect();
    inputs.extend(corpus::read(source));
    #[cfg(feature = "guided")]
    pick::if_asked_for(source, &inputs, target);
    #[cfg(feature = "guided")]
    guided::search_if_asked_for(&inputs, target);
    plain::run(&inputs, target);
}

/// The same for a target that takes text.
///
/// # Panics
/// The target does.
#[macro_export]
macro_rules! run_on_text {
    ($seeds:expr, |$text:ident| $body:expr) => {{
        let seeds: &[&str] = $seeds;
        let seeds: Vec<&[u8]> = seeds.iter().map(|seed| seed.as_bytes()).collect();
        $crate::run(&seeds, |bytes| {
            if let Ok($text) = std::str::from_utf8(bytes) {
                let _ = $body;
            }
        });
    }};
}
