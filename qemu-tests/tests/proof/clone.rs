//! Two disks from one image in one machine.

use anyhow::{Result, ensure};
use qemu_tests::host::{Host, machine};
use qemu_tests::story::{Start, Story};

pub(crate) const STORY: Story = Story {
    name: "clone",
    machine: Start::Image(|image| machine(image).disk(&image.disk)),
    steps: &[("two_disks_of_one_image_stop_the_boot_and_are_both_named", both_named)],
};

fn both_named(host: &mut Host) -> Result<()> {
    let message = "two disks claim to be the one this machine booted from:";
    host.console_says(&[message, "/dev/vd", "/dev/vd", "the boot waits"])?;
    // It says so again and again: nothing else happens meanwhile.
    host.console_says(&[message, "the boot waits", message, "the boot waits"])?;
    let console = host.vm.console();
    ensure!(!console.contains("login:") && !console.contains("hostd is"), "{console}");
    ensure!(console.contains("/dev/vda2") && console.contains("/dev/vdb2"), "{console}");
    Ok(())
}
