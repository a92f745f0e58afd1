//! Long lists come in pages, by name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::Name;

/// Entries that a page has at most.
pub const MAX_PAGE: u32 = 500;

/// Which part of a list is wanted. A page may be shorter than asked for, and is the last one only
/// where the answer has no `next`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PageQuery {
    /// Entries at most [default: 500, which is the most].
    #[serde(default)]
    pub limit: Option<u32>,
    /// Only those whose names come after this one: the `next` of the page before.
    #[serde(default)]
    pub after: Option<Name>,
}
