//! Tells the endpoint that the host will enrol at how far its installation is. It never holds the
//! installation up: whoever cannot be reached is left out, and that is said in the end.

use std::fmt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use basalt_api::enrol::JoinString;
use basalt_api::fault::Fault;
use basalt_api::install::{INSTALL_PATH, InstallReport, InstallState};
use basalt_https::{BadMaterial, Client, Limits, Method, Trust};

/// For one report.
const LIMITS: Limits = Limits { deadline: Duration::from_secs(10), bytes: 64 << 10 };
/// In the end, for what is still to be told.
const PATIENCE: Duration = Duration::from_secs(20);

/// A thread that tells it.
pub(crate) struct Reporter {
    secret: String,
    machine: String,
    reports: Sender<InstallReport>,
    /// Why the last one was not taken; it ends with the thread.
    outcome: Receiver<Result<()>>,
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter").field("machine", &self.machine).finish_non_exhaustive()
    }
}

impl Reporter {
    /// Begins to tell of `machine` at the endpoint that `join` names.
    ///
    /// # Errors
    /// There can be no thread.
    pub(crate) fn start(join: JoinString, machine: String) -> Result<Self> {
        let (reports, to_tell) = channel();
        let (told, outcome) = channel();
        let secret = join.secret.clone();
        let run = move || {
            // Nobody listens any more where the wait was given up.
            let _ = told.send(tell_all(&join, &to_tell));
        };
        thread::Builder::new().name("reporter".to_owned()).spawn(run)?;
        Ok(Self { secret, machine, reports, outcome })
    }

    /// Tells it as soon as that goes.
    pub(crate) fn tell(&self, state: InstallState, what: &str) {
        let report = InstallReport::new(&self.secret, &self.machine, state, what);
        // A thread that has ended says why in the end.
        let _ = self.reports.send(report);
    }

    /// Waits a while until the last of it was told.
    ///
    /// # Errors
    /// It was not.
    pub(crate) fn finish(self) -> Result<()> {
        drop(self.reports);
        match self.outcome.recv_timeout(PATIENCE) {
            Ok(outcome) => outcome,
            Err(RecvTimeoutError::Timeout) => bail!("no answer in {} s", PATIENCE.as_secs()),
            Err(RecvTimeoutError::Disconnected) => bail!("the thread that tells it has ended"),
        }
    }
}

/// Tells what comes until nothing more does; how it went with the last one.
fn tell_all(join: &JoinString, reports: &Receiver<InstallReport>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut last = Ok(());
    while let Ok(mut report) = reports.recv() {
        // Who was away for long wants to know how it is now.
        while let Ok(newer) = reports.try_recv() {
            report = newer;
        }
        last = runtime.block_on(tell(join, &report));
    }
    last
}

/// At the first of its URLs that answers.
async fn tell(join: &JoinString, report: &InstallReport) -> Result<()> {
    let ca = join.ca_sha256.parse().map_err(|bad: BadMaterial| anyhow::Error::from(bad))?;
    let trust = Trust::Fingerprint(ca);
    let body = serde_json::to_vec(report)?;
    let mut last = Ok(());
    for url in &join.urls {
        last = tell_at(url, &trust, body.clone()).await;
        if last.is_ok() {
            break;
        }
    }
    last
}

async fn tell_at(url: &str, trust: &Trust, body: Vec<u8>) -> Result<()> {
    let doing = || format!("cannot tell `{url}`");
    let mut client = Client::new(url, trust, None).with_context(doing)?;
    let answer = client.ask(Method::POST, INSTALL_PATH, body.into(), LIMITS).await;
    let answer = answer.with_context(doing)?;
    if answer.status.is_success() {
        return Ok(());
    }
    match serde_json::from_slice::<Fault>(&answer.body) {
        Ok(fault) => bail!("{}: {fault}", doing()),
        Err(_) => bail!("{}: it answers `{}`", doing(), answer.status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_that_is_away_holds_nothing_up_and_is_told_of() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let join = JoinString {
            urls: vec![format!("https://127.0.0.1:{port}")],
            ca_sha256: "0".repeat(64),
            secret: "s3cret".to_owned(),
        };
        let reporter = Reporter::start(join, "rack4".to_owned()).unwrap();
        reporter.tell(InstallState::Installing, "step 1");
        reporter.tell(InstallState::Installed, "all of it");
        let said = format!("{:#}", reporter.finish().unwrap_err());
        assert!(said.contains("cannot tell `https://127.0.0.1:"), "{said}");
        assert!(!said.contains("s3cret"), "{said}");
    }
}
