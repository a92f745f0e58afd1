//! What a host meets once in its life, and few of them.

use anyhow::Result;

use super::part::{Part, Place, part, prove};
use super::{Ground, Record};
use crate::image::Formats;

const PARTS: &[Part] = &[
    part(
        "a first boot beside the disk of another host, with a hostd that does not run",
        Place::Proof,
        "of_two_basalt_disks_the_one_that_the_loader_came_from_is_used",
    ),
    part(
        "two disks of one image in one machine",
        Place::Proof,
        "two_disks_of_one_image_stop_the_boot_and_are_both_named",
    ),
    part(
        "it enrols, runs workloads, reboots without its endpoint; somebody copies its disk",
        Place::Proof,
        "a_copy_of_its_disk_is_told_and_both_go_on",
    ),
];

pub(super) fn run(ground: &Ground<'_>, record: &mut Record) -> Result<()> {
    prove(PARTS, Formats::Own, ground, record)
}
