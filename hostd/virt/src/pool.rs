//! Threads that do jobs.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use basalt_api::id::WorkloadUid;

use crate::lanes::{Lanes, Next};

/// libvirt's calls need little; its own threads are the server's.
const STACK: usize = 512 << 10;
/// How long a worker with nothing to do waits at a time.
const LONG: Duration = Duration::from_secs(3600);

/// What must not be done twice at once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    /// Looking at everything.
    Observe,
    /// A machine.
    Machine(WorkloadUid),
    /// An image, by its file.
    Image(String),
}

/// One step of something to do.
pub(crate) type Job = Box<dyn FnOnce() -> After + Send>;

/// What follows a step.
pub(crate) enum After {
    /// Nothing, it is done.
    Done,
    /// This, not before then, or as soon as something happens to the machine.
    Later(Instant, Job),
}

/// Threads that do jobs.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Shared>);

struct Shared {
    lanes: Mutex<Lanes<Lane, Job>>,
    changed: Condvar,
}

impl Pool {
    /// Starts so many threads. They end with the process.
    pub(crate) fn start(name: &str, threads: u32) -> std::io::Result<Self> {
        let shared = Shared { lanes: Mutex::new(Lanes::new()), changed: Condvar::new() };
        let pool = Self(Arc::new(shared));
        for number in 0..threads {
            let pool = pool.clone();
            let thread = thread::Builder::new().name(format!("{name}-{number}")).stack_size(STACK);
            thread.spawn(move || pool.work())?;
        }
        Ok(pool)
    }

    /// Adds a job; whether there was room for it.
    pub(crate) fn push(&self, lane: Lane, job: Job) -> bool {
        let is_in = self.lanes().push(lane, job).is_ok();
        self.0.changed.notify_one();
        is_in
    }

    /// Something happened to this machine.
    pub(crate) fn hasten(&self, uid: WorkloadUid) {
        self.lanes().hasten(&Lane::Machine(uid), Instant::now());
        self.0.changed.notify_one();
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes<Lane, Job>> {
        self.0.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        loop {
            let (lane, job) = self.next();
            match job() {
                After::Done => self.lanes().leave(&lane),
                After::Later(until, job) => self.lanes().put_off(lane, job, until),
            }
            // A lane is free, or the moment that sleepers wait for is another one.
            self.0.changed.notify_all();
        }
    }

    fn next(&self) -> (Lane, Job) {
        let mut lanes = self.lanes();
        loop {
            let now = Instant::now();
            match lanes.take(now) {
                Next::Do(lane, job) => return (lane, job),
                Next::Wait(until) => {
                    let pause = until.map_or(LONG, |until| until.saturating_duration_since(now));
                    let woken = self.0.changed.wait_timeout(lanes, pause);
                    lanes = woken.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }
}
