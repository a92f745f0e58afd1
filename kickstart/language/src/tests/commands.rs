//! One command at a time.

use super::{check, good, read, said};
use crate::disk::DiskSelector;
use crate::model::*;

#[test]
fn who_may_log_in_is_read() {
    let ks = good(
        "rootpw --lock\nuser --name=ops --uid=1000 --groups=a,libvirt --shell=/bin/bash --lock\n\
         group --name=a --gid=5\nsshkey --username=ops \"ssh-ed25519 AAAAC3 x\"",
    );
    assert!(ks.rootpw.unwrap().lock);
    assert_eq!((ks.user[0].uid, ks.user[0].groups.len()), (Some(1000), 2));
    assert_eq!((ks.group[0].name.as_str(), ks.group[0].gid), ("a", Some(5)));
    assert_eq!(ks.sshkey[0].key, "ssh-ed25519 AAAAC3 x");
}

#[test]
fn who_may_not_is_told() {
    check("rootpw", &["1:1: `rootpw` needs a password, or `--lock`"]);
    check("rootpw --iscrypted hunter2", &["1:20: this is no hash of a password"]);
    check(
        "rootpw --plaintext x",
        &["W 1:20: the password stands in this file for whoever can read it"],
    );
    check(
        "rootpw --allow-ssh --lock",
        &["1:8: `--allow-ssh`: nobody comes in by ssh with a password"],
    );
    check("user --uid=1", &["1:1: `user` needs `--name=`"]);
    check(
        "user --name=Ops --uid=x",
        &[
            "1:13: `Ops` is no name of an account",
            "1:23: `--uid` takes a number from 0 to 4294967294",
        ],
    );
    check("user --name=a --homedir=x", &["1:25: `--homedir` takes a whole path"]);
    check(
        "sshkey --username=root ssh-rsa AAAA x",
        &["1:24: this is not a public key of SSH", "1:32: `sshkey` takes no such word"],
    );
}

#[test]
fn the_loader_is_read() {
    let ks = good("bootloader --append='a=\"b c\" d' --boot-drive=sda --location=mbr");
    let loader = ks.bootloader.unwrap().value;
    assert_eq!(loader.append, ["a=\"b c\"", "d"]);
    assert_eq!(loader.boot_drive, Some(DiskSelector::Named("sda".to_owned())));
    check("bootloader --location=none", &["1:23: without a loader the host does not boot"]);
    check(
        "bootloader --location=boot --md5pass=x",
        &[
            "W 1:23: `--location` has no effect: the loader lies on the EFI partition",
            "W 1:28: `--md5pass` has no effect: nobody can change the kernel's arguments in the menu",
        ],
    );
    check(
        "bootloader --append=basalt.join=basalt1.x",
        &["1:21: everybody can read the kernel's arguments"],
    );
    check(
        "bootloader --extlinux",
        &["1:12: `--extlinux`: the loader is systemd-boot, which has none"],
    );
}

#[test]
fn what_becomes_of_disks_is_read() {
    let ks = good(
        "clearpart --all --initlabel --drives=sda,@serial=X\nzerombr\nignoredisk --drives=sdc",
    );
    let clear = ks.clearpart.unwrap().value;
    assert_eq!((clear.clear, clear.drives.len(), clear.initlabel), (Clear::All, 2, true));
    assert!(ks.zerombr);
    assert!(matches!(ks.ignoredisk.unwrap().value, IgnoreDisk::Drives(disks) if disks.len() == 1));
    let listed = good("clearpart --list=sda2,sda3").clearpart.unwrap().value;
    assert_eq!(listed.clear, Clear::List(vec!["sda2".to_owned(), "sda3".to_owned()]));
    check("clearpart --all --none", &["1:17: `--all` and `--none` contradict each other"]);
    check("clearpart --all --disklabel=msdos", &["1:29: disks have a GPT here"]);
    check("clearpart --all --drives=sda1", &["1:26: this is a partition and no disk"]);
    check("ignoredisk", &["1:1: `ignoredisk` needs one of `--drives=` and `--only-use=`"]);
    check("ignoredisk --drives=@bsu=usb", &["1:22: a disk has no `bsu` to choose it by"]);
    check("zerombr yes", &["1:9: `zerombr` takes no such word"]);
    check(
        "ignoredisk --only-use=sda,sdb|nvme0n1",
        &["1:30: one disk is meant, and not whichever of several is there"],
    );
}

