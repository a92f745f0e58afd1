//! Which release hosts shall run, and how they come to it: what an operator asks of the endpoint,
//! what the endpoint wants of a host, and what the host says of it.

mod groups;

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::Name;
use crate::validate;

pub use groups::*;

/// Channels: names for versions.
pub const CHANNELS_PATH: &str = "/v1/os/channels";
/// One channel.
pub const CHANNEL_PATH: &str = "/v1/os/channels/{name}";
/// Rollouts: one of each channel at most.
pub const ROLLOUTS_PATH: &str = "/v1/os/rollouts";
/// The rollout of a channel.
pub const ROLLOUT_PATH: &str = "/v1/os/rollouts/{channel}";
/// Holds it.
pub const PAUSE_PATH: &str = "/v1/os/rollouts/{channel}/pause";
/// Lets it go on.
pub const RESUME_PATH: &str = "/v1/os/rollouts/{channel}/resume";
/// Ends it.
pub const ABORT_PATH: &str = "/v1/os/rollouts/{channel}/abort";

/// The label by which a host follows a channel.
pub const CHANNEL_LABEL: &str = "channel";
/// The channel of hosts without that label.
pub const DEFAULT_CHANNEL: &str = "stable";
/// Characters that a version may have.
pub const MAX_VERSION: usize = 128;
/// Waves that a rollout may have, beside the last one, which is of whoever is in none.
pub const MAX_WAVES: usize = 32;
/// Maintenance windows that a rollout may have.
pub const MAX_WINDOWS: usize = 32;

/// The release that a host shall run, in its set. None: what it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OsTarget {
    /// Its version.
    pub version: String,
    /// Rises when it shall be tried again after it failed.
    #[serde(default)]
    pub attempt: u32,
    /// Whether the host may reboot into it now; before, it only brings it over.
    #[serde(default)]
    pub reboot: bool,
}

/// How far a host is with the release that it shall run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OsUpdate {
    /// The version.
    pub version: String,
    /// The attempt, as in [`OsTarget::attempt`].
    #[serde(default)]
    pub attempt: u32,
    /// How far.
    pub state: OsUpdateState,
    /// Of a download, how many of a hundred parts are there, in steps of ten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    /// Why it failed, or why the host takes no update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How far a host is with a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OsUpdateState {
    /// It brings it over.
    Fetching,
    /// It is there and known to be good; nothing else has changed.
    Fetched,
    /// It is written into the other slot, and then booted.
    Installing,
    /// It failed, and is not tried again by itself.
    Failed,
    /// The host's operator wants no update.
    Pinned,
    /// One that this release does not know.
    #[serde(other)]
    Unknown,
}

/// A channel: a name for a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Channel {
    /// Its name.
    pub name: Name,
    /// The version that it means.
    pub version: String,
    /// When it was set, in seconds since 1970.
    pub set_at: i64,
    /// Hosts that follow it.
    pub hosts: u32,
}

/// All channels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Channels {
    /// By name.
    pub channels: Vec<Channel>,
}

/// Gives a channel a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelSet {
    /// The version.
    pub version: String,
}

/// A part of the hosts that go before the rest: `10%` of them, or `rack=4`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum Wave {
    /// So many of a hundred, 1 to 100, whoever they are: those of the waves before count.
    Percent(u8),
    /// Those with this label.
    Label {
        /// The label's key.
        key: String,
        /// Its value.
        value: String,
    },
}

/// How the hosts of a channel come to its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RolloutSpec {
    /// Who goes first; whoever is in none goes last.
    #[serde(default)]
    pub waves: Vec<Wave>,
    /// Seconds that a wave has to have run well before the next one begins.
    #[serde(default = "defaults::soak_s")]
    pub soak_s: u32,
    /// Hosts that may fail; one more stops the rollout.
    #[serde(default)]
    pub max_failures: u32,
    /// When hosts may reboot, as `Sat,Sun 02:00-05:00 Europe/Berlin`; at any time where there is
    /// none.
    #[serde(default)]
    pub windows: Vec<String>,
    /// The group whose limit on reboots at once counts.
    #[serde(default = "defaults::group")]
    pub group: Name,
    /// Seconds that workloads which may move have to do so before a reboot; with 0 none moves.
    #[serde(default = "defaults::drain_s")]
    pub drain_s: u32,
    /// Seconds that a host that is there may take to bring the release over.
    #[serde(default = "defaults::fetch_s")]
    pub fetch_s: u32,
    /// Seconds that a host may take from the leave to reboot until the release has proved itself.
    #[serde(default = "defaults::reboot_s")]
    pub reboot_s: u32,
}

mod defaults {
    use crate::id::Name;

    pub(super) fn soak_s() -> u32 {
        1800
    }
    pub(super) fn drain_s() -> u32 {
        600
    }
    pub(super) fn fetch_s() -> u32 {
        2 * 3600
    }
    pub(super) fn reboot_s() -> u32 {
        3600
    }
    pub(super) fn group() -> Name {
        // It is a name, as a test shows.
        super::DEFAULT_GROUP.parse().unwrap_or_else(|_| unreachable!())
    }
}

impl Default for RolloutSpec {
    fn default() -> Self {
        Self {
            waves: Vec::new(),
            soak_s: defaults::soak_s(),
            max_failures: 0,
            windows: Vec::new(),
            group: defaults::group(),
            drain_s: defaults::drain_s(),
            fetch_s: defaults::fetch_s(),
            reboot_s: defaults::reboot_s(),
        }
    }
}

