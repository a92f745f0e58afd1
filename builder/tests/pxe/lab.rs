//! A lab of one test's own: a switch with the network's DHCP server at it, and cables from there to
//! whoever serves and to a machine. Each has a network namespace, and these go with the test.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::process::Stdio;

use basalt_cmd::{Cmd, Running};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

/// Who gives machines their addresses.
pub(crate) const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// Where `basalt pxe serve` runs.
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// The network card of everybody.
pub(crate) const CARD: &str = "eth0";
/// What Debian's package `ipxe` has for UEFI.
pub(crate) const IPXE: &str = "/usr/lib/ipxe/ipxe.efi";

/// The lab. The thread that prepared it is where the machine is, but while it serves.
pub(crate) struct Lab {
    server: Network,
    machine: Network,
    _router: Running,
}

/// A network namespace, which is there for as long as this or a process in it.
struct Network(File);

impl Lab {
    /// A new one; `None`, said in one line, where none can be.
    pub(crate) fn prepare() -> Option<Self> {
        if let Some(why) = why_not() {
            assert!(std::env::var_os("BASALT_NO_SKIP").is_none(), "{why}");
            eprintln!("skipped: {why}");
            return None;
        }
        let switch = Network::new();
        ip("link add lab type bridge");
        ip(&format!("address add {ROUTER}/24 dev lab"));
        ip("link set lab up");
        let server = switch.cable("server");
        ip(&format!("address add {SERVER}/24 dev {CARD}"));
        let machine = switch.cable("machine");
        switch.enter();
        let router = router();
        machine.enter();
        Some(Self { server, machine, _router: router })
    }

    /// Does something where `basalt pxe serve` runs.
    pub(crate) fn at_server<T>(&self, work: impl FnOnce() -> T) -> T {
        self.server.enter();
        let done = work();
        self.machine.enter();
        done
    }
}

impl Network {
    /// A new one, in which this thread is from now on.
    fn new() -> Self {
        unshare().expect("a network of its own");
        ip("link set lo up");
        Self(File::open("/proc/thread-self/ns/net").expect("its own network"))
    }

    /// Moves this thread, and what it starts from now on, into it.
    fn enter(&self) {
        move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("it is root's own");
    }

    /// Another one, whose card is connected to this one's switch. This thread is in it from now on.
    fn cable(&self, port: &str) -> Self {
        let network = Self::new();
        let here = format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd());
        ip(&format!("link add {CARD} type veth peer name {port} netns {here}"));
        ip(&format!("link set {CARD} up"));
        self.enter();
        ip(&format!("link set {port} master lab up"));
        network.enter();
        network
    }
}

/// `ip`, where this thread is.
pub(crate) fn ip(words: &str) {
    Cmd::new("ip").args(words.split(' ')).run().expect("the network is as it shall be");
}

fn why_not() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root has a network of its own".to_owned());
    }
    let tools = [("dnsmasq", "--version"), ("ip", "-V"), ("curl", "--version")];
    let mut missing = tools.iter().filter(|(tool, says)| Cmd::new(tool).arg(says).run().is_err());
    if let Some((tool, _)) = missing.next() {
        return Some(format!("`{tool}` is not installed"));
    }
    (!Path::new(IPXE).exists()).then(|| format!("there is no `{IPXE}`"))
}

#[expect(unsafe_code, reason = "rustix marks it so for a flag that is not used here")]
fn unshare() -> rustix::io::Result<()> {
    // SAFETY: only unsharing the table of open files (CLONE_FILES) can break what other threads
    // rely on, and it is not the flag.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }
}

/// A DHCP server as any network has one, which knows nothing of PXE.
fn router() -> Running {
    Cmd::new("dnsmasq")
        .args(["--keep-in-foreground", "--conf-file=/dev/null", "--log-facility=-", "--pid-file="])
        .args(["--port=0", "--interface=lab", "--except-interface=lo", "--bind-interfaces"])
        .args(["--dhcp-range=10.77.0.100,10.77.0.150,1h", "--dhcp-authoritative", "--no-ping"])
        .arg("--leasefile-ro")
        .spawn(Stdio::null(), Stdio::null(), Stdio::inherit())
        .expect("dnsmasq starts")
}
