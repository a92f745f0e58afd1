//! What is done about the release that the set of the host names.
//!
//! It is brought over first, and installed and booted once the set says that the host may reboot.
//! What goes wrong may pass, so it is tried a few times; then it has failed until the endpoint asks
//! for another attempt. Whether a release is good, `hostd-os` says.

use std::time::Duration;

use basalt_api::rollout::{OsTarget, OsUpdate, OsUpdateState};

/// Pauses between tries. After the last of them it has failed.
const PAUSES_S: [u64; 4] = [10, 60, 120, 300];
/// How long a host may take to go down once it reboots into the release.
pub const GOES_DOWN: Duration = Duration::from_secs(900);

/// What is seen.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The release that the set names.
    pub target: Option<&'a OsTarget>,
    /// The version that runs.
    pub version: &'a str,
    /// Whether it has proved itself: before, nothing is done.
    pub is_blessed: bool,
    /// The time since the host booted.
    pub now: Duration,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing, until something changes.
    Rest,
    /// Nothing for so long, unless something changes.
    Wait(Duration),
    /// Bring it over.
    Fetch,
    /// Install it and reboot.
    Install,
}

/// How far it is with one attempt at one release.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Course {
    of: Option<(String, u32)>,
    state: State,
    failures: usize,
    retry_at: Option<Duration>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum State {
    #[default]
    New,
    Fetched,
    Failed(String),
    Pinned(String),
}

impl Course {
    /// What to do next.
    pub fn next(&mut self, seen: &Seen<'_>) -> Next {
        let Some(target) = seen.target.filter(|target| target.version != seen.version) else {
            *self = Self::default();
            return Next::Rest;
        };
        let of = (target.version.clone(), target.attempt);
        if self.of.as_ref() != Some(&of) {
            *self = Self { of: Some(of), ..Self::default() };
        }
        let wait = self.retry_at.and_then(|at| at.checked_sub(seen.now));
        match (&self.state, wait) {
            _ if !seen.is_blessed => Next::Rest,
            (State::Failed(_), _) => Next::Rest,
            (_, Some(wait)) if !wait.is_zero() => Next::Wait(wait),
            (State::New | State::Fetched, _) if target.reboot => Next::Install,
            (State::New | State::Pinned(_), _) => Next::Fetch,
            (State::Fetched, _) => Next::Rest,
        }
    }

    /// It is there.
    pub fn fetched(&mut self) {
        *self = Self { of: self.of.take(), state: State::Fetched, ..Self::default() };
    }

    /// It went wrong, for this reason.
    pub fn failed(&mut self, reason: String, now: Duration) {
        match PAUSES_S.get(self.failures) {
            Some(pause) => self.retry_at = Some(now + Duration::from_secs(*pause)),
            None => self.state = State::Failed(reason),
        }
        self.failures += 1;
    }

    /// It failed its trial here, for this reason: that does not pass.
    pub fn is_bad(&mut self, reason: String) {
        self.state = State::Failed(reason);
    }

    /// The host's operator wants no update, for this reason. That may change at any time.
    pub fn pinned(&mut self, reason: String, now: Duration) {
        self.state = State::Pinned(reason);
        self.retry_at = Some(now + Duration::from_secs(PAUSES_S[3]));
    }

    /// What the endpoint is told while nothing is done.
    #[must_use]
    pub fn report(&self) -> Option<OsUpdate> {
        let (state, reason) = match &self.state {
            // Between two tries.
            State::New if self.failures > 0 => (OsUpdateState::Fetching, None),
            State::New => return None,
            State::Fetched => (OsUpdateState::Fetched, None),
            State::Failed(reason) => (OsUpdateState::Failed, Some(reason.clone())),
            State::Pinned(reason) => (OsUpdateState::Pinned, Some(reason.clone())),
        };
        Some(OsUpdate { reason, ..self.doing(state)? })
    }

    /// What the endpoint is told while this is done.
    #[must_use]
    pub fn doing(&self, state: OsUpdateState) -> Option<OsUpdate> {
        let (version, attempt) = self.of.clone()?;
        Some(OsUpdate { version, attempt, state, percent: None, reason: None })
    }
}

