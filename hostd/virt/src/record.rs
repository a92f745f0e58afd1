//! When a machine began and ended, which libvirt does not tell. Pure.

use basalt_api::virt::SeenState;
use serde::{Deserialize, Serialize};

/// What is remembered of a machine, beside its disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The last start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) start: Option<Start>,
    /// How it ended since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) end: Option<End>,
    /// Since when it stands still, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) paused_at: Option<i64>,
}

/// A start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Start {
    /// Seconds since 1970.
    pub(crate) at: i64,
    /// The host's boot that it happened in.
    pub(crate) boot: String,
}

/// An end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    /// Seconds since 1970.
    pub(crate) at: i64,
    /// 0 when the guest shut down.
    pub(crate) code: Option<i32>,
    /// More about it.
    pub(crate) note: Option<String>,
}

/// Whether a machine has power, as libvirt says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Power {
    On,
    /// libvirt is about to start it, and gives up on it where that is cut off.
    Starting,
    /// It has power, and its guest stands still.
    Paused(Pause),
    Off(Why),
}

/// Why a guest stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pause {
    /// The host's disk has no room for what it writes.
    DiskFull,
    /// Its disk cannot be written to or read.
    DiskError,
    /// Its watchdog found that it hangs.
    Watchdog,
    /// It panicked.
    Panicked,
    /// Somebody paused it, or left it so after a snapshot.
    Somebody,
}

impl Pause {
    /// The reason, for a person.
    fn words(self) -> &'static str {
        match self {
            Self::DiskFull => "the host's disk is full, and it has to write",
            Self::DiskError => "its disk cannot be written to or read",
            Self::Watchdog => "its watchdog found that it hangs",
            Self::Panicked => "it has panicked",
            Self::Somebody => "somebody paused it in libvirt",
        }
    }

    /// Whether to let it go on may help.
    pub(crate) fn may_resume(self) -> bool {
        // What somebody pauses by hand is drift, as a container's pause is. Who wants a guest to
        // stand still holds its workload.
        matches!(self, Self::DiskFull | Self::DiskError | Self::Somebody)
    }
}

/// Why a machine has no power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// The guest shut down.
    Shutdown,
    /// Somebody switched it off.
    SwitchedOff,
    /// Its QEMU died, or its guest did.
    Crashed,
    /// It could not be started.
    Failed,
    /// Its state was written to a file.
    Saved,
    /// libvirt forgot, as over a reboot of the host.
    Unknown,
}

/// The present moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now<'a> {
    /// Seconds since 1970.
    pub(crate) at: i64,
    /// The host's boot.
    pub(crate) boot: &'a str,
}

impl Record {
    /// It is started now.
    pub(crate) fn started(now: Now<'_>) -> Self {
        let start = Some(Start { at: now.at, boot: now.boot.to_owned() });
        Self { start, end: None, paused_at: None }
    }

    /// It is let go on: when it stands still once more, that is another time.
    pub(crate) fn resumed(self) -> Self {
        Self { paused_at: None, ..self }
    }

    /// What follows from what libvirt says: how the machine is, and the record from here on.
    pub(crate) fn see(self, power: Power, now: Now<'_>) -> (SeenState, Self) {
        if let Power::Paused(why) = power {
            return self.see_paused(why, now);
        }
        match (power, self.start, self.end) {
            (Power::On, Some(start), None) if start.boot == now.boot => {
                let since = start.at;
                let state = SeenState::Running { since };
                (state, Self { start: Some(start), ..Self::default() })
            }
            // It does not run yet: what is remembered speaks of this start already.
            (Power::Starting, start, end) => {
                (SeenState::Made, Self { start, end, paused_at: None })
            }
            // Somebody else started it.
            (Power::On | Power::Paused(_), ..) => {
                (SeenState::Running { since: now.at }, Self::started(now))
            }
            (Power::Off(_), None, _) => (SeenState::Made, Self::default()),
            (Power::Off(why), Some(start), end) => {
                let end = end.unwrap_or_else(|| End::now(why, &start, now));
                let state = SeenState::Ended { code: end.code, at: end.at, note: end.note.clone() };
                (state, Self { start: Some(start), end: Some(end), paused_at: None })
            }
        }
    }

