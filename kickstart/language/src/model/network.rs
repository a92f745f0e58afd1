//! Connections.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;

/// `network` with a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct Network {
    /// Which one is set up; for what the installer makes, its name.
    pub device: Device,
    /// What kind it is.
    pub link: Link,
    /// Its IPv4.
    pub ipv4: Ipv4,
    /// Its IPv6.
    pub ipv6: Ipv6,
    /// Name servers.
    pub nameserver: Vec<IpAddr>,
    /// Domains that short names are looked up in.
    pub dns_search: Vec<String>,
    /// Name servers of DHCP for IPv4 are not used.
    pub ignore_auto_dns_v4: bool,
    /// Those for IPv6 are not.
    pub ignore_auto_dns_v6: bool,
    /// No name server is used.
    pub nodns: bool,
    /// It is no way to everywhere.
    pub nodefroute: bool,
    /// Bytes of a frame.
    pub mtu: Option<u32>,
    /// Whether it comes up at each boot.
    pub onboot: bool,
    /// Whether it comes up in the installer; by itself where nothing was said.
    pub activate: Option<bool>,
    /// The class that DHCP is told.
    pub dhcpclass: Option<String>,
    /// The device is told by its MAC address and not by its name.
    pub bind_to_mac: bool,
}

/// Which device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// By its name, as `ens1`.
    Name(String),
    /// By its address, in lowercase with colons.
    Mac(String),
    /// The first one with a cable in it.
    Link,
    /// The one that the machine was booted over.
    BootIf,
}

/// What kind a connection is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Link {
    /// A card.
    Ethernet,
    /// Several cards that are one.
    Bond {
        /// Their names.
        members: Vec<String>,
        /// As `mode` and `active-backup`.
        options: Vec<(String, String)>,
    },
    /// A virtual switch.
    Bridge {
        /// What is plugged in.
        members: Vec<String>,
        /// As `stp` and `yes`.
        options: Vec<(String, String)>,
    },
    /// A virtual network on the device.
    Vlan {
        /// Its number.
        id: u16,
        /// Its name, where it is another than `DEVICE.ID`.
        name: Option<String>,
    },
}

/// IPv4 of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ipv4 {
    /// None.
    Off,
    /// By DHCP.
    Dhcp,
    /// By hand.
    Static {
        /// Its address.
        address: Ipv4Addr,
        /// Bits of the network.
        prefix: u8,
        /// The way to everywhere.
        gateway: Option<Ipv4Addr>,
    },
}

/// IPv6 of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ipv6 {
    /// None.
    Off,
    /// As routers say.
    Auto,
    /// By DHCP.
    Dhcp,
    /// By hand.
    Static {
        /// Its address.
        address: Ipv6Addr,
        /// Bits of the network.
        prefix: u8,
        /// The way to everywhere.
        gateway: Option<Ipv6Addr>,
    },
}
