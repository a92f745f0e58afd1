//! Where the values of secrets come from.

use std::collections::BTreeMap;

use async_trait::async_trait;
use basalt_api::id::Name;
use basalt_api::set::Assigned;

/// Gives the values of the secrets that a workload uses.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// The value of each. The error is a sentence for a person and holds no secret.
    async fn values(&self, assigned: &Assigned) -> Result<BTreeMap<Name, Vec<u8>>, String>;
}

/// For a host without an endpoint: there are none.
#[derive(Debug, Clone, Copy)]
pub struct NoSecrets;

#[async_trait]
impl Secrets for NoSecrets {
    async fn values(&self, assigned: &Assigned) -> Result<BTreeMap<Name, Vec<u8>>, String> {
        match assigned.spec.secrets().first() {
            None => Ok(BTreeMap::new()),
            Some(name) => Err(format!(
                "the secret `{name}` is the endpoint's, and this host is not enrolled at one"
            )),
        }
    }
}
