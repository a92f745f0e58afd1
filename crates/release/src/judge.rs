//! Whether a host takes a release.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Manifest;

/// How long a release whose trial ended without a verdict is left alone: time for whoever cuts
/// the power to notice.
const SOAK: SignedDuration = SignedDuration::from_hours(24);

/// What a host knows of releases; kept in `/var`, for it must outlast them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The highest sequence that was ever accepted. No lower one is.
    #[serde(default)]
    pub sequence: u64,
    /// What became of releases that were tried here, by commit.
    #[serde(default)]
    pub verdicts: BTreeMap<String, Verdict>,
    /// Why an operator wants no update, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<String>,
}

/// What became of a trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub enum Verdict {
    /// It proved itself.
    Good {
        /// When.
        at: Timestamp,
    },
    /// It failed for a reason of its own: never again until an operator clears it.
    Bad {
        /// When it was found out.
        at: Timestamp,
        /// Why.
        reason: String,
    },
    /// Its tries are gone, and nothing says that it failed, as after power cycles.
    Inconclusive {
        /// When it was found out.
        at: Timestamp,
    },
}

/// The host that is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host<'a> {
    /// The name of its image.
    pub image: &'a str,
    /// The version that runs.
    pub version: &'a str,
    /// The commit that runs.
    pub commit: &'a str,
    /// The version that an operator asked for by name, if one did.
    pub asked: Option<&'a str>,
}

/// Why a release is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is another image's.
    #[error("this is a release of the image `{offered}`, and the host runs `{runs}`")]
    OtherImage {
        /// What is offered.
        offered: String,
        /// What runs.
        runs: String,
    },
    /// It was good until then.
    #[error(
        "the release manifest is of {published} and expired {expired}\nhint: publish it anew; or \
         the host's clock is wrong, see `timedatectl`"
    )]
    Expired {
        /// When it was published.
        published: Timestamp,
        /// Since when it is not believed.
        expired: Timestamp,
    },
    /// A later one was accepted before.
    #[error(
        "the release manifest has sequence {offered}, and this host has seen {seen}: it is an old \
         one, played again"
    )]
    Replayed {
        /// Its sequence.
        offered: u64,
        /// The highest that was accepted.
        seen: u64,
    },
    /// It is older than what runs, and nobody asked for it by name.
    #[error(
        "version {offered} is older than {runs}, which runs\nhint: `hostctl os update --version \
         {offered}` goes back on purpose"
    )]
    Downgrade {
        /// The version.
        offered: String,
        /// What runs.
        runs: String,
    },
    /// An operator asked for another version.
    #[error("version {asked} was asked for, and {offered} is published")]
    NotTheOne {
        /// What was asked for.
        asked: String,
        /// What there is.
        offered: String,
    },
    /// It was tried and failed.
    #[error(
        "{version} was tried here at {at} and is bad: {reason}\nhint: `hostctl os clear \
         {version}` lets it be tried again"
    )]
    Bad {
        /// The version.
        version: String,
        /// When.
        at: Timestamp,
        /// Why.
        reason: String,
    },
    /// It was tried, and nobody knows what became of it.
    #[error(
        "{version} was tried here until {at} and did not prove itself, for no known reason; it may \
         be tried again from {from}\nhint: `hostctl os clear {version}` lets it be tried now"
    )]
    Inconclusive {
        /// The version.
        version: String,
        /// When it was found out.
        at: Timestamp,
        /// When it may be tried again.
        from: Timestamp,
    },
    /// An operator pinned the host.
    #[error("the host is pinned: {0}\nhint: `hostctl os unpin` allows updates again")]
    Pinned(String),
}

/// Whether `host` takes this release now. That it runs already is not asked here.
///
/// # Errors
/// It does not, and why.
pub fn judge(
    manifest: &Manifest,
    host: &Host<'_>,
    standing: &Standing,
    now: Timestamp,
) -> Result<(), Refused> {
    genuine(manifest, host, standing, now)?;
    if let Some(reason) = &standing.pinned {
        return Err(Refused::Pinned(reason.clone()));
    }
    asked_for(manifest, host)?;
    tried(manifest, standing, now)
}

/// Whether it is this image's release of now.
fn genuine(
    manifest: &Manifest,
    host: &Host<'_>,
    standing: &Standing,
    now: Timestamp,
) -> Result<(), Refused> {
    if manifest.name != host.image {
        let (offered, runs) = (manifest.name.clone(), host.image.to_owned());
        return Err(Refused::OtherImage { offered, runs });
    }
    if now >= manifest.expires {
        let Manifest { published, expires: expired, .. } = *manifest;
        return Err(Refused::Expired { published, expired });
    }
    // Who goes back to a version by its name knows that it is an old one.
    let is_named = host.asked == Some(manifest.version.as_str());
    if manifest.sequence < standing.sequence && !is_named {
        return Err(Refused::Replayed { offered: manifest.sequence, seen: standing.sequence });
    }
    Ok(())
}

/// Whether it is the version that is wanted: the one that was named, or a later one than runs.
fn asked_for(manifest: &Manifest, host: &Host<'_>) -> Result<(), Refused> {
    let offered = manifest.version.clone();
    match host.asked {
        Some(asked) if asked == offered => Ok(()),
        Some(asked) => Err(Refused::NotTheOne { asked: asked.to_owned(), offered }),
        None if is_older(&offered, host.version) => {
            Err(Refused::Downgrade { offered, runs: host.version.to_owned() })
        }
        None => Ok(()),
    }
}

