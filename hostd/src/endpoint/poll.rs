//! The check-in, for ever: says how the host is, hears what shall run.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use basalt_api::capacity::{HostFacts, feature};
use basalt_api::checkin::{
    Action, CheckinAnswer, CheckinRequest, MAX_ANSWER_BYTES, PATIENCE_S, PROTOCOL,
};
use basalt_api::fault::{Fault, FaultKind};
use basalt_api::id::WorkloadUid;
use basalt_api::report::{Source, WorkloadStatus};
use basalt_explain::explain;
use basalt_https::{Answer, Client, Limits};
use hostd_core::books;
use hostd_core::checkin::{News, Reported, told_skew};
use hyper::StatusCode;
use hyper::header::RETRY_AFTER;
use rcgen::KeyPair;
use tokio::time::Instant;
use uuid::Uuid;

use super::lines::{self, Lines};
use super::once::Once;
use super::set::{self, Sent};
use super::{Ground, Standing, client, logs, pause, renew};
use crate::books::BooksError;
use crate::clock;
use crate::identity::Enrolled;

/// How long the endpoint may hold the first poll, before it has said how long it does.
const FIRST_WAIT_S: u64 = 60;
/// How long the first poll waits for what the host has to give.
const FIRST_FACTS: Duration = Duration::from_secs(10);
/// The longest wait that is believed.
const MAX_WAIT_S: u64 = 600;
/// Time between the sending of two polls with news, so that what happens meanwhile is told together;
/// and after a poll that waited for news and was answered with none.
const PACE: Duration = Duration::from_secs(1);

struct Poll {
    ground: Ground,
    enrolled: Enrolled,
    key: KeyPair,
    session: u64,
    lines: Lines,
    /// From when on news may be told.
    may_tell: Option<Instant>,
    /// From when on anything may be asked.
    may_ask: Option<Instant>,
    reported: Reported,
    facts: Option<HostFacts>,
    wait_s: u64,
    failures: u32,
    /// Sets in a row that were not taken.
    refusals: u32,
    /// Which of the endpoint's URLs is asked; the next one's turn comes when it is in vain.
    turn: usize,
    /// The endpoint wants to see the set of the ledger, and takes it by a poll alone.
    wants_set: Once,
    /// Whether it was sent because of the last answer.
    has_sent_set: bool,
    /// Whether the endpoint was asked for a set that cannot be opened here any more. Once: it may
    /// have lost its own key, too.
    has_asked_again: bool,
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
    let (reported, facts) = (Reported::default(), None);
    let mut poll = Poll {
        ground,
        enrolled,
        key,
        session,
        lines: Lines::default(),
        may_tell: None,
        may_ask: None,
        reported,
        facts,
        wait_s: FIRST_WAIT_S,
        failures: 0,
        refusals: 0,
        turn: 0,
        wants_set: Once::default(),
        has_sent_set: false,
        has_asked_again: false,
    };
    poll.wait_for_first_looks().await;
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
    /// The endpoint is not told that nothing runs only because nobody has looked yet. What the host
    /// has to give is not waited for long: an endpoint that knew it goes on with that.
    async fn wait_for_first_looks(&mut self) {
        let _ = self.ground.picture.wait_for(|picture| picture.is_known).await;
        let facts = self.ground.facts.wait_for(Option::is_some);
        let _ = tokio::time::timeout(FIRST_FACTS, facts).await;
    }

    /// A poll waits at the endpoint nearly always: a new set comes at once, whatever was told a
    /// moment before.
    async fn once(&mut self) -> Result<(), Vain> {
        until(self.may_ask.take()).await;
        if self.has_news() {
            until(self.may_tell).await;
        }
        let news = self.reported.news(&self.ground.picture.borrow_and_update().statuses);
        let facts = self.ground.facts.borrow_and_update().clone();
        let sent = clock::uptime();
        let request = self.request(&news, facts.as_ref());
        let (asked, waits) = (request.observed_generation, !carries_news(&request));
        let next = Instant::now() + PACE;
        if !waits {
            self.may_tell = Some(next);
        }
        match self.ask(&request).await? {
            Ended::News => Ok(()),
            Ended::Answered(answer) => {
                // As one that has no set yet, which gets it whole.
                self.has_asked_again |= request.lineage.is_none();
                self.reported.heard(news);
                self.facts = facts;
                let brought = self.take(*answer, asked, sent).await;
                self.may_ask = (waits && !brought).then_some(next);
                Ok(())
            }
        }
    }

