//! Plans of machines that are made up.

mod options;

use basalt_kickstart::disk::{Bus, Disk};
use basalt_kickstart::{Include, NotRead, Parsed, parse};
use basalt_sysroot::partition::{ESP_TYPE, VAR_TYPE};

use super::*;
use crate::edge::tests::InMemory as Edge;
use crate::facts::{Card, Content, DiskFact};
use crate::image::tests::InMemory as Image;
use crate::image::{Archive, Signed};
use crate::settings::Change;

const MIB: u64 = 1 << 20;
const GB: u64 = 1_000_000_000;

fn disk(name: &str, size: u64, bus: Bus) -> DiskFact {
    DiskFact {
        disk: Disk {
            name: name.to_owned(),
            links: Vec::new(),
            size,
            bus: Some(bus),
            model: None,
            serial: Some(format!("S-{name}")),
            is_boot_medium: false,
        },
        sector: 512,
        refused: None,
        content: Content::Nothing,
    }
}

/// A partition that is there, of so many MiB.
fn there(disk: &str, number: u32, start: u64, mib: u64, holds: &str) -> PartFact {
    let kind = if number == 1 { ESP_TYPE } else { VAR_TYPE };
    let id = Uuid::from_u128(0x1000 + u128::from(number));
    PartFact {
        number,
        device: part_device(disk, number),
        extent: Extent { start: start * MIB, length: mib * MIB },
        kind,
        id,
        name: format!("old{number}"),
        flags: 0,
        holds: Some(holds.to_owned()),
        names: vec![format!("PARTUUID={id}")],
    }
}

fn with_table(mut disk: DiskFact, parts: Vec<PartFact>) -> DiskFact {
    disk.content = Content::Table { id: Uuid::from_u128(0x99), parts };
    disk
}

fn about() -> About {
    About {
        origin: Origin::Repository("/sysroot/ostree/repo".into()),
        commit: "ab".repeat(32),
        branch: "basalt/base".to_owned(),
        version: Some("3".to_owned()),
        title: "Basalt 3 (base)".to_owned(),
        arguments: vec!["quiet".to_owned()],
        bytes: 700 * MIB,
        boot_bytes: 30 * MIB,
        signed: Signed::ByTrustedKey,
    }
}

fn image() -> Image {
    Image::with(&[
        ("etc/passwd", "root:x:0:0:root:/root:/bin/bash\nsshd:x:988:65534::/run/sshd:/bin/false\n"),
        ("etc/group", "root:x:0:\nbasalt:x:980:\n"),
        ("etc/shadow", "root:*:20000:0:99999:7:::\n"),
        ("etc/gshadow", "root:*::\nbasalt:!::\n"),
        ("etc/fstab", "/dev/basalt/var /var ext4 defaults,x-systemd.requires=r 0 2\n"),
        ("usr/bin/bash", ""),
        ("usr/bin/sh", ""),
        ("usr/share/zoneinfo/Europe/Berlin", ""),
        ("usr/lib/systemd/system/podman.socket", ""),
        ("usr/lib/systemd/system/nftables.service", ""),
        (
            "usr/lib/basalt/hostd.toml",
            "log = \"info\"\n[gate]\nrequired_units = [\"nftables.service\"]\n",
        ),
        ("usr/lib/systemd/system/systemd-timesyncd.service", ""),
    ])
}

struct Machine {
    about: About,
    facts: Facts,
    image: Image,
    edge: Edge,
}

impl Machine {
    fn with(disks: Vec<DiskFact>) -> Self {
        let cards =
            vec![Card { name: "ens1".into(), mac: "52:54:00:00:00:01".into(), has_cable: true }];
        let facts = Facts { disks, cards, ..Facts::default() };
        Self { about: about(), facts, image: image(), edge: Edge::default() }
    }

    fn plan_of(&mut self, parsed: &Parsed) -> (Option<Plan>, Problems) {
        assert!(parsed.is_good(), "{:?}", parsed.diagnostics);
        let mut problems = Problems::default();
        let mut ground = Ground {
            asked: &parsed.kickstart,
            image: &self.image,
            about: &self.about,
            facts: &self.facts,
            edge: &mut self.edge,
        };
        (plan(&mut ground, &mut problems).unwrap(), problems)
    }

