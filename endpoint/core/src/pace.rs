//! How often hosts come: polls are paced by their number, and spread after a start.

use basalt_api::checkin::PATIENCE_S;
use basalt_api::id::HostId;

use crate::UpSeconds;

/// Check-ins in a second that the endpoint wants at most when nothing happens.
const PER_SECOND: u64 = 50;
/// Seconds that a poll is held at least.
const MIN_WAIT_S: u64 = 30;
/// Seconds that a poll is held at most.
const MAX_WAIT_S: u64 = 300;
/// Seconds that a host may be silent between two polls: a backoff of its own, a slow network.
const SLACK_S: u64 = 45;
/// First check-ins in a second that are taken after a start.
const FIRST_PER_SECOND: u64 = 100;
/// Nobody is lost so soon after a start: the silence was the endpoint's own.
const GRACE_S: u64 = 300;

/// How many times faster than it should the endpoint finds out who is silent: 1, but in tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// At least 1.
    pub times: u64,
}

impl Pace {
    /// As it should be.
    pub const CALM: Self = Self { times: 1 };

    /// How long polls are held, for so many hosts. `chance` of 0 to 1 spreads it by ±20 %.
    #[must_use]
    pub fn wait_s(self, hosts: usize, chance: f64) -> u64 {
        (wait_s(hosts, chance) / self.times.max(1)).max(1)
    }

    /// How long a host is taken for present after an answer.
    #[must_use]
    pub fn lease_s(self, wait_s: u64) -> u64 {
        wait_s + (PATIENCE_S + SLACK_S) / self.times.max(1)
    }

    /// Until when nobody is lost, of an endpoint that started at `started`.
    #[must_use]
    pub fn calm_until(self, started: UpSeconds) -> UpSeconds {
        started.saturating_add_unsigned(GRACE_S / self.times.max(1))
    }
}

fn wait_s(hosts: usize, chance: f64) -> u64 {
    let base = (hosts as u64 / PER_SECOND).clamp(MIN_WAIT_S, MAX_WAIT_S);
    let spread = base * 2 / 5;
    #[expect(clippy::cast_possible_truncation, reason = "at most 120")]
    #[expect(clippy::cast_sign_loss, reason = "chance is not negative")]
    let part = (spread as f64 * chance.clamp(0.0, 1.0)).round() as u64;
    base - spread / 2 + part
}

/// Seconds that a host shall wait with its first check-in since the endpoint started `up_s` ago;
/// none when it is its turn. Each host has a place of its own in the time that all need.
#[must_use]
pub fn too_early_s(host: HostId, hosts: usize, up_s: u64) -> Option<u64> {
    let window = hosts as u64 / FIRST_PER_SECOND;
    let turn = host.0.as_u128() % u128::from(window + 1);
    let turn = u64::try_from(turn).unwrap_or(window);
    turn.checked_sub(up_s).filter(|left| *left > 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn many_hosts_come_less_often() {
        assert_eq!([wait_s(1, 0.5), wait_s(3000, 0.5), wait_s(100_000, 0.5)], [30, 60, 300]);
        assert_eq!([wait_s(1, 0.0), wait_s(1, 1.0)], [24, 36]);
    }

    #[test]
    fn tests_are_as_much_faster_as_they_say() {
        let of = |times| {
            let pace = Pace { times };
            (pace.wait_s(1, 0.5), pace.lease_s(30), pace.calm_until(1000))
        };
        assert_eq!(of(1), (30, 85, 1300));
        assert_eq!(of(20), (1, 32, 1015));
        assert_eq!(of(1000), (1, 30, 1000));
    }

    #[test]
    fn few_hosts_are_never_sent_away() {
        for host in 0..200 {
            assert_eq!(too_early_s(HostId(Uuid::from_u128(host)), 99, 0), None);
        }
    }

    proptest! {
        #[test]
        fn everybodys_turn_comes_within_the_window(host: u128, hosts in 0_usize..100_000) {
            let host = HostId(Uuid::from_u128(host));
            let window = hosts as u64 / FIRST_PER_SECOND;
            prop_assert_eq!(too_early_s(host, hosts, window), None);
            if let Some(left) = too_early_s(host, hosts, 0) {
                prop_assert!(left <= window);
                prop_assert_eq!(too_early_s(host, hosts, left), None);
            }
        }

        #[test]
        fn a_lease_outlasts_the_poll_that_it_was_given_for(hosts in 0_usize..100_000, chance in 0.0..1.0) {
            let wait = Pace::CALM.wait_s(hosts, chance);
            let lease = Pace::CALM.lease_s(wait);
            prop_assert!((24..=360).contains(&wait) && lease > wait + PATIENCE_S);
        }
    }
}
