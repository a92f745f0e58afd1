//! Virtual machines of a fleet's host, on a libvirtd of the test's own.

use std::path::PathBuf;

use super::{Fleet, text};
use crate::image::hash;
use crate::libvirt::{Libvirt, let_qemu_in};

/// What boots nothing.
const NOTHING: &[u8] = &[0; 65_536];

impl Fleet {
    /// Tells the host of this libvirt, and allows it disks that lie in the ground's folder.
    pub fn with_libvirt(&self, libvirt: &Libvirt) {
        let_qemu_in(&self.ground);
        let folder = self.ground.path("");
        let folder = text(&folder).trim_end_matches('/');
        let policy = format!("[policy]\nhost_paths = [{folder:?}]\n");
        let machines = format!("[machines]\nuri = {:?}\naccel = \"tcg\"\n", libvirt.uri());
        self.host.configure("machines", &(machines + &policy));
    }

    /// A file with a machine whose disk boots nothing: it runs, and hears no button. `vm` stands in
    /// its table.
    ///
    /// # Panics
    /// It cannot be written.
    #[must_use]
    pub fn machine(&self, name: &str, vm: &str) -> PathBuf {
        let disk = self.ground.path("disk.raw");
        std::fs::write(&disk, NOTHING).expect("a file");
        let spec = format!(
            "name = {name:?}\nkind = \"vm\"\n[resources]\nmemory_mib = 32\ncpus = 1\n\
             [vm]\nfirmware = \"bios\"\nnetwork = \"none\"\nstop_grace_s = 1\n{vm}\n\
             [vm.disk]\nfile = {:?}\nformat = \"raw\"\nsha256 = {:?}\n",
            text(&disk),
            hash(NOTHING),
        );
        self.put(&format!("{name}.toml"), &spec)
    }
}
