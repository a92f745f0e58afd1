//! `--keep`: a machine that a person can look into. A key of ssh is made for it, and comes to the
//! guest as a credential; it goes with the machine.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use basalt_cmd::Cmd;
use basalt_site::Site;
use basalt_vm::{Machine, Vm};

use super::work;
use crate::session::Session;

const SSH: u16 = 22;

/// The key that lets its holder in.
pub(super) struct Key {
    file: PathBuf,
}

impl Key {
    /// Makes one in `folder`.
    pub(super) fn make(folder: &Path) -> Result<Self> {
        let file = folder.join("key");
        Cmd::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "demo", "-f"])
            .arg(&file)
            .run()
            .context("cannot make a key, which --keep needs")?;
        Ok(Self { file })
    }

    /// The machine, with this key as its way in.
    pub(super) fn let_in(&self, machine: Machine) -> Result<Machine> {
        let public = self.file.with_extension("pub");
        let public = fs::read_to_string(&public)
            .with_context(|| format!("cannot read `{}`", public.display()))?;
        Ok(machine.credential("ssh.authorized_keys.root", &public).forward(SSH))
    }

    /// How a person gets in, and speaks with the endpoint.
    pub(super) fn how_to_look(&self, session: &Session, site: &Site, vm: &Vm) -> Result<String> {
        let (port, key) = (vm.forwarded(SSH)?, self.file.display());
        let environment = site.endpoint.environment()?;
        let environment = environment.map(|(name, value)| format!("{name}={value}")).join(" ");
        let (console, ctl) = (vm.console_file().display(), session.program("basaltctl"));
        Ok(format!(
            "it runs until Ctrl-C; look into the host, where `hostctl` is, with\n  \
             ssh -i {key} -p {port} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
             root@127.0.0.1\n  tail -f {console}\n\
             at the container's page with\n  curl http://127.0.0.1:{}/\n\
             and be its operator with\n  export {environment}\n  \
             {ctl} workloads; {ctl} logs guest; {ctl} events -f",
            vm.forwarded(work::WEB)?,
            ctl = ctl.display(),
        ))
    }
}
