//! A host's life: its first boot, a reboot, a good update, a bad one.

use anyhow::{Result, ensure};
use qemu_tests::fresh::{
    self, no_unit_fails, nobody_has_a_password, read_only, ready, var_fills_the_disk,
};
use qemu_tests::host::{Host, machine};
use qemu_tests::story::{Start, Story};

pub(crate) const STORY: Story = Story {
    name: "life",
    machine: Start::Image(|image| {
        // A boot that is not good is told early.
        machine(image).shell().credential("basalt.hostd", "[gate]\ndeadline_s = 30\n")
    }),
    steps: &[
        ("a_fresh_host_is_ready_and_names_its_image", ready),
        ("no_unit_fails", no_unit_fails),
        ("usr_and_sysroot_are_read_only", read_only),
        ("var_is_its_own_file_system_and_fills_the_disk", var_fills_the_disk),
        ("nobody_has_a_password_and_nobody_may_log_in", nobody_may_log_in),
        ("var_and_etc_survive_a_reboot", survive_a_reboot),
        ("a_host_toml_on_the_esp_is_taken_and_wiped", host_toml_is_taken),
        ("a_counted_entry_is_blessed_and_loses_its_counter", good_update),
        ("a_power_cut_that_left_half_a_superblock_was_mended", half_a_superblock),
        ("a_broken_hostd_spends_its_tries_and_the_other_slot_comes_back", bad_update),
        ("a_trial_without_a_root_reboots_into_the_other_slot", no_root_on_trial),
        ("a_host_without_a_root_says_why_and_tries_again", no_root),
    ],
};

fn nobody_may_log_in(host: &mut Host) -> Result<()> {
    nobody_has_a_password(host)?;
    host.fails("systemctl is-active ssh")?;
    Ok(())
}

