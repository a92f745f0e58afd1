//! Firmware that starts nothing but what Microsoft's keys vouch for.

use anyhow::{Result, ensure};
use basalt_vm::Firmware;
use qemu_tests::host::{Host, machine};
use qemu_tests::story::Story;

pub(crate) const STORY: Story = Story {
    name: "secure-boot",
    machine: |image| machine(image).firmware(Firmware::SecureBoot).shell(),
    steps: &[("it_boots_with_secure_boot_on", secure)],
};

fn secure(host: &mut Host) -> Result<()> {
    let variable = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
    ensure!(host.ok(&format!("od -An -tu1 -j4 {variable}"))? == "1", "Secure Boot is off");
    let lockdown = host.ok("cat /sys/kernel/security/lockdown")?;
    ensure!(lockdown.contains("[integrity]"), "{lockdown}");
    host.ok("hostctl gate --deadline 200")?;
    host.expect_status("state", "ready")
}
