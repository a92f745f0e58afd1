//! What every handler has at hand.

use std::future::Future;
use std::sync::Arc;

use anyhow::{Context, Result};
use basalt_api::enrol::JoinString;
use basalt_api::id::HostId;
use basalt_endpoint_core::Seconds;
use tokio::sync::watch;

use crate::ca::Ca;
use crate::logs::LogRequests;
use crate::metrics::Metrics;
use crate::names::EndpointUrl;
use crate::operator_token::OperatorToken;
use crate::presence::Presence;
use crate::store::Store;
use crate::vault::Vault;

/// The endpoint.
#[derive(Debug)]
pub struct App {
    /// The database.
    pub store: Store,
    /// Signs certificates.
    pub ca: Ca,
    /// Locks secrets.
    pub vault: Arc<Vault>,
    /// Knows the operator.
    pub operator: OperatorToken,
    /// Who is there.
    pub presence: Presence,
    /// Logs that are waited for.
    pub logs: LogRequests,
    /// Numbers.
    pub metrics: Metrics,
    /// Where hosts reach the endpoint.
    pub urls: Vec<EndpointUrl>,
    /// How long a host's certificate is good.
    pub certificate_life: Seconds,
    /// Connections at once.
    pub max_connections: usize,
    /// Something happened.
    pub news: watch::Sender<()>,
    /// The endpoint goes.
    pub stopping: watch::Sender<bool>,
}

impl App {
    /// What a host needs for its first contact.
    #[must_use]
    pub fn join_string(&self, secret: &str) -> JoinString {
        JoinString {
            urls: self.urls.iter().map(ToString::to_string).collect(),
            ca_sha256: self.ca.fingerprint(),
            secret: secret.to_owned(),
        }
    }

    /// After a commit: polls of `hosts` look again, and so does who follows the events.
    pub fn publish(&self, hosts: &[HostId]) {
        self.presence.wake(hosts);
        self.news.send_replace(());
    }

    /// Whether the endpoint goes.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }
}

/// Runs `work` to its end, even when who asked for it has gone: between a commit and the telling of
/// it nothing may be lost.
///
/// # Errors
/// The work fails or panics.
pub async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    tokio::spawn(work).await.context("a request panicked")?
}

/// The endpoint, shared.
pub type Shared = Arc<App>;
