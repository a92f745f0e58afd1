//! How a host becomes one of the endpoint's.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{HostId, Name};

/// Where a host redeems a token. Needs no client certificate.
pub const ENROL_PATH: &str = "/v1/enrol";
/// Where a host asks for a new certificate, with the old one or, once that has expired, with a
/// signature by its key.
pub const RENEW_PATH: &str = "/v1/hosts/self/certificate";
/// Bytes that a request of either has at most. Anyone may send one.
pub const MAX_BODY_BYTES: usize = 16 << 10;
/// How a join string begins.
const PREFIX: &str = "basalt1.";
/// How a secret alone begins.
const SECRET_PREFIX: &str = "basalt1-secret.";
/// Bytes of a token.
const TOKEN_BYTES: usize = 32;
/// Characters of a join string that are read.
const MAX_LENGTH: usize = 4096;

/// Everything that a host needs to know for its first contact, in one string: `basalt1.` and JSON
/// in base64 (RFC 4648, URL-safe, without padding). It is a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinString {
    /// The endpoint's URLs, tried in turn.
    pub urls: Vec<String>,
    /// SHA-256 of the CA's certificate in DER, 64 hex digits.
    pub ca_sha256: String,
    /// The token.
    pub secret: String,
}

/// What somebody left on a host for its enrolment.
#[derive(Clone, PartialEq, Eq)]
pub enum Left {
    /// All that it needs.
    Whole(JoinString),
    /// The token alone: `basalt1-secret.` and it. Where to go, and whom to trust there, the host
    /// hears otherwise.
    Secret(String),
}

/// Why something is no join string. Does not show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoJoinString {
    /// It does not begin like one.
    #[error("a join string begins with `{PREFIX}`, a secret alone with `{SECRET_PREFIX}`")]
    Prefix,
    /// It was cut off or changed.
    #[error("the join string was cut off or changed; `basaltctl token create` prints a new one")]
    Damaged,
}

impl FromStr for JoinString {
    type Err = NoJoinString;

    fn from_str(text: &str) -> Result<Self, NoJoinString> {
        let body = text.trim().strip_prefix(PREFIX).ok_or(NoJoinString::Prefix)?;
        if body.len() > MAX_LENGTH {
            return Err(NoJoinString::Damaged);
        }
        let json = URL_SAFE_NO_PAD.decode(body).map_err(|_| NoJoinString::Damaged)?;
        let join: Self = serde_json::from_slice(&json).map_err(|_| NoJoinString::Damaged)?;
        let is_hash =
            join.ca_sha256.len() == 64 && join.ca_sha256.bytes().all(|c| c.is_ascii_hexdigit());
        let is_whole = is_hash && !join.urls.is_empty() && !join.secret.is_empty();
        if is_whole { Ok(join) } else { Err(NoJoinString::Damaged) }
    }
}

impl JoinString {
    /// The text. Not `Display`, so that it is in no log by accident.
    #[must_use]
    pub fn reveal(&self) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(json))
    }
}

impl FromStr for Left {
    type Err = NoJoinString;

    fn from_str(text: &str) -> Result<Self, NoJoinString> {
        let Some(secret) = text.trim().strip_prefix(SECRET_PREFIX) else {
            return text.parse().map(Self::Whole);
        };
        let bytes = URL_SAFE_NO_PAD.decode(secret).map_err(|_| NoJoinString::Damaged)?;
        let is_whole = bytes.len() == TOKEN_BYTES;
        is_whole.then(|| Self::Secret(secret.to_owned())).ok_or(NoJoinString::Damaged)
    }
}

impl Left {
    /// The text. Not `Display`, so that it is in no log by accident.
    #[must_use]
    pub fn reveal(&self) -> String {
        match self {
            Self::Whole(join) => join.reveal(),
            Self::Secret(secret) => format!("{SECRET_PREFIX}{secret}"),
        }
    }
}

impl fmt::Debug for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(join) => join.fmt(f),
            Self::Secret(_) => f.write_str("Secret"),
        }
    }
}

impl fmt::Debug for JoinString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinString").field("urls", &self.urls).finish_non_exhaustive()
    }
}

/// A host redeems a token. Repeated with the same key it gets the same answer, so that a lost one
/// costs nothing.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnrolRequest {
    /// The token.
    pub secret: String,
    /// The name that the host would like; a token may give it another.
    pub name: Name,
    /// A request for a certificate (PKCS #10) in PEM, signed by the host's key.
    pub csr: String,
}

/// What the endpoint makes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnrolAnswer {
    /// The host's id from now on.
    pub host_id: HostId,
    /// The host's name.
    pub name: Name,
    /// Its certificate in PEM.
    pub certificate: String,
    /// The CAs that it trusts, in PEM.
    pub ca: String,
}

/// A host asks for a new certificate for the key that it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RenewRequest {
    /// A request for a certificate (PKCS #10) in PEM, signed by the key of the old certificate:
    /// the proof where that has expired.
    pub csr: String,
    /// The old certificate in PEM.
    pub certificate: String,
}

impl fmt::Debug for EnrolRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrolRequest").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn join() -> JoinString {
        JoinString {
            urls: vec!["https://10.0.2.2:8443".to_owned()],
            ca_sha256: "0".repeat(64),
            secret: "s3cret".to_owned(),
        }
    }

    #[test]
    fn a_join_string_survives_the_way() {
        let text = join().reveal();
        assert_eq!(format!(" {text}\n").parse(), Ok(join()));
        assert!(!format!("{:?}", join()).contains("s3cret"));
    }

    #[test]
    fn half_a_join_string_is_told_without_showing_it() {
        let text = join().reveal();
        assert_eq!(text[..text.len() - 5].parse::<JoinString>(), Err(NoJoinString::Damaged));
        assert_eq!("https://x".parse::<JoinString>(), Err(NoJoinString::Prefix));
    }

    #[test]
    fn a_secret_alone_survives_the_way_and_half_of_it_is_told() {
        let left = Left::Secret(URL_SAFE_NO_PAD.encode([7; TOKEN_BYTES]));
        let text = left.reveal();
        assert_eq!(format!(" {text}\n").parse(), Ok(left.clone()));
        assert_eq!(join().reveal().parse(), Ok(Left::Whole(join())));
        assert!(!format!("{left:?}").contains("Bwc"));
        assert_eq!(text[..text.len() - 4].parse::<Left>(), Err(NoJoinString::Damaged));
        assert_eq!("basalt1.".parse::<Left>(), Err(NoJoinString::Damaged));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,60}") {
            let _ = format!("{SECRET_PREFIX}{text}").parse::<Left>();
            let _ = text.parse::<JoinString>();
            let _ = format!("{PREFIX}{text}").parse::<JoinString>();
        }
    }
}
