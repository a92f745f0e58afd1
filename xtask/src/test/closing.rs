//! Reads what test runners close with: how many tests ran, and whether any did not.

use anyhow::{Result, bail};

/// The closing line of one test run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Closing {
    /// The line, as it was printed.
    pub(super) line: String,
    ran: u64,
    skipped: u64,
}

/// The closing lines among `lines`: nextest's `Summary […] 9 tests run: 9 passed, 0 skipped` and
/// libtest's `test result: ok. 9 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out`. Pure.
pub(super) fn closings(lines: &[String]) -> Vec<Closing> {
    lines.iter().filter_map(|line| closing(line.trim())).collect()
}

fn closing(line: &str) -> Option<Closing> {
    let is_nextest = line.starts_with("Summary [") && line.contains("run:");
    if !is_nextest && !line.starts_with("test result:") {
        return None;
    }
    let ran = number_before(line, if is_nextest { "test" } else { "passed" });
    let skipped = ["skipped", "ignored", "filtered"].map(|word| number_before(line, word));
    Some(Closing { line: line.to_owned(), ran, skipped: skipped.iter().sum() })
}

/// The number in front of the first word that begins with `word`; 0 when there is none.
fn number_before(line: &str, word: &str) -> u64 {
    let words: Vec<&str> = line.split_whitespace().collect();
    let pair = words.windows(2).find(|pair| pair[1].starts_with(word));
    pair.and_then(|pair| pair[0].split('/').next_back()?.parse().ok()).unwrap_or(0)
}

/// Fails when a test was skipped, or none ran at all.
pub(super) fn all_ran(closings: &[Closing]) -> Result<()> {
    if let Some(closing) = closings.iter().find(|closing| closing.skipped > 0) {
        bail!("{} tests did not run: {}", closing.skipped, closing.line);
    }
    if closings.iter().all(|closing| closing.ran == 0) {
        bail!("no test ran");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(output: &str, expected: Result<u64, &str>) {
        let lines: Vec<String> = output.lines().map(str::to_owned).collect();
        let closings = closings(&lines);
        let ran: u64 = closings.iter().map(|closing| closing.ran).sum();
        let result = all_ran(&closings).map(|()| ran).map_err(|error| error.to_string());
        match expected {
            Ok(count) => assert_eq!(result, Ok(count)),
            Err(part) => {
                assert!(result.is_err_and(|error| error.contains(part)), "not `{part}`");
            }
        }
    }

    #[test]
    fn a_run_of_nextest_that_skipped_nothing_passes() {
        check("PASS x\n     Summary [   0.139s] 9 tests run: 9 passed, 0 skipped", Ok(9));
        check("     Summary [   0.139s] 1 test run: 1 passed (1 slow), 0 skipped", Ok(1));
    }

    #[test]
    fn a_test_that_nextest_skipped_is_a_failure() {
        check("Summary [ 1s] 9 tests run: 9 passed, 2 skipped", Err("2 tests did not run"));
    }

    #[test]
    fn an_ignored_test_is_a_failure_in_whichever_binary() {
        let first = "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out";
        let second = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out";
        check(first, Ok(3));
        check(&format!("{first}\n{second}"), Err("1 tests did not run"));
    }

    #[test]
    fn a_filtered_test_is_a_failure() {
        let line = "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 4 filtered out";
        check(line, Err("4 tests did not run"));
    }

    #[test]
    fn runs_without_any_test_are_a_failure() {
        let line = "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out";
        check(line, Err("no test ran"));
        check("nothing", Err("no test ran"));
    }

    #[test]
    fn what_a_test_prints_is_no_closing_line() {
        check("  the Summary is late\nSummary [1s] 2 tests run: 2 passed, 0 skipped", Ok(2));
    }
}
