//! A host and its endpoint: it enrols, runs what it is told, and goes on without it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use basalt_site::{Site, guest, image::PAGE};
use basalt_vm::Machine;

use crate::host::{Host, machine};
use crate::image::Image;

/// Where the container serves its page.
pub const WEB: u16 = 8080;
/// The container and the virtual machine.
pub const BOTH: &[(&str, &str)] = &[("guest", "running"), ("web", "running")];

/// A host of this site whose disk, in this folder, can be copied.
///
/// # Errors
/// The disk cannot be made, or the endpoint does not answer.
pub fn on_a_disk_of_its_own(image: &Image, site: &Site, folder: &Path) -> Result<Machine> {
    let image = image.on(&disk(folder))?;
    let machine = machine(&image).keep_writes().shell().forward(WEB);
    let credentials = site.credentials()?;
    Ok(credentials.iter().fold(machine, |machine, (name, text)| machine.credential(name, text)))
}

/// Its disk.
#[must_use]
pub fn disk(folder: &Path) -> PathBuf {
    folder.join("disk.qcow2")
}

/// It comes up and its endpoint knows it.
///
/// # Errors
/// It does not.
pub fn enrols(host: &mut Host) -> Result<()> {
    host.passes_the_gate()?;
    host.eventually("the host is there", |host| {
        let hosts = host.ctl(&["hosts"])?;
        Ok(if hosts.contains("present") { Ok(()) } else { Err(hosts) })
    })?;
    host.eventually("the host is heard", |host| {
        let status = host.status()?.to_string();
        Ok(if status.contains("\"connected\"") { Ok(()) } else { Err(status) })
    })
}

/// A container and a virtual machine that it is told run, and can be heard.
///
/// # Errors
/// They do not.
pub fn side_by_side(host: &mut Host) -> Result<()> {
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

/// Both are killed, and run anew.
///
/// # Errors
/// They do not.
pub fn killed_come_back(host: &mut Host) -> Result<()> {
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

/// Both run again after a boot in which nobody answers the host; then its endpoint is back.
///
/// # Errors
/// They do not.
pub fn back_after_a_reboot(host: &mut Host) -> Result<()> {
    host.endpoint()?.stop();
    host.reboot()?;
    serve_and_speak(host, 2)?;
    host.runs(BOTH)?;
    let status = host.ok("hostctl status --json")?;
    ensure!(status.contains("\"away\""), "{status}");
    host.endpoint()?.start_again()
}

/// Nothing is left of what it is told to run no more.
///
/// # Errors
/// Something is.
pub fn unassigned_go(host: &mut Host) -> Result<()> {
    for name in ["web", "guest"] {
        host.ctl(&["delete", name])?;
    }
    host.runs(&[])?;
    let left = "podman ps -a --noheading; virsh -q list --all; ls /var/lib/hostd-virt/machines";
    let left = host.ok(left)?;
    ensure!(left.is_empty(), "{left}");
    ensure!(host.page(WEB)?.is_none(), "the page is still served");
    Ok(())
}
