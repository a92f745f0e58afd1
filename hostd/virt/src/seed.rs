//! What a guest is told at its first start, as cloud-init's NoCloud wants it: a FAT labelled
//! `CIDATA` with `user-data` and `meta-data`. Pure.

use std::io::{self, Cursor, Write};

use basalt_api::virt::Machine;
use fatfs::{Date, DateTime, FileSystem, FormatVolumeOptions, FsOptions, Time, TimeProvider};
use sha2::{Digest, Sha256};

/// Room beside the data, for the FAT's own tables and what is rounded up.
const SLACK: usize = 256 << 10;
const SECTOR: usize = 512;

/// The same machine has the same seed, so every file is of the day on which FAT's time begins.
#[derive(Debug)]
struct NoClock;

impl TimeProvider for NoClock {
    fn get_current_date(&self) -> Date {
        Date { year: 1980, month: 1, day: 1 }
    }

    fn get_current_date_time(&self) -> DateTime {
        let time = Time { hour: 0, min: 0, sec: 0, millis: 0 };
        DateTime { date: self.get_current_date(), time }
    }
}

/// The image; none for a machine whose guest is told nothing.
///
/// # Errors
/// It cannot be made, for a reason of the FAT's.
pub(crate) fn image(machine: &Machine) -> io::Result<Option<Vec<u8>>> {
    let Some(user_data) = user_data(machine) else { return Ok(None) };
    let size = (user_data.len() + SLACK).next_multiple_of(SECTOR);
    let mut disk = Cursor::new(vec![0; size]);
    let id = machine.uid.0.as_fields().0;
    let options = FormatVolumeOptions::new().volume_label(*b"CIDATA     ").volume_id(id);
    fatfs::format_volume(&mut disk, options)?;
    {
        let options = FsOptions::new().time_provider(&NoClock);
        let fat = FileSystem::new(&mut disk, options)?;
        let root = fat.root_dir();
        root.create_file("user-data")?.write_all(user_data)?;
        root.create_file("meta-data")?.write_all(meta_data(machine, user_data).as_bytes())?;
    }
    Ok(Some(disk.into_inner()))
}

fn user_data(machine: &Machine) -> Option<&[u8]> {
    let secret = machine.user_data.as_ref().map(|secret| secret.0.as_slice());
    secret.or(machine.vm.user_data.as_ref().map(String::as_bytes))
}

/// The instance's id follows the user-data: cloud-init carries new ones out, and leaves the guest
/// alone when only its memory was changed.
fn meta_data(machine: &Machine, user_data: &[u8]) -> String {
    let hash = hex::encode(Sha256::digest(user_data));
    let (uid, name) = (machine.uid, &machine.name);
    format!("instance-id: {uid}-{hash:.8}\nlocal-hostname: {name}\n")
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use basalt_api::virt::Secret;
    use basalt_api::workload::{Body, Vm, WorkloadSpec};

    use super::*;

    fn machine(user_data: Option<&str>, secret: Option<&[u8]>) -> Machine {
        let text = include_str!("../../../crates/api/examples/workload-vm.json");
        let spec: WorkloadSpec = serde_json::from_str(text).unwrap();
        let Some(Body::Vm(vm)) = spec.body() else { panic!("the example is a machine") };
        Machine {
            uid: "d8a6c9b2-0a3c-4d4e-9b1f-6f4f8a1c2b3d".parse().unwrap(),
            name: "legacy".parse().unwrap(),
            owner: None,
            hash: String::new(),
            vcpus: 1,
            memory_mib: 64,
            vm: Vm { user_data: user_data.map(str::to_owned), ..vm.clone() },
            user_data: secret.map(|secret| Secret(secret.to_vec())),
        }
    }

    /// The two files of a seed.
    fn read(machine: &Machine) -> (Vec<u8>, String) {
        let image = image(machine).unwrap().expect("there is user-data");
        let fat = FileSystem::new(Cursor::new(image), FsOptions::new()).unwrap();
        assert_eq!(fat.volume_label(), "CIDATA");
        let read = |name| {
            let mut bytes = Vec::new();
            fat.root_dir().open_file(name).unwrap().read_to_end(&mut bytes).unwrap();
            bytes
        };
        (read("user-data"), String::from_utf8(read("meta-data")).unwrap())
    }

    #[test]
    fn user_data_arrive_byte_by_byte_whatever_their_size() {
        for size in [0, 1, 100_000, 700_000] {
            let data = vec![0xab; size];
            assert_eq!(read(&machine(None, Some(&data))).0, data);
        }
        assert_eq!(read(&machine(Some("#cloud-config\n"), None)).0, b"#cloud-config\n");
    }

    #[test]
    fn the_instance_is_another_one_when_its_user_data_are() {
        let (_, one) = read(&machine(Some("a"), None));
        let (_, two) = read(&machine(Some("b"), None));
        assert_ne!(one, two);
        let id = "instance-id: d8a6c9b2-0a3c-4d4e-9b1f-6f4f8a1c2b3d-ca978112";
        assert_eq!(one, format!("{id}\nlocal-hostname: legacy\n"));
    }

    #[test]
    fn a_guest_that_is_told_nothing_has_no_seed() {
        assert_eq!(image(&machine(None, None)).unwrap(), None);
    }

    #[test]
    fn the_same_machine_has_the_same_seed() {
        let seed = || image(&machine(Some("a"), None)).unwrap();
        assert_eq!(seed(), seed());
    }
}