#[test]
fn a_layout_of_the_installers_own_is_read() {
    let parsed = read("autopart --type=plain --nohome --noswap --fstype=ext4\n");
    assert_eq!(said(&parsed), Vec::<String>::new());
    assert!(parsed.kickstart.autopart.unwrap().noswap);
    for (text, expected) in [
        ("autopart --noswap --type=lvm", "1:26: there is no lvm here"),
        ("autopart --noswap --type=foo", "1:26: there is no such type"),
        ("autopart --noswap --fstype=xfs", "1:28: file systems are ext4 here"),
        ("autopart --noswap --encrypted", "1:19: `--encrypted`: disks are not encrypted here yet"),
    ] {
        assert_eq!(said(&read(text)), [expected]);
    }
}

const ESP_AND_ROOT: &str = "reqpart\npart / --size=1\n";

/// Of a line behind an EFI partition and a root.
fn check_part(text: &str, expected: &[&str]) {
    let parsed = read(&format!("{ESP_AND_ROOT}{text}"));
    assert_eq!(said(&parsed), expected, "{text}");
}

#[test]
fn partitions_are_read() {
    let parsed = read(&format!(
        "{ESP_AND_ROOT}part /var//lib/ --size=10 --maxsize=20 --grow --ondisk=@smallest \
         --label=x --fsoptions=noatime\npartition swap --recommended\n\
         part /var --onpart=/dev/sda3 --noformat"
    ));
    assert_eq!(said(&parsed), Vec::<String>::new());
    let part = &parsed.kickstart.part[1];
    assert_eq!(part.usage, Use::Mount("/var/lib".to_owned()));
    assert_eq!((part.size_mib, part.max_size_mib, part.grow), (Some(10), Some(20), true));
    assert!(matches!(&part.place, Place::OnDisk(disk) if disk.to_string() == "@smallest"));
    assert_eq!(part.format.label.as_deref(), Some("x"));
    assert!(parsed.kickstart.part[2].recommended);
    assert_eq!(parsed.kickstart.part[3].place, Place::OnPart("sda3".to_owned()));
    assert!(parsed.kickstart.part[3].format.noformat);
}

#[test]
fn partitions_that_cannot_be_are_told() {
    check_part("part /var", &["3:1: it has no size"]);
    check_part("part /var --size=-1", &["3:18: `--size` takes a number from 1 to 1099511627776"]);
    check_part(
        "part /var --size=20 --maxsize=10 --grow",
        &["3:21: it cannot have 20 MiB and at most 10"],
    );
    check_part("part /var --size=2 --maxsize=10", &["3:20: it does not grow"]);
    check_part("part pv.01 --size=2", &["3:6: there is no LVM here"]);
    check_part(
        "part /boot --size=2",
        &["3:6: there is no `/boot`: kernels lie on the EFI partition"],
    );
    check_part("part /home --size=2", &["3:6: `/home` lies in `/var/home`"]);
    check_part("part /usr --size=2", &["3:6: it is a part of the system's image"]);
    check_part("part /var/../x --size=2", &["3:6: this is no mount point"]);
    check_part("part var --size=2", &["3:6: this is no mount point"]);
    check_part("part biosboot --size=1", &["3:6: a host boots by UEFI"]);
    check_part("part /var --fstype=xfs --size=2", &["3:20: xfs cannot be made here"]);
    check_part("part swap --fstype=ext4 --size=2", &["3:20: it cannot be ext4 there"]);
    check_part(
        "part /var --resize --size=1 --onpart=sda3",
        &["3:11: `--resize`: a partition that is there is not made larger or smaller"],
    );
    check_part("part /var --size=1 --noformat", &["3:20: a new partition has nothing to keep"]);
    check_part("part /var --recommended", &["3:11: only swap has a size of its own"]);
    check_part(
        "part /var --size=1 --asprimary --fsprofile=x",
        &[
            "W 3:20: `--asprimary` has no effect: every partition of a GPT is one",
            "3:32: `--fsprofile`: there are no profiles of file systems",
        ],
    );
    check_part("part", &["3:1: `part` needs a word beside its options"]);
}

