//! How the host enrols.

use std::collections::BTreeMap;

use serde::Serialize;

use super::At;
use crate::secret::Secret;

/// `%addon basalt`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Basalt {
    /// URLs of the endpoint, asked in turn.
    pub endpoints: Vec<String>,
    /// How it is known.
    pub ca: Option<At<Authority>>,
    /// What it lets the host in for.
    pub join: Option<At<Join>>,
    /// Labels of the host.
    pub labels: BTreeMap<String, String>,
}

/// How the endpoint is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Authority {
    /// A file with the certificate of its CA.
    File(String),
    /// The certificate, in PEM.
    Pem(String),
    /// The SHA-256 of the certificate in DER, 64 lowercase hex digits.
    Sha256(String),
}

/// What a token is redeemed from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Join {
    /// A file with a join string.
    JoinFile(String),
    /// A file with a secret alone.
    TokenFile(String),
    /// A join string, or a secret alone.
    Inline(Secret),
}
