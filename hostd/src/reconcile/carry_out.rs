//! Carries out the steps of one workload, up to the first that fails.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use basalt_api::id::WorkloadUid;
use hostd_core::plan::Work;
use hostd_core::step::Step;
use hostd_core::track::Progress;
use hostd_core::wanted::Wanted;
use tokio::sync::mpsc;

use crate::host_paths::HostPaths;
use crate::runtime::{Make, Runtime};
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
}

impl Task {
    pub(super) async fn run(self) {
        // Dropped last, whatever happens: a workload whose task is gone must not stay busy.
        let over = Over { uid: self.work.uid, report: self.report.clone() };
        for step in self.work.steps.clone() {
            self.tell(Progress::Began(step)).await;
            match self.carry_out(step).await {
                Ok(()) => self.tell(Progress::Did(step)).await,
                Err(reason) => {
                    self.tell(Progress::Failed(step, reason)).await;
                    break;
                }
            }
        }
        drop(over);
    }

    async fn tell(&self, progress: Progress) {
        let _ = self.report.send((self.work.uid, progress)).await;
    }

    async fn carry_out(&self, step: Step) -> Result<(), String> {
        let uid = self.work.uid;
        let done = match step {
            Step::Prepare => self.runtime.prepare(&self.make_with_secrets().await?).await,
            Step::Create => {
                self.check_host_paths().await?;
                self.runtime.create(&self.make_with_secrets().await?).await
            }
            Step::Start => self.start().await?,
            Step::Resume => self.runtime.start(uid).await,
            Step::Stop(grace) => self.runtime.stop(uid, grace).await,
            Step::Remove(data) => self.runtime.remove(uid, data).await,
        };
        done.map_err(|error| error.message)
    }

    /// Secrets as files lie on tmpfs, which a reboot empties; preparing puts them there again.
    async fn start(&self) -> Result<Result<(), crate::runtime::RuntimeError>, String> {
        self.check_host_paths().await?;
        let has_secrets =
            self.wanted.as_ref().is_some_and(|wanted| !wanted.assigned.spec.secrets().is_empty());
        if has_secrets
            && let Err(error) = self.runtime.prepare(&self.make_with_secrets().await?).await
        {
            return Err(error.message);
        }
        Ok(self.runtime.start(self.work.uid).await)
    }

    /// An engine follows links at every start anew.
    async fn check_host_paths(&self) -> Result<(), String> {
        match &self.wanted {
            Some(wanted) => self.host_paths.check(&wanted.assigned.spec).await,
            None => Ok(()),
        }
    }

    async fn make_with_secrets(&self) -> Result<Make, String> {
        let wanted = self.wanted()?;
        let values = self.secrets.values(&wanted.assigned).await;
        self.make(values?)
    }

    fn make(&self, secrets: BTreeMap<basalt_api::id::Name, Vec<u8>>) -> Result<Make, String> {
        let wanted = self.wanted()?;
        let (assigned, owner) = (wanted.assigned.clone(), wanted.owner);
        Ok(Make { assigned, owner, secrets, private: self.private.clone() })
    }

    fn wanted(&self) -> Result<&Wanted, String> {
        self.wanted.as_ref().ok_or_else(|| "nobody wants it any more".to_owned())
    }
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
