//! Sends the set of the ledger, once the endpoint asks for it: a set may be larger than a check-in.

use anyhow::{Result, bail};
use basalt_api::checkin::{ReportedSet, SET_PATH};
use basalt_api::fault::Fault;
use basalt_api::ledger::Generation;
use hyper::{Method, StatusCode};
use rcgen::KeyPair;

use super::{SHORT, client};
use crate::identity::Enrolled;

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// The endpoint has it.
    Taken,
    /// The endpoint's release takes it by a check-in alone.
    NoSuchPath,
}

/// Sends it.
///
/// # Errors
/// The endpoint does not answer, or refuses.
pub(super) async fn send(
    assigned: &Generation,
    enrolled: &Enrolled,
    key: &KeyPair,
    url: &str,
) -> Result<Sent> {
    let body = serde_json::to_vec(&ReportedSet {
        lineage: assigned.lineage,
        generation: assigned.generation,
        set_hash: assigned.hash.clone(),
        set: assigned.set.clone(),
    })?;
    let mut client = client(enrolled, url, key)?;
    let answer = client.ask(Method::POST, SET_PATH, body.into(), SHORT).await?;
    if answer.status.is_success() {
        return Ok(Sent::Taken);
    }
    if answer.status == StatusCode::NOT_FOUND {
        return Ok(Sent::NoSuchPath);
    }
    match serde_json::from_slice::<Fault>(&answer.body) {
        Ok(fault) => bail!("{fault}"),
        Err(_) => bail!("the endpoint answers `{}`", answer.status),
    }
}