    fn plan(&mut self, text: &str) -> Plan {
        let (plan, problems) = self.plan_of(&read(text));
        assert!(!problems.has_errors(), "{:?}", problems.0);
        plan.unwrap()
    }

    /// All that speaks against it, one sentence a line.
    fn refused(&mut self, text: &str) -> String {
        let (plan, problems) = self.plan_of(&read(text));
        assert_eq!(plan, None);
        let said = problems.0.iter().map(|it| it.message.lines().next().unwrap_or_default());
        said.collect::<Vec<_>>().join("\n")
    }
}

/// An installation to a disk `sda`.
pub(crate) fn plan_of_one_disk() -> Plan {
    Machine::with(vec![disk("sda", 50 * GB, Bus::Sata)]).plan(PLAIN)
}

fn read(text: &str) -> Parsed {
    parse("x.ks", text, &mut |_| unreachable!("nothing is included"))
}

fn example(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/");
    std::fs::read_to_string(format!("{folder}{name}.ks")).unwrap()
}

/// The partitions of a plan, as `sda 1 /boot/efi 1+1024`.
fn parts(plan: &Plan) -> String {
    let of = |disk: &DiskPlan| -> String {
        let parts = disk.parts.iter().map(|part| {
            let (start, length) = (part.extent.start / MIB, part.extent.length / MIB);
            let kept = if part.make == Make::Keep { " kept" } else { "" };
            let role = if part.role == Role::Other { &part.name } else { part.role.name() };
            format!("{} {} {role} {start}+{length}{kept}\n", disk.name, part.number)
        });
        parts.collect()
    };
    plan.disks.iter().map(of).collect()
}

fn text_of(plan: &Plan, wanted: &str) -> String {
    let found = plan.settings.changes.iter().find(|change| change.path() == wanted);
    match found {
        Some(Change::File { text, .. }) => text.0.clone(),
        Some(Change::Link { to, .. }) => format!("-> {to}"),
        other => panic!("{wanted}: {other:?}"),
    }
}

#[test]
fn one_disk_is_the_smallest_that_is_large_enough() {
    let disks = vec![
        disk("sda", 500 * GB, Bus::Sata),
        disk("sdb", 100 * GB, Bus::Sata),
        DiskFact {
            disk: Disk { is_boot_medium: true, ..disk("sdc", 64 * GB, Bus::Usb).disk },
            ..disk("sdc", 64 * GB, Bus::Usb)
        },
    ];
    let plan = Machine::with(disks).plan(&example("one-disk"));
    let expected = "sdb 1 /boot/efi 1+1024\nsdb 2 / 1025+4096\nsdb 3 /var 5121+90245\n";
    assert_eq!(parts(&plan), expected);
    assert!(text_of(&plan, "/var/roothome/.ssh/authorized_keys").starts_with("ssh-ed25519 "));
    assert_eq!(plan.settings.units, crate::settings::Units::default());
}

#[test]
fn a_host_that_enrols_itself_has_its_join_string_and_its_labels() {
    let secret = "basalt1-secret.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let mut machine = Machine::with(vec![disk("nvme0n1", 500 * GB, Bus::Nvme)]);
    let said = machine.refused(&example("enrolled"));
    assert!(said.contains("cannot read the token `/run/install/repo/token`"), "{said}");
    machine.edge.files.insert("/run/install/repo/token".to_owned(), format!("{secret}\n"));
    let plan = machine.plan(&example("enrolled"));
    let join: basalt_api::enrol::JoinString = text_of(&plan, "/etc/basalt/join").parse().unwrap();
    assert_eq!(join.urls, ["https://endpoint.example:8443"]);
    assert!(join.ca_sha256.starts_with("8f43a5d1"));
    let config = text_of(&plan, "/etc/basalt/hostd.toml.d/50-kickstart.toml");
    assert_eq!(config, "# From the kickstart.\n[labels]\n\"rack\" = \"4\"\n\"room\" = \"b\"\n");
    assert!(parts(&plan).starts_with("nvme0n1 1 /boot/efi 1+1024\nnvme0n1 2 / 1025+8192\n"));
    let shown = serde_json::to_string(&plan).unwrap() + &plan.to_string() + &format!("{plan:?}");
    assert!(!shown.contains("AAAAAAAAAAAA"), "the token is shown: {shown}");
}

