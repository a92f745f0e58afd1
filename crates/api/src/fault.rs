//! An error of the endpoint on the wire: `application/problem+json` (RFC 9457).

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The media type of a [`Fault`].
pub const MEDIA_TYPE: &str = "application/problem+json";
/// How every `type` begins.
const PREFIX: &str = "urn:basalt:fault:";

/// Why a request was not answered as asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fault {
    /// What kind it is, as `urn:basalt:fault:duplicate_identity`; programs match on it.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The status of the answer.
    pub status: u16,
    /// What is wrong this time, without a final stop.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $code:literal, $status:literal, $title:literal;)*) => {
        /// Kinds of faults.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum FaultKind {
            $($(#[$doc])* $kind,)*
        }

        impl FaultKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// The last part of `type`.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $(Self::$kind => $code,)* }
            }

            /// The status of the answer.
            #[must_use]
            pub fn status(self) -> u16 {
                match self { $(Self::$kind => $status,)* }
            }

            fn title(self) -> &'static str {
                match self { $(Self::$kind => $title,)* }
            }
        }
    };
}

kinds! {
    /// The request cannot be understood.
    Malformed = "malformed", 400, "the request cannot be understood";
    /// Nobody, or somebody who is not known, asks.
    Unauthenticated = "unauthenticated", 401, "it is not known who asks";
    /// The host's certificate has expired; it may only renew it.
    CertificateExpired = "certificate_expired", 401, "the certificate has expired";
    /// Whoever asks may not.
    Forbidden = "forbidden", 403, "whoever asks may not do this";
    /// The host was removed.
    Revoked = "revoked", 403, "this host was removed";
    /// A token that is unknown, used up, expired or revoked.
    TokenRefused = "token_refused", 403, "the token is not good for this";
    /// What the request is about is not there.
    NotFound = "not_found", 404, "there is no such thing";
    /// The path is there, the method is not.
    MethodNotAllowed = "method_not_allowed", 405, "the path does not take this method";
    /// The body did not come in time.
    Slow = "slow", 408, "the request took too long to arrive";
    /// What is asked contradicts what is.
    Conflict = "conflict", 409, "this contradicts what is there";
    /// A copy of the host has been here.
    DuplicateIdentity = "duplicate_identity", 409, "another machine has this host's identity";
    /// A newer poll of the same host took this one's place.
    Superseded = "superseded", 409, "a newer poll took this one's place";
    /// The name is another host's.
    NameTaken = "name_taken", 409, "the name is taken";
    /// The body is too long.
    TooLarge = "too_large", 413, "the body is too long";
    /// The body is no JSON.
    WrongType = "wrong_type", 415, "the body is not of the type that is taken here";
    /// The request is understood and makes no sense.
    Invalid = "invalid", 422, "the request makes no sense";
    /// Something of ours broke.
    Internal = "internal", 500, "something broke in the endpoint";
    /// The endpoint is busy or goes; `Retry-After` says when to come again.
    Unavailable = "unavailable", 503, "the endpoint cannot answer now";
    /// A host did not answer in time.
    HostSilent = "host_silent", 504, "the host did not answer in time";
    /// There is no room on the endpoint's disk; `Retry-After` says when to come again.
    StorageFull = "storage_full", 507, "the endpoint has no room left";
}

impl FaultKind {
    /// A fault of this kind.
    #[must_use]
    pub fn with(self, detail: impl Into<String>) -> Fault {
        Fault {
            kind: format!("{PREFIX}{}", self.code()),
            title: self.title().to_owned(),
            status: self.status(),
            detail: detail.into(),
            hint: None,
        }
    }
}

impl Fault {
    /// Whether it is of this kind.
    #[must_use]
    pub fn is(&self, kind: FaultKind) -> bool {
        self.kind.strip_prefix(PREFIX) == Some(kind.code())
    }

    /// The fault with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// What a person reads: the detail, or the kind where there is none, and the hint on its own line.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.detail.is_empty() { &self.title } else { &self.detail })?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_on_the_wire_is_stable() {
        let fault = FaultKind::NameTaken.with("`rack4-17` is taken").hint("use `--replace`");
        let text = serde_json::to_string(&fault).unwrap();
        assert_eq!(
            text,
            r#"{"type":"urn:basalt:fault:name_taken","title":"the name is taken","status":409,"detail":"`rack4-17` is taken","hint":"use `--replace`"}"#
        );
        assert!(fault.is(FaultKind::NameTaken) && !fault.is(FaultKind::Conflict));
    }

    #[test]
    fn no_two_kinds_share_a_code() {
        let codes: std::collections::HashSet<_> =
            FaultKind::ALL.iter().map(|kind| kind.code()).collect();
        assert_eq!(codes.len(), FaultKind::ALL.len());
    }
}
