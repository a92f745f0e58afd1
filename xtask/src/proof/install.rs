//! Installations: by each way, from each place of a kickstart, to each kind of disk.

use anyhow::Result;

use super::part::{Part, Place, part, prove};
use super::{Ground, Record};
use crate::image::Formats;

const PARTS: &[Part] = &[
    part(
        "over the network (OVMF, iPXE, HTTP) to virtio, a kickstart by http",
        Place::Boot,
        "a_machine_with_1_gib_installs_itself_over_the_network",
    ),
    part(
        "a live host, and a rootfs that was damaged",
        Place::Proof,
        "a_root_that_the_initrd_does_not_name_is_not_booted",
    ),
    part(
        "by a stick with a kickstart and a token on its FAT to NVMe of 4096 bytes",
        Place::Proof,
        "a_stick_installs_by_the_kickstart_on_it",
    ),
    part(
        "by a disc to SATA, a kickstart on the volume OEMDRV; and again, `/var` kept",
        Place::Proof,
        "a_disc_installs_by_the_kickstart_on_the_volume_oemdrv",
    ),
    part(
        "by a disc to NVMe, a kickstart by credential, cut off and begun again by one on a volume",
        Place::Proof,
        "an_installation_that_is_cut_off_boots_nowhere",
    ),
    part(
        "by a disc, `/var` mirrored on two disks; booted with one",
        Place::Proof,
        "a_var_that_is_mirrored_on_two_disks_is_installed",
    ),
    part(
        "what is refused, and what is answered at a console",
        Place::Proof,
        "without_a_kickstart_each_console_asks",
    ),
    part(
        "the examples of one disk and of a network",
        Place::Proof,
        "one_disk_is_the_smallest_that_is_large_enough",
    ),
    part(
        "plans of the examples, selectors, scripts, what is kept: on loop devices",
        Place::Folders,
        "package(basalt-install)",
    ),
];

pub(super) fn run(ground: &Ground<'_>, record: &mut Record) -> Result<()> {
    prove(PARTS, Formats::WithMedium, ground, record)
}