#[test]
fn a_reinstall_keeps_var_where_it_is() {
    let parts_there = vec![
        there("sda", 1, 1, 1024, "FAT \"ESP\""),
        there("sda", 2, 1025, 8192, "ext4 \"root\""),
        there("sda", 3, 9217, 90_000, "ext4 \"var\""),
    ];
    let disk = with_table(disk("sda", 120 * GB, Bus::Sata), parts_there);
    let plan = Machine::with(vec![disk.clone()]).plan(&example("keep-data"));
    let expected = "sda 1 /boot/efi 1+1024\nsda 2 / 1025+8192\nsda 3 /var 9217+90000 kept\n";
    assert_eq!(parts(&plan), expected);
    let kept = &plan.disks[0];
    assert!(kept.keeps_table && kept.id == Uuid::from_u128(0x99));
    assert_eq!(kept.parts[2].id, Uuid::from_u128(0x1003));
    assert_eq!((kept.removed.len(), kept.parts[2].kind), (2, VAR_TYPE));
    let steps = steps(&plan);
    assert_eq!(steps[0], Step::Clear { disk: 0 });
    assert!(!steps.contains(&Step::Format { disk: 0, number: 3 }));
    assert_eq!(text_of(&plan, "/var/lib/hostd-os/kargs.json"), "[]");
    // What holds something else cannot be kept.
    let mut other = disk;
    if let Content::Table { parts, .. } = &mut other.content {
        parts[2].holds = Some("XFS".to_owned());
    }
    let said = Machine::with(vec![other]).refused(&example("keep-data"));
    assert_eq!(said, "`sda3` holds XFS, and cannot be kept there");
}

#[test]
fn a_network_of_bond_vlan_and_bridge_is_planned() {
    let mut machine = Machine::with(vec![disk("nvme0n1", 500 * GB, Bus::Nvme)]);
    let plan = machine.plan(&example("network"));
    let vlan = text_of(&plan, "/etc/systemd/network/50-kickstart-bond0.10.network");
    assert!(vlan.contains("Address=192.0.2.17/24\nGateway=192.0.2.1\nDNS=192.0.2.53\n"), "{vlan}");
    let bond = text_of(&plan, "/etc/systemd/network/50-kickstart-bond0.network");
    assert!(bond.contains("MTUBytes=9000\n") && bond.contains("VLAN=bond0.10\nVLAN=guests\n"));
    assert_eq!(text_of(&plan, "/etc/hostname"), "rack4-17.example\n");
    assert_eq!(text_of(&plan, "/etc/localtime"), "-> ../usr/share/zoneinfo/Europe/Berlin");
    assert!(text_of(&plan, "/etc/nftables.d/50-kickstart.nft").contains("open_tcp { 22 }"));
    machine.image.0.remove("usr/share/zoneinfo/Europe/Berlin");
    let said = machine.refused(&example("network"));
    assert_eq!(said, "the image does not know the time zone `Europe/Berlin`");
}

/// Two disks on the ports of `mirrored-var`.
fn two_on_ports() -> Machine {
    let path = |name: &str, port: u32| {
        let mut it = disk(name, 500 * GB, Bus::Sata);
        it.disk.links.push(format!("disk/by-path/pci-0000:00:1f.2-ata-{port}"));
        it
    };
    Machine::with(vec![path("sda", 1), path("sdb", 2)])
}

