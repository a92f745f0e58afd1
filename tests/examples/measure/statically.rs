//! The same long poll on a handler that does nothing: TLS with a client's certificate, a hold, an
//! answer that is always the same.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use basalt_api::checkin::CheckinAnswer;
use basalt_api::id::Lineage;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

pub(crate) const ADDRESS: &str = "127.0.0.1:18445";
/// As the endpoint holds polls of so many hosts.
const HOLD_S: std::ops::RangeInclusive<u64> = 32..=48;

/// Serves for ever. The hosts' CA is in the folder; its own comes there.
pub(crate) fn run(folder: &Path) {
    let config = config(folder);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind(ADDRESS).await.unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream, acceptor.clone()));
        }
    });
}

fn config(folder: &Path) -> ServerConfig {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let own = own.signed_by(&key, &issuer).unwrap();
    std::fs::write(folder.join("static-ca.pem"), ca.pem()).unwrap();
    let mut roots = RootCertStore::empty();
    let hosts = std::fs::read(folder.join("hosts-ca.pem")).unwrap();
    for certificate in CertificateDer::pem_slice_iter(&hosts) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(default_provider());
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients.build().unwrap())
        .with_single_cert(vec![own.der().clone()], key)
        .unwrap()
}

/// One connection, which is one host's.
async fn serve(stream: TcpStream, acceptor: TlsAcceptor) {
    stream.set_nodelay(true).unwrap();
    let Ok(stream) = acceptor.accept(stream).await else { return };
    // The first one is answered at once, as the endpoint does.
    let hold = Arc::new(AtomicU64::new(0));
    let service = service_fn(move |request| answer(request, Arc::clone(&hold)));
    let connection = hyper::server::conn::http1::Builder::new();
    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    request: Request<Incoming>,
    hold: Arc<AtomicU64>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let _ = request.into_body().collect().await;
    tokio::time::sleep(Duration::from_secs(hold.load(Ordering::Relaxed))).await;
    let wait_s = fastrand::u64(HOLD_S);
    hold.store(wait_s, Ordering::Relaxed);
    let answer = CheckinAnswer {
        lineage: Lineage(uuid::Uuid::nil()),
        generation: 1,
        set_hash: "0".repeat(64),
        set: None,
        wait_s,
        lease_s: wait_s + 55,
        server_time: 0,
        actions: Vec::new(),
    };
    Ok(Response::new(Full::new(serde_json::to_vec(&answer).unwrap().into())))
}
