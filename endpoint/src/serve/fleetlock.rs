//! FleetLock: a host that is not ours asks for leave to reboot and says when it is back. Its two
//! routes are as its protocol has them (<https://coreos.github.io/zincati/development/fleetlock/protocol/>);
//! the key before them is ours, for the protocol has none, and whoever could ask could keep all
//! hosts from rebooting.

use std::fmt::Display;

use anyhow::Result;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use basalt_api::id::Name;
use basalt_api::rollout::{ClientParams, FleetLockError, FleetLockRequest};
use basalt_endpoint_core::group::{self, is_id};
use sha2::{Digest, Sha256};

use crate::app::Shared;
use crate::clock;
use crate::refusal::Answer;
use crate::routes::{Bytes, In};
use crate::store::{Db, groups, roll_on, rollouts};

/// Without it a request is of a browser that was led here, or of somebody who is lost.
const HEADER: &str = "fleet-lock-protocol";

/// Why a host may not.
struct No(StatusCode, &'static str, String);

/// Who asks.
struct Asked {
    /// The group's name.
    name: Name,
    group: groups::Stored,
    /// What the host calls itself.
    id: String,
}

pub(crate) async fn lock(
    State(app): State<Shared>,
    In(key): In<String>,
    headers: HeaderMap,
    Bytes(body): Bytes,
) -> Answer<Response> {
    let (mut write, Asked { name, group, id }) = match begin(&app, &key, &headers, &body).await? {
        Ok(begun) => begun,
        Err(no) => return Ok(no.into_response()),
    };
    let mut taken = 0;
    for stored in rollouts::all(&mut write).await? {
        if stored.rollout.spec.group == name {
            taken += roll_on::holders(&stored);
        }
    }
    if !group::may_reboot(group.slots, taken, &group.locks, &id) {
        let value = format!("all {} places of group `{name}` are taken", group.slots);
        return Ok(No(StatusCode::CONFLICT, "failed_lock_semaphore_full", value).into_response());
    }
    groups::lock(&mut write, &name, &id, clock::now()).await?;
    write.commit().await.map_err(anyhow::Error::from)?;
    Ok(StatusCode::OK.into_response())
}

pub(crate) async fn unlock(
    State(app): State<Shared>,
    In(key): In<String>,
    headers: HeaderMap,
    Bytes(body): Bytes,
) -> Answer<Response> {
    let (mut write, Asked { name, id, .. }) = match begin(&app, &key, &headers, &body).await? {
        Ok(begun) => begun,
        Err(no) => return Ok(no.into_response()),
    };
    groups::unlock(&mut write, &name, &id).await?;
    write.commit().await.map_err(anyhow::Error::from)?;
    Ok(StatusCode::OK.into_response())
}

/// Begins to write for who asks. Whoever has no key keeps nobody else from writing.
async fn begin(
    app: &Shared,
    key: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Result<(Db, Asked), No>> {
    if let Err(no) = asked(&mut app.store.read().await?, key, headers, body).await? {
        return Ok(Err(no));
    }
    let mut write = app.store.write().await?;
    Ok(asked(&mut write, key, headers, body).await?.map(|asked| (write, asked)))
}

/// Who asks, of which group.
async fn asked(
    db: &mut Db,
    key: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Result<Asked, No>> {
    let bad = |value: &dyn Display| {
        Ok(Err(No(StatusCode::BAD_REQUEST, "bad_request", value.to_string())))
    };
    if headers.get(HEADER).is_none_or(|value| value != "true") {
        return bad(&format!("the header `{HEADER}: true` is missing"));
    }
    let Ok(FleetLockRequest { client_params }) = serde_json::from_slice(body) else {
        return bad(&"the body is not `{\"client_params\": {\"id\": …, \"group\": …}}`");
    };
    let ClientParams { id, group } = client_params;
    if !is_id(&id) {
        return bad(&"the id is empty, too long, or no text");
    }
    let hash = hash(key);
    let all = groups::all(db).await?.into_iter();
    // Whether a group is there is not told to who has no key of it.
    let found = all.into_iter().find(|(name, stored)| {
        name.as_str() == group && stored.fleetlock.as_deref() == Some(&hash[..])
    });
    Ok(found.map(|(name, group)| Asked { name, group, id }).ok_or_else(|| {
        let value = "the key of this address is not of that group".to_owned();
        No(StatusCode::FORBIDDEN, "unknown_group", value)
    }))
}

impl IntoResponse for No {
    fn into_response(self) -> Response {
        let Self(status, kind, value) = self;
        (status, axum::Json(FleetLockError { kind: kind.to_owned(), value })).into_response()
    }
}

/// What is stored of a key.
pub(super) fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// What Zincati calls `base_url`.
pub(super) fn base_url(endpoint: &impl Display, key: &str) -> String {
    format!("{endpoint}/fleetlock/{key}/")
}
