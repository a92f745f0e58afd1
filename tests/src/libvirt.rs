//! A libvirtd of one test's own: in namespaces of its own, with its own network and state, and gone
//! with the test, its guests too.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{ChildStdin, Stdio};
use std::time::Duration;

use basalt_cmd::{Cmd, Running};
use tempfile::TempDir;

use crate::ground::Ground;
use crate::until::until;

/// Everything that libvirtd asks for on Debian, as paths of the system and of the test. It starts
/// and kills libvirtd as it is told, and reaps guests that lost their parent, as bash does. KVM is
/// hidden: guests are emulated, and where QEMU's user may not open the device, as on machines
/// without udev, libvirt asks QEMU anew at each call what it can.
const INIT: &str = r#"set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/libvirt
mount --bind "$1/etc" /etc/libvirt
mount --bind "$1/lib" /var/lib/libvirt
mount --bind "$1/log" /var/log/libvirt
mount --bind "$1/cache" /var/cache/libvirt
ip link set lo up
if [ -e /dev/kvm ]; then touch /run/kvm; chmod 0 /run/kvm; mount --bind /run/kvm /dev/kvm; fi
while read -r word; do
  case $word in
    start) libvirtd --pid-file /run/libvirtd.pid & ;;
    kill) kill -9 "$(cat /run/libvirtd.pid)" ;;
  esac
done
"#;
const QEMU_CONF: &str = "security_driver = \"none\"\nnamespaces = []\nstdio_handler = \"file\"\n";
const NETWORK: &str = "<network><name>default</name><forward mode='nat'/>\
    <bridge name='virbr0' stp='off' delay='0'/>\
    <ip address='192.168.122.1' netmask='255.255.255.0'><dhcp>\
    <range start='192.168.122.2' end='192.168.122.254'/></dhcp></ip></network>";
/// On a slow and busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// A libvirtd that runs.
#[derive(Debug)]
pub struct Libvirt {
    root: TempDir,
    words: ChildStdin,
    init: Running,
}

/// Whether a libvirtd can be had here: it needs namespaces that only root has.
///
/// # Panics
/// It cannot, and nothing may be skipped here.
#[must_use]
pub fn may_run() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        assert!(std::env::var_os("BASALT_NO_SKIP").is_none(), "this test needs root");
        eprintln!("skipped: a libvirtd of its own needs root");
    }
    is_root
}

/// Lets QEMU, which is another user, come to what lies in a ground's folder.
///
/// # Panics
/// It cannot.
pub fn let_qemu_in(ground: &Ground) {
    let others = fs::Permissions::from_mode(0o711);
    fs::set_permissions(ground.path(""), others).expect("our own folder");
}

impl Libvirt {
    /// Starts it and waits until it listens.
    ///
    /// # Panics
    /// It does not come up.
    #[must_use]
    pub fn start() -> Self {
        let root = tempfile::tempdir().expect("a folder");
        // QEMU is another user.
        let others = fs::Permissions::from_mode(0o711);
        fs::set_permissions(root.path(), others).expect("our own folder");
        for folder in ["etc/qemu/networks/autostart", "lib", "log", "cache", "socket"] {
            fs::create_dir_all(root.path().join(folder)).expect("a folder");
        }
        let put = |path, text: &str| fs::write(root.path().join(path), text).expect("a file");
        put("etc/qemu.conf", QEMU_CONF);
        put("etc/qemu/networks/default.xml", NETWORK);
        let socket = root.path().join("socket").display().to_string();
        let auth = "auth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\n";
        put("etc/libvirtd.conf", &format!("unix_sock_dir = \"{socket}\"\n{auth}"));
        let link = root.path().join("etc/qemu/networks/autostart/default.xml");
        symlink("/etc/libvirt/qemu/networks/default.xml", link).expect("a link");
        let log = fs::File::create(root.path().join("out")).expect("a log");
        let copy = log.try_clone().expect("a second handle");
        let init = Cmd::new("unshare")
            .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["bash", "-c", INIT, "init"])
            .arg(root.path());
        let mut init = init.spawn(Stdio::piped(), copy.into(), log.into()).expect("it starts");
        let words = init.child().stdin.take().expect("a pipe");
        let mut libvirt = Self { root, words, init };
        libvirt.start_again();
        libvirt
    }

    /// Starts it after it was killed, and waits until it listens. Guests went on.
    ///
    /// # Panics
    /// It does not come up.
    pub fn start_again(&mut self) {
        self.say("start");
        until(DEADLINE, "libvirtd listens", || UnixStream::connect(self.socket()).ok());
    }

    /// Kills it (SIGKILL), as a power cut would, and none of its guests.
    ///
    /// # Panics
    /// It survives.
    pub fn kill(&mut self) {
        self.say("kill");
        let socket = self.socket();
        until(DEADLINE, "libvirtd is gone", || UnixStream::connect(&socket).is_err().then_some(()));
    }

    /// Where it listens, as libvirt's clients name it.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("qemu+unix:///system?socket={}", self.socket().display())
    }

    /// What virsh prints.
    ///
    /// # Panics
    /// It fails.
    #[must_use]
    pub fn virsh(&self, args: &[&str]) -> String {
        let cmd = Cmd::new("virsh").args(["-q", "-c", &self.uri()]).args(args);
        cmd.env("LC_ALL", "C.UTF-8").run().expect("virsh does it").stdout_text()
    }

    /// A path in its folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// A process in its namespaces.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.init.id()
    }

    fn say(&mut self, word: &str) {
        writeln!(self.words, "{word}").expect("it reads");
    }

    fn socket(&self) -> PathBuf {
        self.path("socket/libvirt-sock")
    }
}
