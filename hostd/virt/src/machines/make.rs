//! Makes machines, from a verified image to a domain that libvirt knows.

use basalt_api::virt::{Machine, Refusal};

use super::{Machines, cannot_write};
use crate::domain::{self, Files};
use crate::mark::Mark;
use crate::{disk, image, seed};

impl Machines {
    /// Makes a machine and does not start it. Where it fails, nothing is left that was not there.
    pub(crate) fn create(&self, machine: &Machine) -> Result<(), Refusal> {
        let open = self.link.open()?;
        if let Some((_, mark)) = open.find(machine.uid)? {
            return if mark.hash == machine.hash {
                Ok(())
            } else {
                Err(Refusal::workload("another version of it is there, and must be removed first"))
            };
        }
        let was_there =
            self.store.begin(&Mark::of(machine)).map_err(|error| cannot_write(&error))?;
        let made = self.files(machine).and_then(|files| {
            let xml = domain::xml(machine, &files, open.hypervisor);
            let defined = open.connect.define_domain_xml(&xml);
            defined.map_err(|error| open.failed("libvirt does not take it", &error))
        });
        self.link.forget(machine.uid);
        if made.is_err() && !was_there {
            let removed = self.store.remove(machine.uid);
            removed.map_err(|error| cannot_write(&error))?;
        }
        made.map(|_| ())
    }

    fn files(&self, machine: &Machine) -> Result<Files, Refusal> {
        let image = image::path(self.store.state(), &machine.vm.disk);
        let image_bytes = image::offers(&image, machine.vm.disk.format)?;
        let seed = seed::image(machine).map_err(|error| cannot_write(&error))?;
        let seed_path = seed.as_ref().map(|_| self.store.seed(machine.uid));
        let files = Files::of(self.store.state(), image, seed_path.clone(), machine);
        disk::make(machine, &files, image_bytes)?;
        if let (Some(path), Some(seed)) = (seed_path, seed) {
            // libvirt hands it to the user that QEMU runs as.
            let written = basalt_durable::write(&path, &seed, basalt_durable::PRIVATE);
            written.map_err(|error| cannot_write(&error))?;
        }
        Ok(files)
    }
}
