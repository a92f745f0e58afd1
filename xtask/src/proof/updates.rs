//! All that must not stop a host from booting: on folders, or on the booted image where the boot
//! itself is the subject.

use anyhow::Result;

use super::part::{Part, Place, part, prove};
use super::{Ground, Record};
use crate::image::Formats;

/// What takes seconds comes first; of what boots, what CI does not boot on each commit.
const PARTS: &[Part] = &[
    part(
        "a new form of the ledger, and the release before",
        Place::Folders,
        "test(on_trial_the_release_before) + test(what_the_release_before_wrote) + \
         test(a_container_of_the_release_before)",
    ),
    part("whole, without a delta", Place::Folders, "test(/update::tests::download/)"),
    part("a server that stalls, truncates, lies", Place::Folders, "test(a_server_that)"),
    part(
        "unsigned, another key, replayed, expired, pinned",
        Place::Folders,
        "test(what_no_trusted_key_signed) + test(a_manifest_that_is_played_again) + \
         test(a_manifest_that_expired) + test(a_host_that_is_pinned_while_a_release_comes)",
    ),
    part(
        "cut before any step",
        Place::Folders,
        "test(/update::tests::cuts/) + test(/update::model/)",
    ),
    part(
        "an initramfs that fails or hangs, hostd that crashes, hangs, ESP, root and /var full, three \
         power cycles in a trial, no endpoint, update and downgrade, cold boots",
        Place::Proof,
        "an_update_there_and_back_needs_no_endpoint",
    ),
    part(
        "a rollout with ten workloads, a release in which none starts",
        Place::Proof,
        "ten_containers_run",
    ),
    part(
        "kernel arguments, a window, factory resets, both slots exhausted",
        Place::Proof,
        "changed_kernel",
    ),
    part(
        "a power cut that leaves half a superblock, hostd that ends at once, a root that is gone",
        Place::Proof,
        "a_counted_entry_is_blessed_and_loses_its_counter",
    ),
    part(
        "by delta, no new kernel, /etc after staging, a power cut, a kernel that panics, a gate that \
         fails",
        Place::Boot,
        "whatever_a_power_cut_leaves_of_an_update_boots",
    ),
];

pub(super) fn run(ground: &Ground<'_>, record: &mut Record) -> Result<()> {
    prove(PARTS, Formats::Own, ground, record)
}
