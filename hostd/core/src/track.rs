//! What the loop remembers of each workload while `hostd` runs: what is being done, what failed,
//! when it is tried again. All of it may be lost; the next rounds find it out anew.

use std::collections::BTreeMap;
use std::time::Duration;

use basalt_api::id::WorkloadUid;
use basalt_api::report::Trouble;

use crate::instance::{Instance, InstanceState};
use crate::step::Step;

/// The first wait after a failure, and after a second end in a row.
const FIRST_WAIT: Duration = Duration::from_secs(10);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// What ran so long was healthy, and starts at once when it ends.
const HEALTHY: Duration = Duration::from_secs(600);

/// What the steps of a workload are for. A failure on the way to one says nothing about another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// It runs, made from what has this hash.
    Run(String),
    /// It is stopped and stays.
    Rest,
    /// It is gone.
    Leave,
}

/// What is remembered of one workload. Moments are times since boot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Track {
    /// The step that is being done.
    pub busy: Option<Step>,
    /// What the last steps were for, and so what failed.
    purpose: Option<Purpose>,
    /// What it was last made from or started as.
    ran_as: Option<String>,
    /// Why the last step failed, until one succeeds.
    pub error: Option<String>,
    /// What to expect of that failure.
    pub trouble: Option<Trouble>,
    /// Steps that failed in a row.
    pub failures: u32,
    /// Before this moment nothing is tried again after a failure.
    pub retry_at: Option<Duration>,
    /// How often it was started again after it ended by itself.
    pub restarts: u32,
    /// Before this moment what ended is not started again.
    pub restart_at: Option<Duration>,
    /// The wait before `restart_at`.
    pub restart_wait: Duration,
    /// Somebody asked for another run of what has finished.
    pub again: bool,
    /// Ends in a row without healthy time between them.
    ends: u32,
    /// The start that is under way follows an end.
    is_restart: bool,
    /// It was asked to end, so that its end is none of its own.
    was_stopped: bool,
    /// Since when it has been seen running.
    running_since: Option<Duration>,
    /// The last end that was counted, as the runtime dates it.
    counted_end: Option<i64>,
}

/// What happened to a workload's steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A step began.
    Began(Step),
    /// A step succeeded.
    Did(Step),
    /// A step failed, for this reason; those after it are not tried.
    Failed(Step, String, Trouble),
    /// The last step is over.
    Over,
}

/// All tracks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tracks {
    tracks: BTreeMap<WorkloadUid, Track>,
}

impl Tracks {
    /// The track of a workload; that of an unknown one is empty.
    #[must_use]
    pub fn of(&self, uid: WorkloadUid) -> Track {
        self.tracks.get(&uid).cloned().unwrap_or_default()
    }

    /// Whether anything is being done.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.tracks.values().any(|track| track.busy.is_some())
    }

    /// Those of which something is being done.
    pub fn busy(&self) -> impl Iterator<Item = WorkloadUid> {
        self.tracks.iter().filter(|(_, track)| track.busy.is_some()).map(|(uid, _)| *uid)
    }

    /// Notes what the steps that begin now are for.
    pub fn turn_to(&mut self, uid: WorkloadUid, purpose: Purpose) {
        self.tracks.entry(uid).or_default().turn_to(purpose);
    }

    /// Notes what happened to a workload's steps.
    pub fn progress(&mut self, uid: WorkloadUid, progress: Progress, now: Duration) {
        self.tracks.entry(uid).or_default().progress(progress, now);
    }

    /// Somebody asked for another run, or has changed the spec: what failed is tried at once. What
    /// is seen to run has the run that was asked for.
    pub fn ask_again(&mut self, uid: WorkloadUid) {
        let track = self.tracks.entry(uid).or_default();
        track.again = true;
        (track.retry_at, track.restart_at) = (None, None);
        (track.failures, track.ends) = (0, 0);
    }

    /// Notes how the instances are, and forgets what is neither there nor `wanted` nor busy.
    pub fn observe(&mut self, seen: &[&Instance], wanted: &[WorkloadUid], now: Duration) {
        for instance in seen {
            self.tracks.entry(instance.uid).or_default().observe(&instance.state, now);
        }
        let is_there = |uid: &WorkloadUid| seen.iter().any(|instance| instance.uid == *uid);
        self.tracks
            .retain(|uid, track| track.busy.is_some() || wanted.contains(uid) || is_there(uid));
    }

    /// The next moment at which something waits to be tried; none when nothing does.
    #[must_use]
    pub fn next_moment(&self, now: Duration) -> Option<Duration> {
        let moments = self.tracks.values().flat_map(|track| [track.retry_at, track.restart_at]);
        moments.flatten().filter(|moment| *moment > now).min()
    }
}

