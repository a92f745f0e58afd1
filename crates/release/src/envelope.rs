//! The signed manifest as one file: a DSSE envelope (Dead Simple Signing Environment, 1.0.2), which
//! keeps the signed bytes as they are and may carry several signatures.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::key::{PublicKey, SecretKey};
use crate::manifest::{Manifest, ManifestError};

/// Bytes that an envelope may have.
pub const MAX_BYTES: usize = 1 << 20;
/// Signatures that are looked at.
const MAX_SIGNATURES: usize = 16;
/// What the payload is.
const TYPE: &str = "application/vnd.basalt.release+json";

#[derive(Debug, Serialize, Deserialize)]
struct Envelope {
    #[serde(rename = "payloadType")]
    payload_type: String,
    /// Base64.
    payload: String,
    signatures: Vec<Signature>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Signature {
    keyid: String,
    /// Base64.
    sig: String,
}

/// Why an envelope gives no manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// It is larger than any.
    #[error("the release manifest has more than {MAX_BYTES} bytes")]
    TooLarge,
    /// It is no envelope.
    #[error("the release manifest is no signed envelope: {0}")]
    Malformed(String),
    /// No key that is trusted here signed it.
    #[error(
        "no trusted key signed the release manifest; it is signed by {}\nhint: the keys that this \
         host trusts come with its image, in `/usr/share/basalt/keys`",
        listed(.signed_by)
    )]
    Untrusted {
        /// The keys that it claims.
        signed_by: Vec<String>,
    },
    /// A trusted key signed something that is no manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// Signs a manifest with each key.
///
/// # Errors
/// A value of the manifest makes no sense.
pub fn seal(manifest: &Manifest, keys: &[SecretKey]) -> Result<Vec<u8>, ManifestError> {
    manifest.check()?;
    let malformed = |error: serde_json::Error| ManifestError::Malformed(error.to_string());
    let payload = serde_json::to_vec_pretty(manifest).map_err(malformed)?;
    seal_payload(TYPE, &payload, keys).map_err(malformed)
}

