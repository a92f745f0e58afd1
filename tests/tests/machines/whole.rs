//! A virtual machine through all of it: `hostctl`, `hostd`, `hostd-virt`, libvirtd, QEMU, the guest.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use basalt_cmd::Cmd;
use basalt_tests::ground::own_small_disk;
use serde_json::Value;

use crate::daemon::{Daemon, may_run};
use crate::ground::{TEST_DRIVER, sha256};
use crate::guest;
use crate::stage::{Stage, emulator, file, says};
use crate::web::{Answer, Web};

#[tokio::test]
async fn a_machine_is_applied_speaks_comes_back_and_goes_with_its_disk() {
    if !may_run() {
        return;
    }
    let daemon = Daemon::start();
    let stage = Stage::start(tempfile::tempdir().unwrap(), &daemon.uri(), "");
    stage.apply("guest", 256, "stop_grace_s = 60", &file(&guest::image(), "raw"));
    let uid = stage.is("guest", "running")["uid"].as_str().unwrap().to_owned();
    stage.hears("guest", "guest is up", 1);
    assert_eq!(says(&stage.must(&["logs", "guest", "--tail", "1"]), "guest is up"), 1);

    Cmd::new("kill").args(["-9", &emulator(&uid)]).run().unwrap();
    let restarted = || stage.workload("guest").filter(|one| one["restarts"] == 1);
    stage.until("it came back", restarted);
    stage.is("guest", "running");
    stage.hears("guest", "guest is up", 2);

    let domain = format!("guest-{}", &uid[..8]);
    // Drift: whatever somebody does to it by virsh, it runs again, once.
    for (count, drift) in [(3, &["destroy"][..]), (4, &["undefine", "destroy"])] {
        for word in drift {
            let nvram: &[&str] = if *word == "undefine" { &["--nvram"] } else { &[] };
            daemon.virsh(&[&[*word, domain.as_str()], nvram].concat());
        }
        stage.hears("guest", "guest is up", count);
        stage.is("guest", "running");
        let domains = daemon.virsh(&["list", "--all", "--name"]);
        assert_eq!(domains.trim(), domain, "{drift:?}");
    }
    stage.must(&["delete", "guest"]);
    stage.until("it is gone", || stage.workload("guest").is_none().then_some(()));
    assert_eq!(stage.machines(), Vec::<PathBuf>::new());
    assert_eq!(daemon.virsh(&["list", "--all", "--name"]).trim(), "");
    assert!(!stage.path(&format!("run/hostd-virt/seeds/{uid}.img")).exists());
}

/// A disk that boots nothing: its machine runs, and hears no button.
fn nothing(stage: &Stage) -> String {
    let path = stage.path("nothing");
    std::fs::write(&path, [0; 65_536]).unwrap();
    file(&path, "raw")
}

#[tokio::test]
async fn a_machine_that_somebody_paused_goes_on_by_itself_as_the_same_one() {
    if !may_run() {
        return;
    }
    let daemon = Daemon::start();
    let stage = Stage::start(tempfile::tempdir().unwrap(), &daemon.uri(), "");
    stage.apply("guest", 32, "firmware = \"bios\"\nstop_grace_s = 1", &nothing(&stage));
    let uid = stage.is("guest", "running")["uid"].as_str().unwrap().to_owned();
    let (domain, process) = (format!("guest-{}", &uid[..8]), emulator(&uid));
    let is = |state: &str| (daemon.virsh(&["domstate", &domain]).trim() == state).then_some(());
    daemon.virsh(&["suspend", &domain]);
    stage.until("libvirt lets it go on", || is("running"));
    let now = stage.is("guest", "running");
    assert_eq!((&now["restarts"], emulator(&uid)), (&Value::from(0), process.clone()));

    // A hold of the host's operator is how it rests.
    stage.must(&["stop", "guest"]);
    stage.is("guest", "stopped");
    assert_eq!(is("shut off"), Some(()));
    stage.must(&["start", "guest"]);
    stage.is("guest", "running");
    assert_ne!(emulator(&uid), process);
}