impl Track {
    /// What of it matters for `purpose`: not what failed on the way to another one.
    #[must_use]
    pub fn towards(mut self, purpose: &Purpose) -> Self {
        if !self.serves(purpose) {
            self.forget_failure();
        }
        self
    }

    /// Whether its last steps were for this.
    #[must_use]
    pub fn serves(&self, purpose: &Purpose) -> bool {
        self.purpose.as_ref().is_none_or(|last| last == purpose)
    }

    fn turn_to(&mut self, purpose: Purpose) {
        if !self.serves(&purpose) {
            self.forget_failure();
        }
        if let Purpose::Run(hash) = &purpose {
            if self.ran_as.as_ref().is_some_and(|before| before != hash) {
                // How often another spec's instance ended says nothing about this one's.
                (self.ends, self.restart_at) = (0, None);
            }
            self.ran_as = Some(hash.clone());
        }
        self.purpose = Some(purpose);
    }

    fn forget_failure(&mut self) {
        (self.error, self.trouble) = (None, None);
        (self.failures, self.retry_at) = (0, None);
    }

    fn progress(&mut self, progress: Progress, now: Duration) {
        match progress {
            Progress::Began(step) => {
                self.busy = Some(step);
                // Now, for what ends at once is seen to have ended before its start is told.
                let has_ended = self.counted_end.is_some() && !self.was_stopped;
                self.is_restart = step == Step::Start && has_ended && !self.again;
                self.was_stopped |= matches!(step, Step::Stop(_));
            }
            Progress::Did(step) => {
                match step {
                    Step::Start => self.started(),
                    Step::Resume => self.again = false,
                    _ => (),
                }
                (self.error, self.trouble, self.retry_at) = (None, None, None);
                // What comes before the step that fails succeeds every time.
                if !matches!(step, Step::Prepare | Step::Create) {
                    self.failures = 0;
                }
            }
            Progress::Failed(step, reason, trouble) => {
                self.was_stopped &= !matches!(step, Step::Stop(_));
                self.retry_at = Some(now + wait(self.failures));
                self.failures = self.failures.saturating_add(1);
                (self.error, self.trouble) = (Some(reason), Some(trouble));
            }
            Progress::Over => self.busy = None,
        }
    }

    fn started(&mut self) {
        self.restarts = self.restarts.saturating_add(u32::from(self.is_restart));
        (self.again, self.is_restart, self.was_stopped) = (false, false, false);
    }

    fn observe(&mut self, state: &InstanceState, now: Duration) {
        match state {
            InstanceState::Running { .. } => {
                self.again = false;
                let since = *self.running_since.get_or_insert(now);
                if now.saturating_sub(since) >= HEALTHY {
                    self.ends = 0;
                }
            }
            // One that stands still is let go on as one that ended is started: at once, then after
            // longer and longer waits.
            InstanceState::Ended { at, .. } | InstanceState::Paused { at, .. }
                if self.counted_end != Some(*at) =>
            {
                self.counted_end = Some(*at);
                self.running_since = None;
                if self.was_stopped {
                    return;
                }
                self.restart_wait =
                    if self.ends == 0 { Duration::ZERO } else { wait(self.ends - 1) };
                self.restart_at = Some(now + self.restart_wait);
                self.ends = self.ends.saturating_add(1);
            }
            InstanceState::Ended { .. }
            | InstanceState::Paused { .. }
            | InstanceState::Made
            | InstanceState::DataOnly
            | InstanceState::Stray { .. }
            | InstanceState::Unknown { .. }
            | InstanceState::Broken { .. } => (),
        }
    }
}

