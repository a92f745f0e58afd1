//! The check-in, for ever: says how the host is, hears what shall run.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use basalt_api::capacity::feature;
use basalt_api::checkin::{
    Action, CHECKIN_PATH, CheckinAnswer, CheckinRequest, MAX_ANSWER_BYTES, PATIENCE_S, PROTOCOL,
};
use basalt_api::fault::{Fault, FaultKind};
use basalt_api::id::WorkloadUid;
use basalt_api::report::{Source, WorkloadStatus};
use basalt_explain::explain;
use basalt_https::{Answer, Client, Limits};
use hostd_core::books;
use hostd_core::checkin::{News, Reported};
use hyper::header::RETRY_AFTER;
use hyper::{Method, StatusCode};
use rcgen::KeyPair;
use uuid::Uuid;

use super::once::Once;
use super::{Ground, Standing, client, logs, pause, renew};
use crate::clock;
use crate::identity::Enrolled;

/// How long the endpoint may hold the first poll, before it has said how long it does.
const FIRST_WAIT_S: u64 = 60;
/// The longest wait that is believed.
const MAX_WAIT_S: u64 = 600;
/// Seconds by which two clocks may differ before it is said.
const SKEW_S: i64 = 60;

struct Poll {
    ground: Ground,
    enrolled: Enrolled,
    key: KeyPair,
    session: u64,
    line: Option<Client>,
    reported: Reported,
    facts: Option<basalt_api::capacity::HostFacts>,
    wait_s: u64,
    failures: u32,
    /// Which of the endpoint's URLs is asked; the next one's turn comes when it is in vain.
    turn: usize,
    /// The endpoint wants to see the set of the ledger.
    wants_set: Once,
}

/// How a poll ended.
enum Ended {
    /// It was answered.
    Answered(Box<CheckinAnswer>),
    /// It was broken off: there is news for the endpoint.
    News,
}

/// Why a poll was in vain.
struct Vain {
    standing: Standing,
    retry_after: Option<Duration>,
    /// The certificate is not taken any more: only a new one helps.
    wants_certificate: bool,
}

/// Asks for ever.
///
/// # Errors
/// This host's own files cannot be used.
pub(super) async fn for_ever(ground: Ground, enrolled: Enrolled) -> Result<()> {
    let key = ground.store.key()?;
    let session = ground.books.session();
    let (line, reported, facts) = (None, Reported::default(), None);
    let mut poll = Poll {
        ground,
        enrolled,
        key,
        session,
        line,
        reported,
        facts,
        wait_s: FIRST_WAIT_S,
        failures: 0,
        turn: 0,
        wants_set: Once::default(),
    };
    poll.wait_for_picture().await;
    loop {
        match poll.once().await {
            Ok(()) => poll.failures = 0,
            Err(vain) => poll.recover(vain).await,
        }
        if renew::is_due(&poll.enrolled.certificate, clock::unix_s()) {
            poll.renew().await;
        }
    }
}

/// A `hostd` that starts again in the same boot goes on counting the endpoint's silence.
pub fn recall(ground: &Ground) {
    let text = fs::read_to_string(&ground.heard_file).unwrap_or_default();
    if let Some((boot, at)) = text.trim().split_once(' ')
        && boot == ground.boot_id
        && let Ok(at) = at.parse()
    {
        ground.heard.send_replace(Some(Duration::from_millis(at)));
    }
}

fn remember(path: &Path, boot_id: &str, at: Duration) {
    let text = format!("{boot_id} {}\n", at.as_millis());
    if let Err(error) = basalt_durable::write(path, text.as_bytes(), basalt_durable::PRIVATE) {
        tracing::warn!(%error, "cannot note when the endpoint was heard");
    }
}

impl Poll {
    /// The endpoint is not told that nothing runs only because nobody has looked yet.
    async fn wait_for_picture(&mut self) {
        let _ = self.ground.picture.wait_for(|picture| picture.is_known).await;
    }

