//! A host and its endpoint: it enrols, runs what it is told, and goes on without it. What becomes of
//! a copy of its disk is a story of `cargo xtask proof hosts`.

use qemu_tests::fleet;
use qemu_tests::story::{Start, Story};

pub(crate) const STORY: Story = Story {
    name: "fleet",
    machine: Start::Site(fleet::on_a_disk_of_its_own),
    steps: &[
        ("a_host_enrols_by_the_credential_that_it_was_given", fleet::enrols),
        ("a_container_and_a_virtual_machine_run_side_by_side", fleet::side_by_side),
        ("what_is_killed_comes_back", fleet::killed_come_back),
        ("all_come_back_after_a_reboot_without_the_endpoint", fleet::back_after_a_reboot),
        ("what_is_unassigned_goes", fleet::unassigned_go),
    ],
};
