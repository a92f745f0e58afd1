//! The loop that makes the host be as it shall be: observe, plan, carry out, publish.
//!
//! One task owns what is remembered. Work is carried out beside it, one workload at a time each,
//! and reports back; whatever wakes the loop, it looks anew before it plans.

mod carry_out;
mod kinds;
mod look;
mod private;
mod room;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use basalt_api::capacity::Taken;
use basalt_api::id::{HostId, WorkloadUid};
use basalt_api::ledger::Ledger;
use basalt_api::report::{Trouble, WorkloadStatus};
use basalt_api::workload::Kind;
use hostd_core::books;
use hostd_core::leaving;
use hostd_core::plan::{self, Observed, Plan, Seen, Situation, Work};
use hostd_core::policy::Policy;
use hostd_core::track::{Progress, Tracks};
use hostd_core::wanted::{Contact, Wanted};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::books::{Books, Known};
use crate::clock;
use crate::events::Events;
use crate::host_paths::HostPaths;
use crate::identity::Enrolled;
use crate::metrics::Metrics;
use crate::secrets::Secrets;
pub use kinds::{Kinds, Runtimes};
pub use room::for_workloads_mib as memory_for_workloads_mib;

/// Whatever wakes the loop or not, it looks at everything so often: events can get lost.
const RELIST: Duration = Duration::from_secs(60);
/// What was not seen for so long is gone.
const UNSEEN: Duration = Duration::from_secs(30);

/// How the workloads are.
#[derive(Debug, Clone, Default)]
pub struct Picture {
    /// Each workload, by name.
    pub statuses: Vec<WorkloadStatus>,
    /// What would be done now, a line each.
    pub plan: Vec<String>,
    /// What is being done, a line each.
    pub under_way: Vec<String>,
    /// What workloads set aside.
    pub taken: Taken,
    /// What has our labels and is not ours, a sentence each.
    pub strangers: Vec<String>,
    /// The generation that everything runs by; 0 before the first.
    pub applied_generation: u64,
    /// Of the ledger that was gone by.
    pub ledger_sequence: u64,
    /// Whether the loop has looked at least once.
    pub is_known: bool,
}

/// What the loop goes by besides the ledger.
pub struct Ground {
    /// The ledger.
    pub books: Arc<Books>,
    /// What runs workloads.
    pub runtimes: Runtimes,
    /// Values of secrets.
    pub secrets: Arc<dyn Secrets>,
    /// What the host allows.
    pub policy: Policy,
    /// Who this host is at its endpoint.
    pub us: watch::Receiver<Option<Enrolled>>,
    /// Whether the ledger was made on another machine, and nothing may be started from it.
    pub copy: watch::Receiver<bool>,
    /// When the endpoint was heard.
    pub heard: watch::Receiver<Option<Duration>>,
    /// Where events go.
    pub events: Arc<Events>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where the picture goes.
    pub picture: watch::Sender<Arc<Picture>>,
    /// Workloads that somebody wants to run once more.
    pub again: mpsc::Receiver<WorkloadUid>,
}

/// The loop's own state.
struct Loop {
    ground: Ground,
    known: watch::Receiver<Known>,
    /// Of the ledger that this round goes by.
    sequence: u64,
    host_paths: HostPaths,
    tracks: Tracks,
    /// Tells what is being done that it is not wanted any more.
    give_up: BTreeMap<WorkloadUid, watch::Sender<bool>>,
    /// Since when nothing has been seen of what the ledger keeps until it is gone.
    unseen: BTreeMap<WorkloadUid, Instant>,
    observed: Observed,
    /// What has our labels and is not ours, by the runtime that has it.
    strangers: HashMap<Kind, Vec<String>>,
    /// Kinds that may be other than `observed` says.
    stale: Kinds,
    /// When the first workload is to be stopped if the endpoint stays silent, as time since boot.
    silent_at: Option<Duration>,
    /// When everything was looked at last, whatever woke the loop since.
    looked: Instant,
    /// The look at an engine that hangs.
    late: Option<look::Late>,
    /// When folders of secrets were looked through last.
    swept: Option<Instant>,
    /// Kinds that there is, or may be, something of.
    used: watch::Sender<Kinds>,
    changed: mpsc::Receiver<Kind>,
    progress: mpsc::Receiver<(WorkloadUid, Progress)>,
    report: mpsc::Sender<(WorkloadUid, Progress)>,
}

