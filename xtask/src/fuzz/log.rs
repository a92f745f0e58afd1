//! What libFuzzer writes of a search. Pure.

use anyhow::{Context, Result, bail};

/// What came of a search that found nothing bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// Inputs that were tried.
    pub(super) inputs: u64,
    /// Places in the code that were reached by what was known before.
    pub(super) known: u64,
    /// Places in the code that were reached in the end.
    pub(super) reached: u64,
}

/// Reads a log.
///
/// # Errors
/// Nothing was searched, or the program counts nothing: then the search was blind.
pub(super) fn read(text: &str) -> Result<Found> {
    let counters = number_before(text, " inline 8-bit counters").unwrap_or(0);
    if counters == 0 {
        bail!("it was built without coverage");
    }
    let inputs =
        number_after(text, "stat::number_of_executed_units:").context("nothing was tried")?;
    let places = |line| number_after(line, " cov:");
    let reached = text.lines().rev().find_map(places).context("it reached nothing")?;
    let known = text.lines().find(|line| line.contains("\tINITED")).and_then(places);
    Ok(Found { inputs, known: known.unwrap_or(0), reached })
}

/// The file with the input that ended a search.
pub(super) fn bad_input(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.split_once("Test unit written to ")).map(|(_, path)| path)
}

fn number_after(text: &str, words: &str) -> Option<u64> {
    let (_, rest) = text.split_once(words)?;
    rest.split_whitespace().next()?.parse().ok()
}

fn number_before(text: &str, words: &str) -> Option<u64> {
    let (before, _) = text.split_once(words)?;
    before.rsplit(['(', ' ']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "INFO: Loaded 1 modules   (1234 inline 8-bit counters): 1234 [0x1, 0x2),\n\
        #2\tINITED cov: 40 ft: 41 corp: 1/1b exec/s: 0 rss: 30Mb\n\
        #99\tDONE   cov: 77 ft: 99 corp: 9/9b lim: 4 exec/s: 1 rss: 40Mb\n\
        stat::number_of_executed_units: 99\n";

    #[test]
    fn a_search_is_read_by_its_last_words() {
        assert_eq!(read(LOG).unwrap(), Found { inputs: 99, known: 40, reached: 77 });
    }

    #[test]
    fn a_blind_search_is_none() {
        let blind = LOG.replace("INFO: Loaded", "INFO:").replace("inline 8-bit", "no");
        assert_eq!(read(&blind).unwrap_err().to_string(), "it was built without coverage");
        assert!(read("test a::fuzz_b ... ok").is_err());
        let cut = LOG.replace("stat::number", "");
        assert_eq!(read(&cut).unwrap_err().to_string(), "nothing was tried");
    }

    #[test]
    fn the_file_of_a_bad_input_is_found() {
        let log = "==1== ERROR: libFuzzer: deadly signal\nartifact_prefix='/t/'; \
            Test unit written to /t/crash-0a\nBase64: eA==\n";
        assert_eq!(bad_input(log), Some("/t/crash-0a"));
        assert_eq!(bad_input(LOG), None);
    }
}
