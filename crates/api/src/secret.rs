//! Secrets on the wire. What holds a value is shown by no `Debug`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::Name;

/// Where a host fetches a value that its current set names.
pub const SECRET_PATH: &str = "/v1/hosts/self/secrets/{name}/{version}";
/// Bytes that a value may have.
pub const MAX_VALUE: usize = 64 << 10;

/// The path of one value.
#[must_use]
pub fn path(name: &Name, version: u64) -> String {
    format!("/v1/hosts/self/secrets/{name}/{version}")
}

/// A value: what the endpoint answers to a host, and what an operator gives the endpoint.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretValue {
    /// The bytes in base64 (RFC 4648, with padding).
    pub value: String,
}

/// A secret as an operator sees it: never its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretInfo {
    /// Its name.
    pub name: Name,
    /// Its version, which rises with every value.
    pub version: u64,
    /// When it got this value, in seconds since 1970.
    pub set_at: i64,
    /// The workloads that use it.
    #[serde(default)]
    pub used_by: Vec<Name>,
}

/// All secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Secrets {
    /// By name.
    pub secrets: Vec<SecretInfo>,
}

impl SecretValue {
    /// A value of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self { value: STANDARD.encode(bytes) }
    }

    /// The bytes; none where they are no base64 or too many.
    #[must_use]
    pub fn bytes(&self) -> Option<Vec<u8>> {
        STANDARD.decode(&self.value).ok().filter(|bytes| bytes.len() <= MAX_VALUE)
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretValue").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shown_by_no_debug_and_survives_the_way() {
        let value = SecretValue::of(b"canary\0\xff");
        assert!(!format!("{value:?}").contains(&value.value));
        assert_eq!(value.bytes().unwrap(), b"canary\0\xff");
        assert_eq!(SecretValue::of(&vec![0; MAX_VALUE + 1]).bytes(), None);
    }
}