#[tokio::test]
async fn what_a_machines_spec_says_its_guest_hears_and_has_its_time_to_end() {
    const GRACE: Duration = Duration::from_secs(8);
    if !may_run() {
        return;
    }
    let daemon = Daemon::start();
    let stage = Stage::start(tempfile::tempdir().unwrap(), &daemon.uri(), "");
    let image = stage.path("guest.qcow2");
    let convert = ["convert", "-f", "raw", "-O", "qcow2"];
    Cmd::new("qemu-img").args(convert).args([&guest::image(), &image]).run().unwrap();
    let vm = format!(
        "user_data = \"greetings from outside\\ndeaf\\n\"\nstop_grace_s = {}",
        GRACE.as_secs()
    );
    stage.apply("guest", 256, &vm, &file(&image, "qcow2"));
    let uid = stage.is("guest", "running")["uid"].as_str().unwrap().to_owned();
    stage.hears("guest", "seed: greetings from outside", 1);
    stage.hears("guest", "seed: local-hostname: guest", 1);
    stage.hears("guest", "guest hears no button", 1);
    stage.hears("guest", "guest is up", 1);
    // The overlay says of what format the image under it is: nobody guesses.
    let disk = stage.path(&format!("var/lib/hostd-virt/machines/{uid}/disk.qcow2"));
    let info = Cmd::new("qemu-img").args(["info", "-U", "--output", "json"]).arg(&disk);
    let info: Value = serde_json::from_str(&info.run().unwrap().stdout_text()).unwrap();
    assert_eq!(info["backing-filename-format"], "qcow2", "{info}");

    let process = emulator(&uid);
    let began = Instant::now();
    stage.must(&["stop", "guest"]);
    while began.elapsed() < GRACE {
        let now = (emulator(&uid), began.elapsed());
        assert!(now.0 == process || now.1 >= GRACE, "it ended after {:?}", now.1);
        std::thread::sleep(Duration::from_millis(100));
    }
    stage.is("guest", "stopped");
    let took = began.elapsed();
    assert!(took < GRACE + Duration::from_secs(30), "{took:?}");
    assert_eq!(emulator(&uid), "");
    assert_eq!(says(&stage.must(&["logs", "guest"]), "guest goes down"), 0);
}

/// Verified images, and whatever else lies beside them.
fn images(stage: &Stage) -> Vec<String> {
    let entries = std::fs::read_dir(stage.path("var/lib/hostd-virt/images")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

const BIOS: &str = "firmware = \"bios\"";

fn remount(folder: &Path, mib: u32) {
    let options = std::ffi::CString::new(format!("size={mib}m")).unwrap();
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount_remount(folder, flags, options.as_c_str()).unwrap();
}

#[tokio::test]
async fn an_image_that_meets_a_full_disk_is_told_harms_nobody_and_comes_once_there_is_room() {
    if !may_run() {
        return;
    }
    let large = vec![7; 3 << 20];
    let root = tempfile::tempdir().unwrap();
    let disk = root.path().join("var/lib/hostd-virt");
    own_small_disk(&disk, 2).unwrap();
    // In this network, as who fetches from it.
    let web = Web::new(Answer::Bytes(large.clone()));
    let stage = Stage::start(root, TEST_DRIVER, &format!("url_allow = [{:?}]", web.name()));
    stage.apply("before", 32, BIOS, &nothing(&stage));
    stage.is("before", "running");

    let sha256 = sha256(&large);
    let url = format!("url = {:?}\nsha256 = {sha256:?}\nformat = \"raw\"", web.url());
    stage.apply("large", 32, BIOS, &url);
    let failed = stage.is("large", "failed");
    assert_eq!(failed["reason"], "no space left on the disk for its image");
    assert_eq!(images(&stage).len(), 1, "{:?}", images(&stage));
    // Neither what runs nor what comes has less room for it.
    stage.apply("after", 32, BIOS, &nothing(&stage));
    stage.is("after", "running");
    assert_eq!(stage.workload("before").unwrap()["state"], "running");

    remount(&disk, 16);
    stage.is("large", "running");
    assert!(images(&stage).contains(&format!("{sha256}.raw")), "{:?}", images(&stage));
    assert_eq!(images(&stage).len(), 2);
}
