//! Containers, over podman's or Docker's socket. It decides nothing; what has no label of ours does
//! not exist for it.
//!
//! In reading order: `spec` says what an engine is asked to make, `seen` what its answers mean,
//! `client` how it is spoken to, `pull` how images come, `events` and `cache` how little is asked.

mod cache;
mod client;
mod events;
mod half;
mod image;
mod labels;
mod leftover;
mod life;
mod logs;
mod make;
mod oom;
mod pull;
mod reach;
mod secrets;
mod seen;
mod spec;
mod stray;
mod unsure;
mod volumes;

#[cfg(test)]
mod samples;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use basalt_api::id::WorkloadUid;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use hostd_core::instance::Instance;
use tokio::sync::mpsc;

use crate::registries::Registries;
use crate::runtime::{Data, Failure, LogsWanted, Make, Runtime, RuntimeError, Sight};
use cache::Cache;
use client::Client;
use events::Events;
use seen::{Details, Inspected, Listed, Ours, Whose};
use stray::Strays;
use volumes::Volumes;

/// How long an engine may take for a list or one container. podman lists 200 in 0.1 s; it is a
/// disk with much to do that takes long.
const PATIENCE: Duration = Duration::from_secs(20);
/// Containers that are asked about at once.
const AT_ONCE: usize = 8;
/// Time without progress after which a fetch has failed.
const STALL: Duration = Duration::from_secs(60);
/// Time after which a fetch has failed however it moves: 100 GB at 40 Mbit/s.
const TOTAL: Duration = Duration::from_secs(6 * 3600);
/// Bytes that an image may have where nobody says it.
const MAX_IMAGE_BYTES: u64 = 100 << 30;

/// Removals that were cut off and are finished in one look.
const HALF_REMOVED: usize = 8;
/// Every container of ours, `{"label":["io.basalt.uid"]}` as a query says it.
const LIST: &str =
    "/containers/json?all=true&filters=%7B%22label%22%3A%5B%22io.basalt.uid%22%5D%7D";

/// What containers run on.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where podman's service or dockerd listens.
    pub socket: PathBuf,
    /// What is known of registries.
    pub registries: Registries,
    /// Registries, as `NAME`, `NAME:PORT` or an address, that images may come from wherever they
    /// are, besides those in `registries`.
    pub url_allow: Vec<String>,
    /// Time without progress after which a fetch of an image has failed.
    pub stall: Duration,
    /// Time after which a fetch has failed however it moves.
    pub total: Duration,
    /// Bytes that an image may have, as it is sent and as it lies on the disk.
    pub max_image_bytes: u64,
    /// How long the engine may take for an answer about what is there.
    pub patience: Duration,
    /// The kernel's log.
    pub kernel_log: PathBuf,
}

/// A runtime of containers.
#[derive(Debug)]
pub struct Containers {
    settings: Settings,
    client: Arc<Client>,
    cache: Arc<Cache>,
    events: Events,
    strays: Strays,
    volumes: Volumes,
}

impl Settings {
    /// Those of an engine at `socket`.
    #[must_use]
    pub fn new(socket: impl Into<PathBuf>, registries: Registries) -> Self {
        let kernel_log = "/dev/kmsg".into();
        Self {
            socket: socket.into(),
            registries,
            url_allow: Vec::new(),
            stall: STALL,
            total: TOTAL,
            max_image_bytes: MAX_IMAGE_BYTES,
            patience: PATIENCE,
            kernel_log,
        }
    }
}

