//! Installations by each way, from each place that a kickstart may lie in, to each kind of disk;
//! those that must not happen, and one whose power is cut.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use basalt_cmd::Cmd;
use basalt_vm::{Bus, Disk, Machine, Patience};
use qemu_tests::disk::put_on_esp;
use qemu_tests::host::Host;
use qemu_tests::install::{Ground, boots_and_checks_in, disk, installs, runs_a_container};
use qemu_tests::story::{Start, Story};

/// A stick with a kickstart on its own FAT installs an NVMe disk with sectors of 4096 bytes.
pub(crate) const STICK: Story = Story {
    name: "install-stick",
    machine: Start::Install(|ground| {
        let stick = ground.folder.join("stick.raw");
        Cmd::new("cp").arg(medium(ground)?).arg(&stick).run()?;
        put_on_esp(&stick, "ks.cfg", &ground.kickstart("@bus=nvme")?)?;
        let machine = local().with(Disk::new(&stick).on(Bus::Usb));
        Ok(machine.with(ground.disk()?.on(Bus::Nvme).sectors_of(4096)))
    }),
    steps: &[
        ("a_stick_installs_by_the_kickstart_on_it", from_the_stick),
        ("a_disk_with_sectors_of_4096_bytes_boots_and_checks_in", |host| {
            let disk = Disk::new(&disk(&host.folder)).on(Bus::Nvme).sectors_of(4096);
            boots_and_checks_in(host, &[disk])
        }),
        ("its_host_runs_a_container", runs_a_container),
    ],
};

/// A disc, with a kickstart on the volume `OEMDRV`, installs a SATA disk.
pub(crate) const DISC: Story = Story {
    name: "install-disc",
    machine: Start::Install(|ground| {
        let volume = volume(ground, "OEMDRV", "ks.cfg", &ground.kickstart("@bus=sata")?)?;
        let machine = local().with(Disk::new(&medium(ground)?).on(Bus::Disc));
        Ok(machine.with(ground.disk()?.on(Bus::Sata)).disk(&volume))
    }),
    steps: &[
        ("a_disc_installs_by_the_kickstart_on_the_volume_oemdrv", from_oemdrv),
        ("a_disk_on_sata_boots_and_checks_in", |host| {
            let disk = Disk::new(&disk(&host.folder)).on(Bus::Sata);
            boots_and_checks_in(host, &[disk])
        }),
    ],
};

