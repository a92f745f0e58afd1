//! What is asked of `hostd-os`, and what it tells: a line of JSON each, over its socket. Whoever
//! asks sends one [`Request`]; it is answered by [`Reply::Progress`] as often as there is any, and
//! then by one of the others. An update goes on although nobody listens any more.

use serde::{Deserialize, Serialize};

/// Where systemd listens for it. Root alone may ask.
pub const SOCKET: &str = "/run/hostd-os.sock";
/// Where `hostd-os` keeps what became of the release that was tried last, an [`Event`], as long
/// as somebody may want to know it.
pub const VERDICT_FILE: &str = "/var/lib/hostd-os/verdict.json";
/// Where `hostd-os` keeps the host's own kernel arguments, a list of texts; whoever installs a host
/// with some begins it.
pub const KARGS_FILE: &str = "/var/lib/hostd-os/kargs.json";
/// Where `hostd-os` keeps the wish that this boot shall end in a window, a [`RebootWish`].
pub const REBOOT_WISH_FILE: &str = "/var/lib/hostd-os/reboot.json";
/// Where `hostd-os` keeps, as long as it is at work, how far it is.
pub const PROGRESS_FOLDER: &str = "/run/hostd-os";
/// The file there, a [`RunningUpdate`]; it is whole, or not there.
pub const PROGRESS_NAME: &str = "progress.json";
/// Locked by who is at work: a file whose lock nobody holds is of a process that was killed.
pub const PROGRESS_LOCK: &str = "lock";
/// The file beside the slots' links that says what a factory reset shall do, as long as it is not
/// over: the image's unit looks for it.
pub const RESET_FILE: &str = "factory-reset";
/// Bytes that a request may have.
pub const MAX_REQUEST_BYTES: usize = 64 << 10;
/// Boots in which a release has to prove itself, unless somebody says otherwise.
pub const TRIES: u32 = 3;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Request {
    /// How the slots are, and what is known of releases.
    Status,
    /// Which release is offered, and whether it would be taken.
    Check(Wanted),
    /// Brings a release over, and changes nothing that boots.
    Fetch(Wanted),
    /// Puts a release into the other slot; the next boot is its trial.
    Update {
        /// Which one.
        #[serde(flatten)]
        wanted: Wanted,
        /// Boots in which it has to prove itself, 1 to 9.
        tries: u32,
        /// What follows.
        reboot: Reboot,
    },
    /// Boots the other slot's release at the next boot.
    Rollback {
        /// What follows.
        reboot: Reboot,
    },
    /// Takes back what waits to be tried at the next boot.
    Cancel,
    /// The host's own kernel arguments: changes them by a trial, or tells them where nothing is to
    /// be changed.
    Kargs {
        /// Arguments that come to the host's, at their end.
        append: Vec<String>,
        /// Arguments that go from the host's.
        delete: Vec<String>,
        /// Boots in which they have to prove themselves, 1 to 9.
        tries: u32,
        /// What follows.
        reboot: Reboot,
    },
    /// Has the next boot reset the host.
    FactoryReset {
        /// What it takes.
        depth: ResetDepth,
        /// What follows.
        reboot: Reboot,
    },
    /// Withdraws a reset that has not begun.
    CancelReset,
    /// Reboots, where somebody wished that for a window: one is open now.
    RebootInWindow,
    /// What was done to the system.
    History,
    /// Takes no update until it is told otherwise.
    Pin {
        /// Why.
        reason: String,
    },
    /// Takes updates again.
    Unpin,
    /// Forgets what became of a release here.
    Clear {
        /// Its version or its commit.
        release: String,
    },
}

/// A release that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The archive's URL.
    pub url: String,
    /// A file with the CA of its server, where the system's do not know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// A version by name, also an older one; the release of now otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// What a factory reset takes. Both take `/etc`, what hostd and hostd-os know, root's home and the
/// host's own kernel arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetDepth {
    /// Nothing else: workloads' data stays.
    Settings,
    /// All of `/var`.
    All,
}

/// What follows once another release is what boots next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reboot {
    /// The host reboots.
    Now,
    /// `hostd` reboots the host once one of the host's windows is open.
    Window,
    /// Somebody else decides.
    Never,
}

/// That somebody wishes a boot to end in a window. Once it has ended, the wish is no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebootWish {
    /// The boot, by the kernel's id.
    pub boot_id: String,
    /// When somebody wished it, as `2026-11-29T12:00:00Z`.
    pub at: String,
    /// When a window of the host's is open next, where `hostctl` tells of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens_at: Option<String>,
}

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "tell", rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "there is one of them at a time, for a moment")]
pub enum Reply {
    /// How far it is.
    Progress(Progress),
    /// How the slots are.
    Status(Status),
    /// This release is offered and would be taken.
    Offered(Release),
    /// The host runs what is offered.
    UpToDate(Release),
    /// This release is here, and changes nothing yet.
    Fetched(Release),
    /// This release boots next.
    BootsNext(Release),
    /// What waited to be tried does not boot any more: this release, or it with other arguments.
    Withdrawn(Release),
    /// The next boot resets the host.
    ResetsNext {
        /// What it takes.
        depth: ResetDepth,
    },
    /// Kernel arguments beside those that find the root.
    Kargs {
        /// Those that the image brings.
        image: Vec<String>,
        /// The host's own, after them.
        host: Vec<String>,
    },
    /// What was done to the system, the oldest first.
    History {
        /// Events.
        events: Vec<Event>,
    },
    /// It is so now.
    Done,
    /// It cannot be done.
    Failed {
        /// Why, for a person: lines, of which some are hints.
        reason: String,
    },
}

