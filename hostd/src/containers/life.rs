//! A container that is made: its start, its end, its removal.

use std::time::Duration;

use basalt_api::id::WorkloadUid;
use bollard::query_parameters::{
    KillContainerOptionsBuilder, ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveVolumeOptionsBuilder, StartContainerOptions, StopContainerOptionsBuilder,
};

use super::client::CallError;
use super::seen::{Ours, Phase};
use super::spec::refuse;
use super::{Containers, labels};
use crate::runtime::{Failure, RuntimeError};

/// How long an engine may take to start something, or to remove it with all that it wrote.
const START_DEADLINE: Duration = Duration::from_secs(60);
const REMOVE_DEADLINE: Duration = Duration::from_secs(120);
/// What an engine may take beyond the grace for an end: it kills and cleans up.
const STOP_MARGIN: Duration = Duration::from_secs(15);
/// How long a killed container may take to be gone, and how often that is looked at.
const DEATH_DEADLINE: Duration = Duration::from_secs(10);
const DEATH_TICK: Duration = Duration::from_millis(200);

impl Containers {
    pub(super) async fn start_it(&self, uid: WorkloadUid) -> Result<(), RuntimeError> {
        let ours = self.one(uid).await?;
        if let Some(private) = ours.labels.private.clone() {
            let is_there = tokio::task::spawn_blocking(move || private.exists()).await;
            if !is_there.unwrap_or(false) {
                return Err(refuse("its secrets are not here yet, as after a reboot"));
            }
        }
        self.cache.forget(&ours.id);
        let id = &ours.id;
        // One that runs is a success on both engines (304).
        let start = async move |docker: bollard::Docker| {
            docker.start_container(id, None::<StartContainerOptions>).await
        };
        match self.client.call(START_DEADLINE, start).await {
            Err(error) if error.has_status(404) && self.of(uid).await?.is_empty() => {
                let message = "it was removed meanwhile".to_owned();
                Err(RuntimeError { kind: Failure::NotThere, message })
            }
            // dockerd was killed within a start: its containerd has the task, dockerd does not know
            // of it, and no start of this container succeeds any more.
            Err(error) if error.answer_has(": already exists") => {
                let mut odd = ours;
                odd.phase = Phase::Odd("lost".to_owned());
                self.remove_one(&odd).await?;
                Err(refuse("its engine lost it in a start: it is made anew"))
            }
            result => result.map_err(|error| error.of_workload("cannot start it")),
        }
    }

    /// Lets it end within `grace`, then kills it. The deadline is around it all: an engine that
    /// hangs in its own stop is asked for a kill, which goes another way.
    pub(super) async fn stop_one(&self, ours: &Ours, grace: Duration) -> Result<(), RuntimeError> {
        if !matches!(ours.phase, Phase::Alive | Phase::Odd(_)) {
            return Ok(());
        }
        let id = &ours.id;
        let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::default().t(seconds).build();
        let stop =
            async move |docker: bollard::Docker| docker.stop_container(id, Some(options)).await;
        match self.client.call(grace + STOP_MARGIN, stop).await {
            Ok(()) => Ok(()),
            Err(error) if error.has_status(404) => Ok(()),
            Err(error) => {
                tracing::warn!(container = %id, ?error, "it does not stop and is killed");
                self.kill(ours).await
            }
        }
    }

    async fn kill(&self, ours: &Ours) -> Result<(), RuntimeError> {
        let id = &ours.id;
        let options = KillContainerOptionsBuilder::default().signal("SIGKILL").build();
        let kill =
            async move |docker: bollard::Docker| docker.kill_container(id, Some(options)).await;
        match self.client.call(self.client.patience, kill).await {
            // What ended by itself in this moment cannot be killed: that is looked at next.
            Ok(()) | Err(CallError::Answered { .. }) => (),
            Err(error) => return Err(error.of_workload("")),
        }
        let until = tokio::time::Instant::now() + DEATH_DEADLINE;
        loop {
            let now = self.of(ours.labels.uid).await?;
            let lives = now.iter().any(|now| now.id == *id && now.phase == Phase::Alive);
            if !lives {
                return Ok(());
            }
            if tokio::time::Instant::now() >= until {
                return Err(refuse("it was killed and does not end"));
            }
            tokio::time::sleep(DEATH_TICK).await;
        }
    }

    /// Removes a container that does not run, with the volumes that have no name, and its secrets.
    pub(super) async fn remove_one(&self, ours: &Ours) -> Result<(), RuntimeError> {
        if ours.phase == Phase::Alive {
            return Err(refuse("it still runs"));
        }
        let id = &ours.id;
        // An engine needs to be told twice to remove what it is confused about.
        let is_odd = matches!(ours.phase, Phase::Odd(_));
        let options = RemoveContainerOptionsBuilder::default().v(true).force(is_odd).build();
        let remove =
            async move |docker: bollard::Docker| docker.remove_container(id, Some(options)).await;
        match self.client.call(REMOVE_DEADLINE, remove).await {
            Ok(()) => (),
            Err(error) if error.has_status(404) => (),
            Err(error) => return Err(error.of_workload("cannot remove its container")),
        }
        self.remove_private_of(ours).await
    }

    /// Removes every volume that was made for a workload.
    pub(super) async fn remove_volumes(&self, uid: WorkloadUid) -> Result<(), RuntimeError> {
        let label = format!("{}={uid}", labels::UID);
        let filters = std::collections::HashMap::from([("label", vec![label])]);
        let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
        let list = async move |docker: bollard::Docker| docker.list_volumes(Some(options)).await;
        let listed = self.client.call(self.client.patience, list).await;
        let listed =
            listed.map_err(|error| error.of_engine(self.client.cannot("list its volumes")))?;
        for volume in listed.volumes.unwrap_or_default() {
            // Asked once more: what an engine makes of a filter must not cost anybody's data.
            if volume.labels.get(labels::UID) == Some(&uid.to_string()) {
                self.remove_volume(&volume.name).await?;
            }
        }
        Ok(())
    }

    async fn remove_volume(&self, name: &str) -> Result<(), RuntimeError> {
        let options = RemoveVolumeOptionsBuilder::default().build();
        let remove =
            async move |docker: bollard::Docker| docker.remove_volume(name, Some(options)).await;
        match self.client.call(REMOVE_DEADLINE, remove).await {
            Ok(()) => Ok(()),
            Err(error) if error.has_status(404) => Ok(()),
            Err(error) => Err(error.of_workload(format!("cannot remove the volume `{name}`"))),
        }
    }
}
