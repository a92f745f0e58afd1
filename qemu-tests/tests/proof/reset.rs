//! A host with arguments of its own, of which it is rid by a factory reset, from the system and
//! from the loader's menu; and one on which nothing boots by itself any more.

use std::time::Duration;

use anyhow::{Result, ensure};
use qemu_tests::host::{Host, machine};
use qemu_tests::reset::{
    MENU, asked_for, chooses_the_reset, erased, is_as_installed, proves_itself, uses_etc,
};
use qemu_tests::story::{Start, Story};

pub(crate) const STORY: Story = Story {
    name: "reset",
    machine: Start::Image(|image| {
        // A boot that is not good is told early.
        machine(image).shell().credential("basalt.hostd", "[gate]\ndeadline_s = 60\n")
    }),
    steps: &[
        ("a_changed_kernel_argument_is_booted_on_trial_and_stays", argument_is_booted),
        ("a_host_that_reboots_in_a_window_leaves_an_argument_that_fails_its_trial", argument_fails),
        ("a_reset_is_asked_for_confirmed_and_withdrawn", asked_for),
        ("a_reset_that_the_power_cut_off_ends_and_workloads_keep_their_data", settings),
        ("the_menus_entry_resets_nothing_that_nobody_confirms", refused),
        ("the_menus_entry_erases_all_once_somebody_types_the_word", erased),
        ("a_host_without_tries_stays_up_and_never_resets_by_itself", exhausted),
    ],
};

const SELECTED: &str =
    "/sys/firmware/efi/efivars/LoaderEntrySelected-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

fn argument_is_booted(host: &mut Host) -> Result<()> {
    proves_itself(host)?;
    let said = host.ok("hostctl os kargs --append=mine=1 2>&1")?;
    ensure!(said.ends_with(" boots at the next reboot"), "{said}");
    host.fails("grep -qw mine=1 /proc/cmdline")?;
    host.reboot()?;
    host.ok("grep -qw mine=1 /proc/cmdline")?;
    proves_itself(host)?;
    host.until("hostctl os kargs | grep -q '^host .*mine=1$'")?;
    let entries = host.ok("ls /efi/loader/entries")?;
    ensure!(entries == "basalt-1-a.conf\nbasalt-2-a.conf\nbasalt-reset-a+0.conf", "{entries}");
    Ok(())
}

