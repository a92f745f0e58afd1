//! TLS: the server's certificate, and which certificates of clients are taken.

use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context, Result};
use basalt_endpoint_core::Seconds;
use tokio_rustls::rustls::crypto::ring::{default_provider, sign};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::ca::{Ca, SERVER_LIFE};

/// The server's identity, which is renewed while it runs.
#[derive(Debug)]
pub struct Identity {
    names: Vec<String>,
    current: RwLock<(Arc<CertifiedKey>, Seconds)>,
}

impl Identity {
    /// A new identity for these names.
    ///
    /// # Errors
    /// It cannot be signed, or a name is none.
    pub fn new(ca: &Ca, names: Vec<String>, now: Seconds) -> Result<Self> {
        let current = RwLock::new((certify(ca, &names, now)?, now));
        Ok(Self { names, current })
    }

    /// Renews it once a third of its time has gone. Connections that are up keep the old one.
    ///
    /// # Errors
    /// It cannot be signed; the old one stays.
    pub fn renew(&self, ca: &Ca, now: Seconds) -> Result<()> {
        let since = self.current.read().unwrap_or_else(PoisonError::into_inner).1;
        if now < since + SERVER_LIFE / 3 {
            return Ok(());
        }
        let renewed = certify(ca, &self.names, now)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = (renewed, now);
        Ok(())
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).0))
    }
}

fn certify(ca: &Ca, names: &[String], now: Seconds) -> Result<Arc<CertifiedKey>> {
    let (chain, key) =
        ca.sign_server(names, now).context("cannot sign the server's certificate")?;
    let key = sign::any_supported_type(&key).context("cannot use the server's key")?;
    Ok(Arc::new(CertifiedKey::new(chain, key)))
}

/// HTTP/2 and HTTP/1.1 over TLS. A client may show a certificate; one that is not the CA's, or has
/// expired, ends the connection.
///
/// # Errors
/// The CA's certificate makes no sense.
pub fn config(ca: &Ca, identity: Arc<Identity>) -> Result<ServerConfig> {
    let provider = Arc::new(default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(ca.certificate().clone()).context("the CA's certificate makes no sense")?;
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .context("cannot check clients")?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(identity);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