fn survive_a_reboot(host: &mut Host) -> Result<()> {
    let id = host.ok("echo kept >/var/lib/kept; echo kept >/etc/kept; cat /etc/machine-id")?;
    host.ok("mkdir /efi/basalt/ 2>/dev/null; cat >/efi/basalt/host.toml <<END
hostname = \"rack4-17\"
[ssh]
authorized_keys = [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGGG ops\"]
END
         sync")?;
    host.reboot()?;
    ensure!(host.ok("cat /var/lib/kept /etc/kept /etc/machine-id")? == format!("kept\nkept\n{id}"));
    host.passes_the_gate()?;
    no_unit_fails(host)?;
    // A panic must end, or a host on trial would wait for a hand.
    ensure!(host.ok("cat /proc/sys/kernel/panic")? == "10");
    ensure!(host.ok("journalctl --list-boots -o json | grep -o boot_id | wc -l")? == "2");
    host.ok("systemctl is-active systemd-timesyncd")?;
    Ok(())
}

/// It was put there before the last reboot.
fn host_toml_is_taken(host: &mut Host) -> Result<()> {
    ensure!(host.ok("hostname")? == "rack4-17");
    ensure!(host.ok("cat /root/.ssh/authorized_keys")?.ends_with(" ops"));
    fresh::host_toml_is_taken(host)?;
    // Somebody may log in now, and only so.
    host.ok("systemctl is-active ssh")?;
    // Its port stays open whatever becomes of the firewall's rules.
    for how in ["reload", "restart"] {
        host.ok(&format!("systemctl {how} nftables"))?;
        let open = host.ok("nft list set inet basalt open_tcp")?;
        ensure!(open.contains("elements = { 22 }"), "after a {how}: {open}");
    }
    Ok(())
}

/// Half of the root's superblock is an old one, as far as that shows: its checksum is wrong.
const HALF: &str = "set -e; root=/dev/vda2; half=/tmp/half
    dd if=$root of=$half bs=512 skip=3 count=1 iflag=direct
    printf '\\0\\0\\0\\0' | dd of=$half bs=1 seek=508 conv=notrunc
    dd if=$half of=$root bs=512 seek=3 oflag=direct conv=notrunc";

/// A second entry for slot b, which leads to the same deployment; and a power cut.
fn good_update(host: &mut Host) -> Result<()> {
    host.ok(
        "set -e; mount -o remount,rw /sysroot; cd /sysroot/ostree; ln -s $(readlink root.a) root.b
         cd /efi/loader/entries
         sed 's/^version .*/version 2/; s/slot_suffix=_a/slot_suffix=_b/' basalt-1-a.conf >new
         sync; mv new basalt-2-b+3.conf; sync",
    )?;
    host.ok(HALF)?;
    host.loses_power()?;
    // Armed while the boot was on trial: the journal tells, for by now it may be blessed.
    host.until("journalctl -b -o cat _PID=1 | grep -q '^Watchdog running with a .* of 1min'")?;
    host.until("test -e /efi/loader/entries/basalt-2-b.conf")?;
    host.until("hostctl status | grep -q 'b, blessed'")?;
    host.expect_status("state", "ready")?;
    ensure!(own_entries(host)? == "basalt-1-a.conf\nbasalt-2-b.conf");
    // The watchdog is for trials only.
    ensure!(host.ok("systemctl show -P RuntimeWatchdogUSec")? == "0");
    Ok(())
}

/// In the boot that came after the power cut.
fn half_a_superblock(host: &mut Host) -> Result<()> {
    host.ok("journalctl -b -o cat | grep 'basalt: the superblock of .* was mended'")?;
    host.fails("journalctl -k -b -o cat | grep 'EXT4-fs error'")?;
    Ok(())
}

/// Those that the loader chooses from.
fn own_entries(host: &mut Host) -> Result<String> {
    host.ok("ls /efi/loader/entries | grep -v reset")
}

/// Slot a gets a deployment whose hostd ends at once.
fn bad_update(host: &mut Host) -> Result<()> {
    host.ok("set -e; mount -o remount,rw /sysroot; cd /efi/loader/entries; rm basalt-1-a.conf
         cd /sysroot/ostree; old=$(readlink root.a); new=${old%.0}.1
         cp -al $old $new; rm $new/usr/bin/hostd; cp /usr/bin/false $new/usr/bin/hostd
         rm -r $new/etc; cp -a /etc $new/etc
         ln -sfn $new root.a
         cd /efi/loader/entries
         sed 's/^version .*/version 3/; s/slot_suffix=_b/slot_suffix=_a/' basalt-2-b.conf >new
         sync; mv new basalt-3-a+2.conf; sync")?;
    host.reboot()?;
    host.console_says(&[
        "this boot is not good after 30 s",
        "this release is on trial: rebooting, tries left: 1",
    ])?;
    host.console_says(&[
        "this boot is not good after 30 s",
        "this release is on trial: rebooting, for basalt-2-b.conf can still boot",
    ])?;
    host.console_says(&["slot b blessed, hostd is ready"])?;
    host.catches_up()?;
    host.passes_the_gate()?;
    host.expect_status("slot", "b")?;
    host.expect_status("boot", "blessed")?;
    let entries = own_entries(host)?;
    ensure!(entries == "basalt-2-b.conf\nbasalt-3-a+0-2.conf", "{entries}");
    Ok(())
}

/// An entry for slot a, whose link is gone: the initramfs finds nothing to boot.
fn no_root_on_trial(host: &mut Host) -> Result<()> {
    host.ok("set -e; mount -o remount,rw /sysroot; rm /sysroot/ostree/root.a
         cd /efi/loader/entries
         sed 's/^version .*/version 4/' basalt-3-a+0-2.conf >new
         sync; mv new basalt-4-a+1.conf; sync")?;
    host.reboot()?;
    host.console_says(&[
        "basalt: the boot failed; units that failed: ostree-prepare-root.service",
        "this release is on trial: rebooting, for basalt-2-b.conf can still boot",
        "slot b blessed, hostd is ready",
    ])?;
    let entries = own_entries(host)?;
    ensure!(entries.ends_with("basalt-4-a+0-1.conf"), "{entries}");
    Ok(())
}

/// The last: nothing comes back from this one.
fn no_root(host: &mut Host) -> Result<()> {
    host.ok("mount -o remount,rw /sysroot; rm /sysroot/ostree/root.b; sync
         systemctl --no-block reboot")?;
    let stays = "staying here: this boot is not on trial, a reboot would lead to the same";
    let again = "basalt: trying again in 30 seconds";
    host.console_says(&["units that failed: ostree-prepare-root.service", stays, again])?;
    host.console_says(&["units that failed: ostree-prepare-root.service", stays, again])
}
