//! Who is there. Presence is in memory; only what changes is stored.

use basalt_api::operator::HostState;

use crate::Seconds;
use crate::checkin::Frozen;

/// Nobody is lost so soon after a start: the silence was the endpoint's own.
pub const GRACE_S: Seconds = 300;

/// What is known of a host's presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// Whether it ever checked in.
    pub ever: bool,
    /// Why it gets no set, as of its last check-in.
    pub frozen: Option<Frozen>,
    /// When its lease ends; none where it was not heard since the endpoint started.
    pub lease_until: Option<Seconds>,
    /// When its certificate expires.
    pub certificate_until: Seconds,
}

/// How a host is, `now`, to an endpoint that started at `started`.
#[must_use]
pub fn state(heard: &Heard, started: Seconds, now: Seconds) -> HostState {
    if !heard.ever {
        return HostState::Unseen;
    }
    let until = heard.lease_until.unwrap_or(started).max(started + GRACE_S);
    if now < until {
        return if heard.frozen.is_some() { HostState::Ahead } else { HostState::Present };
    }
    if heard.certificate_until <= now { HostState::CertExpired } else { HostState::Lost }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn heard() -> Heard {
        Heard { ever: true, frozen: None, lease_until: Some(1000), certificate_until: 5000 }
    }

    #[test]
    fn a_host_is_lost_when_its_lease_is_over() {
        assert_eq!(state(&heard(), 0, 999), HostState::Present);
        assert_eq!(state(&heard(), 0, 1000), HostState::Lost);
    }

    #[test]
    fn a_silent_host_whose_certificate_expired_is_not_lost() {
        assert_eq!(state(&heard(), 0, 5000), HostState::CertExpired);
    }

    #[test]
    fn a_frozen_host_is_ahead_while_it_is_there() {
        let heard = Heard { frozen: Some(Frozen::Ahead), ..heard() };
        assert_eq!(state(&heard, 0, 999), HostState::Ahead);
        assert_eq!(state(&heard, 0, 1000), HostState::Lost);
    }

    #[test]
    fn one_that_never_came_is_not_lost() {
        let heard = Heard { ever: false, lease_until: None, ..heard() };
        assert_eq!(state(&heard, 0, 99_999), HostState::Unseen);
    }

    proptest! {
        #[test]
        fn nobody_is_lost_for_300_s_after_a_start(
            lease in proptest::option::of(0_i64..10_000),
            started in 0_i64..10_000,
            after in 0_i64..GRACE_S,
        ) {
            let heard = Heard { lease_until: lease, certificate_until: 0, ..heard() };
            prop_assert_eq!(state(&heard, started, started + after), HostState::Present);
        }
    }
}
