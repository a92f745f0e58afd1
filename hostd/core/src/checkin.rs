//! What a host says to its endpoint, and when: which statuses are news, how long to wait after a
//! failure, whose state this is.

use std::collections::BTreeMap;
use std::time::Duration;

use basalt_api::id::WorkloadUid;
use basalt_api::report::{Source, WorkloadStatus};

/// The first wait after a failure.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What the endpoint has heard of the workloads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reported {
    /// As they were reported last; none before the first answer of this connection.
    known: Option<BTreeMap<WorkloadUid, WorkloadStatus>>,
}

/// News for the endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct News {
    /// Those that are other than they were.
    pub changes: Vec<WorkloadStatus>,
    /// Those that are gone.
    pub gone: Vec<WorkloadUid>,
    /// Whether `changes` is everything.
    pub is_full: bool,
}

impl News {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.gone.is_empty() && !self.is_full
    }
}

impl Reported {
    /// What is news. The endpoint hears of its own workloads only: the host's are nobody else's
    /// business.
    #[must_use]
    pub fn news(&self, now: &[WorkloadStatus]) -> News {
        let assigned = now.iter().filter(|status| status.source == Source::Assigned);
        let Some(known) = &self.known else {
            return News { changes: assigned.cloned().collect(), gone: Vec::new(), is_full: true };
        };
        let is_news = |status: &&WorkloadStatus| known.get(&status.uid) != Some(*status);
        let is_gone = |uid: &&WorkloadUid| {
            !now.iter().any(|status| status.uid == **uid && status.source == Source::Assigned)
        };
        News {
            changes: assigned.filter(is_news).cloned().collect(),
            gone: known.keys().filter(is_gone).copied().collect(),
            is_full: false,
        }
    }

    /// The endpoint has answered, and so has heard the news.
    pub fn heard(&mut self, news: News) {
        let known = self.known.get_or_insert_default();
        if news.is_full {
            known.clear();
        }
        news.gone.iter().for_each(|uid| {
            known.remove(uid);
        });
        known.extend(news.changes.into_iter().map(|status| (status.uid, status)));
    }

    /// The endpoint wants to hear everything.
    pub fn forget(&mut self) {
        self.known = None;
    }
}

/// How long to wait after so many failures in a row: a random part (`chance`, 0 to 1) of 1, 2, 4 …
/// 60 s, so that hosts which failed together do not come back together; never less than what the
/// endpoint asked for.
#[must_use]
pub fn wait_after(failures: u32, chance: f64, retry_after: Option<Duration>) -> Duration {
    let longest = FIRST_WAIT
        .saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1).min(16)))
        .min(LONGEST_WAIT);
    let wait = longest.mul_f64(chance.clamp(0.0, 1.0)).max(Duration::from_millis(100));
    retry_after.map_or(wait, |asked| asked.min(Duration::from_secs(600)).max(wait))
}

/// Seconds by which two clocks may differ before it is said.
const SKEW_S: i64 = 60;

/// The difference of two clocks that is said, in seconds, after one of `now` was seen; `before` is
/// what was said last. What moves by less than a minute is no news.
#[must_use]
pub fn told_skew(before: Option<i64>, now: i64) -> Option<i64> {
    match before {
        Some(before) if now.saturating_sub(before).saturating_abs() < SKEW_S => Some(before),
        _ => Some(now).filter(|now| now.saturating_abs() > SKEW_S),
    }
}

/// What tells one machine from another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// `/etc/machine-id`.
    pub machine_id: String,
    /// The UUID that the firmware gives (SMBIOS), where it can be read.
    pub dmi_uuid: Option<String>,
}

/// Whether state that was made on `then` is a copy on `now`. A UUID that cannot be read on either
/// side says nothing.
#[must_use]
pub fn is_copy(then: &Machine, now: &Machine) -> bool {
    let differs = |one: &str, other: &str| !one.is_empty() && !other.is_empty() && one != other;
    differs(&then.machine_id, &now.machine_id)
        || matches!((&then.dmi_uuid, &now.dmi_uuid), (Some(then), Some(now)) if then != now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(uid: u8, state: &str, source: &str) -> WorkloadStatus {
        let text = format!(
            r#"{{"uid":"00000000-0000-0000-0000-00000000000{uid}","name":"a","kind":"container",
                "source":"{source}","state":"{state}"}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn the_first_report_is_everything_and_the_next_only_news() {
        let mut reported = Reported::default();
        let first = [status(1, "running", "assigned"), status(2, "pending", "assigned")];
        let news = reported.news(&first);
        assert_eq!((news.changes.len(), news.is_full), (2, true));
        reported.heard(news);
        assert!(reported.news(&first).is_empty());
        let next = [status(2, "running", "assigned")];
        let news = reported.news(&next);
        assert_eq!((&news.changes[..], &news.gone[..]), (&next[..], &[first[0].uid][..]));
        reported.heard(news);
        assert!(reported.news(&next).is_empty());
    }

    #[test]
    fn news_that_nobody_heard_stay_news() {
        let mut reported = Reported::default();
        reported.heard(reported.news(&[]));
        let now = [status(1, "running", "assigned")];
        assert_eq!(reported.news(&now), reported.news(&now));
        reported.forget();
        assert!(reported.news(&now).is_full);
    }

    #[test]
    fn the_hosts_own_workloads_are_nobody_elses_business() {
        let news = Reported::default().news(&[status(1, "running", "local")]);
        assert_eq!(news.changes, []);
    }

    #[test]
    fn waits_grow_with_jitter_and_obey_the_endpoint() {
        let seconds = |failures, chance| wait_after(failures, chance, None).as_secs_f64();
        assert_eq!([1, 2, 3, 9].map(|failures| seconds(failures, 1.0)), [1.0, 2.0, 4.0, 60.0]);
        assert_eq!(seconds(9, 0.5), 30.0);
        assert_eq!(seconds(1, 0.0), 0.1);
        let asked = wait_after(1, 0.5, Some(Duration::from_secs(30)));
        assert_eq!(asked.as_secs(), 30);
    }

    #[test]
    fn clocks_that_differ_are_told_once_and_until_they_agree() {
        let seen = [3, 61, 64, 58, -2, 1000, 1003, 60];
        let told = seen.into_iter().scan(None, |told, now| {
            *told = told_skew(*told, now);
            Some(*told)
        });
        let (hour, minute) = (Some(1000), Some(61));
        let expected = [None, minute, minute, minute, None, hour, hour, None];
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_copy_is_told_by_either_id() {
        let machine = |id: &str, dmi: Option<&str>| Machine {
            machine_id: id.to_owned(),
            dmi_uuid: dmi.map(str::to_owned),
        };
        let then = machine("m", Some("d"));
        assert!(!is_copy(&then, &machine("m", Some("d"))));
        assert!(is_copy(&then, &machine("m", Some("e"))));
        assert!(is_copy(&then, &machine("n", Some("d"))));
        assert!(!is_copy(&then, &machine("m", None)));
    }
}
