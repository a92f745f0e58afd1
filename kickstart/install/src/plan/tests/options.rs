//! Every option that the language calls used changes what is done: none is read and forgotten.

use std::collections::BTreeSet;

use basalt_kickstart::{Fate, options};

use super::*;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEexampleexampleexampleexampleexampleexample";
const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n%end";
/// What a line stands behind that is no layout.
const LAYOUT: &str = "ignoredisk --only-use=sda\nzerombr\nclearpart --all --initlabel\nreqpart\n\
                      part / --size=4096\n";
/// What a layout on a disk with partitions stands behind.
const ROOT: &str = "ignoredisk --only-use=sda\nreqpart\npart / --size=4096\n";
/// The same, with other disks that may be used.
const ON_SDA: &str = "reqpart\npart / --size=4096 --ondisk=sda";
/// What an array's members are.
const MEMBERS: &str = "zerombr\nclearpart --all --initlabel\nreqpart\npart / --size=4096 --ondisk=sda\n\
                       part raid.1 --size=9000 --ondisk=sda\npart raid.2 --size=9000 --ondisk=sdb\n\
                       part raid.3 --size=9000 --ondisk=sdc\n";

/// Options that no plan has: who reads them instead.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    ("logging", "--host", "the log"),
    ("logging", "--port", "the log"),
    ("%pre", "", "the run, before there is a plan"),
    ("%pre-install", "", "the run, before the first step"),
    ("%onerror", "", "the run, when a step failed"),
    ("%traceback", "", "the run, when a step failed"),
];

/// A command, its option, and two texts of which the second has it.
type Entry = (&'static str, &'static str, &'static str, &'static str);

const ACCOUNTS: &[Entry] = &[
    ("rootpw", "--iscrypted", "rootpw --plaintext $6$a$b", "rootpw --iscrypted $6$a$b"),
    ("rootpw", "--lock", "rootpw a", "rootpw a --lock"),
    ("user", "--name", "", "user --name=me"),
    ("user", "--uid", "user --name=me", "user --name=me --uid=5000"),
    ("user", "--gid", "user --name=me", "user --name=me --gid=5000"),
    ("user", "--groups", "user --name=me", "user --name=me --groups=basalt"),
    ("user", "--homedir", "user --name=me", "user --name=me --homedir=/var/me"),
    ("user", "--shell", "user --name=me", "user --name=me --shell=/bin/fish"),
    ("user", "--gecos", "user --name=me", "user --name=me --gecos=Me"),
    ("user", "--password", "user --name=me", "user --name=me --password=a"),
    (
        "user",
        "--iscrypted",
        "user --name=me --password=$6$a$b",
        "user --name=me --password=$6$a$b --iscrypted",
    ),
    ("user", "--lock", "user --name=me", "user --name=me --lock"),
    ("group", "--name", "", "group --name=us"),
    ("group", "--gid", "group --name=us", "group --name=us --gid=5000"),
    ("sshkey", "--username", "", "sshkey --username=root \"KEY\""),
];

const SYSTEM: &[Entry] = &[
    ("bootloader", "--append", "bootloader", "bootloader --append=debug"),
    ("bootloader", "--leavebootorder", "bootloader", "bootloader --leavebootorder"),
    ("reboot", "--eject", "reboot", "reboot --eject"),
    ("firewall", "--disabled", "firewall --enabled", "firewall --disabled"),
    ("firewall", "--port", "firewall --enabled", "firewall --port=80"),
    ("firewall", "--trust", "firewall --enabled", "firewall --trust=ens1"),
    ("firewall", "--service", "firewall --enabled", "firewall --service=dns"),
    ("firewall", "--ssh", "firewall --enabled", "firewall --ssh"),
    ("firewall", "--http", "firewall --enabled", "firewall --http"),
    ("firewall", "--smtp", "firewall --enabled", "firewall --smtp"),
    ("firewall", "--ftp", "firewall --enabled", "firewall --ftp"),
    (
        "ostreesetup",
        "--url",
        "",
        "ostreesetup --osname=basalt --ref=basalt/base --url=https://images.example/site",
    ),
    (
        "ostreesetup",
        "--ref",
        "ostreesetup --osname=basalt --ref=basalt/base --url=https://images.example/site",
        "ostreesetup --osname=basalt --ref=basalt/other --url=https://images.example/site",
    ),
    ("timezone", "--utc", "timezone Europe/Berlin", "timezone Europe/Berlin --utc"),
    ("timezone", "--nontp", "timezone Europe/Berlin", "timezone Europe/Berlin --nontp"),
    ("timezone", "--ntpservers", "timezone UTC", "timezone UTC --ntpservers=a"),
    ("timesource", "--ntp-server", "", "timesource --ntp-server=a"),
    ("timesource", "--ntp-pool", "", "timesource --ntp-pool=a"),
    ("timesource", "--ntp-disable", "", "timesource --ntp-disable"),
    ("keyboard", "--vckeymap", "", "keyboard --vckeymap=de"),
    ("keyboard", "--xlayouts", "", "keyboard --xlayouts=de"),
    ("services", "--enabled", "", "services --enabled=podman.socket"),
    ("services", "--disabled", "", "services --disabled=podman.socket"),
    ("%post", "--nochroot", "%post\nx\n%end", "%post --nochroot\nx\n%end"),
    ("%post", "--erroronfail", "%post\nx\n%end", "%post --erroronfail\nx\n%end"),
    ("%post", "--interpreter", "%post\nx\n%end", "%post --interpreter=/bin/bash\nx\n%end"),
    ("%post", "--log", "%post\nx\n%end", "%post --log=/x\nx\n%end"),
    ("%certificate", "--filename", "", "%certificate --filename=a --type=anchor\nPEM"),
    ("%certificate", "--type", "", "%certificate --filename=a --type=anchor\nPEM"),
    ("%certificate", "--dir", "", "%certificate --filename=a --dir=/etc/ssl/x\nPEM"),
];