#[test]
fn a_mirrored_var_is_an_array_of_both_disks() {
    let plan = two_on_ports().plan(&example("mirrored-var"));
    let expected = "\
sda 1 /boot/efi 1+1024
sda 2 / 1025+8192
sda 3 raid.01 9217+467619
sdb 1 raid.02 1+476835
";
    assert_eq!(parts(&plan), expected);
    let [array] = &plan.arrays[..] else { panic!("{:?}", plan.arrays) };
    assert_eq!((array.name.as_str(), &array.role, array.spares), ("var", &Role::Var, 0));
    assert_eq!(array.members, ["sda3", "sdb1"]);
    let Make::Ext4 { id, .. } = &array.make else { panic!("{:?}", array.make) };
    assert_eq!(text_of(&plan, "/etc/fstab"), format!("UUID={id} /var ext4 defaults 0 2\n"));
    assert_eq!(text_of(&plan, "/etc/systemd/system/systemd-repart.service"), "-> /dev/null");
    let config = text_of(&plan, "/etc/mdadm/mdadm.conf");
    assert!(config.contains("\nARRAY /dev/md/var metadata=1.2 UUID="), "{config}");
    let steps: Vec<String> = steps(&plan).iter().map(|step| step.words(&plan)).collect();
    let at = |words: &str| steps.iter().position(|step| step.contains(words)).unwrap();
    assert!(at("partition table of sdb") < at("making the array var"), "{steps:?}");
    assert!(at("making the array var") < at("mounting"), "{steps:?}");
    let shown = plan.to_string();
    assert!(shown.contains("/var on the array var, RAID1 of sda3, sdb1  ext4\n"), "{shown}");
}

#[test]
fn arrays_that_cannot_be_are_told() {
    let small = example("mirrored-var").replace("--size=20480 --grow", "--size=100");
    let said = two_on_ports().refused(&small);
    assert_eq!(said, "an array of 100 MiB is too small for `/var`: it needs 1024");
}

const PLAIN: &str = "zerombr\nclearpart --all --initlabel\nreqpart\npart / --size=4096\n";

#[test]
fn several_disks_are_none_and_one_in_use_is_refused() {
    let two = || vec![disk("sda", 50 * GB, Bus::Sata), disk("sdb", 50 * GB, Bus::Sata)];
    let said = Machine::with(two()).refused(PLAIN);
    assert!(said.starts_with("2 disks could be meant"), "{said}");
    let plan = Machine::with(two()).plan(&PLAIN.replace("--initlabel", "--initlabel --drives=sdb"));
    assert!(parts(&plan).starts_with("sdb 1 "));
    let said =
        Machine::with(two()).refused(&PLAIN.replace("--size=4096", "--size=4096 --ondisk=sdd"));
    assert!(said.contains("`sdd` must mean exactly one disk, and no disk matches"), "{said}");
    let mut used = two();
    used[0].refused = Some("`sda1` is in use: it is mounted at `/x`\nhint: `umount /x`".to_owned());
    let said = Machine::with(used.clone())
        .refused(&PLAIN.replace("--size=4096", "--size=4096 --ondisk=sda"));
    assert!(said.contains("`sda1` is in use"), "{said}");
    // Where no disk is named, one that is in use is none that could be meant.
    assert!(parts(&Machine::with(used).plan(PLAIN)).starts_with("sdb 1 "));
}

#[test]
fn a_file_that_stands_for_a_disk_is_meant_by_its_name_alone() {
    let disks = vec![disk("loop3", 50 * GB, Bus::Virtio)];
    let said = Machine::with(disks.clone()).refused(PLAIN);
    assert!(said.contains("there is no disk to install to"), "{said}");
    let said = Machine::with(disks.clone())
        .refused(&PLAIN.replace("part / ", "part / --ondisk=@smallest "));
    assert!(said.contains("there is no disk"), "{said}");
    let only = format!("ignoredisk --only-use=loop3\n{PLAIN}");
    assert!(parts(&Machine::with(disks).plan(&only)).starts_with("loop3 1 "));
}