    /// Whether there is something that the endpoint does not know.
    fn has_news(&self) -> bool {
        self.facts != *self.ground.facts.borrow()
            || !self.reported.news(&self.ground.picture.borrow().statuses).is_empty()
    }

    fn request(&mut self, news: &News, facts: Option<&HostFacts>) -> CheckinRequest {
        let ledger = self.ground.books.known();
        let again = !self.has_asked_again && ledger.as_deref().is_some_and(books::wants_set_again);
        let assigned = ledger.as_ref().and_then(|ledger| ledger.assigned.as_ref());
        let assigned = assigned.filter(|_| !again);
        let has_set = self.wants_set.take();
        CheckinRequest {
            protocol: PROTOCOL,
            features: self.features(),
            boot_id: self.ground.boot_id.clone(),
            session: self.session,
            lineage: assigned.map(|generation| generation.lineage),
            observed_generation: assigned.map_or(0, |generation| generation.generation),
            applied_generation: self.ground.picture.borrow().applied_generation,
            set_hash: assigned.map(|generation| generation.hash.clone()).unwrap_or_default(),
            changes: news.changes.clone(),
            gone: news.gone.clone(),
            is_full: news.is_full,
            facts: facts.filter(|facts| self.facts.as_ref() != Some(facts)).cloned(),
            set: assigned.filter(|_| has_set).map(|generation| generation.set.clone()),
        }
    }

    fn features(&self) -> Vec<String> {
        let always = [feature::CONTAINER, feature::VM, feature::SECRETS, feature::LOGS];
        let os = self.ground.can_update.then_some(feature::OS);
        always.into_iter().chain(os).map(str::to_owned).collect()
    }

    /// Sends a poll and waits for its answer. One that carries nothing new is left once there is
    /// news: the next poll takes its place. One that does is answered at once, and left by nobody:
    /// the host would not know whether it arrived, and would never hear the endpoint while
    /// something goes on changing.
    async fn ask(&mut self, request: &CheckinRequest) -> Result<Ended, Vain> {
        let body = serde_json::to_vec(request).unwrap_or_default();
        let limits = Limits {
            deadline: Duration::from_secs(self.wait_s + PATIENCE_S),
            bytes: MAX_ANSWER_BYTES,
        };
        let line = self.line().await?;
        let mut poll = lines::Poll::send(line, body.into(), limits);
        let ended = tokio::select! {
            // Cancel-safe: the poll goes on by itself.
            ended = poll.ended() => ended,
            // Cancel-safe: a change that was not awaited is still one, and one that was is looked at
            // again before the next poll.
            () = news(&mut self.ground, &self.reported, self.may_tell), if !carries_news(request) => {
                self.lines.leave(poll);
                return Ok(Ended::News);
            }
        };
        match ended {
            Some((line, Ok(answer))) => {
                self.lines.give_back(line);
                read(&answer).map(|answer| Ended::Answered(Box::new(answer)))
            }
            Some((_, Err(error))) => Err(Vain::away(explain(&error.into()))),
            None => Err(Vain::away("the question was cut off".to_owned())),
        }
    }

    async fn line(&mut self) -> Result<Client, Vain> {
        if let Some(line) = self.lines.take().await {
            return Ok(line);
        }
        client(&self.enrolled, &self.url(), &self.key)
            .map_err(|error| Vain::away(explain(&error.into())))
    }

