//! A libvirtd of the test's own, and hosts whose machines it runs.

use std::path::Path;

use basalt_tests::libvirt::Libvirt;
pub(crate) use basalt_tests::libvirt::may_run;

use crate::ground::Host;

pub(crate) struct Daemon(Libvirt);

impl Daemon {
    /// Nothing else of the test runs meanwhile. On the test's own thread, with which it ends.
    pub(crate) fn start() -> Self {
        Self(Libvirt::start())
    }

    /// Kills libvirtd as a power cut would, and starts it again. Guests go on.
    pub(crate) fn kill_and_start(&mut self) {
        self.0.kill();
        self.0.start_again();
    }

    /// A host whose machines this libvirtd runs.
    pub(crate) fn host(&self) -> Host {
        Host::new(&self.0.uri())
    }

    /// The same, whose machines and images lie in this folder.
    pub(crate) fn host_in(&self, folder: &Path) -> Host {
        Host::with(&self.uri(), |settings, _| {
            settings.state = folder.join("state").to_str().unwrap().to_owned();
        })
    }

    /// How it is connected to.
    pub(crate) fn uri(&self) -> String {
        self.0.uri()
    }

    /// What virsh prints.
    pub(crate) fn virsh(&self, args: &[&str]) -> String {
        self.0.virsh(args)
    }
}
