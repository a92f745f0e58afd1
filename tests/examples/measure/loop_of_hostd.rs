//! The time of a round of `hostd`'s loop from cached state: plan and publish, with 200 workloads
//! that are as they shall be. The loop is the real one; what it would look at is in memory, and it
//! does not look.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use basalt_api::id::WorkloadUid;
use basalt_api::workload::WorkloadSpec;
use bytes::Bytes;
use hostd::books::Books;
use hostd::events::Events;
use hostd::ledger::Store;
use hostd::reconcile::{self, Ground, Picture, Runtimes};
use hostd::runtime::{Data, Failure, LogsWanted, Make, Runtime, RuntimeError, Sight};
use hostd::secrets::NoSecrets;
use hostd_core::instance::{Instance, InstanceState, Owner};
use serde_json::json;
use tokio::sync::{mpsc, watch};

use crate::pairs::Times;
use crate::print::measure;

const WORKLOADS: usize = 200;
const ROUNDS: u64 = 100;

pub(crate) fn run() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let times = runtime.block_on(rounds());
    times.print(&format!("plan + publish from cached state, {WORKLOADS} workloads"));
    let what = format!("plan + publish from cached state, {WORKLOADS}: p95");
    measure(&what, times.percentile(95), "s", Some(0.005));
}

async fn rounds() -> Times {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path()).unwrap();
    store.begin("boot", 1).unwrap();
    let books = Books::new(store);
    let specs: Vec<WorkloadSpec> = (0..WORKLOADS).map(spec).collect();
    let apply = move |ledger: &mut basalt_api::ledger::Ledger| {
        for spec in specs {
            hostd_core::books::apply_local(ledger, spec, WorkloadUid(uuid::Uuid::new_v4()))?;
        }
        Ok(())
    };
    books.change(apply).await.unwrap();
    let there = Arc::new(Still(instances(&books)));
    let marks = folder.path().to_owned();
    let runtimes = Runtimes {
        containers: there.clone(),
        machines: there,
        private: marks.join("private"),
        marks,
    };
    let (heard, hears) = watch::channel(None);
    let (show, mut picture) = watch::channel(Arc::<Picture>::default());
    let (_us, us) = watch::channel(None);
    let (_copy, copy) = watch::channel(false);
    let (_again, again) = mpsc::channel(1);
    let ground = Ground {
        books,
        runtimes,
        secrets: Arc::new(NoSecrets),
        policy: hostd_core::policy::Policy::default(),
        us,
        copy,
        heard: hears,
        events: Arc::new(Events::default()),
        picture: show,
        metrics: Arc::default(),
        again,
    };
    let task = tokio::spawn(reconcile::run(ground));
    picture.wait_for(|picture| picture.is_known).await.unwrap();
    let mut times = Times::default();
    for round in 0..ROUNDS {
        picture.mark_unchanged();
        let began = Instant::now();
        heard.send_replace(Some(Duration::from_secs(round)));
        picture.changed().await.unwrap();
        times.add(began.elapsed());
        let picture = picture.borrow();
        assert!(picture.plan.is_empty() && picture.statuses.len() == WORKLOADS);
    }
    task.abort();
    times
}

fn spec(number: usize) -> WorkloadSpec {
    let spec = json!({
        "name": format!("workload-{number}"), "kind": "container",
        "container": {
            "image": "registry.example:5000/shop/web:3", "command": ["serve", "--port", "80"],
            "environment": { "A": "1", "B": "2" }, "network": "none",
        },
    });
    serde_json::from_value(spec).unwrap()
}

/// Each runs as it shall.
fn instances(books: &Books) -> Vec<Instance> {
    let ledger = books.known().unwrap();
    let instance = |assigned: &basalt_api::set::Assigned| Instance {
        uid: assigned.uid,
        name: assigned.spec.name.clone(),
        kind: assigned.spec.kind,
        owner: Owner::Local,
        hash: assigned.replacement_hash(),
        state: InstanceState::Running { since: 1 },
        addresses: Vec::new(),
        lacks: None,
    };
    ledger.local.iter().map(instance).collect()
}

/// A runtime on which nothing happens, and which is asked to do nothing.
struct Still(Vec<Instance>);

fn not_asked() -> RuntimeError {
    RuntimeError { kind: Failure::Workload, message: "nothing was to be done".to_owned() }
}

#[async_trait]
impl Runtime for Still {
    async fn observe(&self) -> Result<Sight, RuntimeError> {
        Ok(self.0.clone().into())
    }

    async fn prepare(&self, _: &Make) -> Result<(), RuntimeError> {
        Err(not_asked())
    }

    async fn create(&self, _: &Make) -> Result<(), RuntimeError> {
        Err(not_asked())
    }

    async fn start(&self, _: WorkloadUid) -> Result<(), RuntimeError> {
        Err(not_asked())
    }

    async fn stop(&self, _: WorkloadUid, _: Duration) -> Result<(), RuntimeError> {
        Err(not_asked())
    }

    async fn remove(&self, _: WorkloadUid, _: Data) -> Result<(), RuntimeError> {
        Err(not_asked())
    }

    async fn changed(&self) {
        std::future::pending::<()>().await;
    }

    async fn logs(
        &self,
        _: WorkloadUid,
        _: LogsWanted,
    ) -> Result<mpsc::Receiver<Bytes>, RuntimeError> {
        Err(not_asked())
    }
}
