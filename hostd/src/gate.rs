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
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// Reasons shown; with the line above them and the one below they are the lines that are kept of
/// why a trial failed (`what-failed`).
const SHOWN: usize = 7;

/// Waits until nothing is against this boot.
///
/// # Errors
/// What still was at the deadline, one a line.
pub async fn wait(socket: &Path, deadline: Duration) -> Result<HostStatus, Vec<String>> {
    let until = Instant::now() + deadline;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let asked = client::status(socket, ANSWER.min(left.max(INTERVAL))).await;
        let against = match asked {
            Ok(status) if health::against(&status).is_empty() => return Ok(status),
            asked => against(asked),
        };
        if left.is_zero() {
            return Err(shown(against));
        }
        tokio::time::sleep(INTERVAL.min(left)).await;
    }
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

fn against(asked: Result<HostStatus, ClientError>) -> Vec<String> {
    match asked {
        Ok(status) => health::against(&status).iter().map(ToString::to_string).collect(),
        Err(error) => error.to_string().lines().take(1).map(str::to_owned).collect(),
    }
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
}
