//! A host and its endpoint: it enrols, runs what it is told, and goes on without it; and what becomes
//! of a copy of its disk.

use std::fs;

use anyhow::Result;
use qemu_tests::fleet::{self, BOTH, disk};
use qemu_tests::host::{Host, machine};
use qemu_tests::image::Image;
use qemu_tests::story::{Start, Story};

pub(crate) const STORY: Story = Story {
    name: "fleet",
    machine: Start::Site(fleet::on_a_disk_of_its_own),
    steps: &[
        ("a_host_enrols_by_the_credential_that_it_was_given", fleet::enrols),
        ("it_runs_a_container_and_a_virtual_machine", fleet::side_by_side),
        ("all_come_back_after_a_reboot_without_the_endpoint", fleet::back_after_a_reboot),
        ("a_copy_of_its_disk_is_told_and_both_go_on", a_copy_is_told),
        ("the_one_that_is_left_is_itself_again", alone_again),
    ],
};

fn a_copy_is_told(host: &mut Host) -> Result<()> {
    let mut copy = copy(host)?;
    copy.runs(BOTH)?;
    host.eventually("operators see it", |host| {
        let hosts = host.ctl(&["hosts", "--json"])?;
        Ok(if hosts.contains("duplicate_identity") { Ok(()) } else { Err(hosts) })
    })?;
    host.eventually("one of them is told", |host| {
        let said = [host.status()?.to_string(), copy.status()?.to_string()];
        let is_told = said.iter().any(|said| said.contains("another machine has this"));
        Ok(if is_told { Ok(()) } else { Err(format!("{said:?}")) })
    })?;
    copy.runs(BOTH)?;
    host.runs(BOTH)
}

/// A second machine, with the disk as the first one's is now.
fn copy(host: &mut Host) -> Result<Host> {
    let folder = host.folder.join("copy");
    fs::create_dir(&folder)?;
    host.ok("sync")?;
    // A machine that is paused writes nothing, and QEMU has written all that it had.
    host.vm.qmp().execute("stop", serde_json::json!({}))?;
    let copied = fs::copy(disk(&host.folder), disk(&folder));
    host.vm.qmp().execute("cont", serde_json::json!({}))?;
    copied?;
    let image = Image { disk: disk(&folder), ..host.image.clone() };
    let vm = machine(&image).shell().start(&folder)?;
    Ok(Host { vm, image, folder, site: None, releases: None, live: None })
}

/// The copy is gone; what is left is the host again as soon as its sessions are the newer ones.
fn alone_again(host: &mut Host) -> Result<()> {
    host.eventually("the host is itself", |host| {
        let status = host.ok("systemctl restart hostd; sleep 5; hostctl status --json || true")?;
        Ok(if status.contains("\"connected\"") { Ok(()) } else { Err(status) })
    })
}