/// How far an update is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum Progress {
    /// What will be done, before anything is.
    Plan {
        /// The version.
        version: String,
        /// Bytes on the wire at most.
        download_bytes: u64,
        /// What it takes of the root.
        root: Room,
        /// What it takes of the ESP.
        esp: Room,
    },
    /// The download.
    Download {
        /// Bytes that came.
        bytes: u64,
        /// Bytes that there are; 0 where that is not known.
        of_bytes: u64,
        /// Files that came.
        files: u32,
        /// Files that are known to be missing.
        of_files: u32,
    },
    /// A step of the installation begins.
    Install {
        /// The step, for a person.
        step: String,
    },
}

/// What something needs of a file system, which has that.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// Bytes that it needs at most.
    pub needs_bytes: u64,
    /// Bytes that are free.
    pub free_bytes: u64,
}

/// What is being done to the system at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningUpdate {
    /// What was asked for: `update`, `rollback`, `kargs` or `cancel`.
    pub request: String,
    /// The version that comes, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Since when, as `2026-11-29T12:00:00Z`.
    pub started_at: String,
    /// How far it was, about a second ago.
    pub progress: Progress,
}

/// A release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Its version.
    pub version: String,
    /// The checksum of its OSTree commit, 64 hex digits.
    pub commit: String,
}

/// How it stands with the system of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The image's name.
    pub image: String,
    /// Both slots, `a` first.
    pub slots: Vec<SlotStatus>,
    /// Why the host takes no update, if an operator said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<String>,
    /// The highest sequence of a release manifest that was accepted; no lower one is.
    pub sequence: u64,
    /// What became of releases that were tried here.
    #[serde(default)]
    pub verdicts: Vec<Verdict>,
    /// Files below `/etc` that were changed here, and differ between the releases in both slots:
    /// the host's own stay, and what the image changed did not arrive. At most 100.
    #[serde(default)]
    pub conflicts: Vec<String>,
    /// What is being done at this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<RunningUpdate>,
    /// What the next boot resets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset: Option<ResetDepth>,
    /// That somebody wished the host to reboot in a window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reboot: Option<RebootWish>,
}

/// A slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotStatus {
    /// `a` or `b`.
    pub slot: String,
    /// What it holds; none where its link leads nowhere.
    #[serde(default)]
    pub release: Option<Release>,
    /// Whether this boot came from it.
    pub runs: bool,
    /// Whether the loader would choose it now.
    pub boots_next: bool,
    /// How it stands with its boot entry.
    pub state: SlotState,
}

/// How a slot stands with the loader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlotState {
    /// It has proved itself.
    Blessed,
    /// It has to prove itself, and has tries left.
    Trial {
        /// How many.
        tries_left: u32,
    },
    /// Its tries are gone.
    Failed,
    /// Nothing boots it.
    Empty,
}

/// What became of a release that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Its commit.
    pub commit: String,
    /// Its version, where that is still known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// `good`, `bad` or `inconclusive`.
    pub verdict: String,
    /// When that was found out, as `2026-11-29T12:00:00Z`.
    pub at: String,
    /// Why it is bad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Something that was done to the system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, as `2026-11-29T12:00:00Z`.
    pub at: String,
    /// `installed`, `rolled_back`, `kargs`, `withdrawn`, `good`, `bad` or `inconclusive`.
    pub what: String,
    /// What it was about.
    #[serde(flatten)]
    pub release: Release,
    /// Why it is bad, or which kernel arguments it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The last lines of the boot that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub journal: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_flat_line() {
        let wanted = Wanted { url: "https://a".into(), ca: None, version: Some("2".into()) };
        let request = Request::Update { wanted, tries: TRIES, reboot: Reboot::Never };
        let line = serde_json::to_string(&request).unwrap();
        let expected =
            r#"{"ask":"update","url":"https://a","version":"2","tries":3,"reboot":"never"}"#;
        assert_eq!(line, expected);
        assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), request);
    }

    #[test]
    fn a_reply_says_what_it_is() {
        let release = Release { version: "2".into(), commit: "ab".repeat(32) };
        for (reply, begin) in [
            (Reply::Done, r#"{"tell":"done"}"#),
            (Reply::BootsNext(release), r#"{"tell":"boots_next","version":"2""#),
            (
                Reply::Progress(Progress::Install { step: "x".into() }),
                r#"{"tell":"progress","stage":"install""#,
            ),
        ] {
            let line = serde_json::to_string(&reply).unwrap();
            assert!(line.starts_with(begin), "{line}");
            assert_eq!(serde_json::from_str::<Reply>(&line).unwrap(), reply);
        }
    }
}
