//! Sends the end of a workload's log, once the endpoint asks for it.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Result, bail};
use basalt_api::checkin::{MAX_LOG_BYTES, logs_path};
use basalt_api::id::WorkloadUid;
use basalt_api::workload::Kind;
use bytes::Bytes;
use hyper::Method;
use rcgen::KeyPair;
use uuid::Uuid;

use super::{SHORT, client};
use crate::identity::Enrolled;
use crate::reconcile::Runtimes;
use crate::runtime::LogsWanted;

/// How long the runtime may take to tell.
const DEADLINE: Duration = Duration::from_secs(10);

/// What the endpoint asked for.
pub(super) struct Wanted {
    pub(super) ticket: Uuid,
    pub(super) uid: WorkloadUid,
    pub(super) kind: Kind,
    pub(super) lines: u32,
}

/// Reads and sends it. Nobody waits for it here; the endpoint waits only so long.
pub(super) async fn send(
    wanted: Wanted,
    runtimes: &Runtimes,
    enrolled: &Enrolled,
    key: &KeyPair,
    url: &str,
) -> Result<()> {
    let log = tokio::time::timeout(DEADLINE, read(&wanted, runtimes)).await??;
    let mut client = client(enrolled, url, key)?;
    let answer = client.ask(Method::POST, &logs_path(wanted.ticket), log, SHORT).await?;
    if !answer.status.is_success() {
        bail!("the endpoint answers `{}`", answer.status);
    }
    Ok(())
}

/// The end of the log: the last lines, and of them the last bytes that may be sent.
async fn read(wanted: &Wanted, runtimes: &Runtimes) -> Result<Bytes> {
    let Some(runtime) = runtimes.of(wanted.kind) else { bail!("there is no such log") };
    let lines = LogsWanted { tail: Some(wanted.lines), follow: false };
    let mut parts = runtime.logs(wanted.uid, lines).await?;
    let mut end = VecDeque::new();
    while let Some(part) = parts.recv().await {
        end.extend(part);
        let excess = end.len().saturating_sub(MAX_LOG_BYTES);
        end.drain(..excess);
    }
    Ok(Vec::from(end).into())
}
