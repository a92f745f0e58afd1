//! A new certificate for the key that the host has, before the old one runs out or after.

use anyhow::{Context, Result, bail};
use basalt_api::enrol::{EnrolAnswer, RENEW_PATH, RenewRequest};
use basalt_api::fault::Fault;
use basalt_https::Client;
use hyper::{Method, StatusCode};
use rcgen::KeyPair;
use x509_parser::pem::parse_x509_pem;

use super::SHORT;
use crate::identity::{self, Enrolled};

/// Asks for it; the identity with it, and with the CAs that the endpoint names now. The proof is the request's signature by the old key, so
/// that an expired certificate, which no TLS takes any more, is no obstacle.
pub(super) async fn renewed(enrolled: &Enrolled, key: &KeyPair, url: &str) -> Result<Enrolled> {
    let request = RenewRequest {
        csr: identity::signing_request(key)?,
        certificate: enrolled.certificate.clone(),
    };
    let (trust, _) = enrolled.tls(key);
    let mut client = Client::new(url, &trust, None)?;
    let body = serde_json::to_vec(&request)?.into();
    let answer = client.ask(Method::POST, RENEW_PATH, body, SHORT).await?;
    if answer.status != StatusCode::OK {
        match serde_json::from_slice::<Fault>(&answer.body) {
            Ok(fault) => bail!("{fault}"),
            Err(_) => bail!("`{url}` answers `{}`", answer.status),
        }
    }
    let answer: EnrolAnswer = serde_json::from_slice(&answer.body)
        .with_context(|| format!("`{url}` answers nonsense"))?;
    let renewed = enrolled.with_certificate(answer.certificate, answer.ca);
    // What cannot be used would cut this host off for good.
    super::client(&renewed, url, key).context("what came is no certificate of this host")?;
    Ok(renewed)
}

/// Whether a third of the certificate's life, or less, is left. One that cannot be read is due.
pub(super) fn is_due(certificate: &str, now: i64) -> bool {
    let times = parse_x509_pem(certificate.as_bytes()).ok().and_then(|(_, pem)| {
        let validity = pem.parse_x509().ok()?.validity().clone();
        Some((validity.not_before.timestamp(), validity.not_after.timestamp()))
    });
    times.is_none_or(|(from, until)| now >= due_at(from, until))
}

/// Certificates are dated back a day, which is no part of their life.
fn due_at(not_before: i64, not_after: i64) -> i64 {
    const BACK_DATED: i64 = 24 * 3600;
    let issued = (not_before + BACK_DATED).min(not_after);
    not_after - (not_after - issued) / 3
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use rcgen::CertificateParams;

    use super::*;

    #[test]
    fn a_certificate_is_due_at_the_last_third_of_its_life() {
        let day = 24 * 3600;
        assert_eq!(due_at(-day, 30 * day), 20 * day);
        assert_eq!(due_at(-day, 21), 14);
    }

    #[test]
    fn what_cannot_be_read_is_due() {
        assert!(is_due("no certificate", 0));
    }

    static KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate().unwrap());

    fn enrolled() -> Enrolled {
        let enrolled = serde_json::json!({
            "host_id": "00000000-0000-0000-0000-000000000000", "name": "a", "urls": [], "certificate": "",
            "ca": "", "machine_id": "",
        });
        serde_json::from_value(enrolled).unwrap()
    }

    #[test]
    fn fuzz_answer_to_a_renewal() {
        static ENROLLED: LazyLock<Enrolled> = LazyLock::new(enrolled);
        let pem = CertificateParams::default().self_signed(&*KEY).unwrap().pem();
        let good = serde_json::json!({
            "host_id": ENROLLED.host_id, "name": "a", "certificate": &pem, "ca": &pem,
        });
        let good = good.to_string();
        let answer: EnrolAnswer = serde_json::from_str(&good).unwrap();
        let renewed = ENROLLED.with_certificate(answer.certificate, answer.ca);
        super::super::client(&renewed, "https://a.example", &KEY).unwrap();
        basalt_fuzz::run(&[good.as_bytes(), pem.as_bytes()], |bytes| {
            if let Ok(text) = std::str::from_utf8(bytes) {
                is_due(text, 0);
            }
            let Ok(answer) = serde_json::from_slice::<EnrolAnswer>(bytes) else { return };
            is_due(&answer.certificate, 0);
            let renewed = ENROLLED.with_certificate(answer.certificate, answer.ca);
            let _ = super::super::client(&renewed, "https://a.example", &KEY);
        });
    }
}