fn argument_fails(host: &mut Host) -> Result<()> {
    // Everything comes up but what the gate waits for.
    let mask = "systemd.mask=systemd-resolved.service";
    let asked = format!("hostctl os kargs --append={mask} --tries=1 --reboot=window 2>&1");
    let said = host.fails(&asked)?;
    ensure!(said.contains("this host has no window to reboot in"), "{said}");
    host.ok("mkdir -p /etc/basalt; f=/etc/basalt/hostd.toml
         printf '[updates]\\nwindows = [\"Mon 00:00-00:01\"]\\n' >$f")?;
    let said = host.ok(&asked)?;
    ensure!(
        said.contains(": the host reboots at ") && said.ends_with("Z, in its window"),
        "{said}"
    );
    let said = host
        .ok("hostctl os status; sed -i 's/.\"Mon.*/[\"00:00-24:00\"]/' /etc/basalt/hostd.toml")?;
    ensure!(said.contains("\nreboots  at ") && said.contains("in a window of this host"), "{said}");
    // `hostd` hears of the window by itself.
    host.console_says(&[
        "this boot is not good after 60 s",
        "this release is on trial: rebooting, for basalt-2-a.conf can still boot",
        "slot a blessed, hostd is ",
    ])?;
    host.catches_up()?;
    proves_itself(host)?;
    host.ok("grep -qw mine=1 /proc/cmdline")?;
    host.fails("grep -qF systemd.mask /proc/cmdline")?;
    host.until("hostctl os kargs | grep -q '^host .*mine=1$'")?;
    let said = host.ok("hostctl os history --json")?;
    ensure!(said.contains(mask) && said.contains("gate: "), "{said}");
    Ok(())
}

/// What a host has of its own, and what its workloads have.
fn uses_it(host: &mut Host) -> Result<String> {
    host.ok("set -e; echo mine >/etc/mine; echo rack1 >/etc/hostname; rm /etc/fstab
         mkdir -p /root/.ssh && echo ssh-ed25519 AAAA >/root/.ssh/authorized_keys
         mkdir -p /var/lib/containers/data /var/lib/hostd-virt/data
         echo data | tee /var/lib/containers/data/file >/var/lib/hostd-virt/data/file; sync
         ls /var/lib/hostd | grep -q .; test -e /var/lib/hostd-os/kargs.json")?;
    host.ok("cat /etc/machine-id")
}

fn settings(host: &mut Host) -> Result<()> {
    let machine_id = uses_it(host)?;
    host.ok("hostctl os factory-reset --yes")?;
    host.reboots_soon()?;
    host.console_says(&["resetting /etc and what hostd knows", "emptying /var"])?;
    host.vm.qmp().reset()?;
    host.console_says(&[
        "resetting /etc and what hostd knows",
        "the host is as it was first installed; rebooting",
        "the factory reset is complete",
    ])?;
    host.catches_up()?;
    is_as_installed(host, &machine_id)?;
    let data = "cat /var/lib/containers/data/file /var/lib/hostd-virt/data/file";
    ensure!(host.ok(data)? == "data\ndata");
    ensure!(host.ok("hostctl os history --json")?.contains("\"events\": []"));
    Ok(())
}

fn refused(host: &mut Host) -> Result<()> {
    let machine_id = uses_etc(host)?;
    chooses_the_reset(host)?;
    host.vm.type_on_console("yes\r")?;
    host.console_says(&["nobody confirmed it; rebooting", "slot a blessed, hostd is "])?;
    host.catches_up()?;
    proves_itself(host)?;
    ensure!(host.ok("cat /etc/mine /etc/machine-id")? == format!("mine\n{machine_id}"));
    host.fails("grep -q factory_reset /proc/cmdline")?;
    // The loader has counted that boot; nobody has blessed it.
    let entries = host.ok("ls /efi/loader/entries")?;
    ensure!(entries.ends_with("\nbasalt-reset-a+0-1.conf"), "{entries}");
    Ok(())
}

/// Both slots have a try left, and the gate waits for what never comes.
fn exhausted(host: &mut Host) -> Result<()> {
    let menu = host.ok("ls /efi/loader/entries | grep reset")?;
    host.ok("set -e; mkdir -p /etc/basalt; mount -o remount,rw /sysroot
         printf '[gate]\\nrequired_units = [\"never.service\"]\\n' >/etc/basalt/hostd.toml
         cd /sysroot/ostree; ln -s $(readlink root.a) root.b
         cd /efi/loader/entries; own=$(ls basalt-[0-9]*-a.conf)
         sed 's/^version .*/version 91/; s/slot_suffix=_a/slot_suffix=_b/' $own >new
         sed 's/^version .*/version 90/' $own >newer; sync
         mv new basalt-91-b+1.conf; mv newer basalt-90-a+1.conf; rm $own; sync")?;
    host.reboot()?;
    host.console_says(&[
        "this boot is not good after 60 s",
        "this release is on trial: rebooting, for basalt-90-a+1.conf can still boot",
        "this boot is not good after 60 s",
        "staying here: no tries are left, and no other entry can boot",
    ])?;
    host.catches_up()?;
    // Whoever switches it off and on gets to the same.
    host.reboots_soon()?;
    host.console_says(&["staying here: no tries are left, and no other entry can boot"])?;
    host.catches_up()?;
    host.stays_up(Duration::from_secs(20))?;
    let selected = host.ok(&format!("tr -cd '[:alnum:].+-' <{SELECTED}"))?;
    ensure!(selected.contains("basalt-91-b.conf"), "the loader chose {selected}");
    let entries = host.ok("ls /efi/loader/entries")?;
    let expected = format!("basalt-90-a+0-1.conf\nbasalt-91-b+0-2.conf\n{menu}");
    ensure!(entries == expected, "{entries}");
    // Nobody was asked but those whom the two steps before have asked.
    ensure!(host.vm.console().matches(MENU).count() == 2, "it was asked for a reset");
    Ok(())
}