#[test]
fn what_is_too_small_is_told_with_what_it_needs() {
    let said = Machine::with(vec![disk("sda", 3 * GB, Bus::Sata)]).refused(PLAIN);
    assert!(said.starts_with("there is no room for `/` of 4096 MiB on `sda`"), "{said}");
    let said = Machine::with(vec![disk("sda", 50 * GB, Bus::Sata)])
        .refused(&PLAIN.replace("4096", "1000"));
    assert_eq!(said, "1000 MiB are too few for `/`: it needs 1656");
    let mut large = disk("sda", 50 * GB, Bus::Sata);
    large.sector = 4096;
    let esp = PLAIN.replace("reqpart", "part /boot/efi --fstype=efi --size=200");
    let said = Machine::with(vec![large]).refused(&esp);
    assert_eq!(said, "200 MiB are too few for `/boot/efi`: it needs 257");
    let mut odd = disk("sda", 50 * GB, Bus::Sata);
    odd.sector = 520;
    let said = Machine::with(vec![odd]).refused(PLAIN);
    assert_eq!(said, "`sda` has sectors of 520 bytes");
}

#[test]
fn what_is_on_a_disk_goes_only_where_the_kickstart_says_so() {
    let keeps = "reqpart\npart / --size=4096\n";
    let table = |parts| vec![with_table(disk("sda", 50 * GB, Bus::Sata), parts)];
    let said = Machine::with(vec![disk("sda", 50 * GB, Bus::Sata)]).refused(keeps);
    assert_eq!(said, "`sda` has no partition table");
    let mut other = disk("sda", 50 * GB, Bus::Sata);
    other.content = Content::Other("a partition table (MBR)".to_owned());
    let said = Machine::with(vec![other.clone()]).refused(&format!("zerombr\n{keeps}"));
    assert_eq!(said, "`sda` holds a partition table (MBR), and nothing says that it may go");
    assert!(parts(&Machine::with(vec![other]).plan(PLAIN)).starts_with("sda 1 /boot/efi 1+1024\n"));
    // What is there stays, and what is new has the gaps.
    let stays = there("sda", 1, 1, 10_000, "NTFS");
    let plan = Machine::with(table(vec![stays])).plan(keeps);
    assert!(
        parts(&plan).starts_with("sda 1 old1 1+10000 kept\nsda 2 /boot/efi 10001+1024\nsda 3 / "),
        "{}",
        parts(&plan)
    );
    let full = there("sda", 1, 1, 47_600, "NTFS");
    let said = Machine::with(table(vec![full])).refused(keeps);
    assert!(said.starts_with("there is no room for `/boot/efi`"), "{said}");
}

#[test]
fn users_and_groups_are_those_of_the_image_and_new_ones() {
    let text = format!(
        "{PLAIN}group --name=ops\nuser --name=me --groups=ops,basalt --password=secret --plaintext\n\
         sshkey --username=me \"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 me\"\nrootpw --lock\n\
         services --enabled=podman.socket --disabled=systemd-timesyncd\nbootloader --append=\"debug\"\n"
    );
    let plan = Machine::with(vec![disk("sda", 50 * GB, Bus::Sata)]).plan(&text);
    assert!(text_of(&plan, "/etc/passwd").ends_with("me:x:1001:1001::/var/home/me:/bin/bash\n"));
    let groups = text_of(&plan, "/etc/group");
    assert_eq!(groups, "root:x:0:\nbasalt:x:980:me\nops:x:1000:me\nme:x:1001:\n");
    let shadow = text_of(&plan, "/etc/shadow");
    assert_eq!(shadow, "root:!*:20000:0:99999:7:::\nme:$6$x$6::0:99999:7:::\n");
    assert!(text_of(&plan, "/var/home/me/.ssh/authorized_keys").ends_with(" me\n"));
    let ssh = text_of(&plan, "/etc/systemd/system/ssh.service.d/50-kickstart.conf");
    assert!(ssh.contains("ConditionPathExists=|/var/home/me/.ssh/authorized_keys\n"), "{ssh}");
    assert_eq!(plan.settings.units.enable, ["podman.socket"]);
    assert_eq!(text_of(&plan, "/var/lib/hostd-os/kargs.json"), "[\"debug\"]");
    let wrong = format!(
        "{PLAIN}user --name=sshd\nuser --name=x --groups=oops --shell=/bin/fish --gid=980\n\
         services --enabled=nobody --disabled=nftables\nbootloader --append=\"root=/dev/sda1\"\n"
    );
    let said = Machine::with(vec![disk("sda", 50 * GB, Bus::Sata)]).refused(&wrong);
    for expected in [
        "the image has a user `sshd` already",
        "another group has the number 980",
        "the image has no unit `nobody.service`",
        "without `nftables.service` no boot of this host is good",
        "`--append`: line 1: `root` is set by the boot entry itself",
    ] {
        assert!(said.contains(expected), "{expected} not in {said}");
    }
}

