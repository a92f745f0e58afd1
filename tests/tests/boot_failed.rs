//! What follows a boot that failed: the image's own scripts, run with `sh` over hosts that are
//! laid out in folders, with the programs that they call replaced by ones that tell of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use basalt_cmd::{Cmd, Output};
use basalt_sysroot::entry::{EntryName, choose};
use basalt_sysroot::loader::{FAILURE_FILE, Variable, decode_failure};
use basalt_sysroot::slot::Slot;
use proptest::prelude::*;
use tempfile::TempDir;

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../images/initramfs/usr/lib/basalt");
/// A whole entry ends with its kernel.
const WHOLE: &str = "title Basalt\nversion 1\noptions ostree\ninitrd /i\nlinux /k\n";

/// Writes entries into a folder of their own.
fn entries(list: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for name in list.split_whitespace() {
        write(&folder.path().join(format!("basalt-{name}.conf")), WHOLE);
    }
    folder
}

fn write(path: &Path, content: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().expect("it lies somewhere")).expect("a folder");
    fs::write(path, content).expect("a file");
}

/// What `may-reboot` says of a boot of `current` with these entries in the folder.
fn decide(current: &str, folder: &Path) -> (bool, String) {
    let path = if current.is_empty() {
        String::new()
    } else {
        format!("\\loader\\entries\\basalt-{current}.conf")
    };
    let script = Path::new(SCRIPTS).join("may-reboot");
    let output = Cmd::new("sh").arg(script).arg(path).arg(folder).output().expect("sh runs");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (output.status.success(), output.stdout_text())
}

fn reboots(current: &str, list: &str, because: &str) {
    let (reboot, why) = decide(current, entries(list).path());
    assert!(reboot && why.contains(because), "{current} of {list}: {why}");
}

fn stays(current: &str, list: &str, because: &str) {
    let (reboot, why) = decide(current, entries(list).path());
    assert!(!reboot && why.contains(because), "{current} of {list}: {why}");
}

#[test]
fn a_boot_that_is_not_on_trial_stays_up() {
    for list in ["", "1-a", "1-a 2-b+3"] {
        stays("", list, "this boot is not on trial");
        stays("1-a", list, "this boot is not on trial");
    }
}

#[test]
fn a_trial_with_tries_left_reboots() {
    reboots("2-b+2-1", "1-a 2-b+2-1", "tries left: 2");
    reboots("2-b+1-2", "2-b+1-2", "tries left: 1");
    reboots("2-b+1-2", "", "tries left: 1");
    reboots("2-b+10-2", "", "tries left: 10");
}

#[test]
fn the_last_try_reboots_only_into_an_entry_that_can_boot() {
    reboots("2-b+0-3", "1-a 2-b+0-3", "basalt-1-a.conf can still boot");
    reboots("2-b+0-3", "1-a+1-2 2-b+0-3", "basalt-1-a+1-2.conf can still boot");
    reboots("2-b+0-3", "1-a+10 2-b+0-3", "basalt-1-a+10.conf can still boot");
    stays("2-b+0-3", "1-a+0-3 2-b+0-3", "no other entry can boot");
    stays("2-b+0-3", "1-a+0 2-b+0-3", "no other entry can boot");
    stays("2-b+0-3", "2-b+0-3", "no other entry can boot");
}

#[test]
fn its_own_name_of_before_the_boot_is_no_other_entry() {
    stays("2-b+0-1", "2-b+1", "no other entry can boot");
    stays("2-b+0-1", "2-b", "no other entry can boot");
    reboots("2-b+0-1", "2-b+0-1 12-b", "basalt-12-b.conf can still boot");
}

#[test]
fn the_menus_entry_is_nothing_to_reboot_into_and_is_left_for_what_can_boot() {
    stays("2-b+0-3", "2-b+0-3 reset-b+0", "no other entry can boot");
    // Whatever somebody has made of its name.
    stays("2-b+0-3", "2-b+0-3 reset-b", "no other entry can boot");
    reboots("reset-a+0-1", "1-a reset-a+0-1", "basalt-1-a.conf can still boot");
    stays("reset-a+0-1", "1-a+0-3 reset-a+0-1", "no other entry can boot");
}

