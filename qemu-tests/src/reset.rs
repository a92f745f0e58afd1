//! Factory resets, as whoever sits at the console asks for them.

use anyhow::{Context, Result, ensure};

use crate::host::Host;

/// What the console shows of a boot of the menu's entry.
pub const MENU: &str = "somebody chose a factory reset in the loader's menu";

/// Waits until the boot has proved itself.
///
/// # Errors
/// It does not.
pub fn proves_itself(host: &mut Host) -> Result<()> {
    host.passes_the_gate()?;
    host.until("hostctl status | grep -q ', blessed'")
}

/// A reset is asked for, seen, in the way of other changes, and withdrawn.
///
/// # Errors
/// It is not.
pub fn asked_for(host: &mut Host) -> Result<()> {
    let said = host.fails("hostctl os factory-reset </dev/null 2>&1")?;
    ensure!(said.contains("hint: `--yes` resets without asking"), "{said}");
    host.ok("hostctl os factory-reset --all --yes")?;
    let said = host.ok("hostctl os status")?;
    ensure!(said.contains("\nnext boot  a factory reset: /etc, and all of /var"), "{said}");
    let said = host.fails("hostctl os kargs --append=x 2>&1")?;
    ensure!(said.contains("the next boot resets this host"), "{said}");
    host.ok("hostctl os factory-reset --cancel")?;
    let said = host.ok("hostctl os status --json")?;
    ensure!(!said.contains("\"reset\""), "{said}");
    Ok(())
}

/// Changes `/etc`; returns the machine's id.
///
/// # Errors
/// It cannot.
pub fn uses_etc(host: &mut Host) -> Result<String> {
    host.ok("echo mine >/etc/mine; sync")?;
    host.ok("cat /etc/machine-id")
}

/// Of both depths: as a fresh disk, but for `/var`.
///
/// # Errors
/// It does not come to that.
pub fn is_as_installed(host: &mut Host, machine_id: &str) -> Result<()> {
    proves_itself(host)?;
    host.expect_status("slot", "a")?;
    ensure!(host.ok("cat /etc/machine-id")? != machine_id, "the machine's id is the old one");
    for gone in ["/etc/mine", "/etc/hostname", "/root/.ssh/authorized_keys"] {
        host.fails(&format!("test -e {gone}"))?;
    }
    host.ok("grep -q /var /etc/fstab && findmnt /var && test -d /root")?;
    host.fails("grep -qE 'mine=1|factory_reset' /proc/cmdline")?;
    let said = host.ok("hostctl os kargs")?;
    ensure!(said.ends_with("host   none"), "{said}");
    let entries = host.ok("ls /efi/loader/entries")?;
    let (own, menu) = entries.split_once('\n').context("two entries")?;
    ensure!(own.starts_with("basalt-") && own.ends_with("-a.conf"), "{entries}");
    // The loader may have counted boots of it.
    ensure!(menu.starts_with("basalt-reset-a+0"), "{entries}");
    // Nothing of the old /etc is left either.
    host.fails("test -e /sysroot/ostree/factory-reset")?;
    let deployments = host.ok("ls -d /sysroot/ostree/deploy/basalt/deploy/*.[0-9] | wc -l")?;
    ensure!(deployments == "1", "{deployments} deployments");
    host.ok("systemctl is-system-running --wait || { systemctl --failed; exit 1; }")?;
    Ok(())
}

/// Reboots into the entry of the menu, as whoever sits at the console chooses it. The loader knows
/// entries by their names without counters.
///
/// # Errors
/// It does not come to that.
pub fn chooses_the_reset(host: &mut Host) -> Result<()> {
    let variable =
        "/sys/firmware/efi/efivars/LoaderEntryOneShot-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
    host.ok(&format!(
        "set -e; cd /run
         {{ printf '\\007\\000\\000\\000'; printf %s basalt-reset-a.conf | sed 's/./&\\x00/g'; \
         printf '\\000\\000'; }} >oneshot; cat oneshot >{variable}"
    ))?;
    host.reboots_soon()?;
    host.console_says(&[MENU, "resets nothing"])
}

/// The word is typed: all that was there is gone.
///
/// # Errors
/// It is not.
pub fn erased(host: &mut Host) -> Result<()> {
    let machine_id = uses_etc(host)?;
    host.ok("mkdir -p /var/lib/containers/data && sync")?;
    chooses_the_reset(host)?;
    host.vm.type_on_console("erase\r")?;
    host.console_says(&[
        "resetting /etc and erasing all of /var",
        "the host is as it was first installed; rebooting",
        "the factory reset is complete",
    ])?;
    host.catches_up()?;
    is_as_installed(host, &machine_id)?;
    host.fails("test -e /var/lib/containers/data")?;
    let boots = host.ok("journalctl --list-boots -o json | grep -o boot_id | wc -l")?;
    ensure!(boots == "1", "{boots} boots in the journal of an empty /var");
    // What is kept there has a place again.
    host.ok("findmnt -no FSTYPE /var | grep -q ext4 && test -d /var/log/journal")?;
    Ok(())
}