/// A disc and a credential; the power is cut in the middle, and then it is begun again.
pub(crate) const CUT: Story = Story {
    name: "install-cut",
    machine: Start::Install(|ground| {
        let kickstart = ground.kickstart("@bus=nvme")?;
        fs::write(ground.folder.join("host.ks"), &kickstart)?;
        let machine = local().with(Disk::new(&medium(ground)?).on(Bus::Disc));
        let machine = machine.with(ground.disk()?.on(Bus::Nvme));
        Ok(machine.credential("basalt.kickstart", &kickstart))
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

/// `/var` is mirrored on two disks, and a host boots with one of them, too.
pub(crate) const MIRRORED: Story = Story {
    name: "install-mirrored",
    machine: Start::Install(|ground| {
        fs::File::create(second(ground.folder))?.set_len(4 << 30)?;
        let autopart = "ignoredisk --only-use=nvme0n1,sda\nclearpart --all --initlabel\nautopart\n";
        let mirrored = "clearpart --all --initlabel --drives=nvme0n1,sda\nreqpart\n\
                        part / --size=4096 --ondisk=nvme0n1\n\
                        part raid.01 --size=2048 --ondisk=nvme0n1\n\
                        part raid.02 --size=2048 --ondisk=sda\n\
                        raid /var --device=var --level=1 raid.01 raid.02\n";
        let text = ground.kickstart("nvme0n1,sda")?;
        ensure!(text.contains(autopart), "{text}");
        let machine = local().with(Disk::new(&medium(ground)?).on(Bus::Disc));
        let machine = machine.with(ground.disk()?.on(Bus::Nvme));
        let machine = machine.with(Disk::new(&second(ground.folder)).on(Bus::Sata));
        Ok(machine.credential("basalt.kickstart", &text.replace(autopart, mirrored)))
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

fn second(folder: &Path) -> PathBuf {
    folder.join("second.raw")
}

fn both(host: &Host) -> [Disk; 2] {
    let (first, second) = (disk(&host.folder), second(&host.folder));
    [Disk::new(&first).on(Bus::Nvme), Disk::new(&second).on(Bus::Sata)]
}

/// What must not be installed: one machine, asked again and again.
pub(crate) const REFUSED: Story = Story {
    name: "install-refused",
    machine: Start::Install(|ground| {
        let machine = local().with(Disk::new(&medium(ground)?).on(Bus::Disc));
        let small = ground.folder.join("small.raw");
        fs::File::create(&small)?.set_len(1 << 30)?;
        let machine = machine.with(ground.disk()?.on(Bus::Nvme)).disk(&small).shell();
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

/// A machine that boots from a medium: 1 GiB, and a network.
fn local() -> Machine {
    Machine::without_disk().memory_mib(1024).cpus(1).keep_writes()
}

fn medium(ground: &Ground<'_>) -> Result<PathBuf> {
    let folder = ground.image.disk.parent().context("a disk lies in a folder")?;
    Ok(folder.join("live.iso"))
}

/// A volume with one file on it.
fn volume(ground: &Ground<'_>, label: &str, name: &str, text: &str) -> Result<PathBuf> {
    let path = ground.folder.join("volume.raw");
    fs::File::create(&path)?.set_len(64 << 20)?;
    Cmd::new("mkfs.vfat").args(["-F", "32", "-n", label]).arg(&path).run()?;
    Cmd::new("mcopy").arg("-i").arg(&path).args(["-", &format!("::{name}")]).stdin(text).run()?;
    Ok(path)
}

fn from_the_stick(host: &mut Host) -> Result<()> {
    host.console_says(&["copying ", "the rootfs is whole", "/ks.cfg, by the partition that"])?;
    installs(host)
}

fn from_oemdrv(host: &mut Host) -> Result<()> {
    host.console_says(&["copying ", "/ks.cfg, by the volume `OEMDRV`"])?;
    installs(host)
}

/// In the middle of its longest step.
fn cut_off(host: &mut Host) -> Result<()> {
    host.console_says(&[
        "by the credential `basalt.kickstart`",
        FIRST_STEP,
        "bringing the commit",
    ])?;
    host.vm.kill();
    ensure!(!host.vm.console().contains("deploying it"), "it was too fast");
    let folder = host.folder.join("cut");
    let alone = Disk::new(&disk(&host.folder)).on(Bus::Nvme);
    host.vm = Machine::without_disk().with(alone).cpus(1).start(&folder)?;
    // What the firmware says last, of a machine that has nothing to start.
    host.vm.wait_for_console("Press any key to enter the Boot Manager Menu", Patience::BOOT)?;
    let console = host.vm.console();
    ensure!(!console.contains("BdsDxe: starting"), "it boots: {console}");
    host.vm.kill();
    Ok(())
}

fn begun_again(host: &mut Host) -> Result<()> {
    let kickstart = fs::read_to_string(host.folder.join("host.ks"))?;
    let disc = host.image.disk.parent().context("a disk lies in a folder")?.join("live.iso");
    let machine = local()
        .with(Disk::new(&disc).on(Bus::Disc))
        .with(Disk::new(&disk(&host.folder)).on(Bus::Nvme))
        .credential("basalt.kickstart", &kickstart);
    host.vm = machine.start(&host.folder.join("again"))?;
    installs(host)
}

fn asks(host: &mut Host) -> Result<()> {
    host.console_says(&["there is no kickstart", "disks of this machine", "install to which one"])?;
    host.up()
}

/// A kickstart, or what else is typed, and what is said of it.
const REFUSALS: &[(&str, &str)] = &[
    ("autopart\nignoredisk --only-use=@bus=scsi\n", "no disk"),
    ("autopart\nignoredisk --only-use=@size>=1MB\n", "disks"),
    ("autopart\nclearpart --all --initlabel\nignoredisk --only-use=vda\n", "too small"),
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
    let plan = "printf 'autopart\\nclearpart --all --initlabel\\nzerombr\\n\
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
    [disk(folder), folder.join("small.raw")].into_iter().map(of).collect()
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