    async fn once(&mut self) -> Result<(), Vain> {
        let news = self.reported.news(&self.ground.picture.borrow_and_update().statuses);
        let facts = self.ground.facts.borrow_and_update().clone();
        let sent = clock::uptime();
        let request = self.request(&news, &facts);
        let asked = request.observed_generation;
        match self.ask(&request).await? {
            Ended::News => Ok(()),
            Ended::Answered(answer) => {
                self.ground.heard.send_replace(Some(sent));
                remember(&self.ground.heard_file, &self.ground.boot_id, sent);
                self.reported.heard(news);
                self.facts = Some(facts);
                self.take(*answer, asked).await;
                Ok(())
            }
        }
    }

    fn request(&mut self, news: &News, facts: &basalt_api::capacity::HostFacts) -> CheckinRequest {
        let ledger = self.ground.books.known();
        let assigned = ledger.as_ref().and_then(|ledger| ledger.assigned.as_ref());
        let is_new = self.facts.as_ref() != Some(facts);
        let has_set = self.wants_set.take();
        CheckinRequest {
            protocol: PROTOCOL,
            features: [feature::CONTAINER, feature::VM, feature::SECRETS, feature::LOGS]
                .map(str::to_owned)
                .into(),
            boot_id: self.ground.boot_id.clone(),
            session: self.session,
            lineage: assigned.map(|generation| generation.lineage),
            observed_generation: assigned.map_or(0, |generation| generation.generation),
            applied_generation: self.ground.picture.borrow().applied_generation,
            set_hash: assigned.map(|generation| generation.hash.clone()).unwrap_or_default(),
            changes: news.changes.clone(),
            gone: news.gone.clone(),
            is_full: news.is_full,
            facts: is_new.then(|| facts.clone()),
            set: assigned.filter(|_| has_set).map(|generation| generation.set.clone()),
        }
    }

    /// Sends a poll and waits for its answer, or until there is news: the next poll takes this
    /// one's place.
    async fn ask(&mut self, request: &CheckinRequest) -> Result<Ended, Vain> {
        let body = serde_json::to_vec(request).unwrap_or_default();
        let mut line = self.line()?;
        let limits = Limits {
            deadline: Duration::from_secs(self.wait_s + PATIENCE_S),
            bytes: MAX_ANSWER_BYTES,
        };
        let poll = line.ask(Method::POST, CHECKIN_PATH, body.into(), limits);
        let answer = tokio::select! {
            // Not cancel-safe, and not meant to be: a line whose poll was dropped is not used again.
            answer = poll => answer,
            () = news(&mut self.ground, &self.reported) => return Ok(Ended::News),
        };
        match answer {
            Ok(answer) => {
                self.line = Some(line);
                read(&answer).map(|answer| Ended::Answered(Box::new(answer)))
            }
            Err(error) => Err(Vain::away(explain(&error.into()))),
        }
    }

    fn line(&mut self) -> Result<Client, Vain> {
        if let Some(line) = self.line.take() {
            return Ok(line);
        }
        client(&self.enrolled, &self.url(), &self.key)
            .map_err(|error| Vain::away(explain(&error.into())))
    }

    async fn take(&mut self, answer: CheckinAnswer, asked: u64) {
        self.wait_s = answer.wait_s.min(MAX_WAIT_S);
        let skew = answer.server_time - clock::unix_s();
        if skew.abs() > SKEW_S {
            tracing::warn!(skew_s = skew, "this host's clock and the endpoint's differ");
        }
        let mut standing = Standing::Connected;
        for action in answer.actions {
            match action {
                Action::ReportAll => self.reported.forget(),
                Action::ReportSet => self.wants_set.ask(),
                Action::RenewCertificate => self.renew().await,
                Action::Frozen => standing = Standing::Frozen(FROZEN.to_owned()),
                Action::SendLogs { ticket, uid, lines } => self.send_logs(ticket, uid, lines),
                Action::Unknown => (),
            }
        }
        if let Some(set) = answer.set {
            let (lineage, generation, hash) = (answer.lineage, answer.generation, answer.set_hash);
            let take =
                move |ledger: &mut _| books::take_set(ledger, lineage, generation, &hash, set);
            match self.ground.books.change_or_begin_anew(take).await {
                Ok(true) => tracing::info!(generation, before = asked, "a new set"),
                Ok(false) => (),
                Err(error) => {
                    let reason = format!("generation {generation} is not taken: {error}");
                    tracing::error!("{reason}");
                    standing = Standing::Frozen(reason);
                    pause(3, None).await;
                }
            }
        }
        self.ground.standing.send_replace(standing);
        self.ground.secrets.ask_with(&self.enrolled, &self.key);
    }

