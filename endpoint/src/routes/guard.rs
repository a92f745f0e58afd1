//! Who asks, and whether they may. Every route goes through here.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use basalt_api::fault::{Fault, FaultKind};
use basalt_api::id::HostId;
use tokio::time::Instant;

use super::Who;
use super::body::BodyLimit;
use crate::app::Shared;
use crate::ca::PeerCertificate;
use crate::clock;
use crate::refusal::{Answer, Refusal};
use crate::standing::Standing;
use crate::store::audit::{self, Asked};
use crate::store::hosts;

/// What is known of the other end of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Its certificate, which the CA signed.
    pub certificate: Option<PeerCertificate>,
}

/// The host that asks.
#[derive(Debug, Clone, Copy)]
pub struct HostCaller {
    /// Its id, from the certificate alone.
    pub id: HostId,
    /// The certificate.
    pub certificate: PeerCertificate,
}

/// What a route's guard knows.
pub(super) struct Guard {
    pub(super) app: Shared,
    pub(super) who: Who,
    pub(super) path: &'static str,
    pub(super) max_body: usize,
    pub(super) is_write: bool,
}

pub(super) async fn guard(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    let method = request.method().to_string();
    let response = match guard.pass(request, next).await {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(),
    };
    guard.app.metrics.answered(&method, guard.path, response.status().as_u16());
    response
}

impl Guard {
    async fn pass(&self, mut request: Request, next: Next) -> Answer<Response> {
        let peer = request.extensions().get::<Peer>().copied();
        let peer = peer.ok_or_else(|| FaultKind::Internal.with("the connection has no address"))?;
        request.extensions_mut().insert(BodyLimit(self.max_body));
        match self.who {
            Who::Anyone => Ok(next.run(request).await),
            Who::Host => {
                let standing = request.extensions().get::<Standing>().cloned();
                let caller = self.host(peer.certificate).await.inspect_err(|refusal| {
                    if refusal.is_of_certificate() {
                        standing.iter().for_each(Standing::refuse);
                    }
                })?;
                standing.iter().for_each(|standing| standing.admit(Instant::now()));
                request.extensions_mut().insert(caller);
                Ok(next.run(request).await)
            }
            Who::Operator => {
                self.operator(&request, peer)?;
                self.run_audited(peer, request, next).await
            }
        }
    }

    /// The host that a certificate names, if it still is one.
    async fn host(&self, certificate: Option<PeerCertificate>) -> Answer<HostCaller> {
        let Some(certificate) = certificate else {
            return Err(FaultKind::Unauthenticated.with("this needs a host's certificate").into());
        };
        if certificate.has_expired(clock::now()) {
            return Err(expired().into());
        }
        let mut read = self.app.store.read().await?;
        match hosts::get(&mut read, certificate.host).await? {
            Some(host) if host.is_revoked => {
                Err(FaultKind::Revoked.with(format!("host `{}` was removed", host.name)).into())
            }
            Some(host) => Ok(HostCaller { id: host.id, certificate }),
            // As after the restore of a backup from before its enrolment.
            None => Err(FaultKind::Revoked.with("this host is not known here").into()),
        }
    }

    fn operator(&self, request: &Request, peer: Peer) -> Answer<()> {
        let token = request.headers().get(AUTHORIZATION).and_then(|value| {
            let (scheme, token) = value.as_bytes().split_at_checked(7)?;
            scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
        });
        match token {
            Some(token) if self.app.operator.is(token) => Ok(()),
            Some(_) => {
                tracing::warn!(address = %peer.address, "a wrong operator's token");
                let fault = FaultKind::Unauthenticated.with("this is not the operator's token");
                Err(fault.hint("`basaltctl login` with the token of the endpoint's folder").into())
            }
            None if peer.certificate.is_some() => {
                Err(FaultKind::Forbidden.with("this is for operators").into())
            }
            None => Err(FaultKind::Unauthenticated.with("this needs the operator's token").into()),
        }
    }

    /// A write stands in the audit log before it acts, and is done even when who asked has gone.
    async fn run_audited(&self, peer: Peer, request: Request, next: Next) -> Answer<Response> {
        if !self.is_write {
            return Ok(next.run(request).await);
        }
        let asked = Asked {
            who: "operator",
            address: peer.address.ip().to_string(),
            method: request.method().to_string(),
            path: request.uri().path_and_query().map_or("", |path| path.as_str()).to_owned(),
        };
        let mut write = self.app.store.write().await?;
        let entry = audit::begin(&mut write, &asked, clock::now()).await?;
        write.commit().await.map_err(anyhow::Error::from)?;
        let app = Arc::clone(&self.app);
        let work = async move {
            let response = next.run(request).await;
            // What was done is answered as done: nobody shall do it twice for an entry's end.
            if let Err(error) = end(&app, entry, response.status().as_u16()).await {
                let why = basalt_explain::explain(&error);
                tracing::error!("an entry of the audit log has no end: {why}");
            }
            Ok(response)
        };
        Ok(crate::app::to_the_end(work).await?)
    }
}

async fn end(app: &Shared, entry: i64, status: u16) -> anyhow::Result<()> {
    let mut write = app.store.write().await?;
    audit::end(&mut write, entry, status).await?;
    Ok(write.commit().await?)
}

fn expired() -> Fault {
    FaultKind::CertificateExpired.with("this certificate has expired").hint("renew it")
}

impl<S: Sync> FromRequestParts<S> for HostCaller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        let caller = parts.extensions.get::<Self>().copied();
        caller.ok_or_else(|| FaultKind::Internal.with("a host's route lets others in").into())
    }
}

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let nobody = Self { address: SocketAddr::from(([0, 0, 0, 0], 0)), certificate: None };
        Ok(parts.extensions.get::<Self>().copied().unwrap_or(nobody))
    }
}