#[test]
fn a_mirror_is_read() {
    let members = "part raid.1 --size=1 --ondisk=sda\npart raid.2 --size=1 --ondisk=sdb\n";
    let parsed = read(&format!(
        "{ESP_AND_ROOT}{members}raid /var --device=md0 --level=raid1 --chunksize=64 raid.1 raid.2"
    ));
    assert_eq!(said(&parsed), Vec::<String>::new());
    let raid = &parsed.kickstart.raid[0];
    assert_eq!((raid.level, raid.members.len()), (Some(RaidLevel::Raid1), 2));
    assert_eq!((raid.device.as_str(), raid.chunk_kib), ("md0", Some(64)));
}

#[test]
fn arrays_that_cannot_be_are_told() {
    let members = "part raid.1 --size=1 --ondisk=sda\npart raid.2 --size=1 --ondisk=sdb\n";
    let check = |text: &str, expected: &str| {
        let found = said(&read(&format!("{ESP_AND_ROOT}{members}{text}")));
        assert!(found.contains(&expected.to_owned()), "{text}: {found:?}");
    };
    check("raid /var --device=md0 --level=1 raid.1", "5:1: RAID1 needs 2 members, and has 1");
    check(
        "raid /var --device=md0 --level=1 --spares=1 raid.1 raid.2",
        "5:1: RAID1 needs 2 members, and has 1",
    );
    check("raid /var --device=md0 --level=3 raid.1 raid.2", "5:32: there is no such level");
    check("raid /var --device=md0 raid.1 raid.2", "5:1: the array has no level");
    check("raid /var --device=md0 --level=1", "5:1: the array has no members");
    check("raid /var --level=1 raid.1 raid.2", "5:1: `raid` needs `--device=`");
    check("raid / --device=md0 --level=1 raid.1 raid.2", "5:6: firmware and loader read no array");
    check("raid /var --device=md0 --level=1 raid.1 raid.1", "5:41: it is a member already");
    check(
        "raid /var --device=md0 --useexisting",
        "5:24: `--useexisting`: an array that is there is not used again",
    );
    check("raid /var --device='a b' --level=1 raid.1 raid.2", "5:21: this is no name of an array");
}

#[test]
fn connections_are_read() {
    let ks = good(
        "network --device=bond0 --bondslaves=ens1,ens2 --bondopts=mode=802.3ad;miimon=1\n\
         network --device=bond0 --vlanid=7 --noipv4 --ipv6=2001:db8::2/48 --ipv6gateway=2001:db8::1\n\
         network --device=br0 --bridgeslaves=ens3 --bridgeopts=stp=yes,priority=1 --no-activate\n\
         network --device=AA-bb-cc-dd-ee-ff --bootproto=static --ip=192.0.2.9 \
         --netmask=255.255.255.128 --gateway=192.0.2.1 --nameserver=192.0.2.3 --mtu=9000\n\
         network --hostname=a-1.example",
    );
    let Link::Bond { members, options } = &ks.network[0].link else { panic!("{ks:?}") };
    assert_eq!((members.len(), options[0].1.as_str()), (2, "802.3ad"));
    assert_eq!(ks.network[1].link, Link::Vlan { id: 7, name: None });
    assert_eq!(ks.network[1].ipv4, Ipv4::Off);
    assert!(matches!(ks.network[1].ipv6, Ipv6::Static { prefix: 48, gateway: Some(_), .. }));
    assert!(matches!(&ks.network[2].link, Link::Bridge { options, .. } if options.len() == 2));
    assert_eq!(ks.network[2].activate, Some(false));
    assert_eq!(ks.network[3].device, Device::Mac("aa:bb:cc:dd:ee:ff".to_owned()));
    assert!(matches!(ks.network[3].ipv4, Ipv4::Static { prefix: 25, gateway: Some(_), .. }));
    assert_eq!((ks.network.len(), ks.network[3].mtu), (4, Some(9000)));
    assert_eq!(ks.hostname.unwrap().value, "a-1.example");
}

