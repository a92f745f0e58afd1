//! A runtime in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use basalt_api::id::WorkloadUid;
use bytes::Bytes;
use hostd_core::instance::{Instance, InstanceState};
use hostd_core::step::Data;
use tokio::sync::{Notify, mpsc};

use crate::runtime::{Failure, LogsWanted, Make, Runtime, RuntimeError, Sight};

#[derive(Default)]
pub(super) struct Memory {
    state: Mutex<State>,
    pub(super) changed: Notify,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) instances: BTreeMap<WorkloadUid, Instance>,
    /// Names whose image is not to be had.
    pub(super) without_image: BTreeSet<String>,
    /// Names whose image never arrives.
    pub(super) stuck: BTreeSet<String>,
    /// How long every image takes.
    pub(super) takes: Duration,
    /// The time that each had to end.
    pub(super) graces: Vec<u64>,
    /// What has our labels and is not ours.
    pub(super) strangers: Vec<String>,
    /// Whether a removal leaves the data, as one that is cut off.
    pub(super) is_cut: bool,
    pub(super) is_away: bool,
    /// How long each look takes.
    pub(super) answers_in: Duration,
    pub(super) looks: u32,
    pub(super) created: u32,
}

impl Memory {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Something ends by itself.
    pub(super) fn end(&self, name: &str, at: i64) {
        self.end_unheard(name, at);
        self.changed.notify_one();
    }

    /// The same, and the event is lost.
    pub(super) fn end_unheard(&self, name: &str, at: i64) {
        for instance in self.state().instances.values_mut() {
            if instance.name.as_str() == name {
                instance.state = InstanceState::Ended { code: Some(1), at, note: None };
            }
        }
    }
}

fn failure(kind: Failure, message: &str) -> RuntimeError {
    RuntimeError { kind, message: message.to_owned() }
}

#[async_trait]
impl Runtime for Memory {
    async fn observe(&self) -> Result<Sight, RuntimeError> {
        let answers_in = self.state().answers_in;
        tokio::time::sleep(answers_in).await;
        let mut state = self.state();
        state.looks += 1;
        if state.is_away {
            return Err(failure(Failure::Unavailable, "podman does not answer"));
        }
        let instances = state.instances.values().cloned().collect();
        Ok(Sight { instances, strangers: state.strangers.clone() })
    }

    async fn prepare(&self, make: &Make) -> Result<(), RuntimeError> {
        let name = make.assigned.spec.name.to_string();
        if self.state().stuck.contains(&name) {
            std::future::pending::<()>().await;
        }
        let takes = self.state().takes;
        tokio::time::sleep(takes).await;
        let is_missing = self.state().without_image.contains(&name);
        if is_missing { Err(failure(Failure::Workload, "no such image")) } else { Ok(()) }
    }

    async fn create(&self, make: &Make) -> Result<(), RuntimeError> {
        let mut state = self.state();
        let instance = Instance {
            uid: make.assigned.uid,
            name: make.assigned.spec.name.clone(),
            kind: make.assigned.spec.kind,
            owner: make.owner,
            hash: make.assigned.replacement_hash(),
            state: InstanceState::Made,
            addresses: Vec::new(),
            lacks: None,
        };
        state.created += 1;
        state.instances.insert(instance.uid, instance);
        Ok(())
    }

    async fn start(&self, uid: WorkloadUid) -> Result<(), RuntimeError> {
        let mut state = self.state();
        let instance = state.instances.get_mut(&uid);
        let instance = instance.ok_or_else(|| failure(Failure::NotThere, "not there"))?;
        instance.state = InstanceState::Running { since: 1 };
        Ok(())
    }

    async fn stop(&self, uid: WorkloadUid, grace: Duration) -> Result<(), RuntimeError> {
        self.state().graces.push(grace.as_secs());
        if let Some(instance) = self.state().instances.get_mut(&uid) {
            instance.state = InstanceState::Ended { code: Some(137), at: 9, note: None };
        }
        Ok(())
    }

    async fn remove(&self, uid: WorkloadUid, _: Data) -> Result<(), RuntimeError> {
        let mut state = self.state();
        if state.is_cut
            && let Some(instance) = state.instances.get_mut(&uid)
        {
            instance.state = InstanceState::DataOnly;
            return Err(failure(Failure::Unavailable, "killed"));
        }
        state.instances.remove(&uid);
        Ok(())
    }

    async fn changed(&self) {
        self.changed.notified().await;
    }

    async fn logs(
        &self,
        _: WorkloadUid,
        _: LogsWanted,
    ) -> Result<mpsc::Receiver<Bytes>, RuntimeError> {
        Err(failure(Failure::NotThere, "not there"))
    }
}