fn tried(manifest: &Manifest, standing: &Standing, now: Timestamp) -> Result<(), Refused> {
    let version = manifest.version.clone();
    match standing.verdicts.get(&manifest.commit) {
        Some(Verdict::Bad { at, reason }) => {
            Err(Refused::Bad { version, at: *at, reason: reason.clone() })
        }
        Some(Verdict::Inconclusive { at }) => {
            let from = at.saturating_add(SOAK).unwrap_or(Timestamp::MAX);
            // A clock that went back would make this wait for ever.
            let waits = *at <= now && now < from;
            if waits { Err(Refused::Inconclusive { version, at: *at, from }) } else { Ok(()) }
        }
        Some(Verdict::Good { .. }) | None => Ok(()),
    }
}

/// Whether `version` comes before `other`: numbers by value, all else by letter, as `sort -V`.
fn is_older(version: &str, other: &str) -> bool {
    parts(version) < parts(other)
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Text(String),
    /// Digits without leading zeros; the shorter one is the smaller number.
    Number(usize, String),
}

fn parts(version: &str) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut rest = version;
    while let Some(first) = rest.chars().next() {
        let digits = first.is_ascii_digit();
        let end = rest.find(|next: char| next.is_ascii_digit() != digits).unwrap_or(rest.len());
        let (part, more) = rest.split_at(end);
        let number = part.trim_start_matches('0').to_owned();
        parts.push(if digits {
            Part::Number(number.len(), number)
        } else {
            Part::Text(part.to_owned())
        });
        rest = more;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::tests::manifest;

    const NOW: &str = "2026-12-01T00:00:00Z";

    fn now() -> Timestamp {
        NOW.parse().unwrap()
    }

    fn host(version: &'static str, asked: Option<&'static str>) -> Host<'static> {
        Host { image: "base", version, commit: "", asked }
    }

    fn tried(verdict: Verdict) -> Standing {
        Standing { verdicts: [(manifest().commit, verdict)].into(), ..Standing::default() }
    }

    fn refused(host: &Host<'_>, standing: &Standing, now: &str) -> Refused {
        judge(&manifest(), host, standing, now.parse().unwrap()).unwrap_err()
    }

    #[test]
    fn a_later_release_is_taken() {
        let standing = Standing { sequence: 12, ..Standing::default() };
        assert_eq!(judge(&manifest(), &host("6", None), &standing, now()), Ok(()));
    }

    #[test]
    fn an_older_version_is_taken_only_by_name() {
        let none = Standing::default();
        assert!(matches!(refused(&host("8", None), &none, NOW), Refused::Downgrade { .. }));
        assert!(matches!(refused(&host("10", None), &none, NOW), Refused::Downgrade { .. }));
        assert_eq!(judge(&manifest(), &host("8", Some("7")), &none, now()), Ok(()));
        let other = refused(&host("6", Some("9")), &none, NOW);
        assert!(matches!(other, Refused::NotTheOne { .. }));
    }

    #[test]
    fn what_has_expired_is_refused_even_by_name() {
        let expired = refused(&host("6", Some("7")), &Standing::default(), "2027-11-24T12:00:00Z");
        assert!(matches!(expired, Refused::Expired { .. }));
    }

    /// Going back leads to a manifest that was published before the one that was taken last.
    #[test]
    fn what_is_played_again_is_refused_unless_its_version_is_named() {
        let standing = Standing { sequence: 13, ..Standing::default() };
        let replayed = Refused::Replayed { offered: 12, seen: 13 };
        assert_eq!(refused(&host("6", None), &standing, NOW), replayed);
        assert_eq!(refused(&host("6", Some("8")), &standing, NOW), replayed);
        assert_eq!(judge(&manifest(), &host("8", Some("7")), &standing, now()), Ok(()));
    }

    #[test]
    fn a_release_of_another_image_is_refused() {
        let host = Host { image: "metal", ..host("6", None) };
        let refused = refused(&host, &Standing::default(), NOW);
        assert!(matches!(refused, Refused::OtherImage { .. }));
    }

    #[test]
    fn a_bad_release_is_never_taken_again() {
        let at = "2020-01-01T00:00:00Z".parse().unwrap();
        let bad = tried(Verdict::Bad { at, reason: "the gate: hostd.service failed".to_owned() });
        let error = refused(&host("6", None), &bad, NOW);
        assert!(error.to_string().contains("hostd.service failed"), "{error}");
        assert!(matches!(refused(&host("6", Some("7")), &bad, NOW), Refused::Bad { .. }));
    }

    #[test]
    fn an_inconclusive_one_waits_a_day() {
        let at: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
        let standing = tried(Verdict::Inconclusive { at });
        assert!(matches!(refused(&host("6", None), &standing, NOW), Refused::Inconclusive { .. }));
        let later = "2026-12-01T12:00:00Z".parse().unwrap();
        assert_eq!(judge(&manifest(), &host("6", None), &standing, later), Ok(()));
        let before = "2026-11-30T00:00:00Z".parse().unwrap();
        assert_eq!(judge(&manifest(), &host("6", None), &standing, before), Ok(()));
    }

    #[test]
    fn a_pinned_host_says_why_it_takes_nothing() {
        let standing =
            Standing { pinned: Some("until the audit".to_owned()), ..Standing::default() };
        let refused = refused(&host("6", Some("7")), &standing, NOW);
        assert!(refused.to_string().contains("until the audit"), "{refused}");
    }

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        let rising = ["1", "2", "10", "10-rc1", "10.1", "10.1.1", "10.10", "2026.9", "2026.11"];
        for pair in rising.windows(2) {
            assert!(is_older(pair[0], pair[1]), "{pair:?}");
            assert!(!is_older(pair[1], pair[0]), "{pair:?}");
        }
        assert!(!is_older("007", "7") && !is_older("7", "007"));
    }
}