#[test]
fn connections_that_cannot_be_are_told() {
    check("network --bootproto=static --device=a", &["1:1: `--bootproto=static` needs `--ip=`"]);
    check("network --bootproto=static --ip=1.2.3.4", &["1:33: the address needs a `--netmask=`"]);
    check(
        "network --bootproto=static --ip=1.2.3.400 --netmask=255.0.255.0",
        &["1:33: this is no address", "1:53: this is no netmask"],
    );
    check(
        "network --bootproto=static --ip=10.0.0.2 --netmask=255.255.255.0 --gateway=10.0.1.1",
        &["1:66: the gateway is not in the network 10.0.0.2/24"],
    );
    check("network --ip=10.0.0.2", &["1:9: an address by hand and by DHCP"]);
    check("network --bootproto=dhcpp", &["1:21: there is no such protocol"]);
    check(
        "network --device=bond0 --bondopts=mode=1",
        &["1:24: `--bondopts=` needs `--bondslaves=`"],
    );
    check("network --device=b --bondslaves=x --bondopts=mode", &["1:46: this is no option"]);
    check("network --vlanid=1", &["1:1: a bond, bridge or VLAN needs a device by name"]);
    check("network --device=a --vlanid=4095", &["1:29: `--vlanid` takes a number from 1 to 4094"]);
    check(
        "network --device=a_name_that_is_long",
        &["1:18: `a_name_that_is_long` is no device of a network"],
    );
    check(
        "network --device=a --essid=x",
        &["1:20: `--essid`: there is no wireless network on a host"],
    );
    check("network --device=a --teamslaves=x", &["1:20: `--teamslaves`: there is no team here"]);
    check("network --hostname=rack_4", &["1:20: this is not a host's name"]);
    check("network --device=a --onboot=maybe", &["1:29: this is neither yes nor no"]);
    check("network --nodns --nameserver=1.2.3.4", &["1:9: name servers, and none"]);
}

#[test]
fn place_and_time_are_read() {
    let ks = good(
        "timezone America/New_York --utc\ntimesource --ntp-pool=p.example\nkeyboard de\n\
         lang de_DE.UTF-8\nservices --enabled=a,b --disabled=c",
    );
    assert_eq!(ks.timezone.unwrap().name.as_deref(), Some("America/New_York"));
    assert_eq!(ks.timesource[0].kind, TimeSourceKind::Pool("p.example".to_owned()));
    assert_eq!(ks.keyboard.unwrap().keymap.as_deref(), Some("de"));
    assert_eq!(ks.lang.unwrap().lang, "de_DE.UTF-8");
    assert_eq!(ks.services.said.len(), 3);
}

#[test]
fn place_and_time_that_are_not_are_told() {
    let parsed = read("timezone Europe/Berln\nautopart --noswap");
    assert_eq!(said(&parsed), ["1:10: there is no time zone `Europe/Berln`"]);
    assert_eq!(parsed.diagnostics[0].hint, "did you mean `Europe/Berlin`?");
    check("timezone", &["1:1: `timezone` says nothing"]);
    check(
        "timezone UTC --ntpservers=a --nontp",
        &[
            "W 1:14: Anaconda removes it",
            "1:29: `--ntpservers` and `--nontp` contradict each other",
            "W 1:29: Anaconda removes it",
        ],
    );
    check("timesource", &["1:1: `timesource` says no source"]);
    check(
        "timesource --ntp-server=a --nts",
        &["1:27: `--nts`: the clock's service does not speak NTS"],
    );
    check("keyboard", &["1:1: `keyboard` says no layout"]);
    check("lang 'en US'", &["1:6: this is no language"]);
    check("services", &["1:1: `services` names none"]);
}

