//! TLS: the server's certificate, and which certificates of clients are taken.

use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context, Result};
use basalt_endpoint_core::Seconds;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::ca::Ca;

/// How connections begin, which is renewed while the server runs.
pub struct Tls {
    names: Vec<String>,
    current: RwLock<Current>,
}

struct Current {
    acceptor: TlsAcceptor,
    since: Seconds,
    until: Seconds,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Tls {
    /// With a new certificate for these names.
    ///
    /// # Errors
    /// It cannot be signed, or a name is none.
    pub fn new(ca: &Ca, names: Vec<String>, now: Seconds) -> Result<Self> {
        let current = RwLock::new(certify(ca, &names, now)?);
        Ok(Self { names, current })
    }

    /// What the next connection begins with.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        self.current.read().unwrap_or_else(PoisonError::into_inner).acceptor.clone()
    }

    /// Whether a third of the certificate's time has gone.
    #[must_use]
    pub fn is_due(&self, now: Seconds) -> bool {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        now >= current.since + (current.until - current.since) / 3
    }

    /// Takes a new certificate, and the CAs as they are now. Connections that are up keep theirs.
    ///
    /// # Errors
    /// It cannot be signed; the old one stays.
    pub fn renew(&self, ca: &Ca, now: Seconds) -> Result<()> {
        let renewed = certify(ca, &self.names, now)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = renewed;
        Ok(())
    }
}

fn certify(ca: &Ca, names: &[String], now: Seconds) -> Result<Current> {
    let identity = ca.sign_server(names, now).context("cannot sign the server's certificate")?;
    let until = identity.until;
    let config = clients(ca)?
        .with_single_cert(identity.chain, identity.key)
        .context("cannot use the server's key")
        .map(|mut config| {
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            config
        })?;
    Ok(Current { acceptor: TlsAcceptor::from(Arc::new(config)), since: now, until })
}

type Builder = tokio_rustls::rustls::ConfigBuilder<
    ServerConfig,
    tokio_rustls::rustls::server::WantsServerCert,
>;

/// A client may show a certificate; one that is not the CAs', or has expired, ends the connection.
fn clients(ca: &Ca) -> Result<Builder> {
    let provider = Arc::new(default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in ca.trusted() {
        roots.add(certificate).context("the CA's certificate makes no sense")?;
    }
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .context("cannot check clients")?;
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_client_cert_verifier(clients))
}
