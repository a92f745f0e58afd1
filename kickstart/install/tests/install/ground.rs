//! A repository with a small system in it, and disks.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use basalt_cmd::{Cmd, Output};
use basalt_deploy::{CommitRequest, Repo, SigningKey};
use tempfile::TempDir;

pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const REF: &str = "basalt/test/base";
/// What leads elsewhere at the top of a host, as the builder makes it.
const LINKS: [(&str, &str); 11] = [
    ("bin", "usr/bin"),
    ("lib", "usr/lib"),
    ("lib64", "usr/lib64"),
    ("home", "var/home"),
    ("root", "var/roothome"),
    ("opt", "var/opt"),
    ("srv", "var/srv"),
    ("mnt", "var/mnt"),
    ("media", "run/media"),
    ("ostree", "sysroot/ostree"),
    ("usr/local", "../var/usrlocal"),
];
/// What of `/var` the builder has a host make.
const TMPFILES: &str = "\
d /var/home 0755 0 0 -
d /var/lib 0755 0 0 -
d /var/log 0755 0 0 -
d /var/lib/private 0700 0 0 -
d /var/lib/containers 0711 0 0 -
d /var/lib/own 0750 root shadow -
d /var/mnt 0755 0 0 -
d /var/opt 0755 0 0 -
d /var/roothome 0700 0 0 -
C /var/roothome/.profile - - - - /usr/share/factory/var/roothome/.profile
d /var/srv 0755 0 0 -
d /var/tmp 1777 0 0 -
d /var/usrlocal 0755 0 0 -
d /var/usrlocal/bin 0755 0 0 -
L /var/run - - - - /run
d /run/never 0755 0 0 -
";
const DEADLINE: Duration = Duration::from_secs(120);

/// Whether disks can be had here: only root has them.
pub(crate) fn has_disks() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        assert!(std::env::var_os("BASALT_NO_SKIP").is_none(), "this test needs root");
        eprintln!("skipped: only root has loop devices");
    }
    is_root
}

/// Until this is dropped no other test has a volume `OEMDRV`, or looks for one.
pub(crate) fn alone_with_volumes() -> File {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("volumes.lock");
    let lock = File::create(path).expect("a file");
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("a lock");
    lock
}

/// A folder with a repository in it.
pub(crate) struct Ground {
    pub(crate) dir: TempDir,
    pub(crate) commit: String,
}

/// A file that stands for a disk.
pub(crate) struct Disk {
    pub(crate) file: PathBuf,
    /// As `loop3`.
    pub(crate) name: String,
    pub(crate) sector: u64,
}

impl Ground {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let mut ground = Self { dir, commit: String::new() };
        fs::create_dir(ground.path("keys")).expect("a folder");
        ground.lay_out();
        ground.commit = ground.commit_by(None);
        ground
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Commits the tree, under the ref.
    pub(crate) fn commit_by(&self, key: Option<&SigningKey>) -> String {
        let repo = Repo::open_or_create(&self.path("repo")).expect("a repository");
        let request =
            CommitRequest { ref_name: REF, time: 1, version: Some("1"), build_id: None, key };
        repo.commit(&self.path("tree"), &request).expect("a commit")
    }

