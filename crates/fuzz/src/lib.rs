//! Fuzz targets: a test named `fuzz_…` beside each parser of foreign bytes calls [`run`].
//!
//! As an ordinary test it tries its seeds, every beginning of them, and a few hundred changes, the
//! same ones each time. `cargo xtask test` also builds these tests with coverage (feature `guided`)
//! and lets libFuzzer search for inputs; one that it finds is added to the seeds.

#[cfg(feature = "guided")]
mod guided;
mod plain;

/// What is fuzzed: must neither panic nor run for long, whatever the bytes.
pub type Target = fn(&[u8]);

/// Bytes of an input at most; no parser of ours needs more to show what it does.
pub const MAX_BYTES: usize = 16 << 10;

/// Tries a target. The seeds are good inputs, and bad ones that were found once.
///
/// # Panics
/// The target does.
pub fn run(seeds: &[&[u8]], target: Target) {
    #[cfg(feature = "guided")]
    if let Some(search) = guided::Search::asked_for() {
        search.run(seeds, target);
    }
    plain::run(seeds, target);
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