/// Begins a rollout of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RolloutStart {
    /// The channel; its version of now is what hosts come to.
    pub channel: Name,
    /// How.
    #[serde(default)]
    pub spec: RolloutSpec,
}

/// Lets a rollout go on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RolloutResume {
    /// Whether hosts on which it failed try again.
    #[serde(default)]
    pub retry: bool,
}

/// How it is with a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RolloutState {
    /// It goes on. Once all hosts are through, it waits for those that come later.
    Running,
    /// An operator holds it.
    Paused,
    /// Too many hosts failed.
    Stopped,
    /// An operator ended it.
    Aborted,
}

/// How far a host is in a rollout.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Its wave has not begun.
    Waiting,
    /// It brings the release over.
    Fetching,
    /// It has the release and waits for its turn to reboot.
    Ready,
    /// What may run elsewhere leaves it.
    Draining,
    /// It installs the release, reboots and has to prove itself.
    Rebooting,
    /// It runs the release, which has proved itself.
    Updated,
    /// It does not.
    Failed,
    /// It takes none: its operator has pinned it, or its release cannot.
    Skipped,
}

/// A host in a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RolloutHost {
    /// The host.
    pub host: Name,
    /// Its wave, from 1.
    pub wave: u32,
    /// How far it is.
    pub stage: Stage,
    /// Since when, in seconds since 1970.
    pub since: i64,
    /// Why, or what it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Of a download, how many of a hundred parts are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
}

/// A rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rollout {
    /// The channel.
    pub channel: Name,
    /// The version that hosts come to.
    pub version: String,
    /// How.
    pub spec: RolloutSpec,
    /// How it is with it.
    pub state: RolloutState,
    /// Whether all hosts are through.
    pub complete: bool,
    /// Why it stopped, or what it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The wave that is under way, from 1.
    pub wave: u32,
    /// Of how many.
    pub of_waves: u32,
    /// When it began, in seconds since 1970.
    pub started_at: i64,
    /// The hosts, by wave and name.
    pub hosts: Vec<RolloutHost>,
}

/// The rollouts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rollouts {
    /// By channel.
    pub rollouts: Vec<Rollout>,
}

/// Whether a text can be a version: what a file in an archive may be called.
#[must_use]
pub fn is_version(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+~".contains(&byte);
    (1..=MAX_VERSION).contains(&text.len()) && !text.starts_with('.') && text.bytes().all(is_plain)
}

impl FromStr for Wave {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            format!("`{text}` is no wave: a part of the hosts, as `10%`, or a label, as `rack=4`")
        };
        if let Some(number) = text.strip_suffix('%') {
            let percent = number.parse().ok().filter(|percent| (1..=100).contains(percent));
            return percent.map(Self::Percent).ok_or_else(bad);
        }
        let (key, value) = text.split_once('=').ok_or_else(bad)?;
        if !validate::is_label(key, value) {
            return Err(bad());
        }
        Ok(Self::Label { key: key.to_owned(), value: value.to_owned() })
    }
}

impl TryFrom<String> for Wave {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Wave> for String {
    fn from(wave: Wave) -> Self {
        wave.to_string()
    }
}

impl fmt::Display for Wave {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Label { key, value } => write!(f, "{key}={value}"),
        }
    }
}

macro_rules! words {
    ($name:ident: $($variant:ident = $word:literal),+ $(,)?) => {
        impl $name {
            /// The word by which it is stored and shown.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// What a word means.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words!(RolloutState: Running = "running", Paused = "paused", Stopped = "stopped", Aborted = "aborted");
words!(
    Stage: Waiting = "waiting", Fetching = "fetching", Ready = "ready", Draining = "draining",
    Rebooting = "rebooting", Updated = "updated", Failed = "failed", Skipped = "skipped",
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wave_is_a_part_or_a_label() {
        for good in ["1%", "100%", "rack=4", "canary=true"] {
            assert_eq!(good.parse::<Wave>().unwrap().to_string(), good);
        }
        for bad in ["", "0%", "101%", "-1%", "ten%", "rack", "=4", "a b=c"] {
            assert!(bad.parse::<Wave>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_start_says_no_more_than_it_must() {
        let start: RolloutStart = serde_json::from_str(r#"{"channel":"stable"}"#).unwrap();
        assert_eq!(start.spec, RolloutSpec::default());
        assert_eq!(start.spec.group.as_str(), DEFAULT_GROUP);
        let unknown = r#"{"channel":"stable","spec":{"soak":1}}"#;
        assert!(serde_json::from_str::<RolloutStart>(unknown).is_err());
    }

    #[test]
    fn a_version_can_be_a_files_name() {
        for good in ["1", "2026.11.29", "13~rc1"] {
            assert!(is_version(good), "{good}");
        }
        for bad in ["", ".", "../x", "a/b", "a b", &"1".repeat(129)] {
            assert!(!is_version(bad), "{bad}");
        }
    }

    #[test]
    fn words_are_read_back_and_are_those_of_json() {
        for stage in [
            "waiting",
            "fetching",
            "ready",
            "draining",
            "rebooting",
            "updated",
            "failed",
            "skipped",
        ] {
            let read: Stage = serde_json::from_str(&format!("\"{stage}\"")).unwrap();
            assert_eq!((Stage::from_word(stage), read.as_str()), (Some(read), stage));
        }
        for state in ["running", "paused", "stopped", "aborted"] {
            let read: RolloutState = serde_json::from_str(&format!("\"{state}\"")).unwrap();
            assert_eq!((RolloutState::from_word(state), read.as_str()), (Some(read), state));
        }
    }
}