#[test]
fn the_firewall_is_read() {
    let ks = good(
        "firewall --enabled --port=22,53:udp --port=6000-6001:tcp --service=a,b --http --trust=eth0",
    );
    let wall = ks.firewall.unwrap().value;
    let ports: Vec<_> = wall.ports.iter().map(ToString::to_string).collect();
    assert_eq!(ports, ["22:tcp", "53:udp", "6000-6001:tcp"]);
    assert_eq!(wall.services, ["a", "b", "http"]);
    assert_eq!(wall.trust, ["eth0"]);
    assert!(!good("firewall --disable").firewall.unwrap().enabled);
    check("firewall --port=22:sctp", &["1:17: this is no port"]);
    check("firewall --port=0", &["1:17: this is no port"]);
    check(
        "firewall --enabled --disabled",
        &["1:20: `--enabled` and `--disabled` contradict each other"],
    );
    check("firewall --ssh --remove-service=ssh", &["1:33: it is let in and kept out"]);
}

#[test]
fn the_archive_is_read() {
    let ks = good("ostreesetup --osname=basalt --url=https://x/y --ref=b/c");
    let archive = ks.ostreesetup.unwrap().value;
    assert_eq!((archive.remote.as_str(), archive.branch.as_str()), ("basalt", "b/c"));
    check(
        "ostreesetup --osname=basalt --url=ftp://x --ref=b/../c",
        &["1:35: this is no URL of an archive", "1:49: this is no ref"],
    );
    check(
        "ostreesetup --osname=basalt --url=http://x --ref=b --nogpg",
        &["1:52: `--nogpg`: a host takes nothing that is not signed"],
    );
    check(
        "ostreesetup --url=http://x",
        &["1:1: `ostreesetup` needs `--osname=`", "1:1: `ostreesetup` needs `--ref=`"],
    );
}

#[test]
fn what_concerns_the_installer_is_read() {
    let ks = good(
        "text --non-interactive\nlogging --host=a --port=5\neula --agreed\nfirstboot --disabled\nhalt --eject",
    );
    assert_eq!(ks.display.unwrap().value, Display::CmdLine);
    assert_eq!(ks.logging.unwrap().port, Some(5));
    assert_eq!(ks.end.unwrap().value, End { action: EndAction::Halt, eject: true });
    check("graphical", &["W 1:1: the installer has no desktop, and shows text"]);
    check("cmdline --non-interactive", &["1:9: `cmdline` asks nothing anyway"]);
    check("logging --port=5", &["1:9: `--port=` needs `--host=`"]);
    check("logging --level=debug", &["W 1:9: `--level` has no effect: all is logged"]);
    check(
        "updates http://x/y",
        &["W 1:1: `updates` has no effect: the installer comes with the image"],
    );
    check("eula", &["1:1: `eula` needs `--agreed`"]);
    check(
        "firstboot --reconfig",
        &["W 1:11: `--reconfig` has no effect: a host asks nothing at its first boot"],
    );
    check(
        "selinux --enforcing",
        &[
            "W 1:9: `--enforcing` has no effect: a host's system is Debian's, without a policy of SELinux",
        ],
    );
    check(
        "reboot --kexec",
        &[
            "W 1:8: `--kexec` has no effect: only a boot by the firmware shows that the loader is right",
        ],
    );
}

#[test]
fn what_cannot_be_carried_out_is_told_with_its_reason_and_what_to_do() {
    let commands = [
        "ostreecontainer",
        "bootc",
        "url",
        "nfs",
        "cdrom",
        "harddrive",
        "hmc",
        "liveimg",
        "repo",
        "module",
        "authselect",
        "authconfig",
        "realm",
        "volgroup",
        "logvol",
        "snapshot",
        "btrfs",
        "mount",
        "iscsi",
        "iscsiname",
        "fcoe",
        "nvdimm",
        "zfcp",
        "driverdisk",
        "rescue",
        "interactive",
        "upgrade",
    ];
    for command in commands {
        let parsed = read(&format!("{command} --x=y\nautopart --noswap"));
        let found = said(&parsed);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(&format!("1:1: `{command}` cannot be carried out: ")));
        assert!(!parsed.is_good() && !parsed.diagnostics[0].hint.is_empty());
    }
    let moot = [
        "vnc",
        "rdp",
        "sshpw",
        "skipx",
        "xconfig",
        "rhsm",
        "syspurpose",
        "zipl",
        "mediacheck",
        "install",
        "autostep",
        "device",
        "deviceprobe",
    ];
    for command in moot {
        let parsed = read(&format!("{command} --x=y\nautopart --noswap"));
        let found = said(&parsed);
        assert!(found[0].starts_with(&format!("W 1:1: `{command}` has no effect: ")), "{found:?}");
        assert!(parsed.is_good() && !parsed.diagnostics[0].hint.is_empty());
    }
}

