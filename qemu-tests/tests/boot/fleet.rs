//! A host and its endpoint: it enrols, runs what it is told, and goes on without it.

use std::path::Path;
use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use basalt_site::{Site, guest, image::PAGE};
use basalt_vm::Machine;
use qemu_tests::host::{Host, machine};
use qemu_tests::image::Image;
use qemu_tests::story::{Start, Story};

/// Where the container serves its page.
const WEB: u16 = 8080;
/// The container and the virtual machine.
const BOTH: &[(&str, &str)] = &[("guest", "running"), ("web", "running")];

pub(crate) const STORY: Story = Story {
    name: "fleet",
    machine: Start::Site(on_a_disk_of_its_own),
    steps: &[
        ("a_host_enrols_by_the_credential_that_it_was_given", enrols),
        ("a_container_and_a_virtual_machine_run_side_by_side", side_by_side),
        ("what_is_killed_comes_back", killed_come_back),
        ("all_come_back_after_a_reboot_without_the_endpoint", back_after_a_reboot),
        ("a_copy_of_its_disk_is_told_and_both_go_on", a_copy_is_told),
        ("what_is_unassigned_goes", unassigned_go),
    ],
};

/// One that can be copied.
fn on_a_disk_of_its_own(image: &Image, site: &Site, folder: &Path) -> Result<Machine> {
    let image = image.on(&disk(folder))?;
    let machine = machine(&image).keep_writes().shell().forward(WEB);
    let credentials = site.credentials()?;
    Ok(credentials.iter().fold(machine, |machine, (name, text)| machine.credential(name, text)))
}

fn disk(folder: &Path) -> PathBuf {
    folder.join("disk.qcow2")
}

fn enrols(host: &mut Host) -> Result<()> {
    host.ok("hostctl gate --deadline 200")?;
    host.eventually("the host is there", |host| {
        let hosts = host.ctl(&["hosts"])?;
        Ok(if hosts.contains("present") { Ok(()) } else { Err(hosts) })
    })?;
    host.eventually("the host is heard", |host| {
        let status = host.status()?.to_string();
        Ok(if status.contains("\"connected\"") { Ok(()) } else { Err(status) })
    })
}

fn side_by_side(host: &mut Host) -> Result<()> {
    let site = host.site()?;
    let files = [site.container("web", WEB)?, site.machine("guest")?];
    for file in files {
        let file = file.to_str().context("a name in UTF-8")?.to_owned();
        host.ctl(&["apply", &file, "--wait", "--timeout", "9m"])?;
    }
    host.runs(BOTH)?;
    serve_and_speak(host, 1)?;
    ensure!(host.ctl(&["logs", "web"])?.starts_with(Site::WEB_UP));
    Ok(())
}

/// Seen from outside: the page, and how often the guest has come up.
fn serve_and_speak(host: &mut Host, times: usize) -> Result<()> {
    host.eventually("the page", |host| {
        let page = host.page(WEB)?;
        Ok(if page.as_deref() == Some(PAGE) { Ok(()) } else { Err(format!("{page:?}")) })
    })?;
    host.eventually("the guest's word", |host| {
        let said = host.ok("hostctl logs guest")?;
        Ok(if said.matches(guest::UP).count() == times { Ok(()) } else { Err(said) })
    })
}

fn killed_come_back(host: &mut Host) -> Result<()> {
    let container = "podman inspect -f '{{.State.Pid}}' $(podman ps -q)";
    let emulator = "cat /run/libvirt/qemu/guest-*.pid";
    let pids = format!("$({container}) $({emulator})");
    let before = host.ok(&format!("echo {pids}"))?;
    host.ok(&format!("kill -9 {pids}"))?;
    serve_and_speak(host, 2)?;
    host.runs(BOTH)?;
    let after = host.ok(&format!("echo {pids}"))?;
    for pid in after.split(' ') {
        ensure!(!before.split(' ').any(|before| before == pid), "{before} and then {after}");
    }
    Ok(())
}

fn back_after_a_reboot(host: &mut Host) -> Result<()> {
    host.endpoint()?.stop();
    host.reboot()?;
    serve_and_speak(host, 3)?;
    host.runs(BOTH)?;
    let status = host.ok("hostctl status --json")?;
    ensure!(status.contains("\"away\""), "{status}");
    Ok(())
}

fn a_copy_is_told(host: &mut Host) -> Result<()> {
    host.endpoint()?.start_again()?;
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

fn unassigned_go(host: &mut Host) -> Result<()> {
    // The copy is gone; what is left is the host again as soon as its sessions are the newer ones.
    host.eventually("the host is itself", |host| {
        let status = host.ok("systemctl restart hostd; sleep 5; hostctl status --json || true")?;
        Ok(if status.contains("\"connected\"") { Ok(()) } else { Err(status) })
    })?;
    for name in ["web", "guest"] {
        host.ctl(&["delete", name])?;
    }
    host.runs(&[])?;
    let left = "podman ps -aq; virsh -q list --all; ls /var/lib/hostd-virt/machines";
    let left = host.ok(left)?;
    ensure!(left.is_empty(), "{left}");
    ensure!(host.page(WEB)?.is_none(), "the page is still served");
    Ok(())
}
