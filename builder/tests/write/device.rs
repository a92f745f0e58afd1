//! Real block devices: loop devices, which only root can make.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use basalt_builder::progress::Progress;
use basalt_builder::write::target::Asked;
use basalt_builder::write::{self, Options};
use basalt_cmd::Cmd;
use basalt_sysroot::partition::SectorSize;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::ground::{Ground, MIB, check_disk, noise, refused, tool};

/// A loop device, as long as it is needed.
struct Loop {
    device: PathBuf,
    backing: PathBuf,
}

impl Loop {
    /// One of so many MiB, full of something; `None`, said, where none can be made.
    fn new(ground: &Ground, mib: u64, sector: SectorSize) -> Option<Self> {
        let backing = ground.path("backing");
        let file = File::create(&backing).expect("a file");
        let something = noise(5, 1 << 20);
        for piece in 0..mib {
            file.write_all_at(&something, piece * MIB).expect("room");
        }
        let sector = sector.bytes().to_string();
        let cmd = tool("losetup").args(["--find", "--show", "--sector-size", &sector]);
        match cmd.arg(&backing).run() {
            Ok(output) => Some(Self { device: output.stdout_text().into(), backing }),
            Err(error) => {
                assert!(std::env::var_os("BASALT_NO_SKIP").is_none(), "{error}");
                eprintln!("skipped: no loop device can be made here: {error}");
                None
            }
        }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        if let Err(error) = tool("losetup").arg("-d").arg(&self.device).run() {
            eprintln!("{error}");
        }
    }
}

fn options(ground: &Ground, device: &Path) -> Options {
    let image = ground.path("disk.raw").display().to_string();
    let asked = Asked { to: device.to_owned(), fixed: Some(device.to_owned()) };
    Options { target: asked, sector: None, ..ground.options(&image, device) }
}

#[test]
fn a_disk_has_the_image_and_its_backup_table_at_its_own_end() {
    for sector in [SectorSize::B512, SectorSize::B4096] {
        let ground = Ground::with(sector);
        let Some(disk) = Loop::new(&ground, 330, sector) else { return };
        write::write(&options(&ground, &disk.device), Progress::Silent).unwrap();
        check_disk(&disk.backing, &ground.path("disk.raw"), sector);
        let end = fs::read(&disk.backing).unwrap();
        assert_eq!(end.len() as u64, 330 * MIB);
        assert!(end[end.len() - sector.bytes() as usize..].starts_with(b"EFI PART"));
    }
}

#[test]
fn a_disk_of_other_sectors_or_too_small_is_refused_untouched() {
    let ground = Ground::new();
    let needed = fs::metadata(ground.path("disk.raw")).unwrap().len();
    for (mib, sector, expected) in [
        (100, SectorSize::B4096, "has sectors of 4096\nhint: ".to_owned()),
        (40, SectorSize::B512, format!("the image needs {needed} bytes, and `loop")),
    ] {
        let Some(disk) = Loop::new(&ground, mib, sector) else { return };
        let before = fs::read(&disk.backing).unwrap();
        let said = refused(&options(&ground, &disk.device));
        assert!(said.contains(&expected), "{said}");
        let names = ["`--sector-size`", &format!("has {}\n", mib * MIB)];
        assert!(names.iter().any(|name| said.contains(name)), "{said}");
        assert!(fs::read(&disk.backing).unwrap() == before);
    }
}

#[test]
fn a_disk_in_use_or_of_the_machine_is_refused_untouched() {
    let ground = Ground::new();
    let Some(disk) = Loop::new(&ground, 100, SectorSize::B512) else { return };
    let once = Asked { to: disk.device.clone(), fixed: None };
    let said = refused(&Options { target: once, ..options(&ground, &disk.device) });
    assert!(said.contains("neither removable nor on USB"), "{said}");

    tool("mke2fs").args(["-q", "-F"]).arg(&disk.device).run().unwrap();
    let at = ground.path("mounted");
    fs::create_dir(&at).unwrap();
    mount(&disk.device, &at, "ext4", MountFlags::RDONLY, None).unwrap();
    let before = fs::read(&disk.backing).unwrap();
    let said = refused(&options(&ground, &disk.device));
    unmount(&at, UnmountFlags::empty()).unwrap();
    assert!(said.contains(&format!("it is mounted at `{}`", at.display())), "{said}");
    assert!(fs::read(&disk.backing).unwrap() == before);

    // Somebody who has it for himself alone, of which `/proc` says nothing.
    let flags = rustix::fs::OFlags::EXCL.bits() as i32;
    let mut held = File::options();
    let held = std::os::unix::fs::OpenOptionsExt::custom_flags(held.read(true), flags);
    let held = held.open(&disk.device).unwrap();
    let said = refused(&options(&ground, &disk.device));
    assert!(said.contains("it is in use"), "{said}");
    drop(held);
    write::write(&options(&ground, &disk.device), Progress::Silent).unwrap();
}

#[test]
fn without_a_terminal_nobody_is_asked_and_nothing_is_overwritten() {
    let ground = Ground::new();
    let Some(disk) = Loop::new(&ground, 100, SectorSize::B512) else { return };
    let before = fs::read(&disk.backing).unwrap();
    let cmd = || {
        let cmd = Cmd::new(env!("CARGO_BIN_EXE_basalt")).arg("write").arg(ground.path("disk.raw"));
        cmd.arg("--to").arg(&disk.device).arg("--fixed").arg(&disk.device)
    };
    let output = cmd().output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("this is no terminal\nhint: in scripts, `--yes` says so"), "{said}");
    assert!(said.contains("104.9 MB, virtual, built in"), "what it is, is shown: {said}");
    assert!(fs::read(&disk.backing).unwrap() == before);
    cmd().arg("--yes").run().unwrap();
    check_disk(&disk.backing, &ground.path("disk.raw"), SectorSize::B512);
}

#[test]
fn at_a_terminal_nothing_but_the_disks_name_overwrites_it() {
    let ground = Ground::new();
    let Some(disk) = Loop::new(&ground, 100, SectorSize::B512) else { return };
    let before = fs::read(&disk.backing).unwrap();
    let name = disk.device.file_name().unwrap().to_str().unwrap();
    let typed = |text: &str| {
        let [program, image] = [env!("CARGO_BIN_EXE_basalt").into(), ground.path("disk.raw")];
        let device = disk.device.display();
        let line = format!(
            "{} write {} --to {device} --fixed {device}",
            Path::new(&program).display(),
            image.display()
        );
        // Gives it a terminal.
        let cmd = Cmd::new("script").args(["-qec", &line, "/dev/null"]);
        let output = cmd.stdin(format!("{text}\n")).output().unwrap();
        (output.status.code(), output.stdout_text())
    };
    for text in ["", "y", "yes", "loop", disk.device.to_str().unwrap()] {
        let (code, said) = typed(text);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(&format!("type `{name}` to go on")), "{said}");
        assert!(said.contains("was not typed, and nothing was written"), "{said}");
        assert!(fs::read(&disk.backing).unwrap() == before, "{text}");
    }
    assert_eq!(typed(name).0, Some(0));
    check_disk(&disk.backing, &ground.path("disk.raw"), SectorSize::B512);
}
