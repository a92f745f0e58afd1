//! Machines on a real libvirtd and QEMU.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use basalt_api::id::WorkloadUid;
use basalt_api::workload::{Cpus, Firmware, VmNetwork};
use basalt_cmd::Cmd;
use basalt_tests::ground::{fill, own_small_disk};
use bytes::Bytes;
use hostd::runtime::{Data, Failure, LogsWanted, Make, Runtime};
use hostd_core::instance::{Instance, InstanceState};
use tokio::sync::mpsc;

use crate::daemon::{Daemon, may_run};
use crate::ground::{DEADLINE, Host, file_disk, small, vm};
use crate::guest;

/// An emulated processor boots the guest in seconds; a busy machine takes its time.
const BOOT: Duration = Duration::from_secs(90);

/// What a guest says, as it comes.
struct Console {
    from: mpsc::Receiver<Bytes>,
    heard: String,
}

impl Console {
    async fn of(host: &Host, make: &Make) -> Self {
        let wanted = LogsWanted { tail: Some(0), follow: true };
        let from = host.machines.logs(make.assigned.uid, wanted).await.unwrap();
        Self { from, heard: String::new() }
    }

    async fn until(&mut self, expected: &str) {
        while !self.heard.contains(expected) {
            match tokio::time::timeout(BOOT, self.from.recv()).await {
                Ok(Some(bytes)) => self.heard.push_str(&String::from_utf8_lossy(&bytes)),
                _ => panic!("the guest never said {expected:?}, but\n{}", self.heard),
            }
        }
    }
}

fn is_running(state: &InstanceState) -> bool {
    matches!(state, InstanceState::Running { .. })
}

fn full() -> Make {
    let mut make = small(file_disk(&guest::image()));
    make.assigned.spec.resources.cpus = Some(Cpus::whole(2));
    make.assigned.spec.resources.memory_mib = Some(256);
    let vm = vm(&mut make);
    (vm.firmware, vm.network) = (Firmware::Uefi, VmNetwork::Nat);
    vm.disk.size_gib = Some(1);
    vm.user_data_secret = Some("seed".parse().unwrap());
    make.secrets.insert("seed".parse().unwrap(), b"greetings from outside\n".to_vec());
    make
}

/// A libvirtd and a host whose machines it runs; none where this cannot be. On the test's own
/// thread.
fn ground() -> Option<(Daemon, Host)> {
    may_run().then(|| {
        let daemon = Daemon::start();
        let host = daemon.host();
        (daemon, host)
    })
}

/// Makes and starts a machine, and waits until it runs.
async fn runs(host: &Host, make: &Make) -> Instance {
    host.make(make).await.unwrap();
    host.machines.start(make.assigned.uid).await.unwrap();
    host.until(make.assigned.uid, is_running).await
}

/// Whether the one machine is as it was before.
async fn goes_on(host: &Host, before: &Instance) {
    let now = host.until(before.uid, is_running).await;
    assert_eq!(now.state, before.state, "it runs since the same moment");
}

#[tokio::test]
async fn a_guest_boots_speaks_outlives_its_keepers_and_shuts_down() {
    let Some((mut daemon, host)) = ground() else { return };
    let make = full();
    let uid = make.assigned.uid;
    host.make(&make).await.unwrap();
    let mut console = Console::of(&host, &make).await;
    host.machines.start(uid).await.unwrap();
    console.until("cpus: 2, memory: 2").await;
    console.until("disk: 1073741824").await;
    console.until("seed: greetings from outside").await;
    console.until("seed: local-hostname: small").await;
    console.until("lease: yes").await;
    console.until("guest is up").await;
    // libvirt's dnsmasq tells of a lease a moment after the guest has it.
    let mut seen = host.until(uid, is_running).await;
    for _ in 0..100 {
        if !seen.addresses.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        seen = host.until(uid, is_running).await;
    }
    assert!(seen.addresses.iter().any(|one| one.starts_with("192.168.122.")), "{seen:?}");

    host.kill_process().await;
    goes_on(&host, &seen).await;

    daemon.kill_and_start();
    let back = async {
        while host.machines.observe().await.is_err() {
            host.machines.changed().await;
        }
    };
    tokio::time::timeout(DEADLINE, back).await.expect("libvirtd is found again");
    goes_on(&host, &seen).await;

    host.machines.stop(uid, DEADLINE).await.unwrap();
    console.until("guest goes down").await;
    let state = host.state(uid).await.unwrap();
    assert!(matches!(state, InstanceState::Ended { code: Some(0), note: None, .. }), "{state:?}");

    host.machines.start(uid).await.unwrap();
    host.until(uid, is_running).await;
    host.machines.stop(uid, Duration::ZERO).await.unwrap();
    host.machines.remove(uid, Data::Delete).await.unwrap();
    assert_eq!(daemon.virsh(&["list", "--all", "--name"]).trim(), "");
    assert_eq!(host.folders(), [""; 0]);
}