#[test]
fn var_on_another_disk_is_found_by_its_id_and_no_second_one_is_made() {
    let two = vec![disk("sda", 50 * GB, Bus::Sata), disk("sdb", 900 * GB, Bus::Sata)];
    let text = "zerombr\nclearpart --all --initlabel\nreqpart\npart / --size=4096 --ondisk=sda\n\
                part /var --size=20480 --grow --ondisk=sdb --fsoptions=noatime\n\
                part swap --size=2048 --ondisk=sda\n";
    let plan = Machine::with(two).plan(text);
    let expected =
        "sda 1 /boot/efi 1+1024\nsda 2 / 1025+4096\nsda 3 swap 5121+2048\nsdb 1 /var 1+858304\n";
    assert_eq!(parts(&plan), expected);
    let (var, swap) = (plan.disks[1].parts[0].id, plan.disks[0].parts[2].id);
    let fstab = text_of(&plan, "/etc/fstab");
    assert_eq!(
        fstab,
        format!("PARTUUID={swap} none swap defaults 0 0\nPARTUUID={var} /var ext4 noatime 0 2\n")
    );
    assert_eq!(text_of(&plan, "/etc/systemd/system/systemd-repart.service"), "-> /dev/null");
}

#[test]
fn the_machine_boots_from_the_disk_of_its_root() {
    let two = || vec![disk("sda", 50 * GB, Bus::Sata), disk("sdb", 50 * GB, Bus::Sata)];
    let boot = format!("{PLAIN}bootloader --boot-drive=sdb\n");
    assert!(parts(&Machine::with(two()).plan(&boot)).starts_with("sdb 1 /boot/efi "));
    let said = Machine::with(two()).refused(&boot.replace("part / ", "part / --ondisk=sda "));
    assert_eq!(said, "the machine cannot boot from `sdb`: the root lies on `sda`");
    let esp = PLAIN.replace("reqpart", "part /boot/efi --size=1024 --ondisk=sdb");
    let said = Machine::with(two()).refused(&esp.replace("part / ", "part / --ondisk=sda "));
    assert_eq!(said, "it lies on `sdb`, and the root on `sda`");
}

#[test]
fn the_loader_comes_last_and_the_disk_is_erased_first() {
    let plan = Machine::with(vec![disk("sda", 50 * GB, Bus::Sata)]).plan(PLAIN);
    let steps = steps(&plan);
    assert_eq!(steps.first(), Some(&Step::Erase { disk: 0 }));
    assert_eq!(steps.last(), Some(&Step::Loader));
    let at = |step: &Step| steps.iter().position(|it| it == step).unwrap();
    assert!(at(&Step::CheckRoot) < at(&Step::Esp) && at(&Step::Settings) < at(&Step::CheckRoot));
}

#[test]
fn a_system_from_elsewhere_is_refused() {
    let setup = |url: &str, name: &str| {
        format!("{PLAIN}ostreesetup --osname=basalt --url={url} --ref={name}\n")
    };
    let mut machine = Machine::with(vec![disk("sda", 50 * GB, Bus::Sata)]);
    let said = machine.refused(&setup("file:///mnt/repo", "basalt/base"));
    assert!(said.contains("and not from `file:///mnt/repo`"), "{said}");
    let said = machine.refused(&setup("file:///sysroot/ostree/repo", "basalt/other"));
    assert_eq!(said, "the installer carries `basalt/base`");
    machine.plan(&setup("file:///sysroot/ostree/repo", "basalt/base"));
}

