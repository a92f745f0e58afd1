//! What a check-in leaves behind. One that says nothing new writes nothing.

use anyhow::{Context, Result};
use basalt_api::capacity::HostFacts;
use basalt_api::checkin::CheckinRequest;
use basalt_api::fault::FaultKind;
use basalt_api::id::{HostId, Lineage, WorkloadUid};
use basalt_api::operator::HostState;
use basalt_api::report::{Source, WorkloadStatus};
use basalt_endpoint_core::checkin::{self, Known, Verdict};
use basalt_endpoint_core::report::{self, Difference, Statuses};
use basalt_endpoint_core::{Seconds, facts};

use super::events::{self, Happened};
use super::hosts::{Host, Seen};
use super::replan::{self, Cause};
use super::sets::Stored;
use super::{Db, Store, hosts, sets, statuses, to_json, workloads};

/// What became of a check-in.
#[derive(Debug)]
pub struct Outcome {
    /// What it means.
    pub verdict: Verdict,
    /// The host as it is now.
    pub host: Host,
    /// The set that it shall have.
    pub set: Stored,
    /// Hosts with a new generation because of it.
    pub replanned: Vec<HostId>,
    /// Whether anything was written.
    pub has_news: bool,
    /// Whether the endpoint would like to have its set.
    pub wants_set: bool,
    /// Workloads whose report was refused.
    pub refused: Vec<WorkloadUid>,
}

/// What a check-in means and changes.
struct Judged {
    host: Host,
    set: Stored,
    verdict: Verdict,
    seen: Seen,
    known: Statuses,
    difference: Difference,
    reported_set: Option<String>,
}

/// Takes a check-in.
///
/// # Errors
/// The host is none, or the database is broken.
pub async fn take(
    store: &Store,
    id: HostId,
    request: &CheckinRequest,
    now: Seconds,
) -> Result<Outcome> {
    let mut read = store.read().await?;
    let judged = judge(&mut read, store.lineage, id, request).await?;
    drop(read);
    if judged.is_quiet() {
        return Ok(judged.outcome(Vec::new(), false));
    }
    // Between reading and writing another check-in of this host may have come.
    let mut write = store.write().await?;
    let judged = judge(&mut write, store.lineage, id, request).await?;
    if judged.is_quiet() {
        return Ok(judged.outcome(Vec::new(), false));
    }
    let replanned = judged.write(&mut write, now).await?;
    let again = judge(&mut write, store.lineage, id, request).await?;
    write.commit().await?;
    Ok(Outcome { refused: judged.difference.refused, ..again.outcome(replanned, true) })
}

async fn judge(
    db: &mut Db,
    lineage: Lineage,
    id: HostId,
    request: &CheckinRequest,
) -> Result<Judged> {
    let host = hosts::get(db, id).await?.filter(|host| !host.is_revoked);
    let host = host.with_context(|| FaultKind::Revoked.with("this host was removed"))?;
    let set = sets::get(db, id).await?.context("a host has no set")?;
    let known = Known {
        lineage,
        session: host.seen.session,
        boot_id: host.seen.boot_id.clone(),
        generation: set.generation.number,
        set_hash: set.generation.hash.clone(),
        issued: sets::issued(db, id, request.observed_generation).await?,
        pardon: host.pardon.clone(),
    };
    let verdict = checkin::judge(&known, request);
    let is_silent = request.changes.is_empty() && request.gone.is_empty() && !request.is_full;
    let known = if is_silent { Statuses::new() } else { statuses::of_host(db, id).await? };
    let assigned = if is_silent { report::Assigned::new() } else { report::assigned(&set.set()?) };
    let difference = report::difference(&known, &assigned, request);
    let seen = seen(&host, &set, &verdict, request)?;
    let reported_set = reported_set(&verdict, request)?;
    Ok(Judged { host, set, verdict, seen, known, difference, reported_set })
}

