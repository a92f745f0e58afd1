//! A machine redeems a token and becomes a host.

use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Json;
use axum::extract::State;
use basalt_api::enrol::{EnrolAnswer, EnrolRequest};
use basalt_api::fault::{Fault, FaultKind};
use basalt_api::id::HostId;
use basalt_endpoint_core::token::{Redeemed, Refused, There, Token};
use uuid::Uuid;

use crate::app::{App, Shared, to_the_end};
use crate::ca::{HostCertificate, SigningRequest};
use crate::clock;
use crate::refusal::Answer;
use crate::routes::JsonBody;
use crate::store::events::{self, Happened};
use crate::store::hosts::{self, Host, NewHost};
use crate::store::replan::{self, Cause};
use crate::store::{Db, tokens};

pub(crate) async fn enrol(
    State(app): State<Shared>,
    JsonBody(request): JsonBody<EnrolRequest>,
) -> Answer<Json<EnrolAnswer>> {
    // The cheap look-up first: nobody without a token costs a signature.
    let mut read = app.store.read().await?;
    let is_known = tokens::by_secret(&mut read, &request.secret).await?.is_some();
    drop(read);
    if !is_known {
        return Err(unknown().into());
    }
    let csr = SigningRequest::parse(&request.csr).ok_or_else(|| {
        FaultKind::Malformed.with("`csr` is no request in PEM that is signed by its own key")
    })?;
    Ok(Json(to_the_end(redeem(app, request, csr)).await?))
}

async fn redeem(app: Shared, request: EnrolRequest, csr: SigningRequest) -> Result<EnrolAnswer> {
    let now = clock::now();
    let mut write = app.store.write().await?;
    let found = tokens::by_secret(&mut write, &request.secret).await?;
    let (token_id, token) = found.with_context(unknown)?;
    let key = csr.key_hash();
    let taken = hosts::by_name(&mut write, token.name_for(&request.name)).await?;
    let there = There {
        same_key: tokens::redeemed(&mut write, token_id, &key).await?,
        name: taken.as_ref().map(|host| (host.id, &host.name)),
    };
    let redeemed = token.redeem(&request.name, there, now).map_err(|refused| fault(&refused))?;
    let (host, certificate, replaced, replanned) = match redeemed {
        Redeemed::Again(id) => {
            let certificate = app.ca.sign_host(id, &csr, app.certificate_life, now)?;
            hosts::set_certificate_until(&mut write, id, certificate.until).await?;
            (get(&mut write, id).await?, certificate, None, Vec::new())
        }
        Redeemed::New { name, replaces } => {
            let id = HostId(Uuid::new_v4());
            let certificate = app.ca.sign_host(id, &csr, app.certificate_life, now)?;
            if let Some(old) = replaces {
                hosts::revoke(&mut write, old, now).await?;
            }
            insert(&mut write, id, &name, &token, &certificate).await?;
            tokens::redeem(&mut write, token_id, &key, id).await?;
            let replanned = replan::replan(&mut write, &Cause::default(), now).await?;
            (get(&mut write, id).await?, certificate, replaces, replanned)
        }
    };
    write.commit().await?;
    if let Some(old) = replaced {
        app.presence.remove(old);
    }
    app.presence.add(&host);
    app.publish(&replanned);
    Ok(answer(&app, &host, certificate))
}

async fn get(db: &mut Db, id: HostId) -> Result<Host> {
    hosts::get(db, id).await?.context("the host is gone")
}

async fn insert(
    db: &mut Db,
    id: HostId,
    name: &basalt_api::id::Name,
    token: &Token,
    certificate: &HostCertificate,
) -> Result<()> {
    let now = clock::now();
    let host = NewHost { id, name, labels: &token.labels, certificate_until: certificate.until };
    hosts::insert(db, &host, now).await?;
    let happened = Happened {
        kind: "host_enrolled",
        host: Some(name),
        workload: None,
        message: "it enrolled",
    };
    events::put(db, happened, now).await
}

pub(super) fn answer(app: &Arc<App>, host: &Host, certificate: HostCertificate) -> EnrolAnswer {
    EnrolAnswer {
        host_id: host.id,
        name: host.name.clone(),
        certificate: certificate.pem,
        ca: app.ca.pem(),
    }
}

pub(super) fn unknown() -> Fault {
    let fault = FaultKind::TokenRefused.with("this token is not known here");
    fault.hint("`basaltctl token create` makes one")
}

pub(super) fn fault(refused: &Refused) -> Fault {
    match refused {
        Refused::NameTaken(name) => {
            let hint =
                format!("give it another name, or use `basaltctl token create --replace {name}`");
            FaultKind::NameTaken.with(refused.to_string()).hint(hint)
        }
        Refused::NameReserved => FaultKind::Invalid.with(refused.to_string()),
        Refused::Revoked | Refused::Expired | Refused::UsedUp | Refused::HostRemoved => {
            let fault = FaultKind::TokenRefused.with(refused.to_string());
            fault.hint("`basaltctl token create` makes one")
        }
    }
}
