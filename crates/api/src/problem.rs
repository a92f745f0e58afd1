//! What is wrong with a host, for people and for programs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Kinds of problems. Programs match on these, people read the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// There was a ledger, and no copy of it can be read.
    LedgerLost,
    /// The ledger cannot be written.
    LedgerUnwritable,
    /// A layer of the configuration was left out.
    ConfigurationInvalid,
    /// A unit that must be active is not.
    UnitInactive,
    /// systemd cannot be asked about its units.
    UnitsUnknown,
    /// It cannot be told whether this boot is on trial.
    BootUnknown,
    /// The state was made on another machine.
    StateCopied,
    /// The join string cannot be used.
    JoinInvalid,
    /// A workload that ran before the host booted does not run yet.
    WorkloadNotBack,
    /// The endpoint's set is not taken.
    SetRefused,
    /// This host's clock and the endpoint's differ.
    ClockSkewed,
    /// `[listen]` is configured, and nobody is served there.
    ListenFailed,
    /// Something has our labels and is not ours.
    ForeignLabels,
    /// The release that was tried last did not prove itself.
    UpdateFailed,
    /// A check of the image's or the operator's failed in this boot.
    CheckFailed,
    /// One that this release does not know.
    #[serde(other)]
    Other,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What kind it is.
    pub code: Code,
    /// What it is about: a unit, a file.
    pub subject: String,
    /// What is wrong, in one sentence without a final stop.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Whether a release on trial is not kept because of it.
    pub fails_gate: bool,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_of_a_later_release_is_read() {
        let text = r#"{"code":"disk_on_fire","subject":"sda","message":"hot","fails_gate":false}"#;
        let problem: Problem = serde_json::from_str(text).unwrap();
        assert_eq!((problem.code, problem.hint), (Code::Other, None));
    }
}
