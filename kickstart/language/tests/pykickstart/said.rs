//! What a kickstart of ours says, in the shape in which `reference/read.py` prints pykickstart's.

use std::net::Ipv4Addr;

use basalt_kickstart::Kickstart;
use basalt_kickstart::disk::DiskSelector;
use basalt_kickstart::model::{
    At, Clear, Device, Display, EndAction, FirstBoot, Format, IgnoreDisk, Ipv4, Ipv6, Link,
    Network, Part, Password, Place, Raid, SeLinux, Service, TimeSourceKind, Use, User,
};
use serde_json::{Value, json};

pub(crate) fn of(ks: &Kickstart) -> Value {
    let mut all = layout(ks);
    for more in [system(ks), accounts(ks), installer(ks)] {
        if let (Value::Object(all), Value::Object(more)) = (&mut all, more) {
            all.extend(more);
        }
    }
    all
}

fn layout(ks: &Kickstart) -> Value {
    json!({
        "clearpart": ks.clearpart.as_ref().map(|it| {
            let (clear, list) = match &it.clear {
                Clear::None => ("none", Vec::new()),
                Clear::Linux => ("linux", Vec::new()),
                Clear::All => ("all", Vec::new()),
                Clear::List(list) => ("list", list.clone()),
            };
            json!({"clear": clear, "list": list, "drives": disks(&it.drives), "initlabel": it.initlabel})
        }),
        "zerombr": ks.zerombr,
        "ignoredisk": ks.ignoredisk.as_ref().map(|it| match &it.value {
            IgnoreDisk::Drives(drives) => json!({"drives": disks(drives), "only_use": []}),
            IgnoreDisk::OnlyUse(drives) => json!({"drives": [], "only_use": disks(drives)}),
        }),
        "autopart": ks.autopart.as_ref().map(|it| json!({"noswap": it.noswap})),
        "reqpart": ks.reqpart.as_ref().map(|it| json!({"add_boot": it.add_boot})),
        "part": ks.part.iter().map(|it| part(it)).collect::<Vec<_>>(),
        "raid": ks.raid.iter().map(|it| raid(it)).collect::<Vec<_>>(),
        "bootloader": ks.bootloader.as_ref().map(|it| json!({
            "append": it.append, "timeout": it.timeout_s,
            "boot_drive": it.boot_drive.as_ref().map(ToString::to_string),
            "leavebootorder": it.leavebootorder,
        })),
    })
}

fn disks(disks: &[DiskSelector]) -> Vec<String> {
    disks.iter().map(ToString::to_string).collect()
}

fn usage(usage: &Use) -> &str {
    match usage {
        Use::Mount(path) => path,
        Use::Swap => "swap",
        Use::RaidMember(name) => name,
    }
}

fn format(format: &Format) -> Value {
    let fstype = format.fstype.map(|it| it.name());
    json!([fstype, format.label, format.fsoptions, format.mkfsoptions, format.noformat])
}

fn part(part: &Part) -> Value {
    let (on_disk, on_part) = match &part.place {
        Place::Any => (None, None),
        Place::OnDisk(disk) => (Some(disk.to_string()), None),
        Place::OnPart(name) => (None, Some(name)),
    };
    json!({
        "mount": usage(&part.usage), "size": part.size_mib, "max": part.max_size_mib,
        "grow": part.grow, "resize": false, "on_disk": on_disk, "on_part": on_part,
        "recommended": part.recommended, "format": format(&part.format),
    })
}

fn raid(raid: &Raid) -> Value {
    json!({
        "mount": usage(&raid.usage), "device": raid.device,
        "level": raid.level.map(|it| it.name()), "members": raid.members, "spares": raid.spares,
        "existing": false, "chunk": raid.chunk_kib, "format": format(&raid.format),
    })
}

fn system(ks: &Kickstart) -> Value {
    let (mut enabled, mut disabled) = (Vec::new(), Vec::new());
    for said in &ks.services.said {
        match &said.value {
            Service::Enabled(name) => enabled.push(name),
            Service::Disabled(name) => disabled.push(name),
        }
    }
    enabled.sort();
    disabled.sort();
    json!({
        "ostreesetup": ks.ostreesetup.as_ref().map(|it| json!([it.osname, it.remote, it.url, it.branch])),
        "hostname": text(ks.hostname.as_ref()),
        "network": ks.network.iter().map(|it| network(it)).collect::<Vec<_>>(),
        "timezone": ks.timezone.as_ref().map(|it| json!([it.name, it.utc])),
        "timesource": time_sources(ks),
        "keyboard": ks.keyboard.as_ref().map(|it| json!([it.keymap, it.xlayouts])),
        "lang": ks.lang.as_ref().map(|it| it.lang.clone()),
        "services": [enabled, disabled],
        "firewall": firewall(ks),
        "selinux": ks.selinux.as_ref().map(|it| match it.value {
            SeLinux::Enforcing => "enforcing",
            SeLinux::Permissive => "permissive",
            SeLinux::Disabled => "disabled",
        }),
    })
}

fn text(at: Option<&At<String>>) -> Option<String> {
    at.map(|it| it.value.clone())
}

fn firewall(ks: &Kickstart) -> Option<Value> {
    let wall = ks.firewall.as_ref()?;
    let mut services = wall.services.clone();
    services.sort();
    Some(json!({
        "enabled": wall.enabled,
        "ports": wall.ports.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "services": services, "removed": wall.remove_services, "trust": wall.trust,
        "defaults": wall.use_system_defaults,
    }))
}