#[test]
fn half_an_entry_cannot_boot() {
    let folder = entries("2-b+0-3");
    write(&folder.path().join("basalt-1-a.conf"), &WHOLE[..30]);
    let (reboot, why) = decide("2-b+0-3", folder.path());
    assert!(!reboot, "{why}");
}

#[test]
fn where_the_esp_cannot_be_read_the_last_try_is_left_once() {
    let nowhere = Path::new("/nonexistent");
    assert!(decide("2-b+0-3", nowhere).0);
    assert!(!decide("2-b+0-4", nowhere).0);
    assert!(decide("2-b+0-4", nowhere).1.contains("the ESP cannot be read"));
}

/// What systemd-boot does to the chosen entry before it starts it.
fn boot(entries: &mut [EntryName]) -> Option<EntryName> {
    let chosen = choose(entries)?;
    let entry = entries.iter_mut().find(|entry| **entry == chosen)?;
    let Some(tries) = entry.tries.as_mut() else { return Some(chosen) };
    tries.left = tries.left.saturating_sub(1);
    tries.done += 1;
    Some(*entry)
}

/// How often a host reboots on which every boot fails; `readable` is whether the ESP is.
fn reboots_of(mut entries: Vec<EntryName>, readable: bool, at_most: usize) -> usize {
    for count in 0..=at_most {
        let current = boot(&mut entries).expect("an entry");
        let folder = tempfile::tempdir().expect("a folder");
        for entry in entries.iter().filter(|_| readable) {
            write(&folder.path().join(entry.to_string()), WHOLE);
        }
        let counted = current.to_string();
        let counted = counted.trim_start_matches("basalt-").trim_end_matches(".conf");
        if !decide(counted, folder.path()).0 {
            return count;
        }
    }
    panic!("it reboots for ever: {entries:?}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_host_on_which_every_boot_fails_stops_rebooting(
        tries in prop::collection::vec(prop::option::of(0..4u32), 1..4),
        readable: bool,
    ) {
        let entry = |(serial, tries): (u64, Option<u32>)| match tries {
            Some(left) => EntryName::on_trial(serial, Slot::A, left),
            None => EntryName::uncounted(serial, Slot::B),
        };
        let all: Vec<EntryName> = (1..).zip(tries).map(entry).collect();
        let bound = 4 * all.len() + 1;
        reboots_of(all, readable, bound);
    }
}

/// A host whose boot failed, and the programs that `boot-failed` finds there.
struct Host(TempDir);

impl Host {
    /// One that was booted by the counted entry `current`, if any.
    fn booted(current: Option<&str>) -> Self {
        let host = Self(tempfile::tempdir().expect("a folder"));
        host.put("sys/class/tty/console/active", "tty0 ttyS0\n");
        host.put("dev/tty0", "");
        for program in ["systemctl", "journalctl", "mount", "sleep"] {
            host.program(&format!("bin/{program}"), "");
        }
        host.program("usr/lib/systemd/systemd-bless-boot", "echo indeterminate");
        for script in ["boot-failed", "may-reboot", "what-failed"] {
            let text = fs::read(Path::new(SCRIPTS).join(script)).expect("the image has it");
            host.executable(&format!("usr/lib/basalt/{script}"), &text);
        }
        if let Some(current) = current {
            let path = format!("\\loader\\entries\\basalt-{current}.conf\0");
            let utf16 = path.encode_utf16().flat_map(u16::to_le_bytes);
            let bytes: Vec<u8> = [6, 0, 0, 0].into_iter().chain(utf16).collect();
            let file = Variable::BootCountPath.file_name();
            write(&host.path(&format!("sys/firmware/efi/efivars/{file}")), bytes);
        }
        host
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.0.path().join(inside)
    }

    fn put(&self, inside: &str, content: &str) {
        write(&self.path(inside), content);
    }

    fn with_entries(self, folder: &str, list: &str) -> Self {
        for name in list.split_whitespace() {
            self.put(&format!("{folder}/basalt-{name}.conf"), WHOLE);
        }
        self
    }