/// The wait after so many earlier ones in a row: 10, 20, 40 … 300 s.
fn wait(earlier: u32) -> Duration {
    FIRST_WAIT.saturating_mul(2_u32.saturating_pow(earlier.min(16))).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn ended(at: i64) -> InstanceState {
        InstanceState::Ended { code: Some(1), at, note: None }
    }

    /// Lets it end `runs.len()` times, after each run's seconds; the waits before the restarts.
    fn check(runs: &[u64], expected: &[u64]) {
        let (mut track, mut now, mut waits) = (Track::default(), 0, Vec::new());
        for (number, run) in runs.iter().enumerate() {
            track.observe(&InstanceState::Running { since: 0 }, seconds(now));
            now += run;
            track.observe(&InstanceState::Running { since: 0 }, seconds(now));
            track.observe(&ended(number as i64), seconds(now));
            waits.push(track.restart_at.unwrap().as_secs() - now);
            now = track.restart_at.unwrap().as_secs();
            track.progress(Progress::Began(Step::Start), seconds(now));
            track.progress(Progress::Did(Step::Start), seconds(now));
        }
        assert_eq!(waits, expected);
        assert_eq!(track.restarts as usize, runs.len());
    }

    #[test]
    fn it_restarts_at_once_then_after_10_20_up_to_300_seconds() {
        check(&[1; 9], &[0, 10, 20, 40, 80, 160, 300, 300, 300]);
    }

    #[test]
    fn ten_healthy_minutes_are_a_new_beginning() {
        check(&[1, 1, 1, 600, 1], &[0, 10, 20, 0, 10]);
        check(&[1, 1, 1, 599, 1], &[0, 10, 20, 40, 80]);
    }

    #[test]
    fn what_ends_before_its_start_is_told_was_not_started_again() {
        let mut track = Track::default();
        track.progress(Progress::Began(Step::Start), seconds(1));
        track.observe(&ended(7), seconds(2));
        track.progress(Progress::Did(Step::Start), seconds(2));
        assert_eq!((track.restarts, track.restart_at), (0, Some(seconds(2))));
    }

    #[test]
    fn an_end_that_somebody_asked_for_is_no_reason_to_wait_and_no_restart() {
        let mut track = Track::default();
        for at in 1..5_u32 {
            track.progress(Progress::Began(Step::Start), seconds(at.into()));
            track.progress(Progress::Did(Step::Start), seconds(at.into()));
            let stop = Step::Stop(Duration::ZERO);
            track.progress(Progress::Began(stop), seconds(at.into()));
            track.observe(&ended(at.into()), seconds(at.into()));
            track.progress(Progress::Did(stop), seconds(at.into()));
        }
        assert_eq!((track.restarts, track.restart_at), (0, None));
    }

    #[test]
    fn an_end_that_is_seen_twice_counts_once() {
        let mut track = Track::default();
        track.observe(&ended(7), seconds(1));
        track.observe(&ended(7), seconds(5));
        assert_eq!(track.restart_at, Some(seconds(1)));
    }

    #[test]
    fn failures_wait_longer_each_time_and_a_success_ends_it() {
        let mut track = Track::default();
        let (reason, trouble) = ("no such image".to_owned(), Trouble::Lasting);
        let fail = Progress::Failed(Step::Prepare, reason, trouble);
        for expected in [10, 20, 40] {
            track.progress(fail.clone(), seconds(0));
            assert_eq!(track.retry_at, Some(seconds(expected)));
        }
        track.progress(Progress::Did(Step::Start), seconds(1));
        assert_eq!((track.retry_at, track.failures, track.error), (None, 0, None));
        assert_eq!(track.trouble, None);
    }

    #[test]
    fn a_later_step_that_fails_waits_longer_each_time_too() {
        let mut track = Track::default();
        for expected in [10, 20, 40] {
            track.progress(Progress::Did(Step::Prepare), seconds(0));
            track.progress(Progress::Did(Step::Create), seconds(0));
            let failed =
                Progress::Failed(Step::Start, "its port is taken".to_owned(), Trouble::Lasting);
            track.progress(failed, seconds(0));
            assert_eq!(track.retry_at, Some(seconds(expected)));
        }
    }

    #[test]
    fn what_is_busy_is_not_forgotten() {
        let uid = WorkloadUid(Default::default());
        let mut tracks = Tracks::default();
        tracks.progress(uid, Progress::Began(Step::Start), seconds(0));
        tracks.observe(&[], &[], seconds(1));
        assert!(tracks.is_busy());
        tracks.progress(uid, Progress::Over, seconds(2));
        tracks.observe(&[], &[], seconds(3));
        assert_eq!(tracks, Tracks::default());
    }
}