    fn see_paused(self, why: Pause, now: Now<'_>) -> (SeenState, Self) {
        let at = self.paused_at.unwrap_or(now.at);
        // It has power, as one that runs: that it began is noted in the same way.
        let (_, running) = Self { paused_at: None, ..self }.see(Power::On, now);
        let reason = why.words().to_owned();
        let state = SeenState::Paused { at, reason, may_resume: why.may_resume() };
        (state, Self { paused_at: Some(at), ..running })
    }
}

impl End {
    fn now(why: Why, start: &Start, now: Now<'_>) -> Self {
        let (code, note) = match why {
            Why::Shutdown => (Some(0), None),
            Why::SwitchedOff => (None, Some("switched off")),
            Why::Crashed => (None, Some("crashed")),
            Why::Failed => (None, Some("failed to start")),
            Why::Saved => (None, Some("saved to a file")),
            Why::Unknown if start.boot != now.boot => (None, Some("the host went down")),
            Why::Unknown => (None, None),
        };
        Self { at: now.at, code, note: note.map(str::to_owned) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is seen in turn, one line each, as `state (start, end)`; each step is `on`, `off` with
    /// its reason, `start`, or `reboot`. A second passes before each.
    fn check(steps: &str, expected: &[&str]) {
        let (mut record, mut boot, mut at) = (Record::default(), "one", 0);
        let mut seen = Vec::new();
        for step in steps.split(", ") {
            at += 1;
            let now = Now { at, boot };
            let power = match step {
                "start" => {
                    record = Record::started(now);
                    continue;
                }
                "reboot" => {
                    boot = "two";
                    continue;
                }
                "on" => Power::On,
                "shutdown" => Power::Off(Why::Shutdown),
                "starting" => Power::Starting,
                "crashed" => Power::Off(Why::Crashed),
                "full" => Power::Paused(Pause::DiskFull),
                "resume" => {
                    record = record.resumed();
                    continue;
                }
                _ => Power::Off(Why::Unknown),
            };
            let state;
            (state, record) = record.see(power, now);
            seen.push(match state {
                SeenState::Made => "made".to_owned(),
                SeenState::Running { since } => format!("runs since {since}"),
                SeenState::Ended { code, at, note } => format!("ended {at} {code:?} {note:?}"),
                SeenState::Paused { at, .. } => format!("paused at {at}"),
                SeenState::Broken { reason } => reason,
            });
        }
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_life_is_told_with_its_times() {
        check(
            "off, start, on, on, shutdown, off, start, on",
            &[
                "made",
                "runs since 2",
                "runs since 2",
                "ended 5 Some(0) None",
                "ended 5 Some(0) None",
                "runs since 7",
            ],
        );
    }

    #[test]
    fn one_that_is_being_started_does_not_run_yet() {
        check("start, starting, on", &["made", "runs since 1"]);
        check("start, starting, crashed", &["made", "ended 3 None Some(\"crashed\")"]);
        // Somebody else starts it.
        check("starting, on", &["made", "runs since 2"]);
    }

    #[test]
    fn a_pause_has_its_own_time_and_the_start_stays() {
        let seen = ["runs since 1", "paused at 3", "paused at 3", "paused at 6", "runs since 1"];
        check("start, on, full, full, resume, full, on", &seen);
        check("start, full, crashed", &["paused at 2", "ended 3 None Some(\"crashed\")"]);
    }

    #[test]
    fn a_crash_is_no_end_of_its_own_will() {
        check("start, crashed", &["ended 2 None Some(\"crashed\")"]);
    }

    #[test]
    fn what_a_reboot_ended_says_so() {
        check(
            "start, on, reboot, off",
            &["runs since 1", "ended 4 None Some(\"the host went down\")"],
        );
    }

    #[test]
    fn one_that_somebody_else_started_runs_from_when_it_was_seen() {
        check("on, on", &["runs since 1", "runs since 1"]);
        check("start, shutdown, on", &["ended 2 Some(0) None", "runs since 3"]);
        check("start, reboot, on", &["runs since 3"]);
    }
}
