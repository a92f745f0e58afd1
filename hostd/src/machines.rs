//! Virtual machines, as a [`Runtime`]: through `hostd-virt`, which is started when the first one is
//! needed, killed when it does not answer in time, and ended when there is none any more.

mod backoff;
mod convert;
mod logs;
mod process;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use basalt_api::id::WorkloadUid;
use basalt_api::virt::{self, Accel, Ask, Disk, Reply, Settings};
use bytes::Bytes;
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::time::Instant;

use crate::paths::Paths;
use crate::runtime::{Data, Failure, LogsWanted, Make, Runtime, RuntimeError, Sight};
use backoff::Backoff;
use process::Process;

/// Larger than any cloud image, and less than fills a host's disk unseen.
const MAX_IMAGE_BYTES: u64 = 64 << 30;
/// Seconds without a byte after which a download is given up.
const IDLE_S: u32 = 60;

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// A call that waits for nobody: libvirt starts QEMU in a second or two.
    pub call: Duration,
    /// One list, and a word with each machine.
    pub observe: Duration,
    /// What a stop may take beyond its grace.
    pub stop: Duration,
    /// What an image may take beyond the longest silence of a download: it is looked at as well.
    pub prepare: Duration,
    /// How long `hostd-virt` stays without a machine: the next one may come soon.
    pub idle: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            call: Duration::from_secs(120),
            observe: Duration::from_secs(30),
            stop: Duration::from_secs(60),
            prepare: Duration::from_secs(90),
            idle: Duration::from_secs(30),
        }
    }
}

/// The virtual machines of this host.
pub struct Machines {
    /// The program.
    program: PathBuf,
    settings: Settings,
    deadlines: Deadlines,
    state: Mutex<State>,
    changed: Arc<Notify>,
}

/// The process, or the lack of it.
#[derive(Default)]
struct State {
    process: Option<Arc<Process>>,
    backoff: Backoff,
    /// Since when nobody has needed it.
    idle_since: Option<Instant>,
}

/// The settings of a host: where its machines lie, and what an image may be.
#[must_use]
pub fn settings(paths: &Paths, accel: Accel, url_allow: Vec<String>) -> Settings {
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    Settings {
        uri: "qemu:///system".to_owned(),
        state: text(paths.machines()),
        seeds: text(paths.seeds()),
        accel,
        url_allow,
        host_paths: Vec::new(),
        max_image_bytes: MAX_IMAGE_BYTES,
        idle_s: IDLE_S,
    }
}

/// `hostd-virt` beside the program that runs.
///
/// # Errors
/// The system does not say where that is.
pub fn program() -> io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("hostd-virt"))
}

impl Machines {
    /// Machines that `program` runs, started when it is needed. It must be used on threads that
    /// stay: the program dies with the one that started it.
    #[must_use]
    pub fn new(program: PathBuf, settings: Settings, deadlines: Deadlines) -> Self {
        let changed = Arc::new(Notify::new());
        Self { program, settings, deadlines, state: Mutex::default(), changed }
    }

    /// The id of the process that runs the machines, while there is one.
    pub async fn process_id(&self) -> Option<u32> {
        let state = self.state.lock().await;
        state.process.as_ref().filter(|process| process.is_alive()).and_then(|process| process.id())
    }

    /// The process, started where there is none.
    async fn process(&self) -> Result<Arc<Process>, RuntimeError> {
        let mut state = self.state.lock().await;
        state.idle_since = None;
        if let Some(process) = state.process.as_ref().filter(|process| process.is_alive()) {
            return Ok(Arc::clone(process));
        }
        let now = Instant::now();
        if let Some(gone) = state.process.take() {
            state.backoff.ended(gone.started, now);
        }
        if let Some(pause) = state.backoff.pause(now) {
            let seconds = pause.as_secs() + 1;
            let message = format!("hostd-virt has ended and is started again in {seconds} s");
            return Err(RuntimeError { kind: Failure::Unavailable, message });
        }
        let begun = self.begin().await;
        let process = begun.inspect_err(|_| state.backoff.ended(now, Instant::now()))?;
        Ok(Arc::clone(state.process.insert(Arc::new(process))))
    }