impl Containers {
    /// Runs containers on an engine, which need not be there yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let client = Arc::new(Client::new(settings.socket.clone(), settings.patience));
        let (cache, volumes) = (Arc::default(), Volumes::default());
        let strays = Strays::default();
        Self { settings, client, cache, events: Events::new(), strays, volumes }
    }

    /// Everything that the engine lists at `path`, which asks for what has our labels.
    async fn list(&self, path: &str) -> Result<Vec<Listed>, RuntimeError> {
        let mut listed = self.client.get(path).await;
        for _ in 0..HALF_REMOVED {
            let half = listed.as_ref().err().and_then(half::removed);
            let Some(id) = half else { break };
            self.finish_removal(&id).await?;
            listed = self.client.get(path).await;
        }
        listed.map_err(|error| error.of_engine(self.client.cannot("list its containers")))
    }

    /// All that is ours, and what has our labels and is not.
    async fn all(&self) -> Result<(Vec<Ours>, Vec<String>), RuntimeError> {
        let (mut ours, mut strangers) = (Vec::new(), Vec::new());
        for listed in self.list(LIST).await? {
            match listed.whose() {
                Whose::Ours(one) => ours.push(one),
                Whose::Stranger(text) => strangers.push(text),
                Whose::Nobodys => (),
            }
        }
        strangers.sort();
        Ok((ours, strangers))
    }

    /// The containers of one workload: one, but for a cut between two steps.
    async fn of(&self, uid: WorkloadUid) -> Result<Vec<Ours>, RuntimeError> {
        let filter = format!("%7B%22label%22%3A%5B%22{}%3D{uid}%22%5D%7D", labels::UID);
        let listed = self.list(&format!("/containers/json?all=true&filters={filter}")).await?;
        Ok(listed.into_iter().filter_map(Listed::ours).collect())
    }

    /// The container of one workload.
    async fn one(&self, uid: WorkloadUid) -> Result<Ours, RuntimeError> {
        let missing = || RuntimeError {
            kind: Failure::NotThere,
            message: "there is no container of it".to_owned(),
        };
        self.of(uid).await?.pop().ok_or_else(missing)
    }

    /// The instance of a listed container; none where it vanished meanwhile.
    async fn instance(&self, ours: Ours) -> Result<Option<Instance>, RuntimeError> {
        if !ours.phase.needs_details() {
            return Ok(Some(ours.instance(Ok(None))));
        }
        match self.details(&ours).await {
            Ok(details) => Ok(Some(ours.instance(Ok(Some(details))))),
            Err(error) if error.has_status(404) => Ok(None),
            // One that the engine stumbles over must not hide the others.
            Err(client::CallError::Answered { message, .. }) => {
                Ok(Some(ours.instance(Err(message))))
            }
            Err(error) => Err(error.of_engine("")),
        }
    }

    async fn details(&self, ours: &Ours) -> Result<Details, client::CallError> {
        if let Some(details) = self.cache.get(&ours.id, &ours.phase) {
            return Ok(details);
        }
        let epoch = self.cache.epoch();
        let path = format!("/containers/{}/json", ours.id);
        let inspected: Inspected = self.client.get(&path).await?;
        let mut details = inspected.details();
        if details.is_killed_for_no_reason() {
            let (log, id) = (self.settings.kernel_log.clone(), ours.id.clone());
            let since = details.started;
            let killed = tokio::task::spawn_blocking(move || oom::killed(&log, &id, since));
            details.is_out_of_memory = killed.await.unwrap_or(false);
        }
        self.cache.keep(epoch, &ours.id, ours.phase.clone(), details.clone());
        Ok(details)
    }
}

#[async_trait]
impl Runtime for Containers {
    async fn observe(&self) -> Result<Sight, RuntimeError> {
        let (mut listed, strangers) = self.all().await?;
        self.strays.mark(&mut listed).await;
        // After the containers: of one that is made meanwhile the volumes alone are no news.
        let data = self.data().await;
        self.cache.retain(|id| listed.iter().any(|ours| ours.id == id));
        let there: BTreeSet<WorkloadUid> = listed.iter().map(|ours| ours.labels.uid).collect();
        let asked = futures_util::stream::iter(listed).map(|ours| self.instance(ours));
        let instances: Vec<Option<Instance>> = asked.buffered(AT_ONCE).try_collect().await?;
        let left = data.into_iter().filter(|data| !there.contains(&data.uid));
        let instances = instances.into_iter().flatten().chain(left).collect();
        Ok(Sight { instances, strangers })
    }

    async fn prepare(&self, make: &Make) -> Result<(), RuntimeError> {
        self.prepare_image(make).await
    }

    async fn create(&self, make: &Make) -> Result<(), RuntimeError> {
        self.make(make).await
    }

    async fn start(&self, uid: WorkloadUid) -> Result<(), RuntimeError> {
        self.start_it(uid).await
    }

    async fn stop(&self, uid: WorkloadUid, grace: Duration) -> Result<(), RuntimeError> {
        for ours in self.of(uid).await? {
            self.stop_one(&ours, grace).await?;
        }
        Ok(())
    }

    async fn remove(&self, uid: WorkloadUid, data: Data) -> Result<(), RuntimeError> {
        for ours in self.of(uid).await? {
            self.remove_one(&ours).await?;
        }
        match data {
            Data::Keep => Ok(()),
            Data::Delete => self.remove_volumes(uid).await,
        }
    }

    async fn changed(&self) {
        self.events.changed(&self.client, &self.cache).await;
    }

    async fn logs(
        &self,
        uid: WorkloadUid,
        wanted: LogsWanted,
    ) -> Result<mpsc::Receiver<Bytes>, RuntimeError> {
        let ours = self.one(uid).await?;
        let connected = self.client.connected().await.map_err(|error| error.of_engine(""))?;
        Ok(logs::follow(connected.docker, ours.id, wanted))
    }
}
