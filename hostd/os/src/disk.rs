//! The host's disk: what is found there, and the steps carried out on it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use basalt_deploy::{DeployError, HostSysroot};
use basalt_sysroot::entry::EntryName;
use basalt_sysroot::slot::Slot;
use basalt_sysroot::update::{Deployment, Found, FoundEntry, Step, Volume};

use crate::choice;
use crate::esp::Esp;
use crate::release::Incoming;

/// How long somebody else may be at work: finding out a verdict takes seconds, an update longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a host has its disk.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// What has `/ostree`: `/` on a running host.
    pub(crate) sysroot: PathBuf,
    /// Where the ESP is mounted.
    pub(crate) esp: PathBuf,
    /// Where the firmware's variables are.
    pub(crate) variables: PathBuf,
    /// Where systemd puts what a kernel said last.
    pub(crate) pstore: PathBuf,
    /// Where the kernel tells of watchdogs.
    pub(crate) watchdogs: PathBuf,
    /// Where the journals of this boot and of those before are.
    pub(crate) journal: PathBuf,
    /// Where it is said how far somebody is who changes it.
    pub(crate) progress: PathBuf,
}

/// The disk; nobody else changes what was opened to be changed as long as this lives.
pub(crate) struct Disk {
    pub(crate) sysroot: HostSysroot,
    pub(crate) esp: Esp,
    variables: PathBuf,
    /// The slot that runs.
    running: Slot,
    /// What the last [`Step::Deploy`] made.
    made: Option<Deployment>,
}

impl Disk {
    /// Opens it to change it. Call it before there is a second thread.
    pub(crate) fn open(places: &Places, running: Slot) -> Result<Self> {
        Ok(Self::with(HostSysroot::open(&places.sysroot, PATIENCE)?, places, running))
    }

    /// Opens it to change it, if nobody else does; none otherwise.
    pub(crate) fn try_open(places: &Places, running: Slot) -> Result<Option<Self>> {
        match HostSysroot::open(&places.sysroot, Duration::ZERO) {
            Err(DeployError::Busy(_)) => Ok(None),
            sysroot => Ok(Some(Self::with(sysroot?, places, running))),
        }
    }

    /// Opens it to look, whoever changes it meanwhile.
    pub(crate) fn look(places: &Places, running: Slot) -> Result<Self> {
        Ok(Self::with(HostSysroot::look(&places.sysroot)?, places, running))
    }

    fn with(sysroot: HostSysroot, places: &Places, running: Slot) -> Self {
        Self {
            sysroot,
            esp: Esp::at(&places.esp),
            variables: places.variables.clone(),
            running,
            made: None,
        }
    }

    /// Looks at all of it. Boot files are read to their ends.
    pub(crate) fn found(&self) -> Result<Found> {
        let (running, entries) = self.entries()?;
        Ok(Found {
            running,
            entries,
            files: self.esp.files()?,
            links: [self.sysroot.link(Slot::A)?, self.sysroot.link(Slot::B)?],
            deployments: self.sysroot.deployments()?,
        })
    }

    /// The entry of this boot, and all that there are.
    pub(crate) fn entries(&self) -> Result<(EntryName, Vec<FoundEntry>)> {
        let entries = self.esp.entries()?;
        let names: Vec<_> = entries.iter().map(|entry| entry.name).collect();
        let running = choice::running(&self.variables, &names).context(
            "the loader does not say which boot entry of Basalt's this boot came from\n\
             hint: only a host that systemd-boot booted from its own disk is updated",
        )?;
        Ok((running, entries))
    }

    /// What a commit was deployed under before.
    pub(crate) fn refspec(&self, commit: &str) -> Result<String> {
        let known = self.sysroot.deployments()?;
        let known = known.iter().find(|it| it.commit == commit);
        Ok(self.sysroot.refspec(known.context("nothing says where the commit is from")?)?)
    }

    /// Carries out one step. `incoming` is what a step of an installation is about.
    pub(crate) fn carry_out(&mut self, step: &Step, incoming: Option<&Incoming>) -> Result<()> {
        match step {
            Step::DropEntry(name) => self.esp.drop_entry(*name)?,
            Step::Deploy { commit } => {
                let refspec = match incoming {
                    Some(incoming) => incoming.refspec.clone(),
                    None => self.refspec(commit)?,
                };
                let running = self.sysroot.link(self.running)?;
                let made = self.sysroot.deploy_beside(commit, &refspec, running.as_ref())?;
                self.made = Some(made);
            }
            Step::DeployFresh { commit } => {
                let incoming = incoming.context("nothing says where the commit is from")?;
                self.made = Some(self.sysroot.deploy_beside(commit, &incoming.refspec, None)?);
            }
            Step::Link(slot) => {
                let made = self.made.as_ref().context("nothing was deployed for the link")?;
                self.sysroot.point(*slot, made)?;
            }
            Step::Unlink(slot) => self.sysroot.unpoint(*slot)?,
            Step::WriteReset(name, entry) => self.esp.write_reset(*name, entry)?,
            Step::DropReset(name) => self.esp.drop_reset(*name)?,
            Step::WriteFile(place) => {
                let incoming = incoming.context("no release has this boot file")?;
                let content = match *place {
                    place if place == incoming.release.linux => &incoming.linux,
                    place if place == incoming.release.initrd => &incoming.initrd,
                    other => bail!("no release has the boot file `{other}`"),
                };
                self.esp.write_file(*place, content)?;
            }
            Step::CheckFile(place) => self.esp.check_file(*place)?,
            Step::Sync(Volume::Esp) => self.esp.sync()?,
            Step::Sync(Volume::Root) => self.sysroot.sync()?,
            Step::ClearChoice => {
                let doing = || format!("cannot clear the choice in `{}`", self.variables.display());
                choice::clear(&self.variables).with_context(doing)?;
            }
            Step::WriteEntry(name, entry) => self.esp.write_entry(*name, entry)?,
            Step::DropFile(place) => self.esp.drop_file(*place)?,
            Step::CleanDeployments => self.sysroot.clean()?,
        }
        Ok(())
    }
}
