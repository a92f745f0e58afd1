//! A libvirtd of the test's own: in namespaces of its own, with its own network and state, and
//! gone with the test, its guests too.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Stdio};

use basalt_cmd::{Cmd, Running};
use tempfile::TempDir;

use crate::ground::{Host, until};

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

pub(crate) struct Daemon {
    root: TempDir,
    words: ChildStdin,
    _init: Running,
}

/// Whether this test may run: it needs namespaces that only root has here.
pub(crate) fn may_run() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        assert!(std::env::var_os("BASALT_NO_SKIP").is_none(), "this test needs root");
        eprintln!("skipped: a libvirtd of its own needs root");
    }
    is_root
}

impl Daemon {
    pub(crate) async fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        // QEMU is another user.
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o711)).unwrap();
        for folder in ["etc/qemu/networks/autostart", "lib", "log", "cache", "socket"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let put = |path, text: &str| fs::write(root.path().join(path), text).unwrap();
        put("etc/qemu.conf", QEMU_CONF);
        put("etc/qemu/networks/default.xml", NETWORK);
        let socket = root.path().join("socket").display().to_string();
        let auth = "auth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\n";
        put("etc/libvirtd.conf", &format!("unix_sock_dir = \"{socket}\"\n{auth}"));
        let link = root.path().join("etc/qemu/networks/autostart/default.xml");
        symlink("/etc/libvirt/qemu/networks/default.xml", link).unwrap();
        let log = fs::File::create(root.path().join("out")).unwrap();
        let init = Cmd::new("unshare")
            .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["bash", "-c", INIT, "init"])
            .arg(root.path());
        let mut init =
            init.spawn(Stdio::piped(), log.try_clone().unwrap().into(), log.into()).unwrap();
        let words = init.child().stdin.take().unwrap();
        let mut daemon = Self { root, words, _init: init };
        daemon.say("start");
        until("libvirtd listens", || UnixStream::connect(daemon.socket()).is_ok()).await;
        daemon
    }

    /// Kills libvirtd as a power cut would, and starts it again. Guests go on.
    pub(crate) async fn kill_and_start(&mut self) {
        self.say("kill");
        until("libvirtd is gone", || UnixStream::connect(self.socket()).is_err()).await;
        self.say("start");
        until("libvirtd listens", || UnixStream::connect(self.socket()).is_ok()).await;
    }

    fn say(&mut self, word: &str) {
        writeln!(self.words, "{word}").unwrap();
    }

    fn socket(&self) -> PathBuf {
        self.root.path().join("socket/libvirt-sock")
    }

    /// How it is connected to.
    pub(crate) fn uri(&self) -> String {
        format!("qemu+unix:///system?socket={}", self.socket().display())
    }

    /// A host whose machines this libvirtd runs.
    pub(crate) fn host(&self) -> Host {
        Host::new(&self.uri())
    }

    /// The same, whose machines and images lie in this folder.
    pub(crate) fn host_in(&self, folder: &Path) -> Host {
        Host::with(&self.uri(), |settings, _| {
            settings.state = folder.join("state").to_str().unwrap().to_owned();
        })
    }

    /// What virsh prints.
    pub(crate) fn virsh(&self, args: &[&str]) -> String {
        let cmd = Cmd::new("virsh").args(["-q", "-c", &self.uri()]).args(args);
        cmd.env("LC_ALL", "C.UTF-8").run().unwrap().stdout_text()
    }
}
