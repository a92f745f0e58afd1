//! The system and the installer.

use std::fmt;

use serde::Serialize;

use crate::disk::DiskSelector;
use crate::secret::Secret;

/// `ostreesetup`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OsTreeSetup {
    /// The name that the system has on the disk.
    pub osname: String,
    /// The name that the archive has on the host.
    pub remote: String,
    /// Where the archive is.
    pub url: String,
    /// The branch in it.
    #[serde(rename = "ref")]
    pub branch: String,
}

impl OsTreeSetup {
    /// Whether the archive is on another machine.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        ["http://", "https://"].iter().any(|scheme| self.url.starts_with(scheme))
    }
}

/// `bootloader`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BootLoader {
    /// Arguments for the kernel, beside the image's.
    pub append: Vec<String>,
    /// Seconds that the menu waits.
    pub timeout_s: Option<u32>,
    /// The disk that is booted from.
    pub boot_drive: Option<DiskSelector>,
    /// The firmware's order of boots stays as it is.
    pub leavebootorder: bool,
}

/// `timezone`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TimeZone {
    /// As `Europe/Berlin`.
    pub name: Option<String>,
    /// Whether the machine's clock is in UTC.
    pub utc: bool,
}

/// `timesource`, and what `timezone` says of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TimeSource {
    /// From where.
    pub kind: TimeSourceKind,
}

/// Where the time comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TimeSourceKind {
    /// From a server.
    Server(String),
    /// From a pool of servers.
    Pool(String),
    /// From nowhere.
    Disable,
}

/// `keyboard`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Keyboard {
    /// The console's keys, as `us`; of `--vckeymap`, or of the word alone.
    pub keymap: Option<String>,
    /// The layouts of a desktop, of which the first serves where there is no keymap.
    pub xlayouts: Vec<String>,
}

/// `lang`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lang {
    /// As `en_US.UTF-8`.
    pub lang: String,
}

/// `services`, all of them together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Services {
    /// What each command said.
    pub said: Vec<super::At<Service>>,
}

/// A unit that is enabled or disabled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// Started at each boot.
    Enabled(String),
    /// Not started.
    Disabled(String),
}

/// `firewall`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Firewall {
    /// Whether there is one.
    pub enabled: bool,
    /// The image's own rules stay.
    pub use_system_defaults: bool,
    /// Ports that are open.
    pub ports: Vec<Port>,
    /// Services that are let in, as `ssh`.
    pub services: Vec<String>,
    /// Services that are not.
    pub remove_services: Vec<String>,
    /// Devices that everything may come in by.
    pub trust: Vec<String>,
}

/// A port of a firewall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Port {
    /// Its number.
    pub port: u16,
    /// The last one of a range, or the same.
    pub to: u16,
    /// How it is spoken.
    pub protocol: Protocol,
}

/// What is spoken at a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = if self.protocol == Protocol::Tcp { "tcp" } else { "udp" };
        match (self.port, self.to) {
            (port, to) if port == to => write!(f, "{port}:{protocol}"),
            (port, to) => write!(f, "{port}-{to}:{protocol}"),
        }
    }
}

/// `selinux`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SeLinux {
    /// It keeps everybody in.
    Enforcing,
    /// It complains.
    Permissive,
    /// It is off.
    Disabled,
}

/// `reboot`, `poweroff`, `shutdown`, `halt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct End {
    /// What the machine does.
    pub action: EndAction,
    /// Whether a CD is ejected.
    pub eject: bool,
}

/// What the machine does at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EndAction {
    /// Boots the installed host.
    Reboot,
    /// Goes out.
    PowerOff,
    /// Waits for somebody.
    Halt,
}

/// How the installer shows itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Display {
    /// Text, and questions.
    Text,
    /// Text, and no questions.
    CmdLine,
    /// A desktop, which is not there.
    Graphical,
}

/// `logging`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Logging {
    /// A host that takes syslog.
    pub host: Option<String>,
    /// Its port; 514 else.
    pub port: Option<u16>,
}

/// `firstboot`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FirstBoot {
    /// It runs.
    Enable,
    /// It does not.
    Disable,
    /// It runs, and asks everything.
    Reconfig,
}

/// When a script runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScriptKind {
    /// Once the kickstart is read.
    Pre,
    /// Before anything is written.
    PreInstall,
    /// Once the system is there.
    Post,
    /// When the installation has failed; `%traceback` too.
    OnError,
}

/// A script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Script {
    /// When it runs.
    pub kind: ScriptKind,
    /// What runs it.
    pub interpreter: String,
    /// Whether it runs in the installed system.
    pub chroot: bool,
    /// Whether its failure ends the installation.
    pub error_on_fail: bool,
    /// Where its output goes.
    pub log: Option<String>,
    /// What it says. It may hold passwords.
    pub body: Secret,
}

/// `%certificate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Certificate {
    /// The name of its file.
    pub filename: String,
    /// The folder of the file.
    pub dir: Option<String>,
    /// Whether it is trusted by everything.
    pub anchor: bool,
    /// PEM.
    pub pem: String,
}
