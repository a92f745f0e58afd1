//! A container that is made: its start, its end, its removal.

use std::time::Duration;

use basalt_api::id::WorkloadUid;
use bollard::query_parameters::{
    KillContainerOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions,
    StopContainerOptionsBuilder,
};

use super::Containers;
use super::client::CallError;
use super::leftover;
use super::seen::{Ours, Phase};
use super::spec::refuse;
use crate::runtime::{Failure, RuntimeError};

/// How long an engine may take to start something, or to remove it with all that it wrote.
const START_DEADLINE: Duration = Duration::from_secs(60);
pub(super) const REMOVE_DEADLINE: Duration = Duration::from_secs(120);
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
        if ours.phase == Phase::Paused {
            return self.unpause(&ours).await;
        }
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
            Err(error) if was_lost_in_a_start(&error, id) => {
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
        if ours.phase.is_said_to_be_empty() {
            return self.end_leftovers(&ours.id).await;
        }
        if ours.phase == Phase::Paused
            && let Err(error) = self.unpause(ours).await
        {
            tracing::warn!(container = %ours.id, %error, "it stays paused and is killed");
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

    /// Lets a paused one go on; podman neither starts nor stops one before.
    async fn unpause(&self, ours: &Ours) -> Result<(), RuntimeError> {
        let id = &ours.id;
        let unpause = async move |docker: bollard::Docker| docker.unpause_container(id).await;
        match self.client.call(self.client.patience, unpause).await {
            Ok(()) => Ok(()),
            Err(error) => {
                // Somebody else may have let it go on in this moment, or ended it.
                let now = self.of(ours.labels.uid).await?;
                let stays = now.iter().any(|now| now.id == *id && now.phase == Phase::Paused);
                if stays { Err(error.of_workload("cannot let it go on")) } else { Ok(()) }
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
            let lives = now.iter().any(|now| now.id == *id && now.phase.has_processes());
            if !lives {
                return Ok(());
            }
            if tokio::time::Instant::now() >= until {
                return Err(refuse("it was killed and does not end"));
            }
            tokio::time::sleep(DEATH_TICK).await;
        }
    }

    /// Ends what runs of a container although its engine says that nothing does.
    pub(super) async fn end_leftovers(&self, id: &str) -> Result<(), RuntimeError> {
        let id = id.to_owned();
        let ended = tokio::task::spawn_blocking(move || leftover::end(&id)).await;
        let ended = ended.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        ended.map_err(|error| {
            refuse(format!("its engine has forgotten what still runs of it: {error}"))
        })
    }

    /// Removes a container that does not run, with the volumes that have no name, and its secrets.
    pub(super) async fn remove_one(&self, ours: &Ours) -> Result<(), RuntimeError> {
        if ours.phase.has_processes() {
            return Err(refuse("it still runs"));
        }
        self.end_leftovers(&ours.id).await?;
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
}

/// Whether the engine was killed within an earlier start of this container, after which none
/// succeeds any more. dockerd's containerd then has a task that dockerd does not know of, or a
/// container that it cannot clean up; podman goes on with what its runtime had set up (`runc start ID`, where the first start says `create`)
/// although the processes of it are gone.
fn was_lost_in_a_start(error: &CallError, id: &str) -> bool {
    let of_containerd = [": already exists", "id already in use"];
    of_containerd.iter().any(|text| error.answer_has(text))
        || error.answer_has(&format!(" start {id}` failed: "))
}
