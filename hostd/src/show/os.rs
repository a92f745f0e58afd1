//! The system of a host, for people: its slots, its releases, how far an update is.

use basalt_api::os::{
    Event, Progress, Release, ResetDepth, Room, RunningUpdate, SlotState, SlotStatus, Status,
    Verdict,
};
use basalt_table::{facts, one_line, shortened, table};

/// Digits of a commit that tell it from others.
const SHORT_COMMIT: usize = 12;

/// Both slots, then what is known of releases.
#[must_use]
pub fn status(status: &Status) -> String {
    let row = |one: &SlotStatus| {
        let (version, commit) = one.release.as_ref().map(named).unwrap_or_default();
        [one.slot.clone(), version, state(one), commit]
    };
    let rows: Vec<_> = status.slots.iter().map(row).collect();
    let mut text = table(["slot", "version", "state", "commit"], &rows);
    text.extend(status.running.as_ref().map(|it| format!("\n{}\n", running(it))));
    let pinned = status.pinned.as_ref().map(|why| format!("no update is taken: {why}"));
    let reset = status.reset.map(|depth| match depth {
        ResetDepth::Settings => "a factory reset: /etc and what hostd knows",
        ResetDepth::All => "a factory reset: /etc, and all of /var",
    });
    let reset = reset.unwrap_or_default().to_owned();
    let reboots = status.reboot.as_ref().map(|wish| match &wish.opens_at {
        Some(at) => format!("at {at}, in a window of this host"),
        None => "never: hostd.toml has no `[updates] windows` any more".to_owned(),
    });
    let facts = facts(&[
        ("pinned", pinned.unwrap_or_default()),
        ("reboots", reboots.unwrap_or_default()),
        ("next boot", reset),
    ]);
    if !facts.is_empty() {
        text += &format!("\n{facts}");
    }
    for path in &status.conflicts {
        let path = one_line(path);
        text += &format!("conflict: /etc/{path} was changed here and by the image, yours stays\n");
    }
    if !status.verdicts.is_empty() {
        let rows: Vec<_> = status.verdicts.iter().map(verdict).collect();
        text += &format!("\n{}", table(["tried", "verdict", "at", "commit", "reason"], &rows));
    }
    text
}

/// What is being done, in one line.
#[must_use]
pub fn running(running: &RunningUpdate) -> String {
    let what = match (&*running.request, &running.version) {
        ("rollback", _) => "a rollback".to_owned(),
        ("kargs", _) => "a change of kernel arguments".to_owned(),
        (_, Some(version)) => format!("an update to version {}", one_line(version)),
        (_, None) => "an update".to_owned(),
    };
    let RunningUpdate { started_at, progress, .. } = running;
    format!("{what} is under way since {}: {}", one_line(started_at), self::progress(progress))
}

fn named(release: &Release) -> (String, String) {
    (release.version.clone(), short(&release.commit))
}

fn short(commit: &str) -> String {
    commit.get(..SHORT_COMMIT).unwrap_or(commit).to_owned()
}

fn state(slot: &SlotStatus) -> String {
    let mut words = vec![match slot.state {
        SlotState::Blessed => "blessed".to_owned(),
        SlotState::Trial { tries_left: 1 } => "on trial, one try left".to_owned(),
        SlotState::Trial { tries_left } => format!("on trial, {tries_left} tries left"),
        SlotState::Failed => "failed, no tries left".to_owned(),
        SlotState::Empty => "empty".to_owned(),
    }];
    words.extend(slot.runs.then(|| "runs".to_owned()));
    words.extend(slot.boots_next.then(|| "boots next".to_owned()));
    words.join(", ")
}

fn verdict(one: &Verdict) -> [String; 5] {
    [
        one.version.clone().unwrap_or_default(),
        one.verdict.clone(),
        one.at.clone(),
        short(&one.commit),
        shortened(one.reason.as_deref().unwrap_or_default()),
    ]
}

/// What a factory reset loses, and the word by which a person says that it may.
#[must_use]
pub fn losses(depth: ResetDepth) -> (&'static str, &'static str) {
    match depth {
        ResetDepth::Settings => (
            "this host loses /etc, its identity, its workloads' definitions and secrets, the keys \
             of who may log in,\nits own kernel arguments and the release in its other slot; what \
             workloads have in /var stays",
            "reset",
        ),
        ResetDepth::All => (
            "this host loses /etc, its identity, its own kernel arguments, the release in its \
             other slot,\nand all of /var: every workload with its data",
            "erase",
        ),
    }
}

/// A line for each thing that was done.
#[must_use]
pub fn history(events: &[Event]) -> String {
    let row = |event: &Event| {
        let (version, commit) = named(&event.release);
        let reason = shortened(event.reason.as_deref().unwrap_or_default());
        [event.at.clone(), event.what.replace('_', " "), version, commit, reason]
    };
    let rows: Vec<_> = events.iter().map(row).collect();
    table(["at", "what", "version", "commit", "reason"], &rows)
}

