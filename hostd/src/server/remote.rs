//! The one port that can be switched on: TLS on both sides, and only what may be read. It is there
//! for Prometheus; without `[listen]` in the configuration there is none.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use basalt_api::problem::Problem;
use hostd_core::health;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::places::{Limits, Place, Places};
use super::{Ground, NOBODY, Peer, answer_each};

/// Connections at a time; more are closed.
const CONNECTIONS: Limits = Limits { each: 16, others: 16, root: 0 };
/// Of them, those that follow something.
const FOLLOWERS: Limits = Limits { each: 4, others: 4, root: 0 };
/// Time between two tries to have the address.
const AGAIN: Duration = Duration::from_secs(10);
/// Time between two looks at the files: what will refuse the next client is told before it comes.
const LOOK: Duration = Duration::from_secs(30);
/// Bytes that a file of certificates may have.
const MAX_PEM: u64 = 1 << 20;

/// Where to listen, and by which certificates. The files are PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The address and the port.
    pub address: SocketAddr,
    /// This host's certificate, with those that lead to its CA.
    pub certificate: PathBuf,
    /// The key of that certificate.
    pub key: PathBuf,
    /// The CAs whose clients may ask.
    pub client_ca: PathBuf,
}

impl Listen {
    /// What TLS goes by. The files are read for each connection, so that a renewed certificate
    /// needs no restart.
    fn tls(&self) -> Result<TlsAcceptor> {
        let provider = Arc::new(default_provider());
        let mut roots = RootCertStore::empty();
        for ca in certificates(&self.client_ca)? {
            roots.add(ca).with_context(|| shown("cannot use", &self.client_ca))?;
        }
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let clients = clients.build().with_context(|| shown("cannot use", &self.client_ca))?;
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?)
            .ok()
            .with_context(|| shown("there is no key in", &self.key))?;
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(clients)
            .with_single_cert(certificates(&self.certificate)?, key)
            .with_context(|| shown("cannot use", &self.certificate))?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// Answers until it is cancelled. An address that is not the host's yet is tried again; `trouble`
/// is what keeps clients from being answered, as long as it does.
pub async fn serve(listen: Listen, ground: Ground, trouble: watch::Sender<Option<Problem>>) {
    let listener = loop {
        if let Some(listener) = told(&trouble, bind(&listen).await) {
            break listener;
        }
        tokio::time::sleep(AGAIN).await;
    };
    tracing::info!(address = %listen.address, "reads are served");
    serve_on(listener, listen, ground, trouble).await;
}

/// Says what failed, or that nothing does any more.
fn told<T>(trouble: &watch::Sender<Option<Problem>>, result: Result<T>) -> Option<T> {
    let (value, problem) = match result {
        Ok(value) => (Some(value), None),
        Err(error) => (None, Some(health::not_listening(&format!("{error:#}")))),
    };
    trouble.send_if_modified(|known| {
        let is_news = *known != problem;
        *known = problem;
        is_news
    });
    value
}

async fn bind(listen: &Listen) -> Result<TcpListener> {
    // A certificate that is none is said at once, and not when somebody asks.
    listen.tls()?;
    let listener = TcpListener::bind(listen.address).await;
    listener.with_context(|| format!("cannot listen on {}", listen.address))
}

async fn serve_on(
    listener: TcpListener,
    listen: Listen,
    ground: Ground,
    trouble: watch::Sender<Option<Problem>>,
) {
    let (places, followers) = (Places::new(CONNECTIONS), Places::new(FOLLOWERS));
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let accepted = tokio::select! {
            // Cancel-safe: a connection that was not taken stays in its queue.
            accepted = listener.accept() => accepted,
            // Cancel-safe: a tick that was not taken is the next one.
            _ = look.tick() => {
                told(&trouble, listen.tls());
                continue;
            }
        };
        match accepted {
            Ok((stream, _)) => {
                let Some(place) = places.take(NOBODY) else { continue };
                let Some(tls) = told(&trouble, listen.tls()) else { continue };
                let peer = Peer::remote(followers.clone());
                tokio::spawn(connection(tls, stream, place, peer, ground.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn connection(tls: TlsAcceptor, stream: TcpStream, place: Place, peer: Peer, ground: Ground) {
    match basalt_https::accept(&tls, stream).await {
        Ok(stream) => answer_each(stream, peer, ground).await,
        Err(error) => tracing::debug!(%error, "no TLS session came up"),
    }
    drop(place);
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let pem = read(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let all = all.ok().filter(|all| !all.is_empty());
    all.with_context(|| shown("there is no certificate in", path))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let read = || -> io::Result<Vec<u8>> {
        if fs::metadata(path)?.len() > MAX_PEM {
            return Err(io::Error::other("it is too large"));
        }
        fs::read(path)
    };
    read().with_context(|| shown("cannot read", path))
}

fn shown(what: &str, path: &Path) -> String {
    format!("{what} `{}`", path.display())
}

#[cfg(test)]
mod tests {
    use basalt_https::{Client, HttpsError, Identity, Limits, Trust};
    use hyper::{Method, StatusCode};
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    use super::*;

    struct Ca(Issuer<'static, KeyPair>, String);

    impl Ca {
        fn new() -> Self {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let key = KeyPair::generate().unwrap();
            let pem = params.self_signed(&key).unwrap().pem();
            Self(Issuer::new(params, key), pem)
        }

        fn sign(&self, name: &str) -> Identity {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            let certificate = params.signed_by(&key, &self.0).unwrap().pem();
            Identity { certificate, key: key.serialize_pem() }
        }
    }

    /// A port of loopback with this certificate, for clients of this CA; the files lie in `folder`.
    fn listen(folder: &Path, server: &Identity, clients: &Ca) -> Listen {
        let put = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).unwrap();
            path
        };
        Listen {
            address: "127.0.0.1:0".parse().unwrap(),
            certificate: put("certificate", &server.certificate),
            key: put("key", &server.key),
            client_ca: put("ca", &clients.1),
        }
    }

    async fn ask(
        port: u16,
        ca: &Ca,
        identity: Option<&Identity>,
        (method, path): (Method, &str),
    ) -> Result<(StatusCode, String), HttpsError> {
        let url = format!("https://localhost:{port}");
        let mut client = Client::new(&url, &Trust::Ca(ca.1.clone()), identity)?;
        let limits = Limits { deadline: Duration::from_secs(20), bytes: 1 << 20 };
        let answer = client.ask(method, path, bytes::Bytes::new(), limits).await?;
        Ok((answer.status, String::from_utf8_lossy(&answer.body).into_owned()))
    }

    #[tokio::test]
    async fn who_shows_a_certificate_may_read_and_do_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, theirs) = (Ca::new(), Ca::new());
        let listen = listen(folder.path(), &ours.sign("localhost"), &theirs);
        let listener = bind(&listen).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let ground = super::super::tests::ground(folder.path());
        tokio::spawn(serve_on(listener, listen, ground, watch::channel(None).0));
        let client = theirs.sign("prometheus");
        let read = (Method::GET, "/metrics");
        let (status, text) = ask(port, &ours, Some(&client), read.clone()).await.unwrap();
        assert_eq!(status, StatusCode::OK);
        assert!(text.contains("\nbasalt_host_ready 0\n"), "{text}");
        for wish in [(Method::POST, "/v1/workloads"), (Method::GET, "/v1/workloads/a/logs")] {
            let (status, text) = ask(port, &ours, Some(&client), wish).await.unwrap();
            assert_eq!(status, StatusCode::FORBIDDEN, "{text}");
        }
        // Who is refused can read why; both CAs have one name, and the signature is the other one's.
        let stranger = ours.sign("stranger");
        for (shown, alert) in [(None, "CertificateRequired"), (Some(&stranger), "DecryptError")] {
            let error = ask(port, &ours, shown, read.clone()).await.unwrap_err();
            let said = format!("{:#}", anyhow::Error::from(error));
            assert!(said.contains(alert), "no `{alert}` in {said}");
        }
    }

    #[tokio::test]
    async fn a_certificate_that_goes_bad_is_a_problem_until_it_is_good_again() {
        let folder = tempfile::tempdir().unwrap();
        let ca = Ca::new();
        let server = ca.sign("localhost");
        let listen = listen(folder.path(), &server, &ca);
        let put = |text: &str| fs::write(folder.path().join("certificate"), text).unwrap();
        let listener = bind(&listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (trouble, mut told) = watch::channel(None);
        let ground = super::super::tests::ground(folder.path());
        tokio::spawn(serve_on(listener, listen, ground, trouble));
        let mut after_a_client = async |wanted: bool| {
            let is_so = async {
                // A client or the next look, whichever comes first.
                while told.borrow_and_update().is_some() != wanted {
                    drop(TcpStream::connect(address).await.unwrap());
                    let _ = tokio::time::timeout(Duration::from_millis(50), told.changed()).await;
                }
                told.borrow().clone()
            };
            tokio::time::timeout(Duration::from_secs(20), is_so).await.unwrap()
        };
        put("no certificate");
        let problem: Problem = after_a_client(true).await.unwrap();
        assert!(problem.to_string().starts_with("[listen]: "), "{problem}");
        assert!(problem.message.contains("there is no certificate in"), "{problem}");
        put(&server.certificate);
        assert_eq!(after_a_client(false).await, None);
    }

    #[test]
    fn what_is_no_certificate_is_told_with_its_file_and_without_its_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, "canary").unwrap();
        let address = "127.0.0.1:0".parse().unwrap();
        let (certificate, key, client_ca) = (path.clone(), path.clone(), path);
        let error = Listen { address, certificate, key, client_ca }.tls().err().unwrap();
        let text = format!("{error:#}");
        assert!(text.contains("there is no certificate in"), "{text}");
        assert!(!text.contains("canary"), "{text}");
    }
}