    /// What a host's tree has, as far as an installer looks at it.
    fn lay_out(&self) {
        let kernel = "k".repeat(3_000_001);
        for (path, text) in [
            ("usr/lib/shim/shimx64.efi.signed", "shim"),
            ("usr/lib/shim/mmx64.efi.signed", "mok"),
            ("usr/lib/systemd/boot/efi/systemd-bootx64.efi.signed", "loader"),
            ("usr/lib/modules/6.12/vmlinuz", &kernel),
            ("usr/lib/modules/6.12/initramfs.img", "initramfs"),
            ("usr/lib/os-release", "PRETTY_NAME=\"Basalt 1 (base)\"\n"),
            ("usr/lib/basalt/kargs.d/10-image.conf", "quiet\n"),
            ("usr/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
            ("usr/etc/group", "root:x:0:\nshadow:x:42:\n"),
            ("usr/etc/shadow", "root:*:20000:0:99999:7:::\n"),
            ("usr/etc/gshadow", "root:*::\nshadow:*::\n"),
            ("usr/etc/fstab", "/dev/basalt/var /var ext4 defaults 0 2\n"),
            ("usr/share/zoneinfo/Europe/Berlin", "zone"),
            ("usr/lib/tmpfiles.d/zz-basalt-var.conf", TMPFILES),
            ("usr/share/factory/var/roothome/.profile", "a profile"),
            ("usr/lib/systemd/system/own.service", "[Install]\nWantedBy=multi-user.target\n"),
            ("usr/lib/systemd/system/other.service", "[Install]\nWantedBy=multi-user.target\n"),
        ] {
            self.put(path, text.as_bytes());
        }
        for folder in ["var", "sysroot", "proc", "sys", "dev", "run", "tmp", "boot"] {
            fs::create_dir(self.path("tree").join(folder)).expect("a folder");
        }
        for (link, to) in LINKS {
            symlink(to, self.path("tree").join(link)).expect("a link");
        }
        self.put_shell();
        let wants = self.path("tree/usr/etc/systemd/system/multi-user.target.wants");
        fs::create_dir_all(&wants).expect("a folder");
        symlink("/usr/lib/systemd/system/other.service", wants.join("other.service"))
            .expect("a link");
    }

    fn put(&self, path: &str, content: &[u8]) {
        let path = self.path("tree").join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, content).expect("a file");
    }

    /// This machine's own shell, with the libraries that it wants.
    fn put_shell(&self) {
        let shell = Path::new("/bin/dash");
        let libraries = Cmd::new("ldd").arg(shell).run().expect("ldd").stdout_text();
        let libraries = libraries.split_whitespace().filter(|word| word.starts_with('/'));
        for file in libraries.map(Path::new).chain([shell]) {
            let name = file.strip_prefix("/").expect("a whole path");
            let name = if file == shell { Path::new("bin/sh") } else { name };
            let to = self.path("tree/usr").join(name);
            fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
            fs::copy(file, to).expect("a copy");
        }
    }

    /// A disk of so many MiB on which there is nothing.
    pub(crate) fn disk(&self, name: &str, mib: u64, sector: u64) -> Disk {
        let file = self.path(name);
        File::create(&file).and_then(|file| file.set_len(mib * MIB)).expect("a file");
        let losetup = tool("losetup").args(["--find", "--show", "--partscan", "--sector-size"]);
        let made = losetup.arg(sector.to_string()).arg(&file).run().expect("a loop device");
        let name = made.stdout_text().trim_start_matches("/dev/").to_owned();
        Disk { file, name, sector }
    }

    /// The program, with this kickstart.
    pub(crate) fn program(&self, kickstart: &str) -> Cmd {
        let file = self.path("host.ks");
        fs::write(&file, kickstart).expect("a kickstart");
        self.program_of(&self.path("repo")).arg("--kickstart").arg(file)
    }

    /// The program, with this repository.
    pub(crate) fn program_of(&self, repo: &Path) -> Cmd {
        let program = Cmd::new(env!("CARGO_BIN_EXE_basalt-install")).deadline(DEADLINE);
        program.arg("--keys").arg(self.path("keys")).arg("--source").arg(repo)
    }

    /// Installs, and what it said.
    pub(crate) fn install(&self, kickstart: &str) -> String {
        let output = self.program(kickstart).output().expect("it runs");
        let said = said(&output);
        assert!(output.status.success(), "{said}");
        said
    }

    /// What it said instead of installing.
    pub(crate) fn refused(&self, kickstart: &str) -> String {
        let output = self.program(kickstart).output().expect("it runs");
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        said
    }

    /// A file or a folder of a partition, brought out of it.
    pub(crate) fn taken(&self, disk: &Disk, number: u32, path: &str) -> PathBuf {
        let to = TempDir::new_in(self.dir.path()).expect("a folder").keep();
        let request = format!("rdump {path} {}", to.display());
        let debugfs = tool("debugfs").args(["-R", &request]).arg(disk.part(number));
        debugfs.run().expect("debugfs");
        to.join(Path::new(path).file_name().unwrap_or_default())
    }