fn seen(host: &Host, set: &Stored, verdict: &Verdict, request: &CheckinRequest) -> Result<Seen> {
    let before = &host.seen;
    let (state, frozen) = match verdict {
        Verdict::Duplicate => return Ok(before.clone()),
        Verdict::Frozen(frozen) => (HostState::Ahead, Some(*frozen)),
        Verdict::Behind | Verdict::Current => (HostState::Present, None),
    };
    // What its own workloads take can be told only while it runs what the endpoint thinks it does.
    let is_settled = request.observed_generation == set.generation.number
        && request.applied_generation == set.generation.number
        && *verdict == Verdict::Current;
    let facts = request.facts.as_ref().map(facts::bounded).or_else(|| before.facts.clone());
    let local = match &facts {
        Some(facts) if is_settled => local_share(facts, set)?,
        _ => before.local,
    };
    Ok(Seen {
        state,
        frozen,
        session: request.session,
        boot_id: request.boot_id.clone(),
        features: request.features.clone(),
        facts,
        local,
        reported: checkin::mark(request),
        applied_generation: request.applied_generation,
    })
}

fn local_share(facts: &HostFacts, set: &Stored) -> Result<basalt_api::capacity::Taken> {
    let set = set.set()?;
    let resources = set.workloads.iter().map(|assigned| &assigned.spec.resources);
    Ok(report::local_share(facts.capacity.taken, resources))
}

/// The set of a frozen host. Its hash is what the host was told: one of an older release may have
/// kept less of the set than that was made from.
fn reported_set(verdict: &Verdict, request: &CheckinRequest) -> Result<Option<String>> {
    let (Verdict::Frozen(_), Some(set)) = (verdict, &request.set) else { return Ok(None) };
    to_json(set).map(Some)
}

impl Judged {
    /// Whether there is nothing to write down.
    fn is_quiet(&self) -> bool {
        let is_same_set =
            self.reported_set.is_none() || self.reported_set == self.host.reported_set;
        let is_said = self.difference.put.is_empty() && self.difference.gone.is_empty();
        self.verdict == Verdict::Duplicate
            || (self.seen == self.host.seen && is_said && is_same_set)
    }

    fn outcome(self, replanned: Vec<HostId>, has_news: bool) -> Outcome {
        let is_frozen = matches!(self.verdict, Verdict::Frozen(_));
        Outcome {
            wants_set: is_frozen && self.host.reported_set.is_none(),
            verdict: self.verdict,
            host: self.host,
            set: self.set,
            replanned,
            has_news,
            refused: self.difference.refused,
        }
    }

    async fn write(&self, db: &mut Db, now: Seconds) -> Result<Vec<HostId>> {
        hosts::set_seen(db, self.host.id, &self.seen).await?;
        statuses::apply(db, self.host.id, &self.difference).await?;
        let has_moved_on = self.seen.reported != self.host.seen.reported;
        if self.reported_set.is_some() || has_moved_on {
            hosts::set_reported_set(db, self.host.id, self.reported_set.as_deref()).await?;
        }
        self.tell_state(db, now).await?;
        for status in &self.difference.put {
            self.tell_workload(db, status, now).await?;
        }
        let has_settled = self.seen.applied_generation != self.host.seen.applied_generation
            || !self.difference.gone.is_empty();
        let has_let_go = has_settled && workloads::has_leaving(db, self.host.id).await?;
        if !has_let_go && !replan::is_reason(&self.host, &self.seen) {
            return Ok(Vec::new());
        }
        replan::replan(db, &Cause::default(), now).await
    }

    async fn tell_state(&self, db: &mut Db, now: Seconds) -> Result<()> {
        let (before, after) = (&self.host.seen, &self.seen);
        if (before.state, before.frozen) == (after.state, after.frozen) {
            return Ok(());
        }
        let kind = format!("host_{}", after.state);
        let message = match after.frozen {
            Some(frozen) => format!("it is frozen: {}", frozen.sentence()),
            None => "it checks in".to_owned(),
        };
        let host = Some(&self.host.name);
        events::put(db, Happened { kind: &kind, host, workload: None, message: &message }, now)
            .await
    }

    async fn tell_workload(
        &self,
        db: &mut Db,
        status: &WorkloadStatus,
        now: Seconds,
    ) -> Result<()> {
        let before = self.known.get(&status.uid);
        let is_news = before.is_none_or(|before| {
            (before.state, before.restarts) != (status.state, status.restarts)
        });
        if !is_news {
            return Ok(());
        }
        let whose = match status.source {
            Source::Assigned => String::new(),
            source => format!("{source}, "),
        };
        let reason = status.reason.as_ref().map(|reason| format!(": {reason}"));
        let message = format!("{whose}{}{}", status.state, reason.unwrap_or_default());
        let (host, workload) = (Some(&self.host.name), Some(&status.name));
        let happened = Happened { kind: "workload_state", host, workload, message: &message };
        events::put(db, happened, now).await
    }
}