fn time_sources(ks: &Kickstart) -> Value {
    let one = |kind: &TimeSourceKind| match kind {
        TimeSourceKind::Server(name) => ("server", name.clone()),
        TimeSourceKind::Pool(name) => ("pool", name.clone()),
        TimeSourceKind::Disable => ("disable", String::new()),
    };
    let mut all: Vec<_> = ks.timesource.iter().map(|it| one(&it.kind)).collect();
    all.sort();
    json!(all)
}

fn network(network: &Network) -> Value {
    let device = match &network.device {
        Device::Name(name) | Device::Mac(name) => name,
        Device::Link => "link",
        Device::BootIf => "bootif",
    };
    let (protocol, address) = match &network.ipv4 {
        Ipv4::Off => ("", None),
        Ipv4::Dhcp => ("dhcp", None),
        Ipv4::Static { address, prefix, gateway } => ("static", Some((address, prefix, gateway))),
    };
    let (ipv6, gateway6) = match &network.ipv6 {
        Ipv6::Off | Ipv6::Auto => (None, None),
        Ipv6::Dhcp => (Some("dhcp".to_owned()), None),
        Ipv6::Static { address, prefix, gateway } => {
            (Some(format!("{address}/{prefix}")), gateway.as_ref())
        }
    };
    let netmask = |prefix: &u8| Ipv4Addr::from_bits(u32::MAX << (32 - u32::from(*prefix)));
    let mut all = json!({
        "device": device, "bootproto": protocol, "ip": address.map(|it| it.0),
        "netmask": address.map(|it| netmask(it.1)), "gateway": address.map(|it| it.2),
        "nameserver": network.nameserver, "ipv6": ipv6, "ipv6gateway": gateway6,
        "noipv4": network.ipv4 == Ipv4::Off, "noipv6": network.ipv6 == Ipv6::Off,
        "nodns": network.nodns, "nodefroute": network.nodefroute,
        "mtu": network.mtu.map(|it| it.to_string()), "onboot": network.onboot,
        "activate": network.activate, "bondslaves": [], "bondopts": [], "bridgeslaves": [],
        "bridgeopts": [], "vlanid": null, "interfacename": null,
    });
    match &network.link {
        Link::Ethernet => (),
        Link::Bond { members, options } => {
            all["bondslaves"] = json!(members);
            all["bondopts"] = json!(options);
        }
        Link::Bridge { members, options } => {
            all["bridgeslaves"] = json!(members);
            all["bridgeopts"] = json!(options);
        }
        Link::Vlan { id, name } => {
            all["vlanid"] = json!(id.to_string());
            all["interfacename"] = json!(name);
        }
    }
    all
}

fn password(password: Option<&Password>) -> Value {
    match password {
        None => Value::Null,
        Some(Password::Plain(secret)) => json!(["plain", secret.reveal()]),
        Some(Password::Crypted(secret)) => json!(["crypted", secret.reveal()]),
    }
}

fn user(user: &User) -> Value {
    json!({
        "name": user.name, "uid": user.uid, "gid": user.gid, "groups": user.groups,
        "homedir": user.homedir, "shell": user.shell, "gecos": user.gecos, "lock": user.lock,
        "password": password(user.password.as_ref()),
    })
}

fn accounts(ks: &Kickstart) -> Value {
    json!({
        "rootpw": ks.rootpw.as_ref().map(|it| json!([password(it.password.as_ref()), it.lock])),
        "user": ks.user.iter().map(|it| user(it)).collect::<Vec<_>>(),
        "group": ks.group.iter().map(|it| json!([it.name, it.gid])).collect::<Vec<_>>(),
        "sshkey": ks.sshkey.iter().map(|it| json!([it.username, it.key])).collect::<Vec<_>>(),
    })
}

fn installer(ks: &Kickstart) -> Value {
    let scripts = ks.scripts.iter().map(|it| {
        json!({
            "kind": it.kind, "interpreter": it.interpreter, "chroot": it.chroot,
            "error_on_fail": it.error_on_fail, "log": it.log, "body": it.body.reveal(),
        })
    });
    let certificates = ks.certificates.iter();
    let certificates = certificates.map(|it| json!([it.filename, it.dir, it.pem.trim_end()]));
    json!({
        "end": ks.end.as_ref().map(|it| {
            let action = match it.action {
                EndAction::Reboot => "reboot",
                EndAction::PowerOff => "poweroff",
                EndAction::Halt => "halt",
            };
            json!([action, it.eject])
        }),
        "display": ks.display.as_ref().map(|it| match it.value {
            Display::Text => "text",
            Display::CmdLine => "cmdline",
            Display::Graphical => "graphical",
        }),
        "logging": ks.logging.as_ref().map(|it| json!([it.host, it.port.map(|port| port.to_string())])),
        "updates": text(ks.updates.as_ref()),
        "eula": ks.eula,
        "firstboot": ks.firstboot.as_ref().map(|it| match it.value {
            FirstBoot::Enable => "enable",
            FirstBoot::Disable => "disable",
            FirstBoot::Reconfig => "reconfig",
        }),
        "scripts": scripts.collect::<Vec<_>>(),
        "certificates": certificates.collect::<Vec<_>>(),
    })
}