    /// Puts a file `data` onto `/var`.
    pub(crate) fn put_into_var(&self, disk: &Disk, text: &str) {
        let data = self.path("data");
        fs::write(&data, text).expect("a file");
        let request = format!("write {} data", data.display());
        tool("debugfs").args(["-w", "-R", &request]).arg(disk.part(3)).run().expect("debugfs");
    }

    /// A file of the deployment's `/etc`, or where a link leads.
    pub(crate) fn etc(&self, disk: &Disk) -> PathBuf {
        let deployment = format!("/ostree/deploy/basalt/deploy/{}.0/etc", self.commit);
        self.taken(disk, 2, &deployment)
    }
}

impl Disk {
    pub(crate) fn part(&self, number: u32) -> String {
        format!("/dev/{}p{number}", self.name)
    }

    /// The text of a file of the ESP, which begins at the first MiB.
    pub(crate) fn esp(&self, path: &str) -> Option<String> {
        let esp = format!("{}@@1M", self.file.display());
        let mtype = Cmd::new("mtype").env("MTOOLS_SKIP_CHECK", "1").args(["-i", &esp]);
        let output = mtype.arg(format!("::/{path}")).output().expect("mtools");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Whether firmware finds something to boot on it.
    pub(crate) fn boots(&self) -> bool {
        let table = tool("sgdisk").args(["-i", "1"]).arg(format!("/dev/{}", self.name));
        let table = table.output().expect("sgdisk");
        let has_esp = String::from_utf8_lossy(&table.stdout).contains("C12A7328-F81F-11D2");
        has_esp && self.esp("EFI/BOOT/BOOTX64.EFI").is_some()
    }

    /// What the usual tools find wrong.
    pub(crate) fn check(&self) {
        self.check_table();
        let esp = tool("fsck.fat").args(["-n", "-v"]).arg(self.part(1)).output().expect("fsck.fat");
        let said = String::from_utf8_lossy(&esp.stdout).into_owned();
        assert!(esp.status.success() && said.contains("32 bit entries"), "{said}");
        for number in [2, 3] {
            let fsck = tool("e2fsck").args(["-f", "-n"]).arg(self.part(number));
            fsck.run().expect("a sound file system");
        }
    }

    pub(crate) fn check_table(&self) {
        let sgdisk = tool("sgdisk").arg("-v").arg(format!("/dev/{}", self.name));
        let table = sgdisk.run().expect("sgdisk").stdout_text();
        assert!(table.contains("No problems found"), "{table}");
    }

    /// A kickstart for it that keeps everything small.
    pub(crate) fn kickstart(&self) -> String {
        let esp = if self.sector == 4096 { 260 } else { 64 };
        let name = &self.name;
        format!(
            "cmdline\nzerombr\nclearpart --all --initlabel --drives={name}\n\
             part /boot/efi --fstype=efi --size={esp} --ondisk={name}\n\
             part / --size=320 --ondisk={name}\n\
             part /var --size=64 --grow --ondisk={name}\n"
        )
    }
}

impl Disk {
    /// A kickstart that makes its system anew, and keeps its `/var`.
    pub(crate) fn keeping_var(&self) -> String {
        let name = &self.name;
        format!(
            "cmdline\nclearpart --list={name}p1,{name}p2\n\
             part /boot/efi --fstype=efi --size=64 --ondisk={name}\n\
             part / --size=320 --ondisk={name}\npart /var --onpart={name}p3 --noformat\n"
        )
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What is still held goes with whoever holds it.
        let _ = tool("losetup").args(["-d", &format!("/dev/{}", self.name)]).run();
    }
}

/// All that a program said.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &output.stdout_text()
}

/// A tool that only root's `PATH` finds.
pub(crate) fn tool(name: &str) -> Cmd {
    let path = std::env::var("PATH").unwrap_or_default();
    Cmd::new(name).env("PATH", format!("{path}:/usr/sbin:/sbin")).env("LC_ALL", "C")
}

pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
