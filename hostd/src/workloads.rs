//! The part of `hostd` that is about workloads, put together: runtimes, loop, what the socket
//! shows of them.

use std::sync::Arc;

use basalt_api::id::WorkloadUid;
use basalt_api::status::HostStatus;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::books::Books;
use crate::config::Config;
use crate::events::Events;
use crate::paths::Paths;
use crate::reconcile::{self, Picture, Runtimes};
use crate::secrets::NoSecrets;
use crate::server;

/// Wishes for another run that may wait.
const WISHES: usize = 16;

/// Everything about workloads that runs.
pub struct Workloads {
    runtimes: Runtimes,
    events: Arc<Events>,
    picture: watch::Receiver<Arc<Picture>>,
    again: mpsc::Sender<WorkloadUid>,
    reconcile: JoinHandle<()>,
}

impl Workloads {
    /// Starts the loop.
    #[must_use]
    pub fn begin(paths: &Paths, config: &Config, books: &Arc<Books>) -> Self {
        let runtimes = Runtimes {
            containers: containers(paths, config),
            machines: machines(paths, config),
            private: paths.private(),
            marks: paths.state(),
        };
        let events = Arc::new(Events::default());
        let (show, picture) = watch::channel(Arc::default());
        let (again, wishes) = mpsc::channel(WISHES);
        let (_, us) = watch::channel(None);
        let (_, heard) = watch::channel(None);
        let reconcile = tokio::spawn(reconcile::run(reconcile::Ground {
            books: Arc::clone(books),
            runtimes: runtimes.clone(),
            secrets: Arc::new(NoSecrets),
            policy: config.policy.clone(),
            us,
            heard,
            events: Arc::clone(&events),
            picture: show,
            again: wishes,
        }));
        Self { runtimes, events, picture, again, reconcile }
    }

    /// What the socket shows.
    #[must_use]
    pub fn shown(
        &self,
        status: watch::Receiver<Option<HostStatus>>,
        books: Arc<Books>,
    ) -> server::Ground {
        server::Ground {
            status,
            picture: self.picture.clone(),
            books,
            events: Arc::clone(&self.events),
            runtimes: self.runtimes.clone(),
            again: self.again.clone(),
        }
    }

    /// Ends the loop. What runs goes on, and is found again by the next `hostd`.
    pub fn end(&self) {
        self.reconcile.abort();
    }
}

fn containers(_: &Paths, _: &Config) -> Arc<dyn crate::runtime::Runtime> {
    todo!()
}

fn machines(_: &Paths, _: &Config) -> Arc<dyn crate::runtime::Runtime> {
    todo!()
}