    /// Takes the answer to a poll that was sent at `sent`. Returns whether it brought something that
    /// the next one will not bring again.
    async fn take(&mut self, answer: CheckinAnswer, asked: u64, sent: Duration) -> bool {
        let mut brought = false;
        self.wait_s = answer.wait_s.min(MAX_WAIT_S);
        self.compare_clocks(answer.server_time);
        let mut standing = Standing::Connected;
        let set = answer.set;
        if let Some(set) = set {
            let (lineage, generation, hash) = (answer.lineage, answer.generation, answer.set_hash);
            let take =
                move |ledger: &mut _| books::take_set(ledger, lineage, generation, &hash, set);
            match self.ground.books.change_or_begin_anew(take).await {
                Ok(is_new) => {
                    brought = is_new;
                    if is_new {
                        tracing::info!(generation, before = asked, "a new set");
                    }
                    self.refusals = 0;
                    self.tell_refusal(None);
                    self.hear(sent);
                }
                Err(error) => {
                    let reason = reason(&error);
                    let text = format!("generation {generation} is not taken: {reason}");
                    tracing::error!("{text}");
                    standing = Standing::Frozen(text);
                    self.refusals = self.refusals.saturating_add(1);
                    self.tell_refusal(Some((generation, reason)));
                }
            }
        } else {
            self.refusals = 0;
            self.tell_refusal(None);
            self.hear(sent);
        }
        let mut wants_set = false;
        for action in answer.actions {
            match action {
                Action::ReportAll => self.reported.forget(),
                Action::ReportSet => wants_set = true,
                Action::RenewCertificate => self.renew().await,
                Action::Frozen => standing = Standing::Frozen(FROZEN.to_owned()),
                Action::SendLogs { ticket, uid, lines } => {
                    self.send_logs(ticket, uid, lines);
                    brought = true;
                }
                Action::Unknown => (),
            }
        }
        self.ground.standing.send_replace(standing);
        self.ground.secrets.ask_with(&self.enrolled, &self.key);
        let has_sent_set = wants_set && self.report_set().await;
        // Somebody waits for it.
        brought |= has_sent_set && !self.has_sent_set;
        self.has_sent_set = has_sent_set;
        if self.refusals > 0 {
            // It would be offered again at once.
            pause(self.refusals.saturating_add(2), None).await;
        }
        brought
    }

    /// Whether the endpoint has the set of the ledger now, or gets it by the next poll.
    async fn report_set(&mut self) -> bool {
        let ledger = self.ground.books.known();
        let Some(assigned) = ledger.as_ref().and_then(|ledger| ledger.assigned.as_ref()) else {
            return false;
        };
        match set::send(assigned, &self.enrolled, &self.key, &self.url()).await {
            Ok(Sent::Taken) => true,
            Ok(Sent::NoSuchPath) => {
                self.wants_set.ask();
                true
            }
            Err(error) => {
                tracing::warn!("cannot send the set: {error:#}");
                false
            }
        }
    }

    fn compare_clocks(&self, server_time: i64) {
        let skew = server_time.saturating_sub(clock::unix_s());
        self.ground.trouble.send_if_modified(|trouble| {
            let told = told_skew(trouble.skew_s, skew);
            let is_news = told != trouble.skew_s;
            trouble.skew_s = told;
            is_news
        });
    }

    fn tell_refusal(&self, refused: Option<(u64, String)>) {
        self.ground.trouble.send_if_modified(|trouble| {
            let is_news = refused != trouble.refused;
            trouble.refused = refused;
            is_news
        });
    }

    /// The endpoint was heard: what the ledger has is what it wants here. Not before its new set is
    /// there: what was stopped in silence would start by the old one, and may run elsewhere by now.
    fn hear(&self, sent: Duration) {
        self.ground.heard.send_replace(Some(sent));
        remember(&self.ground.heard_file, &self.ground.boot_id, sent);
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
        let urls = self.enrolled.urls();
        urls[self.turn % urls.len()].clone()
    }

    async fn recover(&mut self, vain: Vain) {
        self.failures = self.failures.saturating_add(1);
        self.turn = self.turn.wrapping_add(1);
        self.lines = Lines::default();
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
        match renew::renewed(&self.enrolled, &self.key, &url).await {
            Ok(renewed) => {
                match self.ground.store.write(&renewed).context("a new certificate came") {
                    Ok(()) => {
                        tracing::info!("the certificate was renewed");
                        (self.enrolled, self.lines) = (renewed, Lines::default());
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

/// Whether the endpoint hears something new by it, and so answers at once.
fn carries_news(request: &CheckinRequest) -> bool {
    let changes = !(request.changes.is_empty() && request.gone.is_empty());
    changes || request.is_full || request.facts.is_some()
}

/// Waits until the endpoint does not know something that it should and may be told.
async fn news(ground: &mut Ground, reported: &Reported, may_tell: Option<Instant>) {
    changed(ground, reported).await;
    until(may_tell).await;
}

async fn until(moment: Option<Instant>) {
    if let Some(moment) = moment {
        tokio::time::sleep_until(moment).await;
    }
}

async fn changed(ground: &mut Ground, reported: &Reported) {
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

/// Why a set is not in the ledger, in one line.
fn reason(error: &BooksError) -> String {
    match error {
        BooksError::Refused(refused) => refused.to_string(),
        BooksError::Unwritable(source) => format!("the ledger cannot be written: {source}"),
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

#[cfg(test)]
mod tests;
