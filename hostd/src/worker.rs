//! A thread for what must go on whatever else hangs: others share the runtime's threads for what
//! may block, and those may all wait for a disk that is away.

use std::io;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// The thread. It ends when this is dropped and its last job is done.
#[derive(Debug)]
pub struct Worker {
    jobs: Sender<Job>,
}

impl Worker {
    /// Starts it.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(name: &str) -> io::Result<Self> {
        let (jobs, to_do) = channel::<Job>();
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            to_do.iter().for_each(|job| job());
        })?;
        Ok(Self { jobs })
    }

    /// Does it there, after what was given before; none where it panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (tell, done) = oneshot::channel();
        let job: Job = Box::new(move || _ = tell.send(job()));
        self.jobs.send(job).ok()?;
        done.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_goes_on_while_every_thread_of_the_runtime_hangs() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        let (let_go, hangs) = channel::<()>();
        let answer = runtime.block_on(async {
            let worker = Worker::start("test").unwrap();
            tokio::task::spawn_blocking(move || hangs.recv());
            let answers = async { (worker.run(|| 1).await, worker.run(|| 2).await) };
            tokio::time::timeout(Duration::from_secs(10), answers).await
        });
        let_go.send(()).unwrap();
        assert_eq!(answer, Ok((Some(1), Some(2))));
    }

    #[tokio::test]
    async fn a_job_that_panics_is_told() {
        let worker = Worker::start("test").unwrap();
        assert_eq!(worker.run(|| panic!("on purpose")).await, None::<()>);
        assert_eq!(worker.run(|| 1).await, None);
    }
}
