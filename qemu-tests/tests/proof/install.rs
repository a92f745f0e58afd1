//! Installations by each way, from each place that a kickstart may lie in, to each kind of disk;
//! those that must not happen, and one whose power is cut.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use basalt_api::enrol::{JoinString, Left};
use basalt_cmd::Cmd;
use basalt_vm::{Bus, Disk, Machine, Patience};
use qemu_tests::disk::put_on_esp;
use qemu_tests::host::Host;
use qemu_tests::install::{
    CREDENTIAL, Ground, boots, boots_and_checks_in, checks_in, disk, empty_disk, enrolled_host,
    enrolled_host_boots, example, installs, machine, machine_with_disc, runs_a_container,
};
use qemu_tests::story::{Start, Story, programs};

/// A stick with a kickstart and a token on its own FAT installs an NVMe disk with sectors of 4096
/// bytes: the example of a host that enrols.
pub(crate) const STICK: Story = Story {
    name: "install-stick",
    machine: Start::Install(|ground| {
        let stick = stick_that_enrols(ground)?;
        let machine = machine().with(Disk::new(&stick).on(Bus::Usb));
        Ok(machine.with(ground.disk()?.on(Bus::Nvme).sectors_of(4096)))
    }),
    steps: &[
        ("a_stick_installs_by_the_kickstart_on_it", from_the_stick),
        ("the_firmware_starts_the_disk_of_4096_byte_sectors_and_not_the_stick", starts_the_disk),
        ("its_host_checks_in", |host| checks_in(host, &["rack", "room"])),
        ("its_host_runs_a_container", runs_a_container),
    ],
};

/// A disc, with a kickstart on the volume `OEMDRV`, installs a SATA disk; and once more, by the
/// example that keeps `/var`.
pub(crate) const DISC: Story = Story {
    name: "install-disc",
    machine: Start::Install(|ground| {
        let text = ground.kickstart("sda")?;
        let parted = "reqpart\npart / --size=8192 --ondisk=sda\n\
                      part /var --size=2048 --grow --ondisk=sda\n";
        ensure!(text.contains(AUTOPART), "{text}");
        let text = text.replace(AUTOPART, parted).replace("\npoweroff\n", "\npoweroff --eject\n");
        let volume = volume(ground.folder, "OEMDRV", "ks.cfg", &text)?;
        let machine = machine_with_disc(ground.image)?;
        Ok(machine.with(ground.disk()?.on(Bus::Sata)).disk(&volume))
    }),
    steps: &[
        ("a_disc_installs_by_the_kickstart_on_the_volume_oemdrv", from_oemdrv),
        ("a_disk_on_sata_boots_and_checks_in", |host| {
            let disk = sata(host);
            boots_and_checks_in(host, &[disk])
        }),
        ("a_reinstall_keeps_var_and_nothing_else", keeps_var),
    ],
};

/// What the stick is, beside the disk.
const STICK_FILE: &str = "stick.raw";
/// How long it may take to write it.
const WRITES: Duration = Duration::from_secs(120);
const AUTOPART: &str = "autopart --noswap\n";

/// A disc and a credential; the power is cut in the middle, and then it is begun again by a
/// kickstart on a volume that a kernel argument names.
pub(crate) const CUT: Story = Story {
    name: "install-cut",
    machine: Start::Install(|ground| {
        let kickstart = ground.kickstart("@bus=nvme")?;
        fs::write(ground.folder.join("host.ks"), &kickstart)?;
        let machine = machine_with_disc(ground.image)?.with(ground.disk()?.on(Bus::Nvme));
        Ok(machine.credential(CREDENTIAL, &kickstart))
    }),
    steps: &[
        ("an_installation_that_is_cut_off_boots_nowhere", cut_off),
        ("the_next_one_begins_anew_and_is_whole", begun_again),
        ("what_it_installed_boots_and_checks_in", |host| {
            let disk = Disk::new(&disk(&host.folder)).on(Bus::Nvme);
            boots_and_checks_in(host, &[disk])
        }),
    ],
};

/// `/var` is mirrored on two disks, as the example says, and a host boots with one of them, too.
pub(crate) const MIRRORED: Story = Story {
    name: "install-mirrored",
    machine: Start::Install(|ground| {
        let first = ground.disk()?.on(Bus::Sata);
        let second = empty_disk(&second(ground.folder), SECOND)?.on(Bus::Sata);
        let text = example("mirrored-var")? + &ground.enrolment()?;
        // The example's disks hang on the first two ports.
        let machine = machine_with_disc(ground.image)?.in_front(second).in_front(first);
        Ok(machine.credential(CREDENTIAL, &text))
    }),
    steps: &[
        ("a_var_that_is_mirrored_on_two_disks_is_installed", installs),
        ("a_host_with_a_mirrored_var_boots_and_checks_in", |host| {
            boots_and_checks_in(host, &both(host))?;
            ensure!(host.ok("findmnt -no SOURCE /var")?.starts_with("/dev/md"));
            ensure!(host.ok("cat /proc/mdstat")?.contains("[2/2]"), "a member is missing");
            host.powers_off()
        }),
        ("it_boots_without_the_second_disk_and_keeps_what_was_in_var", |host| {
            let first = both(host).into_iter().take(1).collect::<Vec<_>>();
            boots_and_checks_in(host, &first)?;
            ensure!(host.ok("cat /proc/mdstat")?.contains("[2/1]"), "no member is missing");
            Ok(())
        }),
    ],
};

