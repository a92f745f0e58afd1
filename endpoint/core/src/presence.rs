//! Who is there. Presence is in memory; only what changes is stored.

use basalt_api::operator::HostState;

use crate::checkin::Frozen;
use crate::{Moment, Seconds, UpSeconds};

/// What is known of a host's presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// How it was when this run began.
    pub before: HostState,
    /// Why it gets no set, as of its last check-in.
    pub frozen: Option<Frozen>,
    /// When its lease ends; none where it was not heard since the endpoint started.
    pub lease_until: Option<UpSeconds>,
    /// When its certificate expires.
    pub certificate_until: Seconds,
}

/// How a host is, `now`, to an endpoint that loses nobody before `calm_until`.
#[must_use]
pub fn state(heard: &Heard, calm_until: UpSeconds, now: Moment) -> HostState {
    let is_silent = match heard.lease_until {
        // Nobody is lost, and nobody is found again, before it was heard.
        None if now.up < calm_until => return heard.before,
        None => true,
        Some(until) => now.up >= until.max(calm_until),
    };
    match heard.before {
        HostState::Unseen if heard.lease_until.is_none() => HostState::Unseen,
        _ if !is_silent && heard.frozen.is_some() => HostState::Ahead,
        _ if !is_silent => HostState::Present,
        _ if heard.certificate_until <= now.date => HostState::CertExpired,
        _ => HostState::Lost,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pace::Pace;

    /// By both clocks, which show the same.
    fn at(seconds: i64) -> Moment {
        Moment { date: seconds, up: seconds }
    }

    fn heard() -> Heard {
        let before = HostState::Present;
        Heard { before, frozen: None, lease_until: Some(1000), certificate_until: 5000 }
    }

    #[test]
    fn a_host_is_lost_when_its_lease_is_over() {
        assert_eq!(state(&heard(), 0, at(999)), HostState::Present);
        assert_eq!(state(&heard(), 0, at(1000)), HostState::Lost);
    }

    #[test]
    fn a_step_of_the_date_loses_nobody() {
        for date in [-1_000_000, 1_000_000] {
            let heard = Heard { certificate_until: i64::MAX, ..heard() };
            assert_eq!(state(&heard, 0, Moment { date, up: 999 }), HostState::Present);
        }
    }

    #[test]
    fn a_silent_host_whose_certificate_expired_is_not_lost() {
        assert_eq!(state(&heard(), 0, at(5000)), HostState::CertExpired);
    }

    #[test]
    fn a_frozen_host_is_ahead_while_it_is_there() {
        let heard = Heard { frozen: Some(Frozen::Ahead), ..heard() };
        assert_eq!(state(&heard, 0, at(999)), HostState::Ahead);
        assert_eq!(state(&heard, 0, at(1000)), HostState::Lost);
    }

    #[test]
    fn one_that_never_came_is_not_lost() {
        let heard = Heard { before: HostState::Unseen, lease_until: None, ..heard() };
        assert_eq!(state(&heard, 0, at(99_999)), HostState::Unseen);
        let heard = Heard { lease_until: Some(1000), ..heard };
        assert_eq!(state(&heard, 0, at(999)), HostState::Present);
    }

    #[test]
    fn one_that_was_lost_before_the_start_is_not_found_by_it() {
        let heard = Heard { before: HostState::Lost, lease_until: None, ..heard() };
        assert_eq!(state(&heard, 1300, at(1001)), HostState::Lost);
        assert_eq!(state(&heard, 1300, at(1300)), HostState::Lost);
    }

    proptest! {
        #[test]
        fn nobody_is_lost_for_300_s_after_a_start(
            lease in proptest::option::of(0_i64..10_000),
            started in 0_i64..10_000,
            after in 0_i64..300,
        ) {
            let heard = Heard { lease_until: lease, certificate_until: 0, ..heard() };
            let calm_until = Pace::CALM.calm_until(started);
            prop_assert_eq!(state(&heard, calm_until, at(started + after)), HostState::Present);
        }
    }
}
