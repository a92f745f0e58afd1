//! Looks at the runtimes, and hears from them when to look again.

use std::sync::Arc;
use std::time::Duration;

use basalt_api::workload::Kind;
use hostd_core::plan::Seen;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::kinds::{Kinds, Runtimes};
use super::{Loop, RELIST};
use crate::runtime::{Runtime, RuntimeError, Sight};

/// How long a round waits for an engine that could not be asked a moment ago. The look goes on.
const AGAIN: Duration = Duration::from_secs(2);

/// What a look brings.
type Observation = Result<Sight, RuntimeError>;

/// A look that a round did not wait for to its end. The next round takes it up, so that an engine
/// which is slow, as one that has just come back, is heard nevertheless.
pub(super) struct Late {
    look: JoinHandle<Observation>,
    /// Told when it ends.
    ended: Arc<Notify>,
}

impl Late {
    fn begin(runtime: &Arc<dyn Runtime>) -> Self {
        let (runtime, ended) = (Arc::clone(runtime), Arc::new(Notify::new()));
        let tell = Arc::clone(&ended);
        let look = tokio::spawn(async move {
            let observation = runtime.observe().await;
            tell.notify_one();
            observation
        });
        Self { look, ended }
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        self.look.abort();
    }
}

/// Returns when the late look has ended; never where there is none.
pub(super) async fn ended(late: Option<&Late>) {
    match late {
        Some(late) => late.ended.notified().await,
        None => std::future::pending().await,
    }
}

impl Loop {
    /// Looks anew at what may have changed. A runtime that is in no use is not asked.
    pub(super) async fn look(&mut self) {
        let patience = self.patience();
        let (mut late, mut never) = (self.late.take(), None);
        if self.looked.elapsed() >= RELIST {
            self.stale = Kinds::ALL;
        }
        if self.stale == Kinds::ALL && patience.is_none() {
            self.looked = Instant::now();
        }
        let used = *self.used.borrow();
        let wants = |kind| used.has(kind) && self.stale.has(kind);
        let runtimes = &self.ground.runtimes;
        let (containers, machines) = tokio::join!(
            seen(&runtimes.containers, wants(Kind::Container), patience, &mut late),
            seen(&runtimes.machines, wants(Kind::Vm), None, &mut never),
        );
        self.late = late;
        self.stale = Kinds::NONE;
        for (kind, seen) in [(Kind::Container, containers), (Kind::Vm, machines)] {
            match seen {
                Some((seen, strangers)) => self.keep(kind, seen, strangers),
                None if !used.has(kind) => {
                    self.keep(kind, Seen::Instances(Vec::new()), Vec::new());
                }
                None => (),
            }
        }
    }

    /// How long the engine of containers may take, where not as long as it takes itself. Both
    /// kinds are looked at in one round: one that hung a moment ago, and may hang for hours, holds
    /// up the machines by no more than this. Now and then it has all the time that it needs.
    /// `hostd-virt` is another process with deadlines of its own.
    fn patience(&self) -> Option<(Duration, String)> {
        match &self.observed.containers {
            Seen::Unavailable(reason) if self.looked.elapsed() < RELIST => {
                Some((AGAIN, reason.clone()))
            }
            Seen::Unavailable(_) | Seen::Instances(_) => None,
        }
    }

    fn keep(&mut self, kind: Kind, seen: Seen, strangers: Vec<String>) {
        if matches!(seen, Seen::Unavailable(_)) {
            self.ground.metrics.failed_look(kind);
            // One that could not be asked is asked again in every round.
            self.stale.add(kind);
        }
        *self.seen_mut(kind) = seen;
        if strangers.is_empty() {
            self.strangers.remove(&kind);
        } else {
            self.strangers.insert(kind, strangers);
        }
    }

    fn seen_mut(&mut self, kind: Kind) -> &mut Seen {
        match kind {
            Kind::Vm => &mut self.observed.machines,
            Kind::Container | Kind::Unknown => &mut self.observed.containers,
        }
    }
}

/// What there is, and what has our labels and is not ours; none where nobody wants to know.
/// With a patience, it stays as unavailable as it was once that is over, and the look is `late`.
async fn seen(
    runtime: &Arc<dyn Runtime>,
    wants: bool,
    patience: Option<(Duration, String)>,
    late: &mut Option<Late>,
) -> Option<(Seen, Vec<String>)> {
    if !wants {
        return None;
    }
    let observed = match patience {
        // What began a while ago would be older than what is asked now.
        None => {
            *late = None;
            runtime.observe().await
        }
        Some((patience, reason)) => match seen_within(runtime, patience, late).await {
            Some(observed) => observed,
            None => return Some((Seen::Unavailable(reason), Vec::new())),
        },
    };
    Some(match observed {
        Ok(Sight { instances, strangers }) => (Seen::Instances(instances), strangers),
        Err(error) => {
            tracing::warn!("{error}");
            (Seen::Unavailable(error.message), Vec::new())
        }
    })
}

/// What the late look brings, or one that begins now; none when it is not there in time.
async fn seen_within(
    runtime: &Arc<dyn Runtime>,
    patience: Duration,
    late: &mut Option<Late>,
) -> Option<Observation> {
    let look = &mut late.get_or_insert_with(|| Late::begin(runtime)).look;
    let joined = tokio::time::timeout(patience, look).await.ok()?;
    *late = None;
    // A look that panicked has said so in the log; the next round begins another.
    joined.ok()
}

/// Tells of changes in the runtimes that are in use.
pub(super) fn watch_runtimes(
    runtimes: &Runtimes,
    used: &watch::Receiver<Kinds>,
) -> mpsc::Receiver<Kind> {
    let (tell, changed) = mpsc::channel(1);
    for kind in [Kind::Container, Kind::Vm] {
        let Some(runtime) = runtimes.of(kind) else { continue };
        tokio::spawn(watch_one(kind, runtime, used.clone(), tell.clone()));
    }
    changed
}

async fn watch_one(
    kind: Kind,
    runtime: Arc<dyn Runtime>,
    mut used: watch::Receiver<Kinds>,
    tell: mpsc::Sender<Kind>,
) {
    loop {
        if used.wait_for(|used| used.has(kind)).await.is_err() {
            return;
        }
        let has_changed = tokio::select! {
            // Cancel-safe: what was missed is seen by the look that follows every change of use.
            () = runtime.changed() => true,
            _ = used.wait_for(|used| !used.has(kind)) => false,
        };
        if has_changed && tell.send(kind).await.is_err() {
            return;
        }
    }
}