/// Of a download, how many of a hundred parts are there, in steps of ten: each step is news.
#[must_use]
pub fn percent(bytes: u64, of_bytes: u64) -> Option<u8> {
    let tenths = bytes.min(of_bytes).saturating_mul(10).checked_div(of_bytes)?;
    u8::try_from(tenths * 10).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(attempt: u32, reboot: bool) -> OsTarget {
        OsTarget { version: "2".to_owned(), attempt, reboot }
    }

    fn next(course: &mut Course, target: Option<&OsTarget>, now: u64) -> Next {
        let now = Duration::from_secs(now);
        course.next(&Seen { target, version: "1", is_blessed: true, now })
    }

    #[test]
    fn a_release_is_brought_over_and_installed_only_once_the_host_may_reboot() {
        let mut course = Course::default();
        assert_eq!((next(&mut course, None, 0), course.report()), (Next::Rest, None));
        assert_eq!(next(&mut course, Some(&target(0, false)), 0), Next::Fetch);
        course.fetched();
        assert_eq!(next(&mut course, Some(&target(0, false)), 0), Next::Rest);
        assert_eq!(course.report().unwrap().state, OsUpdateState::Fetched);
        assert_eq!(next(&mut course, Some(&target(0, true)), 0), Next::Install);
        // A hostd that started anew knows of nothing, and need not.
        assert_eq!(next(&mut Course::default(), Some(&target(0, true)), 0), Next::Install);
        assert_eq!((next(&mut course, None, 0), course.report()), (Next::Rest, None));
    }

    #[test]
    fn nothing_is_done_on_trial_or_where_it_runs() {
        let target = target(0, true);
        let mut course = Course::default();
        let seen = |version, is_blessed| Seen {
            target: Some(&target),
            version,
            is_blessed,
            now: Duration::ZERO,
        };
        assert_eq!(course.next(&seen("1", false)), Next::Rest);
        assert_eq!(course.next(&seen("2", true)), Next::Rest);
        assert_eq!(course.report(), None);
    }

    #[test]
    fn what_goes_wrong_is_tried_again_a_few_times_and_then_has_failed() {
        let (mut course, mut now) = (Course::default(), 0);
        for pause in PAUSES_S {
            assert_eq!(next(&mut course, Some(&target(0, false)), now), Next::Fetch);
            course.failed("no route".to_owned(), Duration::from_secs(now));
            let waits = next(&mut course, Some(&target(0, false)), now);
            assert_eq!(waits, Next::Wait(Duration::from_secs(pause)));
            assert_eq!(course.report().unwrap().state, OsUpdateState::Fetching);
            now += pause;
        }
        assert_eq!(next(&mut course, Some(&target(0, false)), now), Next::Fetch);
        course.failed("no route".to_owned(), Duration::from_secs(now));
        assert_eq!(next(&mut course, Some(&target(0, true)), now + 9999), Next::Rest);
        let report = course.report().unwrap();
        assert_eq!(
            (report.state, report.reason.as_deref()),
            (OsUpdateState::Failed, Some("no route"))
        );
        // The endpoint wants another attempt.
        assert_eq!(next(&mut course, Some(&target(1, false)), now), Next::Fetch);
        course.fetched();
        assert_eq!(course.report().unwrap().attempt, 1);
    }

    #[test]
    fn what_failed_its_trial_is_not_tried_again() {
        let mut course = Course::default();
        assert_eq!(next(&mut course, Some(&target(0, true)), 0), Next::Install);
        course.is_bad("gate: x".to_owned());
        assert_eq!(next(&mut course, Some(&target(0, true)), 9999), Next::Rest);
        assert_eq!(course.report().unwrap().state, OsUpdateState::Failed);
        assert_eq!(next(&mut course, Some(&target(1, false)), 0), Next::Fetch);
    }

    #[test]
    fn a_pinned_host_says_so_and_looks_again() {
        let mut course = Course::default();
        assert_eq!(next(&mut course, Some(&target(0, true)), 0), Next::Install);
        course.pinned("an audit".to_owned(), Duration::ZERO);
        assert_eq!(
            next(&mut course, Some(&target(0, true)), 1),
            Next::Wait(Duration::from_secs(299))
        );
        assert_eq!(course.report().unwrap().state, OsUpdateState::Pinned);
        assert_eq!(next(&mut course, Some(&target(0, true)), 300), Next::Fetch);
    }

    #[test]
    fn a_download_is_told_in_tenths() {
        for (bytes, of, expected) in [
            (0, 0, None),
            (0, 100, Some(0)),
            (19, 100, Some(10)),
            (100, 100, Some(100)),
            (300, 100, Some(100)),
        ] {
            assert_eq!(percent(bytes, of), expected, "{bytes} of {of}");
        }
    }
}