/// Runs for ever.
pub async fn run(ground: Ground) {
    let mut reconcile = Loop::begin(ground);
    let mut woken_by = "start";
    loop {
        let began = Instant::now();
        reconcile.round(woken_by).await;
        reconcile.ground.metrics.round_took(began.elapsed());
        woken_by = reconcile.wait().await;
    }
}

impl Loop {
    fn begin(ground: Ground) -> Self {
        let known = ground.books.watch();
        let host_paths = HostPaths::new(&ground.policy.host_paths);
        let (used, uses) = watch::channel(Kinds::NONE);
        let changed = look::watch_runtimes(&ground.runtimes, &uses);
        let (report, progress) = mpsc::channel(64);
        Self {
            ground,
            known,
            sequence: 0,
            host_paths,
            tracks: Tracks::default(),
            give_up: BTreeMap::new(),
            unseen: BTreeMap::new(),
            observed: Observed::nothing(),
            strangers: HashMap::new(),
            stale: Kinds::ALL,
            silent_at: None,
            looked: Instant::now(),
            late: None,
            swept: None,
            used,
            changed,
            progress,
            report,
        }
    }

    async fn round(&mut self, woken_by: &'static str) {
        self.ground.metrics.round(woken_by);
        let is_copy = *self.ground.copy.borrow_and_update();
        let known = self.known.borrow_and_update().clone();
        self.sequence = known.as_ref().map_or(0, |ledger| ledger.sequence);
        let known = known.filter(|_| !is_copy);
        let us = self.ground.us.borrow_and_update().as_ref().map(|us| us.host_id);
        let wanted = known.as_ref().map(|ledger| books::wanted(ledger, us));
        self.choose_kinds(wanted.as_deref().unwrap_or_default(), known.is_none());
        self.look().await;
        self.forget_kinds(wanted.as_deref().unwrap_or_default()).await;
        let now = clock::uptime();
        let uids: Vec<WorkloadUid> = wanted.iter().flatten().map(Wanted::uid).collect();
        self.tracks.observe(&self.observed.instances().collect::<Vec<_>>(), &uids, now);
        self.sweep_private(wanted.as_deref()).await;
        let nothing = Ledger::default();
        let ledger = known.as_deref().unwrap_or(&nothing);
        let plan = self.plan(ledger, wanted.as_deref(), us, now);
        tracing::debug!(woken_by, work = plan.work.len(), "round");
        self.silent_at = plan.silent_at;
        for uid in &plan.given_up {
            self.give_up.get(uid).inspect(|give_up| _ = give_up.send_replace(true));
        }
        for work in &plan.work {
            self.begin_work(work, wanted.as_deref().unwrap_or_default(), now).await;
        }
        // What was begun just now shows in the statuses.
        let after = self.plan(ledger, wanted.as_deref(), us, now);
        let generation = ledger.assigned.as_ref().map_or(0, |known| known.generation);
        let wanted = wanted.unwrap_or_default();
        self.publish(&plan, after, generation, &wanted);
        self.forget_gone(ledger, &wanted).await;
    }