const DHCP: &str = "network --device=ens1";
const STATIC: &str =
    "network --device=ens1 --bootproto=static --ip=192.0.2.9 --netmask=255.255.255.0";

/// Of a connection: what is added to it.
const NETWORK: &[(&str, &str, &str)] = &[
    ("--onboot", DHCP, "--onboot=no"),
    ("--mtu", DHCP, "--mtu=9000"),
    ("--nameserver", DHCP, "--nameserver=192.0.2.53"),
    ("--ipv6", DHCP, "--ipv6=2001:db8::9/64"),
    ("--ipv6gateway", "network --device=ens1 --ipv6=2001:db8::9/64", "--ipv6gateway=fe80::1"),
    ("--noipv4", DHCP, "--noipv4"),
    ("--noipv6", DHCP, "--noipv6"),
    ("--nodns", DHCP, "--nodns"),
    ("--nodefroute", DHCP, "--nodefroute"),
    ("--ipv4-dns-search", DHCP, "--ipv4-dns-search=a.example"),
    ("--ipv6-dns-search", DHCP, "--ipv6-dns-search=a.example"),
    ("--ipv4-ignore-auto-dns", DHCP, "--ipv4-ignore-auto-dns"),
    ("--ipv6-ignore-auto-dns", DHCP, "--ipv6-ignore-auto-dns"),
    ("--dhcpclass", DHCP, "--dhcpclass=x"),
    ("--gateway", STATIC, "--gateway=192.0.2.1"),
    ("--bondslaves", DHCP, "--bondslaves=ens2"),
    ("--bondopts", "network --device=b --bondslaves=ens2", "--bondopts=mode=1"),
    ("--bridgeslaves", DHCP, "--bridgeslaves=ens2"),
    ("--bridgeopts", "network --device=b --bridgeslaves=ens2", "--bridgeopts=stp=no"),
    ("--vlanid", DHCP, "--vlanid=7"),
    ("--interfacename", "network --device=ens1 --vlanid=7", "--interfacename=guests"),
    ("--hostname", DHCP, "--hostname=a"),
    ("--device", "network --noipv6", "--device=ens9"),
    ("--bootproto", DHCP, "--bootproto=static --ip=192.0.2.9/24"),
];

/// Whole layouts.
const DISKS: &[Entry] = &[
    ("bootloader", "--boot-drive", "PLAIN", "PLAIN\nbootloader --boot-drive=sdb"),
    ("clearpart", "--all", "ROOT", "ROOT\nclearpart --all"),
    ("clearpart", "--linux", "ROOT", "ROOT\nclearpart --linux"),
    ("clearpart", "--list", "ROOT", "ROOT\nclearpart --list=sda3"),
    ("clearpart", "--drives", "ONSDA\nclearpart --all", "ONSDA\nclearpart --all --drives=sda,sdb"),
    (
        "clearpart",
        "--initlabel",
        "reqpart\npart / --size=4096 --ondisk=sdb\nclearpart --drives=sdb",
        "reqpart\npart / --size=4096 --ondisk=sdb\nclearpart --drives=sdb --initlabel",
    ),
    ("ignoredisk", "--drives", "PLAIN", "PLAIN\nignoredisk --drives=sdb,sdc"),
    ("ignoredisk", "--only-use", "PLAIN", "PLAIN\nignoredisk --only-use=sda"),
    ("part", "--size", "ROOT\npart /var --size=2000", "ROOT\npart /var --size=3000"),
    ("part", "--grow", "ROOT\npart /var --size=2000", "ROOT\npart /var --size=2000 --grow"),
    (
        "part",
        "--maxsize",
        "ROOT\npart /var --size=2000 --grow",
        "ROOT\npart /var --size=2000 --grow --maxsize=3000",
    ),
    ("part", "--recommended", "ROOT\npart swap --size=100", "ROOT\npart swap --recommended"),
    (
        "part",
        "--ondisk",
        "ONSDA\nzerombr\npart /var --size=2000 --ondisk=sda",
        "ONSDA\nzerombr\npart /var --size=2000 --ondisk=sdb",
    ),
    ("part", "--onpart", "ROOT\npart /var --size=2000", "ROOT\npart /var --onpart=sda3"),
    (
        "part",
        "--noformat",
        "ROOT\npart /var --onpart=sda3",
        "ROOT\npart /var --onpart=sda3 --noformat",
    ),
    ("part", "--label", "ROOT\npart /var --size=2000", "ROOT\npart /var --size=2000 --label=x"),
    (
        "part",
        "--fsoptions",
        "ROOT\npart /var --size=2000",
        "ROOT\npart /var --size=2000 --fsoptions=noatime",
    ),
    (
        "part",
        "--mkfsoptions",
        "ROOT\npart /var --size=2000",
        "ROOT\npart /var --size=2000 --mkfsoptions=-m0",
    ),
];

