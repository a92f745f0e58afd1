//! Names and ids. Typed, so that one cannot be taken for another.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Characters that a name may have: what one DNS label takes (RFC 1123).
pub const MAX_NAME: usize = 63;

/// The name of a host, a workload, a secret or a volume: lower-case letters, digits and dashes,
/// beginning and ending with a letter or digit, at most [`MAX_NAME`] characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// Why something is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no name: lower-case letters, digits and dashes, at most {MAX_NAME}, \
     beginning and ending with a letter or digit"
)]
pub struct NoName(String);

impl Name {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = NoName;

    fn try_from(text: String) -> Result<Self, NoName> {
        let is_inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        let is_good = (1..=MAX_NAME).contains(&text.len())
            && text.bytes().all(|c| is_inner(c) || c == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-');
        if is_good { Ok(Self(text)) } else { Err(NoName(text.chars().take(80).collect())) }
    }
}

impl FromStr for Name {
    type Err = NoName;

    fn from_str(text: &str) -> Result<Self, NoName> {
        Self::try_from(text.to_owned())
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl JsonSchema for Name {
    fn schema_name() -> Cow<'static, str> {
        "Name".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
            "description": "Lower-case letters, digits and dashes, at most 63 characters",
        })
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
            JsonSchema,
        )]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }
    };
}

uuid_id!(
    /// A host, from its enrolment on. Its name may change, this does not.
    HostId
);
uuid_id!(
    /// A workload. One that is deleted and applied again under the same name is another one.
    WorkloadUid
);
uuid_id!(
    /// A history of an endpoint's database. A restored backup goes on with the same one; a new
    /// database has another.
    Lineage
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels() {
        for good in ["a", "web", "rack4-17", "0", &"x".repeat(63)] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", "ä", &"x".repeat(64)] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bad_name_is_refused_when_it_is_read() {
        let error = serde_json::from_str::<Name>("\"a b\"").unwrap_err().to_string();
        assert!(error.starts_with("`a b` is no name"), "{error}");
    }
}
