//! A host in a folder: its machines, its images, what is asked of it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use basalt_api::id::WorkloadUid;
use basalt_api::set::Assigned;
use basalt_api::virt::{Accel, Settings};
use basalt_api::workload::{
    Cpus, DiskFormat, Firmware, Kind, Resources, Vm, VmDisk, VmNetwork, WorkloadSpec,
};
pub(crate) use basalt_tests::image::hash as sha256;
use hostd::machines::{Deadlines, Machines};
use hostd::runtime::{Make, Runtime, RuntimeError};
use hostd_core::instance::{Instance, InstanceState, Owner};
use rustix::process::Signal;
use tempfile::TempDir;

/// Far beyond what anything here takes.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// libvirt's own driver that runs nothing and lives as long as its process.
pub(crate) const TEST_DRIVER: &str = "test:///default";

pub(crate) struct Host {
    root: TempDir,
    pub(crate) machines: Machines,
}

impl Host {
    pub(crate) fn new(uri: &str) -> Self {
        Self::with(uri, |_, _| ())
    }

    /// One whose settings are changed first.
    pub(crate) fn with(uri: &str, change: impl FnOnce(&mut Settings, &mut Deadlines)) -> Self {
        let root = tempfile::tempdir().unwrap();
        // QEMU is another user.
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let folder = |name| root.path().join(name).to_str().unwrap().to_owned();
        let mut settings = Settings {
            uri: uri.to_owned(),
            state: folder("state"),
            seeds: folder("seeds"),
            accel: Accel::Tcg,
            url_allow: Vec::new(),
            // Where the guest lies, too.
            host_paths: vec![
                root.path().to_str().unwrap().to_owned(),
                env!("CARGO_TARGET_TMPDIR").to_owned(),
            ],
            max_image_bytes: 1 << 30,
            idle_s: 20,
        };
        let mut deadlines = Deadlines::default();
        change(&mut settings, &mut deadlines);
        let machines = Machines::new(program("hostd-virt"), settings, deadlines);
        Self { root, machines }
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    /// Puts an image on the host, and names it as a disk.
    pub(crate) fn image(&self, name: &str, bytes: &[u8]) -> VmDisk {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        file_disk(&path)
    }

    /// What lies in the cache of images.
    pub(crate) fn cache(&self) -> Vec<String> {
        names(&self.path("state/images"))
    }

    /// What lies in the folder of machines.
    pub(crate) fn folders(&self) -> Vec<String> {
        names(&self.path("state/machines"))
    }

    /// Brings a machine from nothing to being made.
    pub(crate) async fn make(&self, make: &Make) -> Result<(), RuntimeError> {
        self.machines.prepare(make).await?;
        self.machines.create(make).await
    }

    /// How the machine is, once this is so.
    pub(crate) async fn until(
        &self,
        uid: WorkloadUid,
        is_so: impl Fn(&InstanceState) -> bool,
    ) -> Instance {
        let until = Instant::now() + DEADLINE;
        loop {
            let all = self.machines.observe().await.unwrap().instances;
            let found = all.into_iter().find(|one| one.uid == uid);
            let state = found.as_ref().map(|one| one.state.clone());
            if let Some(found) = found.filter(|one| is_so(&one.state)) {
                return found;
            }
            assert!(Instant::now() < until, "it never was so; it is {state:?}");
            let _ = tokio::time::timeout(Duration::from_secs(1), self.machines.changed()).await;
        }
    }

    /// Kills the process behind the host's back, and waits until that was noticed.
    pub(crate) async fn kill_process(&self) {
        let process = self.machines.process_id().await.unwrap();
        signal(process, Signal::KILL);
        let noticed = async {
            while self.machines.process_id().await == Some(process) {
                let changed = self.machines.changed();
                let _ = tokio::time::timeout(Duration::from_millis(20), changed).await;
            }
        };
        tokio::time::timeout(DEADLINE, noticed).await.expect("its end is noticed");
    }

    /// How the machine is now.
    pub(crate) async fn state(&self, uid: WorkloadUid) -> Option<InstanceState> {
        let all = self.machines.observe().await.unwrap().instances;
        all.into_iter().find(|one| one.uid == uid).map(|one| one.state)
    }
}

/// A program under test, which lies where this test's own does.
pub(crate) fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let path = own.ancestors().nth(2).unwrap().join(name);
    let hint = "hint: `cargo build --release -p hostd -p hostd-virt`";
    assert!(path.is_file(), "there is no `{}`\n{hint}", path.display());
    path
}

/// A machine that wants as little as there can be.
pub(crate) fn small(disk: VmDisk) -> Make {
    let uid = WorkloadUid(uuid::Uuid::new_v4());
    let vm = Vm {
        disk,
        firmware: Firmware::Bios,
        network: VmNetwork::None,
        user_data: None,
        user_data_secret: None,
        stop_grace_s: None,
    };
    let spec = WorkloadSpec {
        resources: Resources { cpus: Some(Cpus::whole(1)), memory_mib: Some(64) },
        vm: Some(vm),
        ..WorkloadSpec::empty("small".parse().unwrap(), Kind::Vm)
    };
    let assigned = Assigned { uid, spec, secret_versions: BTreeMap::new() };
    let (secrets, private) = (BTreeMap::new(), PathBuf::from("/nonexistent"));
    Make { assigned, owner: Owner::Local, secrets, private }
}

/// The machine's own part of what is made.
pub(crate) fn vm(make: &mut Make) -> &mut Vm {
    make.assigned.spec.vm.as_mut().unwrap()
}

/// A disk whose image is this raw file.
pub(crate) fn file_disk(path: &Path) -> VmDisk {
    let file = Some(path.to_str().unwrap().to_owned());
    let sha256 = sha256(&fs::read(path).unwrap());
    VmDisk { url: None, file, sha256, format: DiskFormat::Raw, size_gib: None }
}

/// A disk whose raw image is these bytes at this URL.
pub(crate) fn url_disk(url: &str, bytes: &[u8]) -> VmDisk {
    let (url, sha256) = (Some(url.to_owned()), sha256(bytes));
    VmDisk { url, file: None, sha256, format: DiskFormat::Raw, size_gib: None }
}

/// Waits until this is so.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < until, "it never was so: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn signal(process: u32, signal: Signal) {
    let pid = rustix::process::Pid::from_raw(process.cast_signed()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = match fs::read_dir(folder) {
        Ok(entries) => {
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
        }
        Err(_) => Vec::new(),
    };
    names.sort();
    names
}
