//! Who a client's certificate says that it is. That the CA signed it was checked when the
//! connection came up.

use basalt_api::id::HostId;
use basalt_endpoint_core::Seconds;
use sha2::{Digest, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// How the name of a host begins in its certificate (RFC 9562).
const PREFIX: &str = "urn:uuid:";

/// What a client's certificate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Whose it is.
    pub host: HostId,
    /// When it expires.
    pub until: Seconds,
    /// SHA-256 of the name of the CA that signed it.
    pub(super) issuer: [u8; 32],
}

impl PeerCertificate {
    /// Reads a certificate; none where it names no host.
    #[must_use]
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        of(&certificate)
    }

    /// Whether it has expired.
    #[must_use]
    pub fn has_expired(&self, now: Seconds) -> bool {
        self.until <= now
    }
}

/// How a host is named in its certificate.
pub(super) fn uri(host: HostId) -> String {
    format!("{PREFIX}{host}")
}

pub(super) fn of(certificate: &X509Certificate) -> Option<PeerCertificate> {
    let names = certificate.subject_alternative_name().ok()??;
    let host = names.value.general_names.iter().find_map(|name| match name {
        GeneralName::URI(uri) => uri.strip_prefix(PREFIX)?.parse().ok(),
        _ => None,
    })?;
    let until = certificate.validity().not_after.timestamp();
    let issuer = Sha256::digest(certificate.issuer().as_raw()).into();
    Some(PeerCertificate { host, until, issuer })
}
