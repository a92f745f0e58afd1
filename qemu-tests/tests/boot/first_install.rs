//! A first install whose hostd is broken has nothing to fall back to.

use std::time::Duration;

use anyhow::{Result, ensure};
use qemu_tests::host::{Host, machine};
use qemu_tests::story::{Start, Story};

pub(crate) const STORY: Story = Story {
    name: "first-install",
    machine: Start::Image(|image| {
        let broken = "[Service]\nExecStart=\nExecStart=/usr/bin/false\n";
        machine(image)
            .shell()
            .credential("systemd.unit-dropin.hostd.service", broken)
            .credential("basalt.hostd", "[gate]\ndeadline_s = 20\n")
    }),
    steps: &[("a_first_install_with_a_broken_hostd_stays_up_and_says_so", stays_up)],
};

fn stays_up(host: &mut Host) -> Result<()> {
    host.console_says(&["this boot is not good", "staying here: this boot is not on trial"])?;
    host.stays_up(Duration::from_secs(20))?;
    let gate = host.ok("systemctl is-failed basalt-gate.service")?;
    ensure!(gate == "failed", "{gate}");
    let status = host.fails("hostctl status")?;
    ensure!(status.contains("hint: `systemctl status hostd`"), "{status}");
    Ok(())
}