    /// Starts the process and tells it how things are done. Where nobody waits for it any more, it
    /// ends with this: one that was told nothing serves nobody.
    async fn begin(&self) -> Result<Process, RuntimeError> {
        let process = Process::start(&self.program, Arc::clone(&self.changed))?;
        process.call(Ask::Begin(self.settings.clone()), self.deadlines.observe).await?;
        Ok(process)
    }

    async fn call(&self, ask: Ask, patience: Duration) -> Result<Reply, RuntimeError> {
        self.process().await?.call(ask, patience).await
    }

    async fn call_plain(&self, ask: Ask, patience: Duration) -> Result<(), RuntimeError> {
        self.call(ask, patience).await.map(|_| ())
    }

    /// Lets the process go when nobody has needed it for a while.
    async fn rest(&self) {
        let mut state = self.state.lock().await;
        let now = Instant::now();
        let since = *state.idle_since.get_or_insert(now);
        let is_busy = state.process.as_ref().is_some_and(|process| process.is_busy());
        if is_busy {
            state.idle_since = None;
        } else if now - since >= self.deadlines.idle {
            // Its end is wanted, and nothing to back off from.
            state.process = None;
        }
    }

    fn state_folder(&self) -> &Path {
        Path::new(&self.settings.state)
    }

    /// Whether there may be machines. Each has a folder from before it is made until it is gone.
    async fn may_have_machines(&self) -> bool {
        let folder = self.state_folder().join("machines");
        let look = move || match std::fs::read_dir(folder) {
            Ok(mut machines) => machines.next().is_some(),
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        };
        tokio::task::spawn_blocking(look).await.unwrap_or(true)
    }
}

#[async_trait]
impl Runtime for Machines {
    async fn observe(&self) -> Result<Sight, RuntimeError> {
        if !self.may_have_machines().await {
            self.rest().await;
            return Ok(Sight::default());
        }
        match self.call(Ask::Observe, self.deadlines.observe).await? {
            Reply::Seen(all) => {
                Ok(all.into_iter().map(convert::instance).collect::<Vec<_>>().into())
            }
            Reply::Ok => Err(process::nonsense()),
        }
    }

    async fn prepare(&self, make: &Make) -> Result<(), RuntimeError> {
        let machine = convert::machine(make)?;
        let silence = Duration::from_secs(self.settings.idle_s.into());
        self.call_plain(Ask::Prepare(machine), silence + self.deadlines.prepare).await
    }

    async fn create(&self, make: &Make) -> Result<(), RuntimeError> {
        self.call_plain(Ask::Create(convert::machine(make)?), self.deadlines.call).await
    }

    async fn start(&self, uid: WorkloadUid) -> Result<(), RuntimeError> {
        self.call_plain(Ask::Start(uid), self.deadlines.call).await
    }

    async fn stop(&self, uid: WorkloadUid, grace: Duration) -> Result<(), RuntimeError> {
        let grace_s = u32::try_from(grace.as_secs()).unwrap_or(u32::MAX);
        self.call_plain(Ask::Stop { uid, grace_s }, grace + self.deadlines.stop).await
    }

    async fn remove(&self, uid: WorkloadUid, data: Data) -> Result<(), RuntimeError> {
        let disk = match data {
            Data::Keep => Disk::Keep,
            Data::Delete => Disk::Delete,
        };
        self.call_plain(Ask::Remove { uid, disk }, self.deadlines.call).await
    }

    async fn changed(&self) {
        self.changed.notified().await;
    }

    async fn logs(
        &self,
        uid: WorkloadUid,
        wanted: LogsWanted,
    ) -> Result<mpsc::Receiver<Bytes>, RuntimeError> {
        let folder = virt::machine(self.state_folder(), uid);
        let pieces = virt::serial_logs(self.state_folder(), uid);
        logs::read(&folder, pieces, wanted).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                let message = "there is no such machine".to_owned();
                RuntimeError { kind: Failure::NotThere, message }
            }
            _ => {
                let message = format!("cannot read what its guest wrote: {error}");
                RuntimeError { kind: Failure::Workload, message }
            }
        })
    }
}
