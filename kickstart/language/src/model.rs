//! What a kickstart asks for, as an installer carries it out. Strings are only what is free text.

mod accounts;
mod basalt;
mod network;
mod storage;
mod system;

use std::ops::Deref;

use serde::{Serialize, Serializer};

pub use accounts::{Group, Password, RootPassword, SshKey, User};
pub use basalt::{Authority, Basalt, Join};
pub use network::{Device, Ipv4, Ipv6, Link, Network};
pub use storage::{
    AutoPart, Clear, ClearPart, FileSystem, Format, IgnoreDisk, Part, Place, Raid, RaidLevel,
    ReqPart, Use,
};
pub use system::{
    BootLoader, Certificate, Display, End, EndAction, Firewall, FirstBoot, Keyboard, Lang, Logging,
    OsTreeSetup, Port, Protocol, Script, ScriptKind, SeLinux, Service, Services, TimeSource,
    TimeSourceKind, TimeZone,
};

use crate::source::Span;

/// A value, and where it was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// The command, or the section's first line.
    pub span: Span,
}

impl<T> Deref for At<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Serialize> Serialize for At<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

/// All that a kickstart asks for. The fields have the names of its commands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Kickstart {
    /// Where the system comes from; what the installer carries where there is none.
    pub ostreesetup: Option<At<OsTreeSetup>>,
    /// What is removed from disks.
    pub clearpart: Option<At<ClearPart>>,
    /// Disks without a table of partitions may get one.
    pub zerombr: bool,
    /// Disks that are left alone.
    pub ignoredisk: Option<At<IgnoreDisk>>,
    /// The layout is the installer's.
    pub autopart: Option<At<AutoPart>>,
    /// What the firmware needs is the installer's.
    pub reqpart: Option<At<ReqPart>>,
    /// Partitions.
    pub part: Vec<At<Part>>,
    /// Arrays of disks.
    pub raid: Vec<At<Raid>>,
    /// The loader and the kernel's arguments.
    pub bootloader: Option<At<BootLoader>>,
    /// Connections.
    pub network: Vec<At<Network>>,
    /// The host's name.
    pub hostname: Option<At<String>>,
    /// The time zone.
    pub timezone: Option<At<TimeZone>>,
    /// Where the time comes from.
    pub timesource: Vec<At<TimeSource>>,
    /// The keyboard.
    pub keyboard: Option<At<Keyboard>>,
    /// The language.
    pub lang: Option<At<Lang>>,
    /// Root's password.
    pub rootpw: Option<At<RootPassword>>,
    /// Users.
    pub user: Vec<At<User>>,
    /// Groups.
    pub group: Vec<At<Group>>,
    /// Keys that open ssh.
    pub sshkey: Vec<At<SshKey>>,
    /// Units that are enabled and disabled.
    pub services: Services,
    /// The firewall.
    pub firewall: Option<At<Firewall>>,
    /// A wish about SELinux, which is not there.
    pub selinux: Option<At<SeLinux>>,
    /// What happens at the end.
    pub end: Option<At<End>>,
    /// How the installer shows itself.
    pub display: Option<At<Display>>,
    /// Where the installer's log goes, too.
    pub logging: Option<At<Logging>>,
    /// An image of updates for Anaconda, which is not there.
    pub updates: Option<At<String>>,
    /// The licence is agreed to.
    pub eula: bool,
    /// An assistant at the first boot, which is not there.
    pub firstboot: Option<At<FirstBoot>>,
    /// Scripts, in their order.
    pub scripts: Vec<At<Script>>,
    /// Certificates that are installed.
    pub certificates: Vec<At<Certificate>>,
    /// Files that were included and not read: nothing can be carried out before they are.
    pub unread: Vec<At<String>>,
    /// How the host enrols.
    pub basalt: Option<At<Basalt>>,
}
