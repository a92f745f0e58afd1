//! Tokens by which hosts enrol, and the operator's own.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::id::Name;

/// A token is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenCreate {
    /// How many hosts may redeem it [default: 1].
    #[serde(default)]
    pub uses: Option<u32>,
    /// After how many seconds it expires [default: 86400].
    #[serde(default)]
    pub expires_s: Option<u64>,
    /// Labels that its hosts get.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The host whose place is taken: the new one gets its name, the old one is removed.
    #[serde(default)]
    pub replace: Option<Name>,
}

/// A token was made. The only time that it is shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenCreated {
    /// By which it is listed and revoked.
    pub id: Uuid,
    /// The join string, see [`crate::enrol::JoinString`].
    pub join: String,
    /// When it expires, in seconds since 1970.
    pub expires_at: i64,
}

/// A token as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenInfo {
    /// Its id.
    pub id: Uuid,
    /// How many hosts may still redeem it.
    pub uses_left: u32,
    /// When it expires, in seconds since 1970.
    pub expires_at: i64,
    /// When it was made.
    pub created_at: i64,
    /// Labels that its hosts get.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The host whose place is taken.
    #[serde(default)]
    pub replace: Option<Name>,
    /// The hosts that redeemed it.
    #[serde(default)]
    pub hosts: Vec<Name>,
}

/// All tokens that are not revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tokens {
    /// The newest first.
    pub tokens: Vec<TokenInfo>,
}

/// A new token of the operator; the old one is worth nothing from now on.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OperatorToken {
    /// The token.
    pub token: String,
}

impl fmt::Debug for TokenCreated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCreated").field("id", &self.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for OperatorToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperatorToken").finish_non_exhaustive()
    }
}