/// Bytes of the second disk, of which the array takes as much as of the first.
const SECOND: u64 = 32 << 30;

fn second(folder: &Path) -> PathBuf {
    folder.join("second.raw")
}

fn both(host: &Host) -> [Disk; 2] {
    [disk(&host.folder), second(&host.folder)].map(|path| Disk::new(&path).on(Bus::Sata))
}

fn sata(host: &Host) -> Disk {
    Disk::new(&disk(&host.folder)).on(Bus::Sata)
}

/// A medium with the example of a host that enrols on it, and its token.
fn stick_that_enrols(ground: &Ground<'_>) -> Result<PathBuf> {
    let join: JoinString = ground.site.endpoint.join_string()?.parse()?;
    let url = join.urls.first().context("an endpoint has a URL")?;
    let text = example("enrolled")?;
    let ours = |line: &str| match line.split_once(" = ") {
        Some(("endpoint", _)) => format!("endpoint = {url}\n"),
        Some(("ca-sha256", _)) => format!("ca-sha256 = {}\n", join.ca_sha256),
        _ => format!("{line}\n"),
    };
    let text: String = text.lines().map(ours).collect();
    let stick = ground.folder.join(STICK_FILE);
    let write = Cmd::new(programs()?.join("basalt")).arg("write").arg(ground.medium()?);
    write.arg("--to").arg(&stick).deadline(WRITES).run()?;
    put_on_esp(&stick, "ks.cfg", &text)?;
    put_on_esp(&stick, "token", &Left::Secret(join.secret).reveal())?;
    Ok(stick)
}

/// What must not be installed: one machine, asked again and again.
pub(crate) const REFUSED: Story = Story {
    name: "install-refused",
    machine: Start::Install(|ground| {
        let large = empty_disk(&disk(ground.folder), 8 << 30)?.on(Bus::Nvme);
        let path = small(ground.folder);
        let small = empty_disk(&path, 1 << 30)?;
        fs::File::options().write(true).open(&path)?.write_all(&[7; 1 << 20])?;
        let machine = machine_with_disc(ground.image)?.with(large).with(small).shell();
        Ok(machine.credential("systemd.unit-dropin.basalt-install.target~50-shell", SHELL))
    }),
    steps: &[
        ("without_a_kickstart_each_console_asks", asks),
        ("what_cannot_be_installed_is_told_and_no_disk_is_touched", refusals),
        ("what_is_answered_at_a_console_is_installed", answered),
    ],
};

/// The tests' shell belongs to what a host starts, and an installer is none.
const SHELL: &str = "[Unit]\nWants=basalt-test-shell.service\n";
/// Where the installer lies in a live system.
const INSTALL: &str = "/sysroot/live/bin/basalt-install";
/// What the first write of an installation comes after.
const FIRST_STEP: &str = "step 1 of ";

fn small(folder: &Path) -> PathBuf {
    folder.join("small.raw")
}

/// A volume with one file on it.
fn volume(folder: &Path, label: &str, name: &str, text: &str) -> Result<PathBuf> {
    let path = folder.join("volume.raw");
    fs::File::create(&path)?.set_len(64 << 20)?;
    Cmd::new("mkfs.vfat").args(["-F", "32", "-n", label]).arg(&path).run()?;
    Cmd::new("mcopy").arg("-i").arg(&path).args(["-", &format!("::{name}")]).stdin(text).run()?;
    Ok(path)
}

fn from_the_stick(host: &mut Host) -> Result<()> {
    host.console_says(&["copying ", "the rootfs is whole", "/ks.cfg, by the partition that"])?;
    installs(host)
}

/// What the machine meets when it reboots: its firmware as it is by now, and the stick in it.
fn starts_the_disk(host: &mut Host) -> Result<()> {
    let variables = host.folder.join("variables.installed");
    fs::copy(host.vm.variables_file(), &variables)?;
    let stick = Disk::new(&host.folder.join(STICK_FILE)).on(Bus::Usb);
    let disk = Disk::new(&disk(&host.folder)).on(Bus::Nvme).sectors_of(4096);
    let machine = enrolled_host(host, &[stick, disk])?.firmware_variables(&variables);
    boots(host, &machine)?;
    host.expect_status("state", "ready")
}

fn from_oemdrv(host: &mut Host) -> Result<()> {
    host.console_says(&["copying ", "/ks.cfg, by the volume `OEMDRV`"])?;
    installs(host)?;
    ensure!(host.vm.console().contains("`sr0` is ejected"), "the disc stays in");
    Ok(())
}

