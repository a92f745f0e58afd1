//! Carries out the steps of one workload, up to the first that fails.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use basalt_api::id::WorkloadUid;
use basalt_api::report::Trouble;
use hostd_core::plan::Work;
use hostd_core::policy::Policy;
use hostd_core::step::Step;
use hostd_core::track::Progress;
use hostd_core::wanted::{Aim, Contact, Wanted};
use tokio::sync::{mpsc, watch};

use crate::clock;
use crate::host_paths::HostPaths;
use crate::runtime::{Make, Runtime, RuntimeError};
use crate::secrets::Secrets;

pub(super) struct Task {
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) secrets: Arc<dyn Secrets>,
    pub(super) host_paths: HostPaths,
    pub(super) private: PathBuf,
    pub(super) work: Work,
    /// None for what nobody wants any more: it is only stopped and removed.
    pub(super) wanted: Option<Wanted>,
    pub(super) report: mpsc::Sender<(WorkloadUid, Progress)>,
    /// Becomes true when this is not wanted any more.
    pub(super) give_up: watch::Receiver<bool>,
    pub(super) policy: Policy,
    pub(super) heard: watch::Receiver<Option<Duration>>,
}

/// Why a step was not done.
enum Undone {
    /// It failed.
    Failed(Failed),
    /// It is not wanted any more.
    GivenUp,
}

impl Task {
    pub(super) async fn run(self) {
        // Dropped last, whatever happens: a workload whose task is gone must not stay busy.
        let over = Over { uid: self.work.uid, report: self.report.clone() };
        for step in self.work.steps.clone() {
            if self.is_given_up(step) {
                break;
            }
            self.tell(Progress::Began(step)).await;
            match self.carry_out(step).await {
                Ok(()) => self.tell(Progress::Did(step)).await,
                Err(Undone::Failed((reason, trouble))) => {
                    self.tell(Progress::Failed(step, reason, trouble)).await;
                    break;
                }
                Err(Undone::GivenUp) => break,
            }
        }
        drop(over);
    }

    async fn tell(&self, progress: Progress) {
        let _ = self.report.send((self.work.uid, progress)).await;
    }

    /// What begins here must be wanted at this moment: the step before may have taken long, and the
    /// endpoint may let another host run it by now.
    fn is_given_up(&self, step: Step) -> bool {
        let contact = Contact::at(clock::uptime(), *self.heard.borrow());
        let may_run = |wanted: &Wanted| wanted.aim(&self.policy, contact) == Aim::Run;
        let must_not_run = !step.frees() && !self.wanted.as_ref().is_some_and(may_run);
        *self.give_up.borrow() || must_not_run
    }

    async fn carry_out(&self, step: Step) -> Result<(), Undone> {
        let uid = self.work.uid;
        let done = match step {
            Step::Prepare => return self.prepare().await,
            Step::Create => {
                self.check_host_paths().await?;
                let make = self.make_with_secrets().await.map_err(Undone::Failed)?;
                self.runtime.create(&make).await
            }
            Step::Start => return self.start().await,
            Step::Resume => self.runtime.start(uid).await,
            Step::Stop(grace) => self.runtime.stop(uid, grace).await,
            Step::Remove(data) => self.runtime.remove(uid, data).await,
        };
        done.map_err(|error| Undone::Failed(failed(error)))
    }

    /// What may take hours ends once it is given up: what is wanted instead must not wait for it.
    async fn prepare(&self) -> Result<(), Undone> {
        let mut give_up = self.give_up.clone();
        let prepare = async {
            let make = self.make_with_secrets().await?;
            self.runtime.prepare(&make).await.map_err(failed)
        };
        tokio::select! {
            // Not cancel-safe, and need not be: half an image is fetched on or thrown away.
            done = prepare => done.map_err(Undone::Failed),
            _ = give_up.wait_for(|is_given_up| *is_given_up) => Err(Undone::GivenUp),
        }
    }

    /// Secrets as files lie on tmpfs, which a reboot empties; preparing puts them there again.
    async fn start(&self) -> Result<(), Undone> {
        self.check_host_paths().await?;
        let has_secrets =
            self.wanted.as_ref().is_some_and(|wanted| !wanted.assigned.spec.secrets().is_empty());
        if has_secrets {
            self.prepare().await?;
            if self.is_given_up(Step::Start) {
                return Err(Undone::GivenUp);
            }
        }
        let started = self.runtime.start(self.work.uid).await;
        started.map_err(|error| Undone::Failed(failed(error)))
    }

    /// An engine follows links at every start anew.
    async fn check_host_paths(&self) -> Result<(), Undone> {
        let Some(wanted) = &self.wanted else { return Ok(()) };
        let looked = self.host_paths.check(&wanted.assigned.spec).await;
        looked.map_err(|reason| Undone::Failed((reason, Trouble::Lasting)))
    }

    async fn make_with_secrets(&self) -> Result<Make, Failed> {
        let wanted = self.wanted()?;
        let values = self.secrets.values(&wanted.assigned).await;
        // The endpoint has them, and it may be away.
        self.make(values.map_err(|reason| (reason, Trouble::Passing))?)
    }

    fn make(&self, secrets: BTreeMap<basalt_api::id::Name, Vec<u8>>) -> Result<Make, Failed> {
        let wanted = self.wanted()?;
        let (assigned, owner) = (wanted.assigned.clone(), wanted.owner);
        Ok(Make { assigned, owner, secrets, private: self.private.clone() })
    }

    fn wanted(&self) -> Result<&Wanted, Failed> {
        let gone = || ("nobody wants it any more".to_owned(), Trouble::Passing);
        self.wanted.as_ref().ok_or_else(gone)
    }
}

/// Why a step failed, and what to expect of it.
type Failed = (String, Trouble);

fn failed(error: RuntimeError) -> Failed {
    (error.message, error.kind.trouble())
}

struct Over {
    uid: WorkloadUid,
    report: mpsc::Sender<(WorkloadUid, Progress)>,
}

impl Drop for Over {
    fn drop(&mut self) {
        let (uid, report) = (self.uid, self.report.clone());
        tokio::spawn(async move {
            let _ = report.send((uid, Progress::Over)).await;
        });
    }
}
