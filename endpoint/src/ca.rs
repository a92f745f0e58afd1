//! The endpoint's own CA. It signs the certificates of its hosts and of its server.

mod peer;
mod proof;

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use basalt_api::id::HostId;
use basalt_durable::PUBLIC;
use basalt_endpoint_core::Seconds;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
    SanType,
};
use sha2::{Digest, Sha256};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::chance;
use crate::data::{self, Data};

pub use peer::PeerCertificate;
pub use proof::BadProof;

/// A host's clock may be behind by so much and still take a new certificate.
const BACK_DATED: Seconds = 24 * 3600;
/// How long the CA's certificate is good.
const CA_LIFE: Seconds = 20 * 366 * 24 * 3600;
/// How long a certificate of the server is good; the server renews it by itself.
pub const SERVER_LIFE: Seconds = 90 * 24 * 3600;

/// rcgen's type for times comes from a crate that nothing else here needs; this one makes it.
macro_rules! time {
    ($seconds:expr) => {{
        let seconds = u64::try_from($seconds).unwrap_or(0);
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds)
    }};
}

/// Signs certificates.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
}

/// A host's new certificate.
#[derive(Debug, Clone)]
pub struct HostCertificate {
    /// In PEM.
    pub pem: String,
    /// When it expires.
    pub until: Seconds,
}

/// A server's certificate, the CA's after it, and its key.
pub type ServerIdentity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl std::fmt::Debug for Ca {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ca").field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}

impl Ca {
    /// Reads the CA, or makes it on the first start: the key first, so that a cut in between leaves
    /// a key that the next start takes.
    ///
    /// # Errors
    /// The files cannot be read or written, or make no sense.
    pub fn open(data: &Data, now: Seconds) -> Result<Self> {
        let key = data::read_or_make(&data.ca_key(), || {
            Ok(KeyPair::generate()?.serialize_pem().into_bytes())
        })?;
        let key = KeyPair::from_pem(&String::from_utf8(key)?)
            .with_context(|| format!("`{}` holds no key", data.ca_key().display()))?;
        let pem = data::read_or_make(&data.ca_certificate(), || {
            Ok(own_params(now)?.self_signed(&key)?.pem().into_bytes())
        })?;
        let name = data.ca_certificate();
        let bad = || format!("`{}` holds no certificate", name.display());
        let certificate = CertificateDer::from_pem_slice(&pem).with_context(bad)?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key).with_context(bad)?;
        let ca = Self { issuer, certificate, pem: String::from_utf8(pem)? };
        let fingerprint = format!("{}\n", ca.fingerprint());
        basalt_durable::write(&data.ca_fingerprint(), fingerprint.as_bytes(), PUBLIC)?;
        Ok(ca)
    }

    /// SHA-256 of the certificate in hex, by which hosts and operators know the endpoint.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hex::encode(Sha256::digest(&self.certificate))
    }

    /// The certificate.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The certificate in PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Signs a host's certificate for the key of its request. Whatever else the request says is
    /// left out: who the host is, the endpoint decides.
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn sign_host(
        &self,
        host: HostId,
        request: &SigningRequest,
        life: Seconds,
        now: Seconds,
    ) -> Result<HostCertificate> {
        let until = now + life;
        let mut params =
            leaf_params(&host.to_string(), now, until, ExtendedKeyUsagePurpose::ClientAuth);
        params.subject_alt_names = vec![SanType::URI(peer::uri(host).try_into()?)];
        let certificate = params.signed_by(&request.0.public_key, &self.issuer)?;
        Ok(HostCertificate { pem: certificate.pem(), until })
    }

    /// A new key and certificate for the server.
    ///
    /// # Errors
    /// It cannot be signed, or a name is none.
    pub fn sign_server(&self, names: &[String], now: Seconds) -> Result<ServerIdentity> {
        let key = KeyPair::generate()?;
        let until = now + SERVER_LIFE;
        let mut params =
            leaf_params("basalt-endpoint", now, until, ExtendedKeyUsagePurpose::ServerAuth);
        let names = CertificateParams::new(names)?.subject_alt_names;
        params.subject_alt_names = names;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|error| anyhow!(error))?;
        // The CA's own certificate comes along: a host knows it by its fingerprint only.
        Ok((vec![certificate.der().clone(), self.certificate.clone()], key))
    }
}

/// A request for a certificate (PKCS #10) whose signature is by the key that it is for.
#[derive(Debug, Clone)]
pub struct SigningRequest(CertificateSigningRequestParams);

impl SigningRequest {
    /// Reads a request and checks its signature; none where it is bad.
    #[must_use]
    pub fn parse(pem: &str) -> Option<Self> {
        CertificateSigningRequestParams::from_pem(pem).ok().map(Self)
    }

    /// The key, as its bits stand in certificates.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.0.public_key.der_bytes()
    }

    /// SHA-256 of the key.
    #[must_use]
    pub fn key_hash(&self) -> [u8; 32] {
        Sha256::digest(self.key()).into()
    }
}

fn own_params(now: Seconds) -> Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    // Two CAs are two names, so that both can be trusted at once.
    let name = format!("Basalt CA {}", hex::encode(chance::bytes::<4>()?));
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = (time!(now - BACK_DATED), time!(now + CA_LIFE));
    Ok(params)
}

fn leaf_params(
    name: &str,
    now: Seconds,
    until: Seconds,
    usage: ExtendedKeyUsagePurpose,
) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = (time!(now - BACK_DATED), time!(until));
    params
}
