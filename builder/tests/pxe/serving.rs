//! `basalt pxe serve` as it runs, and what it serves.

use std::fs::{self, File, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use basalt_builder::manifest::{FORM, Live, Manifest, Part};
use basalt_cmd::{Cmd, Running};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tempfile::TempDir;

use crate::lab::{CARD, Lab};

const DEADLINE: Duration = Duration::from_secs(30);

/// The folder of a build with a live system.
pub(crate) struct Build(TempDir);

/// The program.
pub(crate) struct Serving {
    running: Running,
    folder: TempDir,
}

/// The dnsmasq of one, also once it has ended.
pub(crate) struct Dnsmasq(OwnedFd);

impl Build {
    pub(crate) fn new() -> Self {
        let build = Self(tempfile::tempdir().expect("a folder"));
        fs::create_dir(build.0.path().join("live")).expect("a folder");
        let live = Live {
            key: "l".to_owned(),
            kernel: build.part("vmlinuz", 10_000),
            initrd: build.part("initrd.img", 300_000),
            rootfs: build.part("rootfs.squashfs", 3_000_001),
            arguments: vec!["quiet".to_owned()],
        };
        manifest(live).write(build.0.path()).expect("a manifest");
        build
    }

    /// A file that is like no other, and whose pieces are like no others.
    fn part(&self, name: &str, length: usize) -> Part {
        let bytes: Vec<u8> =
            (1..).flat_map(|n| format!("{name} {n}\n").into_bytes()).take(length).collect();
        let file = format!("live/{name}");
        fs::write(self.0.path().join(&file), bytes).expect("room");
        Part::of(self.0.path(), &file).expect("it was written")
    }

    /// What is in one of its files.
    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.path().join("live").join(name)).expect("it was written")
    }

    fn serve(&self) -> Cmd {
        let cmd =
            Cmd::new(env!("CARGO_BIN_EXE_basalt")).args(["pxe", "serve", "--interface", CARD]);
        cmd.arg(self.0.path())
    }
}

fn manifest(live: Live) -> Manifest {
    Manifest {
        form: FORM,
        name: "base".to_owned(),
        version: "5".to_owned(),
        build_id: "b".to_owned(),
        commit: "c".to_owned(),
        ref_name: "r".to_owned(),
        release: "unsigned".to_owned(),
        signed_by: "s".to_owned(),
        packages: 1,
        disk_key: "d".to_owned(),
        disk: None,
        qcow2: None,
        live: Some(live),
        iso: None,
    }
}

impl Serving {
    /// Starts it, by a root whose files are nobody else's, and waits until it serves.
    pub(crate) fn start(lab: &Lab, build: &Build) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (log, work) = (folder.path().join("log"), folder.path().join("work"));
        fs::create_dir(&work).expect("a folder");
        for open in [folder.path(), &work] {
            fs::set_permissions(open, Permissions::from_mode(0o755)).expect("its own folder");
        }
        let cmd = build.serve().env("TMPDIR", work);
        let cmd = cmd.behind(["sh", "-c", "umask 077; exec \"$@\"", "sh"]);
        let log = File::create(log).expect("a file").into();
        let running = lab.at_server(|| cmd.spawn(Stdio::null(), Stdio::null(), log));
        let mut serving = Self { running: running.expect("it starts"), folder };
        serving.wait_until_it_serves();
        serving
    }

    fn wait_until_it_serves(&mut self) {
        let until = Instant::now() + DEADLINE;
        while !self.said().contains("Ctrl-C ends it\n") {
            let ended = self.running.wait_for(Duration::from_millis(10)).expect("a child");
            assert!(ended.is_none() && Instant::now() < until, "{ended:?}: {}", self.said());
        }
    }

    /// All that it said.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).expect("its log")
    }

    /// Where it makes what it needs while it runs.
    pub(crate) fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// From where it says that machines boot.
    pub(crate) fn script(&self) -> String {
        let said = self.said();
        let (_, url) = said.split_once(" boot base 5 from ").expect("it says what boots");
        url.split(';').next().unwrap_or_default().to_owned()
    }

    /// The dnsmasq that it started, which is not root.
    pub(crate) fn dnsmasq(&self) -> Dnsmasq {
        let all = fs::read_dir("/proc").expect("processes").flatten();
        let mut ids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let id = ids.find(|id| is_dnsmasq_of(*id, self.running.id()));
        let id = id.and_then(Pid::from_raw).expect("it has started dnsmasq");
        let status = fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
        assert!(status.contains("\nUid:\t") && !status.contains("\nUid:\t0\t"), "{status}");
        Dnsmasq(pidfd_open(id, PidfdFlags::empty()).expect("it runs"))
    }

    /// Sends it a signal; how it ended.
    pub(crate) fn end(&mut self, signal: Signal) -> ExitStatus {
        let id = i32::try_from(self.running.id()).ok().and_then(Pid::from_raw).expect("an id");
        kill_process(id, signal).expect("it runs");
        self.running.wait_for(DEADLINE).expect("a child").expect("it ends")
    }
}

impl Dnsmasq {
    /// Waits until it has ended.
    pub(crate) fn ends(&self) {
        let mut polled = [PollFd::new(&self.0, PollFlags::IN)];
        let timeout = Timespec::try_from(DEADLINE).expect("a time");
        assert_eq!(poll(&mut polled, Some(&timeout)), Ok(1), "dnsmasq still runs");
    }
}

/// Whether a process is a dnsmasq that `parent` started, by `/proc/ID/stat`.
fn is_dnsmasq_of(id: i32, parent: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let Some((_, behind)) = stat.split_once(" (dnsmasq) ") else { return false };
    behind.split(' ').nth(1) == Some(&parent.to_string())
}

/// What one says that begins to serve nothing, changed as is wanted.
pub(crate) fn refused(lab: &Lab, build: &Build, change: impl FnOnce(Cmd) -> Cmd) -> String {
    let cmd = change(build.serve()).deadline(DEADLINE);
    let output = lab.at_server(|| cmd.output()).expect("it ends by itself");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}