#[test]
fn a_host_asks_the_archive_that_it_came_from_for_its_updates() {
    let mut machine = Machine::with(vec![disk("sda", 50 * GB, Bus::Sata)]);
    let url = "https://images.example/site";
    let carried = "/sysroot/ostree/repo".into();
    let archive = Archive { url: url.to_owned(), keyrings: Vec::new(), carried };
    machine.about.origin = Origin::Archive(archive);
    let line = format!("ostreesetup --osname=basalt --url={url} --ref=basalt/base\n");
    let plan = machine.plan(&(PLAIN.to_owned() + &line));
    let config = text_of(&plan, "/etc/basalt/hostd.toml.d/50-kickstart.toml");
    assert_eq!(config, format!("# From the kickstart.\n[updates]\nurl = \"{url}\"\n"));
    assert!(plan.to_string().contains(&format!("\n  from {url}\n")), "{plan}");
}

#[test]
fn what_has_no_effect_is_told_and_stops_nothing() {
    let text = "zerombr\nclearpart --all --initlabel\npart /boot/efi --size=1024 --label=x\n\
                part / --size=4096 --fsoptions=noatime\nbootloader --timeout=5\n\
                network --device=ens1 --activate\nkeyboard de\nlang de_DE.UTF-8\n";
    let mut machine = Machine::with(vec![disk("sda", 50 * GB, Bus::Sata)]);
    let parsed = read(text);
    let (plan, problems) = machine.plan_of(&parsed);
    assert!(plan.is_some());
    let all = parsed.diagnostics.iter().chain(&problems.0);
    let said: String = all.map(|it| format!("{}\n", it.message)).collect();
    for expected in [
        "`--label` has no effect for `/boot/efi`",
        "`--fsoptions` has no effect for `/`",
        "`--timeout` has no effect",
        "`--activate` has no effect",
        "`keyboard` has no effect",
        "`lang` has no effect: the image does not know `de_DE.UTF-8`",
    ] {
        assert_eq!(said.matches(expected).count(), 1, "not once {expected} in {said}");
    }
}

#[test]
fn a_script_that_nothing_can_run_is_told_with_what_there_is() {
    let script = |head: &str| format!("{PLAIN}{head}\necho\n%end\n");
    let mut machine = Machine::with(vec![disk("sda", 50 * GB, Bus::Sata)]);
    let python = "--interpreter=/usr/bin/python3 --erroronfail";
    let (_, problems) = machine.plan_of(&read(&script(&format!("%post {python}"))));
    let [problem] = &problems.0[..] else { panic!("{:?}", problems.0) };
    let expected = "the image has no `/usr/bin/python3`, which is to run this script";
    assert_eq!(
        (problem.message.as_str(), problem.hint.as_str()),
        (expected, "it has `/bin/sh`, `/bin/bash`")
    );
    assert_eq!(read(&script("%post")).sources.place(problem.span).line, 5);
    let expected = expected.replace("image", "installer");
    let here = ["%pre", "%pre-install", "%onerror", "%post --nochroot"];
    for kind in here {
        assert_eq!(machine.refused(&script(&format!("{kind} {python}"))), expected);
    }
    // Arguments may stand behind it, and `/bin` is a link.
    machine.plan(&script("%post --interpreter=\"/bin/bash -x\""));
    machine.edge.files.insert("/usr/bin/python3".to_owned(), String::new());
    for kind in here {
        machine.plan(&script(&format!("{kind} {python}")));
    }
}

#[test]
fn the_installed_disk_is_the_first_that_the_firmware_starts_unless_it_shall_not_be() {
    let first = "then: boot entry `Basalt` first in the firmware's list\n";
    let kept = "the firmware's list of boots stays as it is\n";
    let mut machine = Machine::with(vec![disk("sda", 50 * GB, Bus::Sata)]);
    assert!(machine.plan(PLAIN).to_string().ends_with(first));
    let shown = machine.plan(&format!("{PLAIN}reboot --eject\n")).to_string();
    assert!(shown.ends_with(&format!("{first}     then: eject, reboot\n")), "{shown}");
    let leave = machine.plan(&format!("{PLAIN}bootloader --leavebootorder\n"));
    assert!(leave.to_string().ends_with(kept));
    // No firmware finds a file.
    let file = format!("ignoredisk --only-use=loop3\n{PLAIN}");
    let plan = Machine::with(vec![disk("loop3", 50 * GB, Bus::Virtio)]).plan(&file);
    assert_eq!(plan.boot_order, BootOrder::Kept);
}

