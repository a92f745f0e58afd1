//! The CAs at one moment: the one that signs, and those before it that are trusted still. No I/O.

use std::time::Duration;

use anyhow::{Context, Result};
use basalt_endpoint_core::Seconds;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SerialNumber,
};
use sha2::{Digest, Sha256};
use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::chance;

/// A host's clock may be behind by so much and still take a new certificate.
const BACK_DATED: Seconds = 24 * 3600;
/// Bytes of a serial number; RFC 5280 (4.1.2.2) allows 20.
const SERIAL: usize = 16;

/// rcgen's type for times comes from a crate that nothing else here needs; this one makes it.
macro_rules! time {
    ($seconds:expr) => {{
        let seconds = u64::try_from($seconds).unwrap_or(0);
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds)
    }};
}

/// The CAs.
#[derive(Debug)]
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificates: Vec<Known>,
    all: Vec<CertificateDer<'static>>,
}

/// A certificate of a CA.
#[derive(Debug, Clone)]
struct Known {
    der: CertificateDer<'static>,
    subject: Vec<u8>,
    issuer: Vec<u8>,
    from: Seconds,
    until: Seconds,
}

/// A new CA: its certificate, and the same signed by the one before.
pub(super) struct Successor {
    pub(super) own: CertificateDer<'static>,
    pub(super) by_the_old_one: CertificateDer<'static>,
}

impl Authority {
    /// The first of the certificates is the one that signs, with this key; the others follow as
    /// they were made.
    ///
    /// # Errors
    /// There is none, one makes no sense, or the key is another's.
    pub(super) fn new(all: Vec<CertificateDer<'static>>, key: KeyPair) -> Result<Self> {
        let first = all.first().context("there is no certificate")?;
        if !fits(first, &key) {
            anyhow::bail!("the key is another one's");
        }
        let issuer = Issuer::from_ca_cert_der(first, key)?;
        let certificates = all.iter().map(Known::read).collect::<Option<Vec<_>>>();
        let certificates = certificates.context("a certificate makes no sense")?;
        Ok(Self { issuer, certificates, all })
    }

    pub(super) fn fingerprint(&self) -> String {
        hex::encode(Sha256::digest(&self.all[0]))
    }

    /// All certificates, those too by which an old CA leads to the one after it.
    pub(super) fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.all
    }

    /// Those that are trusted, the one that signs first.
    pub(super) fn trusted(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.certificates.iter().filter(|known| known.is_root()).map(|known| &known.der)
    }

    pub(super) fn subject_hash(&self) -> [u8; 32] {
        Sha256::digest(&self.certificates[0].subject).into()
    }

    /// When the one that signs ends.
    pub(super) fn until(&self) -> Seconds {
        self.certificates[0].until
    }

    /// Whether a third of its time, or less, is left.
    pub(super) fn is_due(&self, now: Seconds) -> bool {
        let Known { from, until, .. } = self.certificates[0];
        now >= until - (until - (from + BACK_DATED)) / 3
    }

    /// Whether one before it has ended.
    pub(super) fn has_ended_ones(&self, now: Seconds) -> bool {
        self.certificates.iter().skip(1).any(|known| known.until <= now)
    }

    /// All certificates but those before it that have ended.
    pub(super) fn without_ended(&self, now: Seconds) -> Vec<CertificateDer<'static>> {
        let (own, old) = (self.certificates.iter().take(1), self.certificates.iter().skip(1));
        own.chain(old.filter(|known| known.until > now)).map(|known| known.der.clone()).collect()
    }

    pub(super) fn sign(
        &self,
        params: &CertificateParams,
        key: &impl PublicKeyData,
    ) -> Result<Certificate> {
        Ok(params.signed_by(key, &self.issuer)?)
    }

    /// Certificates for the CA after this one. What this one signs ends with it.
    pub(super) fn succeed(&self, key: &KeyPair, life: Seconds, now: Seconds) -> Result<Successor> {
        let mut params = own(life, now)?;
        let own = params.self_signed(key)?.der().clone();
        params.serial_number = Some(serial()?);
        params.not_after = time!(self.until());
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.use_authority_key_identifier_extension = true;
        let by_the_old_one = self.sign(&params, key)?.der().clone();
        Ok(Successor { own, by_the_old_one })
    }
}

impl Known {
    fn read(der: &CertificateDer<'static>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        Some(Self {
            der: der.clone(),
            subject: certificate.subject().as_raw().to_vec(),
            issuer: certificate.issuer().as_raw().to_vec(),
            from: certificate.validity().not_before.timestamp(),
            until: certificate.validity().not_after.timestamp(),
        })
    }

    fn is_root(&self) -> bool {
        self.subject == self.issuer
    }
}

/// Whether a key is a certificate's.
pub(super) fn fits(der: &CertificateDer<'_>, key: &KeyPair) -> bool {
    X509Certificate::from_der(der).is_ok_and(|(_, certificate)| {
        certificate.public_key().subject_public_key.data == key.der_bytes()
    })
}

/// What a new CA says of itself.
pub(super) fn own(life: Seconds, now: Seconds) -> Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.serial_number = Some(serial()?);
    params.distinguished_name = DistinguishedName::new();
    // Two CAs are two names, so that both can be trusted at once.
    let name = format!("Basalt CA {}", hex::encode(chance::bytes::<4>()?));
    params.distinguished_name.push(DnType::CommonName, name);
    // One CA below it: the one after it.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = (time!(now - BACK_DATED), time!(now + life));
    Ok(params)
}

/// What a certificate that is no CA's says.
pub(super) fn leaf(
    name: &str,
    now: Seconds,
    until: Seconds,
    usage: ExtendedKeyUsagePurpose,
) -> Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.serial_number = Some(serial()?);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = (time!(now - BACK_DATED), time!(until));
    Ok(params)
}

/// A random serial number: no two certificates have the same, also of one key, which rcgen would
/// make it from. The first bits make it positive and always as long, as RFC 5280 wants it.
fn serial() -> Result<SerialNumber> {
    let mut bytes = chance::bytes::<SERIAL>().context("there is no randomness")?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}