    /// Lets the ledger forget what it had to keep until an instance was gone. Not at once: an
    /// engine that answered too late may still make one that was given up.
    async fn forget_gone(&mut self, ledger: &Ledger, wanted: &[Wanted]) {
        let gone = leaving::gone(ledger, wanted, &self.observed, &self.tracks);
        let now = Instant::now();
        self.unseen.retain(|uid, _| gone.contains(uid));
        gone.iter().for_each(|uid| {
            self.unseen.entry(*uid).or_insert(now);
        });
        let is_over = |since: &Instant| now.duration_since(*since) >= UNSEEN;
        let over = self.unseen.iter().filter(|(_, since)| is_over(since));
        let over: Vec<WorkloadUid> = over.map(|(uid, _)| *uid).collect();
        if over.is_empty() {
            return;
        }
        let forget = move |ledger: &mut Ledger| {
            leaving::forget(ledger, &over);
            Ok(())
        };
        if let Err(error) = self.ground.books.change(forget).await {
            // It is kept for nothing, which harms nobody.
            tracing::debug!(%error, "cannot forget what is gone");
        }
    }

    /// Which runtimes there is a reason to speak to. Podman's service and libvirt's may rest until
    /// there is one.
    fn choose_kinds(&mut self, wanted: &[Wanted], everything: bool) {
        let mut used = if everything { Kinds::ALL } else { self.ground.runtimes.left_behind() };
        wanted.iter().for_each(|wanted| used.add(wanted.kind()));
        self.observed.instances().for_each(|instance| used.add(instance.kind));
        let before = *self.used.borrow();
        if used != before {
            self.stale.add_all(used);
            self.used.send_replace(used);
        }
    }

    /// A runtime that has nothing of ours, and nothing to do, is left to rest.
    async fn forget_kinds(&self, wanted: &[Wanted]) {
        for kind in [Kind::Container, Kind::Vm] {
            let is_wanted = wanted.iter().any(|wanted| wanted.kind() == kind);
            let is_empty = matches!(self.observed.of(kind), Seen::Instances(all) if all.is_empty());
            if !is_wanted
                && is_empty
                && !self.tracks.is_busy()
                && let Err(error) = self.ground.runtimes.is_done_with(kind).await
            {
                tracing::warn!(%kind, %error, "cannot note that a runtime is not used");
            }
        }
    }

    fn plan(
        &self,
        ledger: &Ledger,
        wanted: Option<&[Wanted]>,
        us: Option<HostId>,
        now: Duration,
    ) -> Plan {
        let heard = *self.ground.heard.borrow();
        plan::plan(&Situation {
            wanted,
            knows_set: ledger.assigned.is_some(),
            leaving: &ledger.leaving,
            forgotten: &ledger.forgotten,
            observed: &self.observed,
            tracks: &self.tracks,
            us,
            policy: &self.ground.policy,
            contact: Contact::at(now, heard),
            memory_mib: room::for_workloads_mib(),
            now,
        })
    }

    async fn begin_work(&mut self, work: &Work, wanted: &[Wanted], now: Duration) {
        let Some(runtime) = self.ground.runtimes.of(work.kind) else { return };
        tracing::info!("{work}");
        self.tracks.turn_to(work.uid, work.purpose.clone());
        if let Err(error) = self.ground.runtimes.will_use(work.kind).await {
            let reason = format!("cannot write to the state folder: {error}");
            self.tracks.progress(
                work.uid,
                Progress::Failed(work.steps[0], reason, Trouble::Lasting),
                now,
            );
            return;
        }
        self.tracks.progress(work.uid, Progress::Began(work.steps[0]), now);
        let wanted = wanted.iter().find(|wanted| wanted.uid() == work.uid).cloned();
        let (give_up, is_given_up) = watch::channel(false);
        self.give_up.insert(work.uid, give_up);
        let task = carry_out::Task {
            runtime,
            secrets: Arc::clone(&self.ground.secrets),
            host_paths: self.host_paths.clone(),
            private: self.ground.runtimes.private(work.uid),
            work: work.clone(),
            wanted,
            report: self.report.clone(),
            give_up: is_given_up,
            policy: self.ground.policy.clone(),
            heard: self.ground.heard.clone(),
        };
        tokio::spawn(task.run());
    }

