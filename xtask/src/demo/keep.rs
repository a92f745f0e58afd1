//! `--keep`: a machine that a person can look into. A key of ssh is made for it, and comes to the
//! guest as a credential; it goes with the machine.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use basalt_cmd::Cmd;
use basalt_vm::{Machine, Vm};

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

    /// How a person gets in.
    pub(super) fn how_to_look(&self, vm: &Vm) -> Result<String> {
        let (port, key) = (vm.forwarded(SSH)?, self.file.display());
        Ok(format!(
            "it runs until Ctrl-C; look at it with\n  \
             ssh -i {key} -p {port} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
             root@127.0.0.1\n  tail -f {}",
            vm.console_file().display()
        ))
    }
}
