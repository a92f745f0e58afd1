//! How long an installation takes over a raw copy of the image to the same disk, and what the live
//! system weighs that it runs in, and takes to come up from its medium.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use basalt_cmd::Cmd;
use basalt_vm::{Bus, Disk, Machine, Patience};

use super::{Ground, Measure};
use crate::image::{self, Formats, Image};

/// Bytes of the disk: no less than the image has.
const SIZE: u64 = 16 << 30;
/// Each side writes so often, by turns, so that what else the machine does meets both.
const ROUNDS: u32 = 2;
/// What a machine without a kickstart asks first.
const ASKS: &str = "install to which one";

pub(super) fn run(ground: &Ground<'_>) -> Result<Vec<Measure>> {
    image::compile_with_tests(ground.session)?;
    let image = image::build(ground.session, Formats::WithMedium)?;
    let live = image.folder.join("live");
    let (mut by_dd, mut by_installer) = (0.0, 0.0);
    let folder = ground.folder("install")?;
    for round in 0..ROUNDS {
        by_dd += onto_a_disk(ground, &folder, |disk| Ok(copy(&image, disk)))?;
        let kickstart = folder.join(format!("{round}.ks"));
        by_installer += onto_a_disk(ground, &folder, |disk| install(ground, disk, &kickstart))?;
    }
    let (seconds, cpu) = comes_up(ground, &image)?;
    let rounds = f64::from(ROUNDS);
    Ok(vec![
        Measure::new("live system: rootfs", mb(&live.join("rootfs.squashfs"))?, "MB"),
        Measure::new("live system: initrd", mb(&live.join("initrd.img"))?, "MB"),
        Measure::new("live system: medium", mb(&image.folder.join("live.iso"))?, "MB"),
        Measure::new("live medium: firmware → it asks", seconds, "s"),
        Measure::new("live medium: processor time", cpu, "s"),
        Measure::new("dd bs=4M conv=fsync of the image", by_dd / rounds, "s"),
        Measure::new("basalt-install, read back", by_installer / rounds, "s"),
        Measure::new("basalt-install over dd", by_installer / by_dd, "×").at_most(2.0),
    ])
}

fn mb(file: &Path) -> Result<f64> {
    let about = fs::metadata(file).with_context(|| format!("no `{}`", file.display()))?;
    Ok(about.len() as f64 / 1e6)
}

/// The seconds that a command takes to fill an empty disk.
fn onto_a_disk(
    ground: &Ground<'_>,
    folder: &Path,
    cmd: impl FnOnce(&str) -> Result<Cmd>,
) -> Result<f64> {
    let disk = Loop::empty(&folder.join("disk"))?;
    ground.time(cmd(&disk.device)?)
}

fn copy(image: &Image, device: &str) -> Cmd {
    let (from, to) = (format!("if={}", image.disk.display()), format!("of={device}"));
    Cmd::new("dd").args([from, to]).args(["bs=4M", "conv=fsync", "status=none"])
}

fn install(ground: &Ground<'_>, device: &str, kickstart: &Path) -> Result<Cmd> {
    let name = device.trim_start_matches("/dev/");
    let text = format!(
        "cmdline\nzerombr\nignoredisk --only-use={name}\nclearpart --all --initlabel\nautopart --noswap\n"
    );
    fs::write(kickstart, text)?;
    let cmd = Cmd::new(ground.session.program("basalt-install")).arg("--stay");
    let cmd = cmd.arg("--kickstart").arg(kickstart).arg("--source");
    Ok(cmd.arg(ground.session.out().join("repo")))
}

/// Seconds from the switch to the first question, and processor seconds of QEMU.
fn comes_up(ground: &Ground<'_>, image: &Image) -> Result<(f64, f64)> {
    let disc = Disk::new(&image.folder.join("live.iso")).on(Bus::Disc);
    let machine = Machine::without_disk().with(disc).memory_mib(1024).cpus(1);
    let began = std::time::Instant::now();
    let mut vm = machine.start(&ground.work.join("live"))?;
    vm.wait_for_console(ASKS, Patience::BOOT)?;
    Ok((began.elapsed().as_secs_f64(), vm.processor().seconds()?))
}

/// A file that the kernel shows as a disk, until this is dropped.
struct Loop {
    device: String,
    file: PathBuf,
}

impl Loop {
    fn empty(file: &Path) -> Result<Self> {
        let made = File::create(file).and_then(|made| made.set_len(SIZE));
        made.with_context(|| format!("cannot make `{}`", file.display()))?;
        let losetup = Cmd::new("losetup").args(["--find", "--show", "--partscan"]).arg(file);
        let device = losetup.run()?.stdout_text();
        Ok(Self { device, file: file.to_owned() })
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        // What is still held goes with whoever holds it.
        let _ = Cmd::new("losetup").args(["-d", &self.device]).run();
        let _ = fs::remove_file(&self.file);
    }
}