/// A machine whose disk boots nothing: it runs, and hears no button.
fn deaf(host: &Host) -> Make {
    small(host.image("nothing", &[0; 65_536]))
}

#[tokio::test]
async fn what_the_spec_says_is_what_libvirt_has() {
    let Some((daemon, host)) = ground() else { return };
    let mut plain = deaf(&host);
    plain.assigned.spec.resources.cpus = Some(Cpus::whole(2));
    plain.assigned.spec.resources.memory_mib = Some(96);
    vm(&mut plain).user_data = Some("#cloud-config\n# in the open\n".to_owned());
    let mut other = deaf(&host);
    (vm(&mut other).firmware, vm(&mut other).network) = (Firmware::Uefi, VmNetwork::Nat);
    let xml = async |make: &Make| {
        host.make(make).await.unwrap();
        let uid = make.assigned.uid.to_string();
        (daemon.virsh(&["dumpxml", &uid]), uid)
    };
    let (xml_of_plain, uid) = xml(&plain).await;
    let seed = host.path(&format!("seeds/{uid}.img"));
    let disk = host.path(&format!("state/machines/{uid}/disk.qcow2"));
    for there in [
        "<domain type='qemu'>",
        "<memory unit='KiB'>98304</memory>",
        "<vcpu placement='static'>2</vcpu>",
        &format!("<source file='{}'/>", disk.display()),
        &format!("<source file='{}'/>", seed.display()),
        &format!("file='{}'", host.path(&format!("state/machines/{uid}/serial.log")).display()),
        "<on_crash>destroy</on_crash>",
    ] {
        assert!(xml_of_plain.contains(there), "{there} is not in {xml_of_plain}");
    }
    for not_there in ["<interface", "firmware='efi'", "<nvram", "in the open"] {
        assert!(!xml_of_plain.contains(not_there), "{not_there} is in {xml_of_plain}");
    }
    let told = std::fs::read(seed).unwrap();
    assert!(told.windows(11).any(|part| part == b"in the open"), "the guest is not told");
    let (xml_of_other, _) = xml(&other).await;
    for there in ["firmware='efi'", "<nvram", "<source network='default'", "<model type='virtio'/>"]
    {
        assert!(xml_of_other.contains(there), "{there} is not in {xml_of_other}");
    }
    assert!(!xml_of_other.contains("'vdb'"), "it has a seed: {xml_of_other}");
}

#[tokio::test]
async fn a_guest_that_hears_no_button_is_switched_off_when_its_grace_is_over() {
    let Some((_daemon, host)) = ground() else { return };
    let make = deaf(&host);
    let uid = runs(&host, &make).await.uid;
    let began = std::time::Instant::now();
    host.machines.stop(uid, Duration::from_secs(2)).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(2), "it had its grace");
    let state = host.state(uid).await.unwrap();
    let InstanceState::Ended { code: None, note: Some(note), .. } = state else {
        panic!("{state:?}")
    };
    assert_eq!(note, "switched off");
}

#[tokio::test]
async fn a_guest_whose_emulator_dies_has_crashed() {
    let Some((_daemon, host)) = ground() else { return };
    let make = deaf(&host);
    let uid = runs(&host, &make).await.uid;
    let ended = crashes(&host, uid).await;
    let InstanceState::Ended { code: None, note: Some(note), .. } = ended.state else {
        panic!("{ended:?}")
    };
    assert_eq!(note, "crashed");
    host.machines.start(uid).await.unwrap();
    host.until(uid, is_running).await;
}

/// Its emulator dies, which is seen.
async fn crashes(host: &Host, uid: WorkloadUid) -> Instance {
    let pattern = format!("^[^ ]*qemu-system-x86_64 .*-uuid {uid} ");
    let pids = Cmd::new("pgrep").args(["-f", &pattern]).run().expect("it runs").stdout_text();
    Cmd::new("kill").args(["-9", &pids]).run().expect("it is ours");
    host.until(uid, |state| matches!(state, InstanceState::Ended { .. })).await
}