#[test]
fn an_unknown_command_is_told_with_the_nearest_one() {
    let parsed = read("bootlaoder --x\nautopart --noswap");
    assert_eq!(said(&parsed), ["1:1: unknown command `bootlaoder`"]);
    assert_eq!(parsed.diagnostics[0].hint, "did you mean `bootloader`?");
}

#[test]
fn what_is_said_once_is_not_said_twice() {
    check("lang a\nlang b", &["2:1: `lang` stands here for the second time"]);
    check("reboot\npoweroff", &["2:1: `poweroff` contradicts what stands before"]);
    check("poweroff\nshutdown", &["2:1: `shutdown` stands here for the second time"]);
    check("text\ncmdline", &["2:1: `cmdline` stands here for the second time"]);
}

/// The advice of the only thing that is said.
fn advice(text: &str) -> String {
    let parsed = read(&format!("{text}\nautopart --noswap"));
    let [said] = &parsed.diagnostics[..] else { panic!("{:?}", parsed.diagnostics) };
    said.hint.clone()
}

#[test]
fn what_is_no_hash_but_locks_is_told_how_to_lock() {
    for lock in ["!!", "!", "*"] {
        let said = advice(&format!("rootpw --iscrypted {lock}"));
        assert!(said.starts_with("`rootpw --lock`"), "{said}");
        let said = advice(&format!("user --name=me --iscrypted --password={lock}"));
        assert!(said.starts_with("`--lock`"), "{said}");
    }
    assert!(advice("rootpw --iscrypted hunter2").starts_with("`openssl passwd -6`"));
}

#[test]
fn a_word_too_much_a_number_that_is_none_and_a_value_that_lacks_are_told_with_what_to_do() {
    assert_eq!(advice("zerombr yes"), "leave it away");
    let number = "a whole number, without a sign, a fraction and a unit";
    assert_eq!(advice("user --name=me --uid=1.5"), number);
    assert_eq!(advice("%post --log\ntrue\n%end"), "as `--log=VALUE`; or leave it away");
}

#[test]
fn a_hosts_name_alone_is_taken_for_what_it_means() {
    let parsed = read("hostname a-1.example\nautopart --noswap");
    assert_eq!(said(&parsed), ["W 1:1: Anaconda knows no `hostname`, and would refuse this file"]);
    assert!(parsed.diagnostics[0].hint.starts_with("`network --hostname=a-1.example` says"));
    let expected = good("network --hostname=a-1.example").hostname.unwrap().value;
    assert_eq!(parsed.kickstart.hostname.unwrap().value, expected);
    check(
        "hostname a_b",
        &[
            "W 1:1: Anaconda knows no `hostname`, and would refuse this file",
            "1:10: this is not a host's name",
        ],
    );
    let parsed = read("hostname a\nnetwork --hostname=b\nautopart --noswap");
    assert!(!parsed.is_good(), "two names");
}

#[test]
fn a_group_that_the_base_image_lacks_is_told_unless_it_is_made() {
    let expected = "W 1:33: the base image has no group `wheel`: does yours?";
    check("user --name=me --groups=libvirt,wheel", &[expected]);
    assert!(advice("user --name=me --groups=wheel").starts_with("Debian calls it `sudo`"));
    assert!(advice("user --name=me --groups=dbas").starts_with("`group --name=dbas` makes it"));
    check("user --name=me --groups=wheel,sudo,kvm\ngroup --name=wheel", &[]);
}