    /// A program that writes down how it was called and then does `what`.
    fn program(&self, inside: &str, what: &str) {
        let log = self.path("log");
        let text = format!("#!/bin/sh\necho \"${{0##*/}} $*\" >>'{}'\n{what}\n", log.display());
        self.executable(inside, text.as_bytes());
    }

    fn executable(&self, inside: &str, text: &[u8]) {
        let path = self.path(inside);
        write(&path, text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    }

    fn fail(&self, how: &str) -> Output {
        let path = std::env::var("PATH").unwrap_or_default();
        Cmd::new("sh")
            .arg(self.path("usr/lib/basalt/boot-failed"))
            .arg(how)
            .env("BASALT_ROOT", self.0.path())
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .deadline(Duration::from_secs(120))
            .output()
            .expect("sh runs")
    }

    fn did(&self, what: &str) -> bool {
        fs::read_to_string(self.path("log")).unwrap_or_default().lines().any(|line| line == what)
    }

    fn console(&self) -> String {
        fs::read_to_string(self.path("dev/tty0")).expect("a console")
    }
}

#[test]
fn every_service_that_runs_once_has_a_deadline() {
    let images = concat!(env!("CARGO_MANIFEST_DIR"), "/../images");
    let mut seen = 0;
    for entry in walkdir::WalkDir::new(images) {
        let path = entry.expect("it can be read").into_path();
        if path.extension().is_none_or(|extension| extension != "service") || path.is_dir() {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a unit");
        if text.contains("Type=oneshot") {
            seen += 1;
            // systemd itself would wait for ever.
            assert!(text.contains("\nTimeoutStartSec="), "{} has no deadline", path.display());
        }
    }
    assert!(seen >= 5, "{seen}");
}

const REBOOT: &str = "systemctl reboot --force";

#[test]
fn a_trial_that_waits_in_the_initramfs_for_ever_is_left_and_says_for_what() {
    let host = Host::booted(Some("2-b+2-1")).with_entries("efi/loader/entries", "1-a 2-b+2-1");
    host.put("etc/initrd-release", "");
    let jobs = "  7 basalt-trial-deadline.service start running\n\
                 12 ostree-prepare-root.service  start running\n\
                 3 initrd.target                start waiting\n";
    host.put("jobs", jobs);
    let list = format!("[ \"$1\" != list-jobs ] || cat '{}'", host.path("jobs").display());
    host.program("bin/systemctl", &list);
    let said = host.fail("deadline").stdout_text();
    assert!(host.did("systemctl reboot --force --force"));
    assert!(
        said.contains("it waits in the initramfs for: ostree-prepare-root.service\n"),
        "{said}"
    );
    assert!(!said.contains("trial-deadline") && !said.contains("initrd.target"), "{said}");
    // Where a reboot leads nowhere else, it may still come to an end.
    let host = Host::booted(None);
    host.put("etc/initrd-release", "");
    host.fail("deadline");
    assert!(!host.did("systemctl reboot --force --force") && !host.did("systemctl reset-failed"));
}

#[test]
fn a_failed_trial_leaves_for_the_other_slot() {
    let host = Host::booted(Some("2-b+0-3")).with_entries("efi/loader/entries", "1-a 2-b+0-3");
    host.fail("gate");
    assert!(host.did(REBOOT) && host.did("journalctl --sync"));
    assert!(host.console().contains("basalt-1-a.conf can still boot"), "{}", host.console());
}

#[test]
fn a_failed_trial_with_both_slots_exhausted_stays_up_and_says_why() {
    let host = Host::booted(Some("2-b+0-3")).with_entries("efi/loader/entries", "1-a+0-3 2-b+0-3");
    host.fail("gate");
    assert!(!host.did(REBOOT));
    assert!(host.console().contains("no other entry can boot"), "{}", host.console());
}

#[test]
fn a_release_that_was_blessed_in_this_boot_is_no_longer_on_trial() {
    let host = Host::booted(Some("2-b+2-1")).with_entries("efi/loader/entries", "1-a 2-b");
    host.program("usr/lib/systemd/systemd-bless-boot", "echo good");
    host.fail("emergency");
    assert!(!host.did(REBOOT));
    assert!(host.did("systemctl --no-block isolate default.target"));
}

#[test]
fn why_a_trial_failed_is_kept_in_the_firmware_once() {
    let entries = ("efi/loader/entries", "1-a 2-b+1-2");
    let host = Host::booted(Some("2-b+1-2")).with_entries(entries.0, entries.1);
    let boot = "1d2b4c3e-52f8-4f13-9885-6219a3993527";
    host.put("proc/sys/kernel/random/boot_id", &format!("{boot}\n"));
    host.program("bin/systemctl", "echo basalt-gate.service loaded failed");
    host.program("bin/journalctl", "[ \"$2\" = -o ] && echo 'hostd is not ready' || true");
    host.fail("gate");
    let file = host.path("sys/firmware/efi/efivars").join(FAILURE_FILE);
    let kept = decode_failure(&fs::read(&file).expect("a variable")).expect("it can be read");
    assert_eq!(kept.boot_id.map(|id| id.to_string()).as_deref(), Some(boot));
    let expected = "gate: units that failed: basalt-gate.service \nhostd is not ready";
    assert_eq!(kept.text, expected);
    // The host's own checks are heard, too.
    let units = "_SYSTEMD_UNIT=basalt-gate.service _SYSTEMD_UNIT=basalt-checks.service";
    let asked = format!("journalctl -b -o cat --no-pager -n 9 {units}");
    assert!(host.did(&asked));
    // Where one of those failed, the gate was passed.
    let other = Host::booted(Some("2-b+1-2")).with_entries(entries.0, entries.1);
    other.program("bin/systemctl", "echo basalt-checks.service loaded failed");
    other.fail("gate");
    let unit = "_SYSTEMD_UNIT=basalt-checks.service";
    assert!(other.did(&format!("journalctl -b -o cat --no-pager -n 9 {unit}")));
    // The next try's cause is not the first one.
    host.program("bin/journalctl", "echo another");
    host.fail("gate");
    let again = decode_failure(&fs::read(&file).expect("a variable")).expect("it can be read");
    assert_eq!(again, kept);
}

#[test]
fn what_is_not_on_trial_leaves_nothing_in_the_firmware() {
    let host = Host::booted(None).with_entries("efi/loader/entries", "1-a");
    host.fail("gate");
    assert!(!host.path("sys/firmware/efi/efivars").join(FAILURE_FILE).exists());
}

#[test]
fn in_the_initramfs_it_looks_into_the_esp_itself() {
    for (list, reboot) in [("1-a 2-b+0-3", true), ("1-a+0-3 2-b+0-3", false)] {
        let host = Host::booted(Some("2-b+0-3"));
        host.put("etc/initrd-release", "");
        // What the ESP holds shows where it is mounted, and only then.
        let host = host.with_entries("esp/loader/entries", list);
        let esp = host.path("esp");
        let mount = format!("for to; do :; done; rmdir \"$to\"; mv '{}' \"$to\"", esp.display());
        host.program("bin/mount", &mount);
        host.fail("emergency");
        assert_eq!(host.did("systemctl reboot --force --force"), reboot, "{}", host.console());
        assert_eq!(host.did("systemctl --no-block isolate initrd.target"), !reboot);
    }
}

#[test]
fn a_live_system_that_does_not_come_up_starts_over_from_its_firmware() {
    let host = Host::booted(None);
    host.put("etc/initrd-release", "");
    host.put("usr/lib/basalt/live.json", "{}");
    host.fail("emergency");
    assert!(host.did("sleep 30") && host.did("systemctl reboot --force --force"));
    assert!(host.console().contains("starting over from the network"), "{}", host.console());
    assert!(!host.did("systemctl --no-block isolate initrd.target"));
}

#[test]
fn a_journal_that_hangs_does_not_keep_a_trial() {
    let host = Host::booted(Some("2-b+2-1")).with_entries("efi/loader/entries", "1-a 2-b+2-1");
    // Only what bounds the wait is replaced: its time, so that the test has not to wait itself.
    host.program("bin/timeout", "shift; exec /usr/bin/timeout 1 \"$@\"");
    host.program("bin/journalctl", "while :; do /bin/sleep 60; done");
    host.fail("gate");
    assert!(host.did("timeout 20 journalctl --sync") && host.did(REBOOT), "{}", host.console());
}
