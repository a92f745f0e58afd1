//! The steps that lay out once more what waits for its first boot.

use super::{Deployment, Step, Volume};
use crate::slot::Slot;

/// Returns what to do so that `slot`, which holds `deployment` and waits for its first boot, has
/// the `/etc` of now. Its entry stays: it names the slot, and the link changes in one go, after
/// what it leads to is safe.
#[must_use]
pub fn refresh(slot: Slot, deployment: &Deployment) -> Vec<Step> {
    vec![
        Step::Deploy { commit: deployment.commit.clone() },
        Step::Sync(Volume::Root),
        Step::Link(slot),
        Step::Sync(Volume::Root),
        Step::CleanDeployments,
    ]
}
