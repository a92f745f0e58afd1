//! Secrets, as operators set them. No value ever comes back here.

use anyhow::Result;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use basalt_api::fault::FaultKind;
use basalt_api::id::Name;
use basalt_api::secret::{MAX_VALUE, SecretInfo, SecretValue, Secrets};
use basalt_endpoint_core::generation;

use crate::app::Shared;
use crate::clock;
use crate::refusal::Answer;
use crate::routes::{In, StrictBody};
use crate::store::events::{self, Happened};
use crate::store::replan;
use crate::store::secrets::{self, Stored};
use crate::store::{Db, workloads};

/// What a value is locked for.
pub(super) fn label(name: &Name, version: u64) -> String {
    format!("{name}/{version}")
}

pub(crate) async fn list(State(app): State<Shared>) -> Answer<Json<Secrets>> {
    let mut read = app.store.read().await?;
    let workloads = workloads::all(&mut read).await?;
    let secrets = secrets::all(&mut read).await?;
    let secrets = secrets.iter().map(|secret| info(secret, &workloads)).collect();
    Ok(Json(Secrets { secrets }))
}

pub(crate) async fn set(
    State(app): State<Shared>,
    In(name): In<Name>,
    StrictBody(value): StrictBody<SecretValue>,
) -> Answer<Json<SecretInfo>> {
    let value = value.bytes().ok_or_else(|| {
        FaultKind::Invalid.with(format!("the value is no base64, or has over {MAX_VALUE} bytes"))
    })?;
    let now = clock::now();
    let mut write = app.store.write().await?;
    let known = secrets::get(&mut write, &name).await?.map(|stored| stored.version);
    let workloads = workloads::all(&mut write).await?;
    let all = workloads.iter().map(|stored| &stored.workload);
    let version = generation::next_version(&name, known, all, now);
    let locked = Some(app.vault.lock(&label(&name, version), &value)?);
    let stored = Stored { name, version, locked, set_at: now };
    secrets::put(&mut write, &stored).await?;
    let message = format!("secret `{}` has version {version}", stored.name);
    put_event(&mut write, "secret_set", &message).await?;
    let issued = replan::reissue(&mut write, &stored.name, &workloads).await?;
    write.commit().await.map_err(anyhow::Error::from)?;
    app.publish(&issued);
    Ok(Json(info(&stored, &workloads)))
}

pub(crate) async fn remove(State(app): State<Shared>, In(name): In<Name>) -> Answer<StatusCode> {
    let mut write = app.store.write().await?;
    let stored = secrets::get(&mut write, &name).await?.filter(|stored| stored.locked.is_some());
    let stored =
        stored.ok_or_else(|| FaultKind::NotFound.with(format!("there is no secret `{name}`")))?;
    let users = info(&stored, &workloads::all(&mut write).await?).used_by;
    if let Some(user) = users.first() {
        let detail = format!("workload `{user}` uses secret `{name}`");
        return Err(FaultKind::Conflict.with(detail).hint("delete the workload first").into());
    }
    secrets::put(&mut write, &Stored { locked: None, ..stored }).await?;
    put_event(&mut write, "secret_removed", &format!("secret `{name}` was removed")).await?;
    write.commit().await.map_err(anyhow::Error::from)?;
    app.publish(&[]);
    Ok(StatusCode::NO_CONTENT)
}

async fn put_event(db: &mut Db, kind: &str, message: &str) -> Result<()> {
    let happened = Happened { kind, host: None, workload: None, message };
    events::put(db, happened, clock::now()).await
}

fn info(secret: &Stored, workloads: &[workloads::Stored]) -> SecretInfo {
    let uses = |stored: &&workloads::Stored| stored.workload.spec.secrets().contains(&&secret.name);
    SecretInfo {
        name: secret.name.clone(),
        version: secret.version,
        set_at: secret.set_at,
        used_by: workloads.iter().filter(uses).map(|stored| stored.name().clone()).collect(),
    }
}
