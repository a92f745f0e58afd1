//! A host gets a new certificate. No certificate is needed on the connection: an expired one could
//! not be shown there. The body proves who asks.

use anyhow::Result;
use axum::Json;
use axum::extract::State;
use basalt_api::enrol::{EnrolAnswer, RenewRequest};
use basalt_api::fault::FaultKind;
use basalt_api::id::HostId;

use super::enrol;
use crate::app::{Shared, to_the_end};
use crate::ca::SigningRequest;
use crate::clock;
use crate::refusal::Answer;
use crate::routes::JsonBody;
use crate::store::hosts;

pub(crate) async fn renew(
    State(app): State<Shared>,
    JsonBody(request): JsonBody<RenewRequest>,
) -> Answer<Json<EnrolAnswer>> {
    let proven = app.ca.prove(&request, clock::now());
    let (host, csr) = proven.map_err(|bad| FaultKind::Unauthenticated.with(bad.to_string()))?;
    Ok(Json(to_the_end(sign(app, host, csr)).await?))
}

async fn sign(app: Shared, id: HostId, csr: SigningRequest) -> Result<EnrolAnswer> {
    let now = clock::now();
    let mut write = app.store.write().await?;
    let host = hosts::get(&mut write, id).await?.filter(|host| !host.is_revoked);
    let Some(host) = host else {
        return Err(FaultKind::Revoked.with("this host was removed").into());
    };
    let certificate = app.ca.sign_host(id, &csr, app.certificate_life, now)?;
    hosts::set_certificate_until(&mut write, id, certificate.until).await?;
    write.commit().await?;
    app.presence.renewed(id, certificate.until);
    Ok(enrol::answer(&app, &host, certificate))
}
