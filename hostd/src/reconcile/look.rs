//! Looks at the runtimes, and hears from them when to look again.

use std::sync::Arc;

use basalt_api::workload::Kind;
use hostd_core::plan::Seen;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::kinds::{Kinds, Runtimes};
use super::{Loop, RELIST};
use crate::runtime::Runtime;

impl Loop {
    /// Looks anew at what may have changed. A runtime that is in no use is not asked.
    pub(super) async fn look(&mut self) {
        if self.looked.elapsed() >= RELIST {
            self.stale = Kinds::ALL;
        }
        if self.stale == Kinds::ALL {
            self.looked = Instant::now();
        }
        let used = *self.used.borrow();
        let wants = |kind| used.has(kind) && self.stale.has(kind);
        let runtimes = &self.ground.runtimes;
        let (containers, machines) = tokio::join!(
            seen(&runtimes.containers, wants(Kind::Container)),
            seen(&runtimes.machines, wants(Kind::Vm)),
        );
        self.stale = Kinds::NONE;
        for (kind, seen) in [(Kind::Container, &containers), (Kind::Vm, &machines)] {
            if matches!(seen, Some(Seen::Unavailable(_))) {
                self.ground.metrics.failed_look(kind);
            }
        }
        if let Some(containers) = containers {
            self.observed.containers = containers;
        }
        if let Some(machines) = machines {
            self.observed.machines = machines;
        }
        for kind in [Kind::Container, Kind::Vm] {
            if !used.has(kind) {
                *self.seen_mut(kind) = Seen::Instances(Vec::new());
            }
            // One that could not be asked is asked again in every round.
            if matches!(self.seen_mut(kind), Seen::Unavailable(_)) {
                self.stale.add(kind);
            }
        }
    }

    fn seen_mut(&mut self, kind: Kind) -> &mut Seen {
        match kind {
            Kind::Vm => &mut self.observed.machines,
            Kind::Container | Kind::Unknown => &mut self.observed.containers,
        }
    }
}

async fn seen(runtime: &Arc<dyn Runtime>, wants: bool) -> Option<Seen> {
    if !wants {
        return None;
    }
    Some(match runtime.observe().await {
        Ok(instances) => Seen::Instances(instances),
        Err(error) => {
            tracing::warn!("{error}");
            Seen::Unavailable(error.message)
        }
    })
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