#[tokio::test]
async fn a_machine_that_ended_on_a_full_disk_starts_again() {
    if !may_run() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o711)).unwrap();
    let disk = folder.path().join("disk");
    own_small_disk(&disk, 8).unwrap();
    let daemon = Daemon::start();
    let host = daemon.host_in(&disk);
    let make = deaf(&host);
    let uid = runs(&host, &make).await.uid;
    let ballast = disk.join("ballast");
    fill(&ballast).unwrap();
    for _ in 0..3 {
        let ended = crashes(&host, uid).await;
        let InstanceState::Ended { at, .. } = ended.state else { panic!("{ended:?}") };
        assert!(fill(&ballast.with_extension("more")).is_ok(), "there is no room");
        host.machines.start(uid).await.unwrap();
        let running = host.until(uid, is_running).await;
        let InstanceState::Running { since } = running.state else { panic!("{running:?}") };
        assert!(since >= at, "it was noted: {since} {at}");
        goes_on(&host, &running).await;
    }
    // What was set aside is gone: it says why, and starts once there is room.
    crashes(&host, uid).await;
    let next = disk.join(format!("state/machines/{uid}/record.next"));
    std::fs::remove_file(next).unwrap();
    fill(&ballast.with_extension("all")).unwrap();
    let error = host.machines.start(uid).await.unwrap_err();
    let expected = "cannot write its files: No space left on device";
    assert!(error.message.starts_with(expected), "{error}");
    for name in ["ballast", "ballast.more", "ballast.all"] {
        std::fs::remove_file(disk.join(name)).unwrap();
    }
    host.machines.start(uid).await.unwrap();
    host.until(uid, is_running).await;
}

#[tokio::test]
async fn a_guest_on_a_full_disk_is_paused_and_goes_on_once_there_is_room() {
    if !may_run() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o711)).unwrap();
    let disk = folder.path().join("disk");
    // The image has 40 MiB, and the guest wants to write 24.
    own_small_disk(&disk, 56).unwrap();
    let daemon = Daemon::start();
    let host = daemon.host_in(&disk);
    let mut make = full();
    vm(&mut make).network = VmNetwork::None;
    make.secrets.insert("seed".parse().unwrap(), b"fill: 24\n".to_vec());
    let uid = make.assigned.uid;
    host.make(&make).await.unwrap();
    let mut console = Console::of(&host, &make).await;
    host.machines.start(uid).await.unwrap();
    console.until("guest is up").await;
    let is_paused = |state: &InstanceState| matches!(state, InstanceState::Paused { .. });
    let paused = host.until(uid, is_paused).await;
    let InstanceState::Paused { reason, may_resume: true, .. } = paused.state else {
        panic!("{paused:?}")
    };
    assert_eq!(reason, "the host's disk is full, and it has to write");
    let remount = rustix::mount::MountFlags::empty();
    rustix::mount::mount_remount(&disk, remount, c"size=300m").unwrap();
    host.machines.start(uid).await.unwrap();
    console.until("guest has written").await;
    host.until(uid, is_running).await;
}

#[tokio::test]
async fn what_libvirt_does_not_start_says_why_and_stays_as_it_was() {
    let Some((daemon, host)) = ground() else { return };
    let mut make = deaf(&host);
    vm(&mut make).network = VmNetwork::Nat;
    let uid = make.assigned.uid;
    host.make(&make).await.unwrap();
    let _ = daemon.virsh(&["net-destroy", "default"]);
    let error = host.machines.start(uid).await.unwrap_err();
    assert_eq!(error.kind, Failure::Workload);
    let expected = "cannot start `small`: ";
    assert!(error.message.starts_with(expected), "{error}");
    assert!(error.message.contains("network 'default' is not active"), "{error}");
    assert_eq!(host.state(uid).await, Some(InstanceState::Made));
}

#[tokio::test]
async fn an_image_stays_roots_while_a_guest_uses_it() {
    let Some((_daemon, host)) = ground() else { return };
    let make = deaf(&host);
    let uid = runs(&host, &make).await.uid;
    let owner = |path: &Path| path.metadata().unwrap().uid();
    let image = host.path("state/images").join(&host.cache()[0]);
    let disk = host.path(&format!("state/machines/{uid}/disk.qcow2"));
    assert_eq!(owner(&image), 0);
    assert_ne!(owner(&disk), 0, "QEMU runs as another user, and this is its own");
    let mode = |path: &Path| path.metadata().unwrap().mode() & 0o777;
    assert_eq!((mode(&image), mode(&disk)), (0o444, 0o600));
}
