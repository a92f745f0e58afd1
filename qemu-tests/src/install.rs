//! Installations: a machine that a live system installs by a kickstart, and the host that is on its
//! disk then.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use basalt_site::{Site, image::PAGE};
use basalt_vm::{Disk, Machine, Patience};

use crate::host::Host;
use crate::image::Image;
use crate::live::Live;

/// Where the container serves its page.
pub const WEB: u16 = 8080;
/// Bytes of a disk that is installed to; they are holes until they are written.
const SIZE: u64 = 8 << 30;
/// From the last word of an installation until the machine is off.
const END: Duration = Duration::from_secs(120);
/// What the installed host is called in its endpoint's list.
const LABEL: &str = "rack=4";

/// What a machine that is installed is made from.
pub struct Ground<'a> {
    /// The live system, which is served.
    pub live: &'a Live,
    /// The endpoint that the host enrols at.
    pub site: &'a Site,
    /// What was built.
    pub image: &'a Image,
    /// A folder for its disk.
    pub folder: &'a Path,
}

impl Ground<'_> {
    /// An empty disk.
    ///
    /// # Errors
    /// There is no space.
    pub fn disk(&self) -> Result<Disk> {
        let path = disk(self.folder);
        File::create(&path)?.set_len(SIZE)?;
        Ok(Disk::new(&path))
    }

    /// A kickstart that installs to what `selector` means, enrols the host, and switches the
    /// machine off.
    ///
    /// # Errors
    /// The endpoint gives no token.
    pub fn kickstart(&self, selector: &str) -> Result<String> {
        let join = self.site.endpoint.join_string()?;
        Ok(format!(
            "cmdline\nzerombr\nignoredisk --only-use={selector}\n\
             clearpart --all --initlabel\nautopart\ntimezone Etc/UTC --utc\n\
             network --hostname=installed.example\npoweroff\n\
             %addon basalt\njoin = {join}\nlabel = {LABEL}\n%end\n"
        ))
    }
}

/// The disk of a machine that is installed.
#[must_use]
pub fn disk(folder: &Path) -> PathBuf {
    folder.join("disk.raw")
}

/// Waits until it is installed and the machine is off.
///
/// # Errors
/// It fails, or the machine stays on.
pub fn installs(host: &mut Host) -> Result<()> {
    host.vm.wait_for_console(" is installed", Patience::BOOT)?;
    ensure!(!host.vm.console().contains("error: "), "an error was told");
    Ok(host.vm.wait_for_end(END)?)
}

/// Boots what was installed, from new firmware and with nothing else in the machine, and waits
/// until its endpoint has it. The disks are as they hung on the machine before.
///
/// # Errors
/// It does not come up, or is not heard.
pub fn boots_and_checks_in(host: &mut Host, disks: &[Disk]) -> Result<()> {
    let machine = disks.iter().cloned().fold(Machine::without_disk(), Machine::with);
    let machine = machine.keep_writes().cpus(1).shell().forward(WEB);
    // What it enrols by, the kickstart gave it.
    let credentials = host.site()?.credentials()?;
    let credentials = credentials.iter().filter(|(name, _)| *name != "basalt.join");
    let machine = credentials.fold(machine, |machine, (name, text)| machine.credential(name, text));
    host.vm = machine.start(&host.folder.join("installed"))?;
    host.ok("hostctl gate --deadline 200")?;
    host.expect_status("state", "ready")?;
    let version = host.image.version.clone();
    host.expect_status("version", &version)?;
    ensure!(host.ok("hostname")? == "installed.example");
    // Its operators saw it coming, and of its steps nothing is left.
    let events = host.ctl(&["events"])?;
    ensure!(events.contains("installed.example: Basalt "), "{events}");
    ensure!(!events.contains("installed.example: step "), "{events}");
    host.eventually("the host is there", |host| {
        let hosts = host.ctl(&["hosts", "--json"])?;
        let is_there = hosts.contains("\"present\"") && hosts.contains("\"rack\"");
        Ok(if is_there { Ok(()) } else { Err(hosts) })
    })
}

/// Has it run a container that is seen from outside.
///
/// # Errors
/// It does not.
pub fn runs_a_container(host: &mut Host) -> Result<()> {
    let file = host.site()?.container("web", WEB)?.display().to_string();
    host.ctl(&["apply", &file, "--wait", "--timeout", "9m"])?;
    host.runs(&[("web", "running")])?;
    host.eventually("the page", |host| {
        let page = host.page(WEB)?;
        Ok(if page.as_deref() == Some(PAGE) { Ok(()) } else { Err(format!("{page:?}")) })
    })
}

/// That the host has the log of its installation, and that nothing secret is in it.
///
/// # Errors
/// It has none, or one with the token in it.
pub fn keeps_its_log(host: &mut Host) -> Result<()> {
    let log = host.ok("cat /var/log/basalt-install.log")?;
    ensure!(log.contains("kickstart: ") && log.contains("step 1 of "), "{log}");
    ensure!(!log.contains("basalt1-"), "the log has the token");
    ensure!(host.ok("stat -c '%a %U' /var/log/basalt-install.log")? == "600 root");
    Ok(())
}
