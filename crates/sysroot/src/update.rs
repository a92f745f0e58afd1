//! How another version of the system gets into the idle slot, and how the host goes back to it:
//! the steps, in an order that a power cut may end anywhere.
//!
//! Each list is worked out anew from what is on the disk, so that an update that was cut off is
//! simply begun again. What must hold at every moment: the entry that the loader would choose has
//! its kernel, its initramfs and, behind its slot's link, the deployment that they belong to. So
//! an entry goes before what it needs goes, and comes after what it needs is safe.

mod arguments;
mod found;
mod install;
mod refresh;
mod reset;
mod roll_back;
mod steps;
mod withdraw;

#[cfg(test)]
mod model;

pub use arguments::change_arguments;
pub use found::{Deployment, Found, FoundEntry, FoundFile, InvalidDeployment};
pub use install::{Release, install, may_install};
pub use refresh::refresh;
pub use reset::{BeforeReset, FoundReset, Reset, may_reset, offer_reset, reset};
pub use roll_back::roll_back;
pub use steps::{Refusal, Step, Volume};
pub use withdraw::withdraw;