    fn send_logs(&self, ticket: Uuid, uid: WorkloadUid, lines: u32) {
        let statuses = self.ground.picture.borrow().statuses.clone();
        let is_its =
            |status: &&WorkloadStatus| status.uid == uid && status.source == Source::Assigned;
        let Some(status) = statuses.iter().find(is_its) else { return };
        let wanted = logs::Wanted { ticket, uid, kind: status.kind, lines };
        let (runtimes, enrolled) = (self.ground.runtimes.clone(), self.enrolled.clone());
        let (key, url) = (self.key.serialize_pem(), self.url());
        tokio::spawn(async move {
            let Ok(key) = KeyPair::from_pem(&key) else { return };
            if let Err(error) = logs::send(wanted, &runtimes, &enrolled, &key, &url).await {
                tracing::warn!(%uid, "cannot send a log: {error:#}");
            }
        });
    }

    /// The endpoint's URLs take turns while questions are in vain; the one that answered serves for
    /// logs and certificates too.
    fn url(&self) -> String {
        let urls = &self.enrolled.urls;
        urls[self.turn % urls.len()].clone()
    }

    async fn recover(&mut self, vain: Vain) {
        self.failures = self.failures.saturating_add(1);
        self.turn = self.turn.wrapping_add(1);
        self.line = None;
        if let Standing::Away(reason) | Standing::Frozen(reason) = &vain.standing {
            tracing::warn!(failures = self.failures, "{reason}");
        }
        self.ground.standing.send_replace(vain.standing);
        if vain.wants_certificate {
            self.renew().await;
        }
        pause(self.failures, vain.retry_after).await;
    }

    async fn renew(&mut self) {
        let url = self.url();
        match renew::certificate(&self.enrolled, &self.key, &url).await {
            Ok(certificate) => {
                let renewed = self.enrolled.with_certificate(certificate);
                match self.ground.store.write(&renewed).context("a new certificate came") {
                    Ok(()) => {
                        tracing::info!("the certificate was renewed");
                        (self.enrolled, self.line) = (renewed, None);
                    }
                    Err(error) => tracing::error!("{error:#}"),
                }
            }
            Err(error) => tracing::warn!("cannot renew the certificate: {error:#}"),
        }
    }
}

const FROZEN: &str = "this host is ahead of the endpoint's database, which may be an older backup: it \
                      goes on as it is (`basaltctl hosts resync` decides)";

/// Waits until the endpoint does not know something that it should.
async fn news(ground: &mut Ground, reported: &Reported) {
    loop {
        tokio::select! {
            // Cancel-safe, both: a change that was not awaited is still one.
            changed = ground.picture.changed() => {
                if changed.is_err() {
                    return std::future::pending().await;
                }
            }
            changed = ground.facts.changed() => {
                return if changed.is_err() { std::future::pending().await };
            }
        }
        if !reported.news(&ground.picture.borrow().statuses).is_empty() {
            return;
        }
    }
}

fn read(answer: &Answer) -> Result<CheckinAnswer, Vain> {
    if answer.status == StatusCode::OK {
        return serde_json::from_slice(&answer.body)
            .map_err(|error| Vain::away(format!("the endpoint answers nonsense: {error}")));
    }
    let retry_after = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = retry_after.and_then(|text| text.parse().ok()).map(Duration::from_secs);
    let vain = match serde_json::from_slice::<Fault>(&answer.body) {
        Ok(fault) if fault.is(FaultKind::DuplicateIdentity) => Vain {
            standing: Standing::Frozen(
                "another machine has this host's identity: both go on as they are".to_owned(),
            ),
            retry_after: None,
            wants_certificate: false,
        },
        Ok(fault) => Vain {
            wants_certificate: fault.is(FaultKind::CertificateExpired),
            ..Vain::away(fault.to_string())
        },
        Err(_) => Vain::away(format!("the endpoint answers `{}`", answer.status)),
    };
    Err(Vain { retry_after, ..vain })
}

impl Vain {
    fn away(reason: String) -> Self {
        Self { standing: Standing::Away(reason), retry_after: None, wants_certificate: false }
    }
}
