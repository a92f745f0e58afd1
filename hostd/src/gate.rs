//! The gate: whether a release on trial may stay. `hostctl gate` fails when it may not, and
//! systemd then starts what leads back to the other release.

use std::path::Path;
use std::time::Duration;

use basalt_api::status::HostStatus;
use hostd_core::health;
use tokio::time::Instant;

use crate::client::{self, ClientError};

/// Time between two questions.
const INTERVAL: Duration = Duration::from_millis(500);
/// How long one answer may take; the last one, too, is given some time.
const ANSWER: Duration = Duration::from_secs(10);
const LAST_ANSWER: Duration = Duration::from_secs(2);

/// Reasons shown; with the line above them and the one below they are the lines that are kept of
/// why a trial failed (`what-failed`).
const SHOWN: usize = 7;

/// Waits until nothing is against this boot.
///
/// # Errors
/// What still was at the deadline, one a line.
pub async fn wait(socket: &Path, deadline: Duration) -> Result<HostStatus, Vec<String>> {
    let until = Instant::now() + deadline;
    let mut known = Vec::new();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let asked = client::status(socket, ANSWER.min(left.max(LAST_ANSWER))).await;
        let against = match asked {
            Ok(status) if health::against(&status).is_empty() => return Ok(status),
            Ok(status) => {
                known = health::against(&status).iter().map(ToString::to_string).collect();
                known.clone()
            }
            Err(error) => silent(&error, &known),
        };
        if left.is_zero() {
            return Err(shown(against));
        }
        tokio::time::sleep(INTERVAL.min(left)).await;
    }
}

/// What there is to say once hostd says nothing: that, and what it said before. Pure.
fn silent(error: &ClientError, known: &[String]) -> Vec<String> {
    let error = error.to_string();
    let mut against: Vec<String> = error.lines().take(1).map(str::to_owned).collect();
    if !known.is_empty() {
        against.push("what it said before:".to_owned());
        against.extend_from_slice(known);
    }
    against
}

/// Pure.
fn shown(mut against: Vec<String>) -> Vec<String> {
    let more = against.len().saturating_sub(SHOWN);
    if more > 0 {
        against.truncate(SHOWN);
        against.push(format!("and {more} more: hostctl status"));
    }
    against
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_reasons_the_first_are_shown_and_the_others_counted() {
        let reasons = |count: usize| (0..count).map(|it| it.to_string()).collect::<Vec<_>>();
        assert_eq!(shown(reasons(SHOWN)), reasons(SHOWN));
        let many = shown(reasons(10));
        assert_eq!(many.len(), SHOWN + 1);
        assert_eq!(many.last().unwrap(), "and 3 more: hostctl status");
    }

    #[test]
    fn what_hostd_said_is_not_forgotten_once_it_says_nothing() {
        let error = ClientError::Silent(LAST_ANSWER);
        let silent = |known: &[String]| super::silent(&error, known);
        assert_eq!(silent(&[]), ["hostd did not answer within 2 s"]);
        let known = ["web0: it is starting now".to_owned()];
        let expected = ["hostd did not answer within 2 s", "what it said before:", &known[0]];
        assert_eq!(silent(&known), expected);
    }
}