/// Of an array: what is added to it, or stands in place of what it has.
const RAID: &[(&str, &str, &str)] = &[
    ("--device", "--device=a --level=1", "--device=b --level=1"),
    ("--level", "--device=a --level=1", "--device=a --level=5"),
    ("--spares", "--device=a --level=1", "--device=a --level=1 --spares=1"),
    ("--chunksize", "--device=a --level=5", "--device=a --level=5 --chunksize=64"),
    ("--label", "--device=a --level=1", "--device=a --level=1 --label=x"),
    ("--fsoptions", "--device=a --level=1", "--device=a --level=1 --fsoptions=noatime"),
    ("--mkfsoptions", "--device=a --level=1", "--device=a --level=1 --mkfsoptions=-m0"),
];

/// What comes of a text: the plan, and all that is said.
fn outcome(text: &str) -> (Option<Plan>, Vec<String>) {
    let parts = vec![
        there("sda", 1, 1, 1024, "FAT \"ESP\""),
        there("sda", 3, 1025, 20_000, "ext4 \"var\""),
    ];
    let sda = with_table(disk("sda", 60 * GB, Bus::Sata), parts);
    let mut machine =
        Machine::with(vec![sda, disk("sdb", 50 * GB, Bus::Sata), disk("sdc", 50 * GB, Bus::Sata)]);
    machine.image.0.insert("usr/share/keymaps".to_owned(), String::new());
    let (plan, problems) = machine.plan_of(&read(text));
    (plan, problems.0.into_iter().map(|it| it.message).collect())
}

/// All pairs of whole texts, each with its command and option.
fn pairs() -> Vec<(&'static str, &'static str, [String; 2])> {
    let behind = |layout: &str, text: &str| {
        format!("{layout}{}\n", text.replace("KEY", KEY).replace("PEM", PEM))
    };
    let lines = ACCOUNTS.iter().chain(SYSTEM).map(|(command, option, without, with)| {
        (*command, *option, [without, with].map(|text| behind(LAYOUT, text)))
    });
    let network = NETWORK.iter().map(|(option, without, more)| {
        (
            "network",
            *option,
            [(*without).to_owned(), format!("{without} {more}")].map(|text| behind(LAYOUT, &text)),
        )
    });
    let disks = DISKS.iter().map(|(command, option, without, with)| {
        let whole = |text: &str| {
            text.replace("PLAIN", PLAIN).replace("ROOT", ROOT).replace("ONSDA", ON_SDA) + "\n"
        };
        (*command, *option, [without, with].map(|text| whole(text)))
    });
    let raid = RAID.iter().map(|(option, without, with)| {
        let array = |text: &&str| format!("{MEMBERS}raid /var {text} raid.1 raid.2 raid.3\n");
        ("raid", *option, [without, with].map(array))
    });
    lines.chain(network).chain(disks).chain(raid).collect()
}

#[test]
fn every_option_that_is_used_changes_what_is_done() {
    let (mut seen, mut idle) = (BTreeSet::new(), Vec::new());
    for (command, option, [without, with]) in pairs() {
        assert!(with.contains(option), "{command} {option}: {with}");
        if outcome(&without) == outcome(&with) {
            idle.push(format!("{command} {option}"));
        }
        seen.insert((command, option));
    }
    assert!(idle.is_empty(), "these change nothing: {idle:?}");
    // An address by hand is one thing, said with several options.
    for option in ["--ip", "--netmask"] {
        let other = STATIC.replace("192.0.2.9", "192.0.2.8").replace("255.0 ", "0.0 ");
        assert_ne!(outcome(&format!("{LAYOUT}{STATIC}\n")), outcome(&format!("{LAYOUT}{other}\n")));
        seen.insert(("network", option));
    }
    for accepted in options().filter(|it| it.fate == Fate::Used) {
        let (command, option) = (accepted.command, accepted.option);
        let is_elsewhere = ELSEWHERE
            .iter()
            .any(|(of, name, _)| *of == command && (name.is_empty() || *name == option));
        assert!(
            seen.contains(&(command, option)) || is_elsewhere,
            "nothing shows that `{command} {option}` is used"
        );
    }
}
