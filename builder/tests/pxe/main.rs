//! `basalt pxe serve` in a lab: the real program with the real dnsmasq, beside the DHCP server that
//! the network has.

mod lab;
mod machine;
mod serving;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use basalt_cmd::Cmd;
use rustix::process::Signal;

use lab::{IPXE, Lab, ROUTER, SERVER};
use machine::{Kind, Machine};
use serving::{Build, Serving};

/// What lies at a URL.
fn fetch(url: &str) -> Vec<u8> {
    let cmd = Cmd::new("curl").args(["--silent", "--show-error", "--fail", "--noproxy", "*"]);
    // Of TFTP, what fits into a packet.
    let cmd = cmd.args(["--tftp-blksize", "1468", url]).output_cap(64 << 20);
    cmd.run().expect("it is served").stdout
}

/// Which URL stands behind a word of the script, and before the next blank.
fn url_behind<'s>(script: &'s str, word: &str) -> &'s str {
    let (_, behind) = script.split_once(word).expect("the script has it");
    behind.split_whitespace().next().expect("a URL")
}

#[test]
fn a_machine_boots_beside_the_networks_own_dhcp_server() {
    let Some(lab) = Lab::prepare() else { return };
    let build = Build::new();
    let serving = Serving::start(&lab, &build);

    let told = Machine::start(Kind::Firmware).boot();
    assert_eq!((told.from, &*told.file), (SERVER, "ipxe.efi"));
    let fetched = fetch(&format!("tftp://{}/{}", told.from, told.file));
    assert!(fetched == fs::read(IPXE).unwrap(), "{} bytes", fetched.len());

    let told = Machine::start(Kind::Ipxe).boot();
    assert_eq!(told.file, serving.script());
    let script = String::from_utf8(fetch(&told.file)).unwrap();
    assert!(script.starts_with("#!ipxe\n"), "{script}");
    for (word, name) in [
        ("\nkernel ", "vmlinuz"),
        ("\ninitrd --name initrd.img ", "initrd.img"),
        (" basalt.live.url=", "rootfs.squashfs"),
    ] {
        let fetched = fetch(url_behind(&script, word));
        assert!(fetched == build.read(name), "{name}: {} bytes", fetched.len());
    }
}

#[test]
fn a_machine_that_does_not_boot_from_the_network_hears_nothing_of_it() {
    let Some(lab) = Lab::prepare() else { return };
    let build = Build::new();
    let _serving = Serving::start(&lab, &build);
    let mut machine = Machine::start(Kind::Ordinary);
    machine.discover(&[ROUTER]);
    // What is asked later is answered later.
    machine.becomes(Kind::Firmware);
    machine.discover(&[ROUTER, SERVER]);
    let heard = machine.heard_of_the_first();
    assert!(
        heard.iter().all(|reply| reply.by == ROUTER && !reply.speaks_of_booting()),
        "{heard:?}"
    );
}

#[test]
fn ctrl_c_ends_it_well_and_leaves_nothing_behind() {
    let Some(lab) = Lab::prepare() else { return };
    let build = Build::new();
    let mut serving = Serving::start(&lab, &build);
    let dnsmasq = serving.dnsmasq();
    let ended = serving.end(Signal::INT);
    assert_eq!(ended.code(), Some(0), "{}", serving.said());
    dnsmasq.ends();
    assert_eq!(fs::read_dir(serving.work()).unwrap().count(), 0);
}

#[test]
fn dnsmasq_dies_with_it_however_it_dies() {
    let Some(lab) = Lab::prepare() else { return };
    let build = Build::new();
    let mut serving = Serving::start(&lab, &build);
    let dnsmasq = serving.dnsmasq();
    serving.end(Signal::KILL);
    dnsmasq.ends();
}

#[test]
fn a_second_one_on_a_network_is_refused_and_the_first_goes_on() {
    let Some(lab) = Lab::prepare() else { return };
    let build = Build::new();
    let serving = Serving::start(&lab, &build);
    let said = serving::refused(&lab, &build, |cmd| cmd);
    assert!(said.starts_with("error: cannot serve TFTP at 10.77.0.2:69: "), "{said}");
    assert!(said.contains("hint: nothing else may, another `basalt pxe serve` neither"), "{said}");
    assert_eq!(Machine::start(Kind::Ipxe).boot().file, serving.script());
}

#[test]
fn what_is_missing_for_dnsmasq_is_told() {
    let Some(lab) = Lab::prepare() else { return };
    let build = Build::new();
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let said = serving::refused(&lab, &build, |cmd| cmd.env("TMPDIR", folder.path()));
    assert!(said.contains("Permission denied"), "{said}");
    for tool in ["ip", "setpriv"] {
        let place = Cmd::new("sh").args(["-c", &format!("command -v {tool}")]).run().unwrap();
        std::os::unix::fs::symlink(place.stdout_text(), folder.path().join(tool)).unwrap();
    }
    let said = serving::refused(&lab, &build, |cmd| cmd.env("PATH", folder.path()));
    assert_eq!(said, "error: no `dnsmasq`\nhint: install the package `dnsmasq-base`\n");
}
