//! A machine without anything is installed over the network, by a kickstart and without hands; what
//! is on its disk then is a host that its endpoint knows, and that runs what it is told.

use anyhow::Result;
use basalt_vm::Disk;
use qemu_tests::fleet::{killed_come_back, side_by_side, unassigned_go};
use qemu_tests::host::Host;
use qemu_tests::install::{boots_and_checks_in, disk, installs, keeps_its_log};
use qemu_tests::story::{Start, Story};

pub(crate) const STORY: Story = Story {
    name: "install",
    machine: Start::Install(|ground| {
        ground.live.serve_kickstart(&ground.kickstart("@bus=virtio")?)?;
        Ok(ground.live.network_machine().with(ground.disk()?).keep_writes())
    }),
    steps: &[
        ("a_machine_with_1_gib_installs_itself_over_the_network", installs),
        ("the_installed_disk_boots_cold_and_its_host_checks_in", checks_in),
        ("it_keeps_the_log_of_its_installation", keeps_its_log),
        ("a_container_and_a_virtual_machine_run_side_by_side", side_by_side),
        ("what_is_killed_comes_back", killed_come_back),
        ("what_is_unassigned_goes", unassigned_go),
    ],
};

fn checks_in(host: &mut Host) -> Result<()> {
    let disk = Disk::new(&disk(&host.folder));
    boots_and_checks_in(host, &[disk])
}
