//! libostree, as far as Basalt uses it: repositories, commits, signatures and deployments.
//!
//! The builder, the installer and the updater all go through here, so that a disk is laid out by
//! one piece of code. Nothing here knows of boot entries or the ESP; that is `basalt-sysroot`.

mod archive;
mod boots;
mod commit;
mod damage;
mod delta;
mod error;
mod host;
mod inspect;
mod patience;
mod pull;
mod repo;
mod signature;
mod slots;
mod summary;

pub use commit::{CommitInfo, CommitRequest};
pub use damage::Damage;
pub use error::DeployError;
pub use host::{Deployed, HostSysroot, OS_NAME};
pub use inspect::Sizes;
pub use patience::{GivenUp, Patience};
pub use pull::{Remote, Transfer};
pub use repo::{Checkout, Repo};
pub use signature::SigningKey;
