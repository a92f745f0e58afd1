//! What was published before, and what follows from it. Pure.

use anyhow::{Result, bail};
use basalt_release::Manifest;
use jiff::Timestamp;

/// The releases of one image, the newest first.
pub(super) struct History(Vec<Manifest>);

impl History {
    pub(super) fn new(mut manifests: Vec<Manifest>) -> Self {
        manifests.sort_by_key(|manifest| std::cmp::Reverse(manifest.sequence));
        Self(manifests)
    }

    /// Above every one before. At least the time, so that an archive that was lost and made anew
    /// is believed by hosts that know the lost one.
    pub(super) fn next_sequence(&self, now: Timestamp) -> u64 {
        let last = self.0.first().map_or(0, |manifest| manifest.sequence);
        let time = u64::try_from(now.as_second()).unwrap_or(0);
        last.saturating_add(1).max(time)
    }

    /// The releases from which a delta leads to `commit`: the newest others.
    pub(super) fn bases(&self, commit: &str, many: usize) -> impl Iterator<Item = &Manifest> {
        self.0.iter().filter(move |manifest| manifest.commit != commit).take(many)
    }

    /// Refuses a version that was published with another content.
    pub(super) fn refuse_another(&self, version: &str, commit: &str) -> Result<()> {
        let Some(other) = self.0.iter().find(|manifest| manifest.version == version) else {
            return Ok(());
        };
        if other.commit == commit {
            return Ok(());
        }
        bail!(
            "version {version} was published on {} with another content ({}…)\nhint: build with \
             another `--version`",
            other.published,
            &other.commit[..12]
        )
    }
}

#[cfg(test)]
mod tests {
    use basalt_release::FORM;

    use super::*;

    fn release(version: &str, sequence: u64) -> Manifest {
        Manifest {
            form: FORM,
            name: "base".to_owned(),
            ref_name: "base".to_owned(),
            version: version.to_owned(),
            commit: version.repeat(64),
            sequence,
            published: "2026-11-24T12:00:00Z".parse().unwrap(),
            expires: "2027-11-24T12:00:00Z".parse().unwrap(),
            tree_bytes: 1,
            boot_bytes: 1,
            boot_files: Vec::new(),
            download_bytes: 1,
            deltas: Vec::new(),
        }
    }

    fn history() -> History {
        History::new(vec![release("1", 10), release("3", 30), release("2", 20)])
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_sequence_rises_whatever_the_clock_says_and_over_a_lost_archive() {
        assert_eq!(history().next_sequence(at(5)), 31);
        assert_eq!(history().next_sequence(at(500)), 500);
        assert_eq!(History::new(Vec::new()).next_sequence(at(500)), 500);
        assert_eq!(History::new(Vec::new()).next_sequence(at(-5)), 1);
    }

    #[test]
    fn deltas_lead_from_the_newest_others() {
        let of = |commit: &str, many| {
            let history = history();
            let bases = history.bases(commit, many);
            bases.map(|manifest| manifest.version.clone()).collect::<Vec<_>>()
        };
        assert_eq!(of(&"4".repeat(64), 2), ["3", "2"]);
        assert_eq!(of(&"3".repeat(64), 2), ["2", "1"]);
        assert_eq!(of(&"4".repeat(64), 0), [""; 0]);
    }

    #[test]
    fn a_version_never_becomes_something_else() {
        history().refuse_another("2", &"2".repeat(64)).unwrap();
        history().refuse_another("4", &"4".repeat(64)).unwrap();
        let error = history().refuse_another("2", &"4".repeat(64)).unwrap_err().to_string();
        assert!(error.contains("version 2") && error.contains("--version"), "{error}");
    }
}