/// What lies in `/var`, its workloads and who it is among it, stays; `/etc` is new.
fn keeps_var(host: &mut Host) -> Result<()> {
    host.ok("echo kept >/var/kept; echo gone >/etc/gone")?;
    host.powers_off()?;
    let machine = machine_with_disc(&host.image)?.with(sata(host));
    let machine = machine.credential(CREDENTIAL, &example("keep-data")?);
    host.vm = machine.start(&host.folder.join("again"))?;
    installs(host)?;
    let disk = sata(host);
    enrolled_host_boots(host, &[disk])?;
    ensure!(host.ok("cat /var/kept")? == "kept");
    host.fails("test -e /etc/gone")?;
    host.eventually("its endpoint answers it", |host| {
        let endpoint = host.status()?["endpoint"]["state"].clone();
        Ok(if endpoint == "connected" { Ok(()) } else { Err(endpoint.to_string()) })
    })?;
    // As the host that it was: a heading, and one line.
    let hosts = host.ctl(&["hosts"])?;
    ensure!(hosts.lines().count() == 2, "{hosts}");
    Ok(())
}

/// In the middle of its longest step.
fn cut_off(host: &mut Host) -> Result<()> {
    host.console_says(&[
        "by the credential `basalt.kickstart`",
        FIRST_STEP,
        "bringing the commit",
        " MB are there",
    ])?;
    host.vm.kill();
    ensure!(!host.vm.console().contains(": deploying it"), "it was too fast");
    let folder = host.folder.join("cut");
    let alone = Disk::new(&disk(&host.folder)).on(Bus::Nvme);
    host.vm = Machine::without_disk().with(alone).cpus(1).start(&folder)?;
    // What the firmware starts where there is nothing else to start.
    host.vm.wait_for_console("UEFI Interactive Shell", Patience::BOOT)?;
    let console = host.vm.console();
    let mut starts = console.lines().filter(|line| line.contains("BdsDxe: starting "));
    ensure!(starts.all(|line| line.contains("EFI Internal Shell")), "it boots: {console}");
    host.vm.kill();
    Ok(())
}

fn begun_again(host: &mut Host) -> Result<()> {
    let kickstart = fs::read_to_string(host.folder.join("host.ks"))?;
    let volume = volume(&host.folder, "SITE", "host.ks", &kickstart)?;
    let machine = machine_with_disc(&host.image)?
        .with(Disk::new(&disk(&host.folder)).on(Bus::Nvme))
        .disk(&volume)
        .kernel_argument("inst.ks=hd:LABEL=SITE:/host.ks");
    host.vm = machine.start(&host.folder.join("again"))?;
    host.console_says(&["/host.ks, by the kernel argument `inst.ks=`"])?;
    installs(host)
}

fn asks(host: &mut Host) -> Result<()> {
    host.console_says(&["there is no kickstart", "disks of this machine", "install to which one"])?;
    host.up()
}

/// A kickstart, or what else is typed, and what is said of it.
const REFUSALS: &[(&str, &str)] = &[
    ("autopart --noswap\nignoredisk --only-use=@bus=scsi\n", "no disk"),
    ("autopart --noswap\nignoredisk --only-use=@size>=1MB\n", "disks"),
    (
        "autopart --noswap\nclearpart --all --initlabel\nignoredisk --only-use=vda\n",
        "there is no room for",
    ),
    ("autopar\n", "unknown command `autopar`"),
];

fn refusals(host: &mut Host) -> Result<()> {
    let before = digests(&host.folder)?;
    for (number, (text, expected)) in (1..).zip(REFUSALS) {
        let file = format!("/run/{number}.ks");
        host.ok(&format!("printf '%s' '{text}' >{file}"))?;
        let said = host.fails(&format!("{INSTALL} --kickstart {file}"))?;
        ensure!(said.contains(expected) && said.contains("nothing was changed"), "{said}");
    }
    let nowhere = "http://10.0.2.2:9/host.ks";
    let said = host.fails(&format!("{INSTALL} --kickstart {nowhere}"))?;
    ensure!(said.contains(nowhere) && said.contains("nothing was changed"), "{said}");
    let plan = "printf 'autopart --noswap\\nclearpart --all --initlabel\\nzerombr\\n\
                ignoredisk --only-use=nvme0n1\\n' >/run/good.ks";
    host.ok(plan)?;
    host.ok(&format!("{INSTALL} --kickstart /run/good.ks --dry-run"))?;
    ensure!(digests(&host.folder)? == before, "a disk was written to");
    Ok(())
}

/// Of the disks, as they are in their files.
fn digests(folder: &Path) -> Result<Vec<String>> {
    let of = |path: PathBuf| -> Result<String> {
        let said = Cmd::new("sha256sum").arg(path).deadline(Duration::from_secs(300)).run()?;
        Ok(said.stdout_text())
    };
    [disk(folder), small(folder)].into_iter().map(of).collect()
}

fn answered(host: &mut Host) -> Result<()> {
    for (question, answer) in [
        ("", "nvme0n1\r"),
        ("name of the host", "installed.example\r"),
        ("public key of ssh", "\r"),
        ("Type its name to go on", "nvme0n1\r"),
    ] {
        host.console_says(&[question])?;
        host.vm.type_on_console(answer)?;
    }
    // It reboots as soon as it is done.
    host.console_says(&[FIRST_STEP, " is installed"])
}