/// Kernel arguments, those of the image and the host's own.
#[must_use]
pub fn kargs(image: &[String], host: &[String]) -> String {
    let list = |list: &[String]| if list.is_empty() { "none".to_owned() } else { list.join(" ") };
    facts(&[("image", list(image)), ("host", list(host))])
}

/// How far it is, in one line.
#[must_use]
pub fn progress(progress: &Progress) -> String {
    match progress {
        Progress::Plan { version, download_bytes, root, esp } => {
            let room = |room: &Room| format!("{} of {}", mb(room.needs_bytes), mb(room.free_bytes));
            format!(
                "{}: {} to download at most; takes {} free on the root, {} on the ESP",
                one_line(version),
                mb(*download_bytes),
                room(root),
                room(esp)
            )
        }
        Progress::Download { bytes, of_bytes: 0, files, of_files } => {
            format!("download {}, {files} of {of_files} files", mb(*bytes))
        }
        Progress::Download { bytes, of_bytes, .. } => {
            format!("download {} of {}", mb(*bytes), mb(*of_bytes))
        }
        Progress::Install { step } => one_line(step),
    }
}

fn mb(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}

#[cfg(test)]
mod tests {
    use basalt_api::os::RebootWish;

    use super::*;

    fn release(version: &str, digits: &str) -> Option<Release> {
        Some(Release { version: version.into(), commit: digits.repeat(32) })
    }

    fn slot(name: &str, release: Option<Release>, state: SlotState) -> SlotStatus {
        SlotStatus { slot: name.into(), release, runs: false, boots_next: false, state }
    }

    #[test]
    fn a_status_shows_both_slots_and_what_became_of_releases() {
        let a = slot("a", release("1", "1a"), SlotState::Blessed);
        let b = slot("b", release("2", "2b"), SlotState::Trial { tries_left: 3 });
        let bad = Verdict {
            commit: "3c".repeat(32),
            version: Some("3".into()),
            verdict: "bad".into(),
            at: "2026-11-29T12:00:00Z".into(),
            reason: Some("the gate failed".into()),
        };
        let status = Status {
            image: "base".into(),
            slots: vec![SlotStatus { runs: true, ..a }, SlotStatus { boots_next: true, ..b }],
            pinned: Some("we count".into()),
            sequence: 7,
            verdicts: vec![bad],
            conflicts: vec!["motd".into()],
            running: Some(RunningUpdate {
                request: "update".into(),
                version: Some("4".into()),
                started_at: "2026-11-29T13:00:00Z".into(),
                progress: Progress::Download {
                    bytes: 1_250_000,
                    of_bytes: 2_000_000,
                    files: 0,
                    of_files: 0,
                },
            }),
            reset: Some(ResetDepth::All),
            reboot: Some(RebootWish {
                boot_id: "x".into(),
                at: "2026-11-29T13:10:00Z".into(),
                opens_at: Some("2026-11-30T02:00:00Z".into()),
            }),
        };
        let expected = "\
SLOT  VERSION  STATE                               COMMIT
a     1        blessed, runs                       1a1a1a1a1a1a
b     2        on trial, 3 tries left, boots next  2b2b2b2b2b2b

an update to version 4 is under way since 2026-11-29T13:00:00Z: download 1.2 MB of 2.0 MB

pinned     no update is taken: we count
reboots    at 2026-11-30T02:00:00Z, in a window of this host
next boot  a factory reset: /etc, and all of /var
conflict: /etc/motd was changed here and by the image, yours stays

TRIED  VERDICT  AT                    COMMIT        REASON
3      bad      2026-11-29T12:00:00Z  3c3c3c3c3c3c  the gate failed
";
        assert_eq!(super::status(&status), expected);
    }

    #[test]
    fn a_host_that_was_never_updated_has_an_empty_slot() {
        let slots = vec![
            slot("a", release("1", "1a"), SlotState::Blessed),
            slot("b", None, SlotState::Empty),
        ];
        let (image, verdicts, conflicts) = (String::new(), vec![], vec![]);
        let (pinned, running) = (None, None);
        let (sequence, reset, reboot) = (0, None, None);
        let status =
            Status { image, slots, pinned, sequence, verdicts, conflicts, running, reset, reboot };
        assert!(super::status(&status).ends_with("\nb     -        empty    -\n"));
    }

    #[test]
    fn progress_is_one_line() {
        let download =
            |of_bytes| Progress::Download { bytes: 1_250_000, of_bytes, files: 3, of_files: 9 };
        for (one, expected) in [
            (
                Progress::Plan {
                    version: "2".into(),
                    download_bytes: 37_000,
                    root: Room { needs_bytes: 70_000_000, free_bytes: 3_100_000_000 },
                    esp: Room { needs_bytes: 300_000, free_bytes: 400_000_000 },
                },
                "2: 0.0 MB to download at most; takes 70.0 MB of 3100.0 MB free on the root, \
                 0.3 MB of 400.0 MB on the ESP",
            ),
            (download(0), "download 1.2 MB, 3 of 9 files"),
            (download(2_000_000), "download 1.2 MB of 2.0 MB"),
            (Progress::Install { step: "a\nb".into() }, "a b"),
        ] {
            assert_eq!(progress(&one), expected);
        }
    }
}
