//! A virtual machine applied at `hostd`'s socket, until it runs, over `qemu-img create` and `virsh
//! create` of the same one.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use basalt_cmd::Cmd;
use basalt_tests::engine::Kind;
use basalt_tests::fleet::{DEADLINE, Host, text};
use basalt_tests::ground::Ground;
use basalt_tests::http::ask;
use basalt_tests::image::hash;
use basalt_tests::libvirt::Libvirt;
use serde_json::{Value, json};

use crate::pairs::alternate;
use crate::print::measure;

const PAIRS: u32 = 10;
/// Bytes of the image: it is verified once, before anything is timed.
const IMAGE: usize = 64 << 20;

pub(crate) fn run() {
    let ground = Ground::prepare(Kind::Podman).unwrap();
    let libvirt = Libvirt::start();
    let mut host = Host::new(&ground, "host");
    let image = allow(&host, &ground, &libvirt);
    host.start();
    let document = document(&host, &libvirt, &image);
    let ours = || by_hostd(&host, &image);
    let hand = || by_hand(&ground, &libvirt, &image, &document);
    hand();
    let (ours, hand) = alternate(PAIRS, ours, hand);
    ours.print("hostd: apply → running");
    hand.print("`qemu-img create` + `virsh create`");
    measure("apply over by hand, medians", ours.median() / hand.median(), "×", Some(1.2));
}

/// Lets a host have machines from its next start on; the image of a disk that boots nothing.
pub(crate) fn allow(host: &Host, ground: &Ground, libvirt: &Libvirt) -> PathBuf {
    basalt_tests::libvirt::let_qemu_in(ground);
    let image = ground.path("image.raw");
    fs::write(&image, vec![0; IMAGE]).unwrap();
    let folder = ground.path("");
    let paths = text(&folder).trim_end_matches('/');
    let uri = libvirt.uri();
    let machines = format!("[machines]\nuri = {uri:?}\naccel = \"tcg\"\n");
    host.configure("machines", &format!("{machines}[policy]\nhost_paths = [{paths:?}]\n"));
    image
}

pub(crate) fn spec(image: &Path) -> Value {
    let sha256 = hash(&vec![0; IMAGE]);
    json!({
        "name": "measured", "kind": "vm", "resources": { "cpus": 1, "memory_mib": 64 },
        "vm": {
            "firmware": "bios", "network": "none", "stop_grace_s": 1,
            "disk": { "file": text(image), "format": "raw", "sha256": sha256 },
        },
    })
}

pub(crate) fn apply(host: &Host, image: &Path) {
    let body = json!({ "workloads": [spec(image)] }).to_string().into_bytes();
    let answer = ask(&host.socket(), "POST /v1/workloads", "application/json", &body).unwrap();
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    let end = Instant::now() + DEADLINE;
    // It is not there before the loop has heard of it.
    while host.workloads().unwrap().get("measured").is_none_or(|one| one["state"] != "running") {
        assert!(Instant::now() < end, "it does not run: {:?}", host.workloads());
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn delete(host: &Host) {
    // It hears no button: stopped by its own grace, not by that of all guests.
    assert_eq!(host.ask("POST /v1/workloads/measured/stop").unwrap().status, 200);
    host.becomes(&[("measured", "stopped")]);
    assert_eq!(host.ask("DELETE /v1/workloads/measured").unwrap().status, 200);
    host.becomes(&[]);
    std::thread::sleep(Duration::from_millis(300));
}

fn by_hostd(host: &Host, image: &Path) -> Duration {
    let began = Instant::now();
    apply(host, image);
    let took = began.elapsed();
    delete(host);
    took
}

/// The domain as `hostd-virt` has it, for another disk and under another name.
fn document(host: &Host, libvirt: &Libvirt, image: &Path) -> String {
    apply(host, image);
    let names = libvirt.virsh(&["list", "--name"]);
    let name = names.lines().next().unwrap().to_owned();
    let xml = libvirt.virsh(&["dumpxml", "--inactive", &name]);
    delete(host);
    let between = |xml: &str, begin: &str, end: &str| {
        let from = xml.find(begin).unwrap() + begin.len();
        xml[from..from + xml[from..].find(end).unwrap()].to_owned()
    };
    let disk = between(&xml, "<source file='", "'");
    let log = between(&xml, "<log file='", "'");
    let uuid = between(&xml, "<uuid>", "</uuid>");
    xml.replace(&disk, "DISK")
        .replace(&log, "LOG")
        .replace(&format!("<uuid>{uuid}</uuid>"), "")
        .replace(&name, "by-hand")
}

fn by_hand(ground: &Ground, libvirt: &Libvirt, image: &Path, document: &str) -> Duration {
    let folder = ground.path("by-hand");
    fs::create_dir_all(&folder).unwrap();
    let (disk, file) = (folder.join("disk.qcow2"), folder.join("domain.xml"));
    let xml = document.replace("DISK", text(&disk));
    fs::write(&file, xml.replace("LOG", text(&folder.join("console")))).unwrap();
    let began = Instant::now();
    let words = ["create", "-q", "-f", "qcow2", "-F", "raw", "-b"];
    Cmd::new("qemu-img").args(words).arg(image).arg(&disk).run().unwrap();
    let _ = libvirt.virsh(&["create", text(&file)]);
    let took = began.elapsed();
    let _ = libvirt.virsh(&["destroy", "by-hand"]);
    fs::remove_file(&disk).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    took
}