#[test]
fn a_new_var_is_made_whole_before_the_first_script_and_a_kept_one_is_not_touched() {
    let script = "%post\necho\n%end\n";
    let mut machine = Machine::with(vec![disk("sda", 50 * GB, Bus::Sata)]);
    let order = steps(&machine.plan(&format!("{PLAIN}{script}")));
    let at = |step: &Step| order.iter().position(|it| it == step).unwrap();
    assert!(
        at(&Step::Settings) < at(&Step::Var) && at(&Step::Var) < at(&Step::Script { script: 0 })
    );
    // A first boot does it where no script comes before.
    assert!(!steps(&machine.plan(PLAIN)).contains(&Step::Var));
    let parts = vec![
        there("nvme0n1", 1, 1, 1024, "vfat"),
        there("nvme0n1", 2, 1025, 4096, "ext4"),
        there("nvme0n1", 3, 9217, 90_000, "ext4"),
    ];
    let disk = with_table(disk("nvme0n1", 500 * GB, Bus::Nvme), parts);
    let keeps = format!(
        "clearpart --list=nvme0n1p1,nvme0n1p2\nreqpart\npart / --size=4096\n\
         part /var --onpart=nvme0n1p3 --noformat\n{script}"
    );
    let plan = Machine::with(vec![disk]).plan(&keeps);
    assert!(plan.keeps_var() && !steps(&plan).contains(&Step::Var));
}

#[test]
fn what_is_wrong_with_an_enrolment_is_told_at_its_line() {
    let mut machine = Machine::with(vec![disk("sda", 50 * GB, Bus::Sata)]);
    let token = format!("basalt1-secret.{}", "A".repeat(43));
    machine.edge.files.insert("/token".to_owned(), token);
    for (file, line, expected) in [
        ("/no/token", 4, "cannot read the token `/no/token`"),
        ("/token", 3, "cannot read the CA `/no/ca`"),
    ] {
        let addon = format!("endpoint = https://a\nca = /no/ca\ntoken-file = {file}\n");
        let parsed = read(&format!("%addon basalt\n{addon}%end\n{PLAIN}"));
        let (_, problems) = machine.plan_of(&parsed);
        let [said] = &problems.0[..] else { panic!("{:?}", problems.0) };
        assert_eq!(parsed.sources.place(said.span).line, line, "{}", said.message);
        assert!(said.message.starts_with(expected), "{}", said.message);
    }
}

#[test]
fn a_file_that_a_pre_may_write_is_in_no_plan_and_that_is_told() {
    let with = |text: &str| {
        let text = format!("%include /tmp/part\n{text}%pre\ntrue\n%end\n");
        let gone = |_: &Include<'_>| Err(NotRead::Missing("gone".to_owned()));
        parse("x.ks", &text, &mut { gone })
    };
    let mut machine = Machine::with(vec![disk("sda", 50 * GB, Bus::Sata)]);
    let (plan, problems) = machine.plan_of(&with("lang C\n"));
    assert_eq!(plan, None);
    let [said] = &problems.0[..] else { panic!("{:?}", problems.0) };
    assert_eq!(
        said.message,
        "`/tmp/part` was not read, and nothing else says where the system goes"
    );
    let (plan, problems) = machine.plan_of(&with(PLAIN));
    assert!(!problems.has_errors(), "{:?}", problems.0);
    let plan = plan.unwrap();
    assert!(plan.to_string().contains("\nnot read, and not in this plan: `/tmp/part`\n"), "{plan}");
    let Err(error) = crate::execute::hold(&plan) else { panic!("it is carried out without it") };
    assert!(error.to_string().starts_with("`/tmp/part`, which the kickstart includes"), "{error}");
}
