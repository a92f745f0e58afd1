//! Takes requests from the socket, has them done, answers, and tells when something changed.

mod events;
mod out;

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use basalt_api::virt::{Ask, Frames, MAX_REQUEST, Machine, Refusal, Reply, Request, Settings};
use rustix::net::sockopt::socket_domain;

use crate::machines::{Machines, Stop};
use crate::pool::{After, Job, Lane, Pool};
use crate::raw::Event;
use crate::store::Store;
use crate::{accel, image, link};
use out::{Out, Waiting};

/// Calls to libvirt at once. What takes long there is waiting, and a stop waits outside of them.
const CALLS: u32 = 4;
/// Downloads at once.
const DOWNLOADS: u32 = 2;
const CHUNK: usize = 64 << 10;

/// Why this program cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    #[error("stdin is no socket; hostd starts this program")]
    NoSocket,
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
    #[error("cannot read from hostd: {0}")]
    Read(#[source] io::Error),
    #[error("hostd said what cannot be read: {0}")]
    Frame(#[source] basalt_api::virt::BadFrame),
}

/// Serves until the socket closes.
///
/// # Errors
/// It cannot be started, or what comes is no request.
pub(crate) fn run() -> Result<(), ServerError> {
    begin();
    let socket = socket().ok_or(ServerError::NoSocket)?;
    let out = Out::new(socket.try_clone().map_err(ServerError::Read)?);
    let (events, heard) = channel();
    let calls = Pool::start("call", CALLS).map_err(ServerError::Thread)?;
    let downloads = Pool::start("image", DOWNLOADS).map_err(ServerError::Thread)?;
    let machines = Arc::default();
    let server = Server { out, calls, downloads, events, machines };
    events::start(&server, heard).map_err(ServerError::Thread)?;
    server.serve(socket)
}

/// A panic must not leave a process that answers half of what it is asked: hostd starts another.
fn begin() {
    std::panic::set_hook(Box::new(|info| {
        eprintln!("hostd-virt panicked: {info}");
        std::process::abort();
    }));
    // journald has the time, and hostd-virt's stderr is hostd's.
    let log = tracing_subscriber::fmt().without_time().with_target(false).with_ansi(false);
    log.with_writer(io::stderr).with_max_level(tracing::Level::INFO).init();
    // Else libvirt prints every error by itself.
    virt::error::clear_error_callback();
}

fn socket() -> Option<UnixStream> {
    let stdin = io::stdin();
    socket_domain(&stdin).ok()?;
    Some(UnixStream::from(stdin.as_fd().try_clone_to_owned().ok()?))
}

/// Everything that lives as long as the process.
#[derive(Clone)]
struct Server {
    out: Out,
    calls: Pool,
    downloads: Pool,
    events: Sender<Event>,
    /// There once `hostd` has said how things are done.
    machines: Arc<OnceLock<Arc<Machines>>>,
}

impl Server {
    fn serve(&self, mut socket: UnixStream) -> Result<(), ServerError> {
        let mut frames = Frames::new(MAX_REQUEST);
        let mut buffer = vec![0; CHUNK];
        loop {
            while let Some(request) = frames.take().map_err(ServerError::Frame)? {
                self.take(request);
            }
            match socket.read(&mut buffer) {
                // Calls on their way are left alone: libvirt finishes them.
                Ok(0) => return Ok(()),
                Ok(read) => frames.push(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(ServerError::Read(error)),
            }
        }
    }

    fn take(&self, Request { id, ask }: Request) {
        let begun = self.machines.get().cloned();
        let machines = match (ask, begun) {
            (Ask::Begin(settings), _) => return self.out.done(id, self.begin(settings)),
            (Ask::Cancel(id), _) => return self.out.cancel(id),
            (ask, Some(machines)) => (ask, machines),
            (_, None) => {
                let refusal = Refusal::unavailable("hostd has not said how things are done");
                return self.out.done(id, Err(refusal));
            }
        };
        let is_in = match machines {
            (Ask::Prepare(machine), machines) => self.prepare(id, machine, machines),
            (Ask::Stop { uid, grace_s }, machines) => {
                let grace = Duration::from_secs(grace_s.into());
                let stop = Stop::new(uid, grace, Instant::now());
                self.calls.push(Lane::Machine(uid), go_on(self.out.clone(), id, machines, stop))
            }
            (ask, machines) => self.call(id, ask, machines),
        };
        if !is_in {
            self.out.done(id, Err(Refusal::unavailable("hostd-virt has too much to do")));
        }
    }

    fn begin(&self, mut settings: Settings) -> Result<Reply, Refusal> {
        let cannot = |error: io::Error| {
            Refusal::unavailable(format!("cannot use the folders of virtual machines: {error}"))
        };
        let state = PathBuf::from(&settings.state);
        let store = Store::new(state.clone(), PathBuf::from(&settings.seeds)).map_err(cannot)?;
        settings.accel = accel::resolve(settings.accel);
        let link = link::Link::new(settings.uri.clone(), settings.accel, self.events.clone());
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map_err(cannot)?;
        let boot = boot.trim().to_owned();
        let machines = Machines { settings, link: Arc::new(link), store, boot };
        if self.machines.set(Arc::new(machines)).is_err() {
            return Err(Refusal::unavailable("hostd has said already how things are done"));
        }
        image::remove_halves(&state).map_err(cannot)?;
        Ok(Reply::Ok)
    }

    /// What is one call after the other; whether there was room for it.
    fn call(&self, id: u64, ask: Ask, machines: Arc<Machines>) -> bool {
        let lane = match &ask {
            Ask::Create(machine) => Lane::Machine(machine.uid),
            Ask::Start(uid) | Ask::Remove { uid, .. } => Lane::Machine(*uid),
            _ => Lane::Observe,
        };
        let out = self.out.clone();
        self.calls.push(
            lane,
            Box::new(move || {
                let result = match ask {
                    Ask::Create(machine) => machines.create(&machine).map(|()| Reply::Ok),
                    Ask::Start(uid) => machines.start(uid).map(|()| Reply::Ok),
                    Ask::Remove { uid, disk } => machines.remove(uid, disk).map(|()| Reply::Ok),
                    _ => machines.observe().map(Reply::Seen),
                };
                out.done(id, result);
                After::Done
            }),
        )
    }

    fn prepare(&self, id: u64, machine: Machine, machines: Arc<Machines>) -> bool {
        let disk = machine.vm.disk;
        let lane = Lane::Image(image::file_name(&disk.sha256, disk.format));
        let waiting = Waiting::new(self.out.clone(), id);
        self.downloads.push(
            lane,
            Box::new(move || {
                let result = image::prepare(&machines.settings, &disk, &waiting);
                waiting.done(result.map(|()| Reply::Ok));
                After::Done
            }),
        )
    }
}

/// A stop goes on, step by step, and holds no thread between them.
fn go_on(out: Out, id: u64, machines: Arc<Machines>, stop: Stop) -> Job {
    Box::new(move || match machines.stop(stop) {
        Ok(Some((until, stop))) => After::Later(until, go_on(out, id, machines, stop)),
        other => {
            out.done(id, other.map(|_| Reply::Ok));
            After::Done
        }
    })
}