/// Signs a document of this type with each key.
pub(crate) fn seal_payload(
    payload_type: &str,
    payload: &[u8],
    keys: &[SecretKey],
) -> serde_json::Result<Vec<u8>> {
    let signed = signed_bytes(payload_type, payload);
    let sign = |key: &SecretKey| Signature {
        keyid: key.public().id(),
        sig: STANDARD.encode(key.sign(&signed)),
    };
    let envelope = Envelope {
        payload_type: payload_type.to_owned(),
        payload: STANDARD.encode(payload),
        signatures: keys.iter().map(sign).collect(),
    };
    let mut bytes = serde_json::to_vec_pretty(&envelope)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The manifest in an envelope that one of these keys signed.
///
/// # Errors
/// It is too large, no envelope, or none of these keys signed it; or what they signed is no
/// manifest.
pub fn open(bytes: &[u8], trusted: &[PublicKey]) -> Result<Manifest, EnvelopeError> {
    let opened = Opened::read(TYPE, bytes)?;
    if !opened.is_signed_by(trusted) {
        return Err(EnvelopeError::Untrusted { signed_by: opened.signers() });
    }
    Ok(Manifest::parse(&opened.payload)?)
}

/// What an envelope says, whoever signed it.
pub(crate) struct Opened {
    pub(crate) payload: Vec<u8>,
    payload_type: String,
    signatures: Vec<Signature>,
}

impl Opened {
    /// Reads an envelope with a document of this type.
    pub(crate) fn read(payload_type: &str, bytes: &[u8]) -> Result<Self, EnvelopeError> {
        if bytes.len() > MAX_BYTES {
            return Err(EnvelopeError::TooLarge);
        }
        let malformed = |why: String| EnvelopeError::Malformed(why);
        let envelope: Envelope =
            serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        if envelope.payload_type != payload_type {
            let found = envelope.payload_type;
            return Err(malformed(format!("its payload is `{found}`, not `{payload_type}`")));
        }
        let payload = STANDARD.decode(&envelope.payload);
        let payload = payload.map_err(|error| malformed(format!("its payload: {error}")))?;
        let signatures = envelope.signatures.into_iter().take(MAX_SIGNATURES).collect();
        Ok(Self { payload, payload_type: envelope.payload_type, signatures })
    }

    /// Whether one of these keys signed it. The key ids are hints of whoever sent this: each
    /// trusted key is tried with each signature.
    pub(crate) fn is_signed_by(&self, trusted: &[PublicKey]) -> bool {
        let signed = signed_bytes(&self.payload_type, &self.payload);
        self.signatures.iter().any(|signature| {
            let sig = STANDARD.decode(&signature.sig).unwrap_or_default();
            trusted.iter().any(|key| key.verifies(&signed, &sig))
        })
    }

    /// The keys that it claims.
    pub(crate) fn signers(&self) -> Vec<String> {
        self.signatures.iter().map(|it| it.keyid.clone()).collect()
    }
}

/// DSSE's pre-authentication encoding.
fn signed_bytes(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes =
        format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// Key ids, as far as they can be shown.
pub(crate) fn listed(keys: &[String]) -> String {
    let shown = |key: &String| key.chars().filter(char::is_ascii_hexdigit).take(16).collect();
    match keys.iter().map(shown).collect::<Vec<String>>() {
        keys if keys.is_empty() => "nobody".to_owned(),
        keys => keys.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::manifest::tests::manifest;

    fn key() -> SecretKey {
        SecretKey::create().unwrap().0
    }

    #[test]
    fn one_trusted_signature_of_several_is_enough() {
        let (old, new, foreign) = (key(), key(), key());
        let trusted = [old.public(), new.public()];
        for signers in [vec![old], vec![foreign, new]] {
            let sealed = seal(&manifest(), &signers).unwrap();
            assert_eq!(open(&sealed, &trusted), Ok(manifest()));
        }
    }

    #[test]
    fn foreign_keys_and_no_keys_are_refused_and_named() {
        let foreign = key();
        let id = foreign.public().id();
        let sealed = seal(&manifest(), &[foreign]).unwrap();
        let error = open(&sealed, &[key().public()]).unwrap_err();
        assert_eq!(error, EnvelopeError::Untrusted { signed_by: vec![id.clone()] });
        assert!(error.to_string().contains(&id[..16]), "{error}");
        let unsigned = seal(&manifest(), &[]).unwrap();
        let error = open(&unsigned, &[key().public()]).unwrap_err();
        assert!(error.to_string().contains("signed by nobody"), "{error}");
    }

    #[test]
    fn another_key_with_the_id_of_a_trusted_one_is_refused() {
        let (trusted, foreign) = (key(), key());
        let sealed = String::from_utf8(seal(&manifest(), &[foreign]).unwrap()).unwrap();
        let mut envelope: Envelope = serde_json::from_str(&sealed).unwrap();
        envelope.signatures[0].keyid = trusted.public().id();
        let forged = serde_json::to_vec(&envelope).unwrap();
        assert!(matches!(open(&forged, &[trusted.public()]), Err(EnvelopeError::Untrusted { .. })));
    }

    #[test]
    fn a_changed_payload_is_refused() {
        let key = key();
        let trusted = [key.public()];
        let sealed = seal(&manifest(), &[key]).unwrap();
        let mut envelope: Envelope = serde_json::from_slice(&sealed).unwrap();
        let mut other = manifest();
        other.sequence += 1;
        envelope.payload = STANDARD.encode(serde_json::to_vec(&other).unwrap());
        let changed = serde_json::to_vec(&envelope).unwrap();
        assert!(matches!(open(&changed, &trusted), Err(EnvelopeError::Untrusted { .. })));
    }

    #[test]
    fn what_is_signed_is_what_dsse_says() {
        // The example of the specification's protocol document.
        let expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world";
        assert_eq!(signed_bytes("http://example.com/HelloWorld", b"hello world"), expected);
    }

    #[test]
    fn other_documents_are_refused() {
        let check = |text: &[u8], expected: &str| {
            let error = open(text, &[key().public()]).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(b"<html>", "no signed envelope");
        check(&vec![b' '; MAX_BYTES + 1], "more than 1048576 bytes");
        check(br#"{"payloadType":"a","payload":"","signatures":[]}"#, "its payload is `a`");
        let text = format!(r#"{{"payloadType":"{TYPE}","payload":"!","signatures":[]}}"#);
        check(text.as_bytes(), "its payload: ");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, payload in "\\PC{0,30}", sig in "\\PC{0,30}") {
            let trusted = [SecretKey::create().unwrap().0.public()];
            let _ = open(&bytes, &trusted);
            let signatures = vec![Signature { keyid: sig.clone(), sig }];
            let envelope = Envelope { payload_type: TYPE.to_owned(), payload, signatures };
            let _ = open(&serde_json::to_vec(&envelope).unwrap(), &trusted);
        }
    }
}