    fn publish(&self, begun: &Plan, now: Plan, generation: u64, wanted: &[Wanted]) {
        let before = self.ground.picture.borrow().clone();
        self.ground.events.compare(&before.statuses, &now.statuses, clock::unix_s());
        let is_settled = begun.work.is_empty() && !self.tracks.is_busy();
        let applied_generation = if is_settled { generation } else { before.applied_generation };
        let under_way = begun.work.iter().map(ToString::to_string);
        let picture = Picture {
            under_way: under_way.chain(self.in_progress(&now.statuses, begun)).collect(),
            plan: now.work.iter().map(ToString::to_string).collect(),
            taken: room::taken(wanted, &now.statuses),
            strangers: self.strangers.values().flatten().cloned().collect(),
            statuses: now.statuses,
            applied_generation,
            ledger_sequence: self.sequence,
            is_known: true,
        };
        self.ground.picture.send_replace(Arc::new(picture));
    }

    /// What was begun in an earlier round and is not over.
    fn in_progress(&self, statuses: &[WorkloadStatus], begun: &Plan) -> Vec<String> {
        let earlier =
            statuses.iter().filter(|status| !begun.work.iter().any(|work| work.uid == status.uid));
        earlier
            .filter_map(|status| {
                let step = self.tracks.of(status.uid).busy?;
                Some(format!("{}: {step}", status.name))
            })
            .collect()
    }

    /// Waits until there is a reason for another round, and says which.
    async fn wait(&mut self) -> &'static str {
        let now = clock::uptime();
        let moments = [self.tracks.next_moment(now), self.silent_at];
        let next = moments.into_iter().flatten().min();
        let next = next.map_or(RELIST, |at| at.saturating_sub(now));
        let pause = next.min(RELIST.saturating_sub(self.looked.elapsed()));
        let why = tokio::select! {
            // Cancel-safe, all of them: what was not received stays in its channel.
            Some(progress) = self.progress.recv() => { self.note(progress); "progress" }
            Some(kind) = self.changed.recv() => { self.stale.add(kind); "event" }
            Some(uid) = self.ground.again.recv() => { self.run_again(uid); "start" }
            () = look::ended(self.late.as_ref()) => "look",
            Ok(()) = self.known.changed() => "ledger",
            Ok(()) = self.ground.us.changed() => "identity",
            Ok(()) = self.ground.copy.changed() => "identity",
            Ok(()) = self.ground.heard.changed() => "endpoint",
            () = tokio::time::sleep(pause) => "time",
        };
        self.drain();
        why
    }

    /// Takes what else has come meanwhile: one look serves for all of it.
    fn drain(&mut self) {
        while let Ok(progress) = self.progress.try_recv() {
            self.note(progress);
        }
        while let Ok(kind) = self.changed.try_recv() {
            self.stale.add(kind);
        }
        while let Ok(uid) = self.ground.again.try_recv() {
            self.run_again(uid);
        }
    }

    /// Looked at first: whether it runs already decides whether it runs once more.
    fn run_again(&mut self, uid: WorkloadUid) {
        self.tracks.ask_again(uid);
        self.stale = Kinds::ALL;
    }

    fn note(&mut self, (uid, progress): (WorkloadUid, Progress)) {
        if let Progress::Failed(step, reason, _) = &progress {
            tracing::warn!(%uid, %step, "{reason}");
        }
        if progress == Progress::Over {
            self.give_up.remove(&uid);
            // Its kind is not known here; a look at both costs one call more.
            self.stale = Kinds::ALL;
        }
        match &progress {
            Progress::Did(step) => self.ground.metrics.step_done(*step),
            Progress::Failed(step, ..) => self.ground.metrics.step_failed(*step),
            Progress::Began(_) | Progress::Over => (),
        }
        let before = self.tracks.of(uid).restarts;
        self.tracks.progress(uid, progress, clock::uptime());
        let more = self.tracks.of(uid).restarts.saturating_sub(before);
        self.ground.metrics.restarts(more);
    }
}
