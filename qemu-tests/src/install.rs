//! Installations: a machine that a live system installs by a kickstart, and the host that is on its
//! disk then.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use basalt_site::{Site, image::PAGE};
use basalt_vm::{Bus, Disk, Machine, Patience};

use crate::fleet::WEB;
use crate::host::Host;
use crate::image::Image;
use crate::live::Live;

/// The credential that a kickstart comes by.
pub const CREDENTIAL: &str = "basalt.kickstart";
/// Bytes of a disk that any example finds large enough; they are holes until they are written.
const SIZE: u64 = 32 << 30;
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
    /// An empty disk of 32 GiB.
    ///
    /// # Errors
    /// There is no space.
    pub fn disk(&self) -> Result<Disk> {
        empty_disk(&disk(self.folder), SIZE)
    }

    /// The medium of the live system.
    ///
    /// # Errors
    /// The image has no folder.
    pub fn medium(&self) -> Result<PathBuf> {
        medium(self.image)
    }

    /// A kickstart that installs to what `selector` means, enrols the host, and switches the
    /// machine off.
    ///
    /// # Errors
    /// The endpoint gives no token.
    pub fn kickstart(&self, selector: &str) -> Result<String> {
        Ok(format!(
            "cmdline\nzerombr\nignoredisk --only-use={selector}\n\
             clearpart --all --initlabel\nautopart --noswap\ntimezone Etc/UTC --utc\npoweroff\n{}",
            self.enrolment()?
        ))
    }

    /// The end of a kickstart whose host enrols.
    ///
    /// # Errors
    /// The endpoint gives no token.
    pub fn enrolment(&self) -> Result<String> {
        let join = self.site.endpoint.join_string()?;
        Ok(format!(
            "network --hostname=installed.example\n\
             %addon basalt\njoin = {join}\nlabel = {LABEL}\n%end\n"
        ))
    }
}

/// An empty disk of so many bytes.
///
/// # Errors
/// There is no space.
pub fn empty_disk(path: &Path, bytes: u64) -> Result<Disk> {
    File::create(path)?.set_len(bytes)?;
    Ok(Disk::new(path))
}

/// The medium of an image's live system.
///
/// # Errors
/// The image has no folder.
pub fn medium(image: &Image) -> Result<PathBuf> {
    let folder = image.disk.parent().context("a disk lies in a folder")?;
    Ok(folder.join("live.iso"))
}

/// One of the examples that people begin their kickstarts with.
///
/// # Errors
/// It cannot be read.
pub fn example(name: &str) -> Result<String> {
    let path = format!("{}/../kickstart/examples/{name}.ks", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&path).with_context(|| format!("cannot read `{path}`"))
}

/// A machine that boots from a disc of its live system, with 1 GiB and a network. It ends where
/// the installer reboots it.
///
/// # Errors
/// The image has no folder.
pub fn machine_with_disc(image: &Image) -> Result<Machine> {
    Ok(machine().with(Disk::new(&medium(image)?).on(Bus::Disc)))
}

/// The same before it has any disk.
pub fn machine() -> Machine {
    Machine::without_disk().memory_mib(1024).cpus(1).keep_writes().ends_at_reboot()
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
    let console = host.vm.console();
    ensure!(!console.contains("error: "), "an error was told");
    ensure!(console.contains("`Basalt` is the first in the firmware's list"), "no boot entry");
    Ok(host.vm.wait_for_end(END)?)
}

/// Boots what was installed, from new firmware and with nothing else in the machine, and waits
/// until its endpoint has it. The disks are as they hung on the machine before.
///
/// # Errors
/// It does not come up, or is not heard.
pub fn boots_and_checks_in(host: &mut Host, disks: &[Disk]) -> Result<()> {
    enrolled_host_boots(host, disks)?;
    ensure!(host.ok("hostname")? == "installed.example");
    // Its operators saw it coming, and of its steps nothing is left.
    let events = host.ctl(&["events"])?;
    ensure!(events.contains("installed.example: Basalt "), "{events}");
    ensure!(!events.contains("installed.example: step "), "{events}");
    checks_in(host, &["rack"])
}

/// Boots what was installed, as [`boots_and_checks_in`] does, and waits until it is ready.
///
/// # Errors
/// It does not come up.
pub fn enrolled_host_boots(host: &mut Host, disks: &[Disk]) -> Result<()> {
    let machine = enrolled_host(host, disks)?;
    boots(host, &machine)?;
    host.expect_status("state", "ready")
}

/// A machine with what was installed, beside its site. What it enrols by, the kickstart gave it.
///
/// # Errors
/// The site's endpoint does not answer.
pub fn enrolled_host(host: &Host, disks: &[Disk]) -> Result<Machine> {
    let credentials = host.site()?.credentials()?;
    let credentials = credentials.iter().filter(|(name, _)| *name != "basalt.join");
    let machine = machine_of(disks).forward(WEB);
    Ok(credentials.fold(machine, |machine, (name, text)| machine.credential(name, text)))
}

/// A machine with what was installed, which boots from the first of these disks.
pub fn machine_of(disks: &[Disk]) -> Machine {
    disks.iter().cloned().fold(Machine::without_disk(), Machine::with).keep_writes().cpus(1)
}

/// Boots what was installed, and waits until its boot is good.
///
/// # Errors
/// It is not, or not in time, or another release runs.
pub fn boots(host: &mut Host, machine: &Machine) -> Result<()> {
    host.vm = machine.clone().shell().start(&host.folder.join("installed"))?;
    host.passes_the_gate()?;
    let version = host.image.version.clone();
    host.expect_status("version", &version)
}

/// Waits until the endpoint has it, with these labels.
///
/// # Errors
/// It is not heard.
pub fn checks_in(host: &mut Host, labels: &[&str]) -> Result<()> {
    host.eventually("the host is there", |host| {
        let hosts = host.ctl(&["hosts", "--json"])?;
        let is_labelled = labels.iter().all(|label| hosts.contains(&format!("\"{label}\"")));
        let is_there = hosts.contains("\"present\"") && is_labelled;
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
