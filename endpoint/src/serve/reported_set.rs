//! A frozen host sends the set that it has, so that an operator may decide to keep it. A route of
//! its own: a set may be larger than a check-in.

use axum::extract::State;
use axum::http::StatusCode;
use basalt_api::checkin::ReportedSet;
use basalt_api::fault::FaultKind;
use basalt_endpoint_core::checkin::Mark;

use crate::app::Shared;
use crate::refusal::Answer;
use crate::routes::{HostCaller, JsonBody};
use crate::store::hosts;

pub(crate) async fn take(
    State(app): State<Shared>,
    caller: HostCaller,
    JsonBody(said): JsonBody<ReportedSet>,
) -> Answer<StatusCode> {
    // The hash is what the host was told. One of an older release may have kept less of the set
    // than that was made from; an operator is shown what it has.
    let mark =
        Mark { lineage: Some(said.lineage), generation: said.generation, set_hash: said.set_hash };
    let set = serde_json::to_string(&said.set).map_err(anyhow::Error::from)?;
    let mut write = app.store.write().await?;
    let host = hosts::get(&mut write, caller.id).await?.filter(|host| !host.is_revoked);
    let host = host.ok_or_else(|| FaultKind::Revoked.with("this host was removed"))?;
    if host.seen.frozen.is_none() || host.seen.reported != mark {
        let detail = "this is not the set of the last check-in, or that host is not frozen";
        return Err(FaultKind::Conflict.with(detail).into());
    }
    if host.reported_set.as_ref() != Some(&set) {
        hosts::set_reported_set(&mut write, host.id, Some(&set)).await?;
        write.commit().await.map_err(anyhow::Error::from)?;
    }
    Ok(StatusCode::NO_CONTENT)
}
