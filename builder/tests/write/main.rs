//! Writing disk images to files, and what is on them then.

mod device;
mod ground;
mod killed;
mod network;
mod server;
#[path = "../step/mod.rs"]
mod step;

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};

use basalt_builder::key;
use basalt_builder::manifest::Manifest;
use basalt_builder::progress::Progress;
use basalt_builder::write::{self, Options, Release};
use basalt_cmd::Cmd;
use basalt_release::{SecretKey, seal_image};
use basalt_sysroot::partition::SectorSize;

use ground::{Ground, MIB, cut, ids, noise, refused};
use network::boots_nowhere;

#[test]
fn a_disk_is_the_image_with_ids_of_its_own() {
    let ground = Ground::new();
    let manifest = ground.describe();
    let written = ground.write("disk.raw", "disk");
    ground.check("disk");
    assert_eq!(Some(&written.digest), manifest.disk.unwrap().digest.as_ref());
    let release = Release { name: "base".to_owned(), version: "1".to_owned() };
    assert_eq!(written.release, Some(release));
    assert!(!written.trusted);
    let taken = fs::metadata(ground.path("disk")).unwrap().blocks() * 512;
    let image = fs::metadata(ground.path("disk.raw")).unwrap().blocks() * 512;
    assert!(taken < image + 4 * MIB, "holes stay holes: {taken} of {image}");
    // Two sticks of one image do not collide in one machine.
    ground.write("disk.raw", "another");
    ground.check("another");
    let of = |name: &str| ids(&ground.path(name), SectorSize::B512);
    let (one, other) = (of("disk"), of("another"));
    assert!(one.disk != other.disk && one.fat != other.fat && one.ext4 != other.ext4);
    assert_eq!(one.disk, written.disk.to_string());
}

#[test]
fn compressed_images_are_told_by_what_is_in_them() {
    let ground = Ground::new();
    let digest = ground.describe().disk.unwrap().digest;
    for (tool, packed) in [
        (&["zstd", "-q", "-k"][..], "disk.raw.zst"),
        (&["xz", "-0", "-k"], "disk.raw.xz"),
        (&["gzip", "-1", "-k"], "disk.raw.gz"),
    ] {
        ground.pack(tool);
        // By name it is something else.
        fs::rename(ground.path(packed), ground.path("disk.img")).unwrap();
        let written = ground.write("disk.img", "disk");
        assert_eq!(Some(written.digest), digest, "{packed}");
    }
    ground.check("disk");
}

#[test]
fn a_disk_of_large_sectors_is_one_afterwards() {
    let ground = Ground::with(SectorSize::B4096);
    ground.write("disk.raw", "disk");
    ground.check("disk");
}

#[test]
fn an_image_for_other_sectors_is_refused() {
    let ground = Ground::with(SectorSize::B4096);
    let to = ground.path("disk");
    let image = ground.path("disk.raw").display().to_string();
    refused(&Options { sector: None, ..ground.options(&image, &to) });
    assert!(!to.exists());
    fs::write(&to, "something").unwrap();
    let said = refused(&Options { sector: None, ..ground.options(&image, &to) });
    assert!(said.contains("made for sectors of 4096 bytes"), "{said}");
    assert!(said.contains("hint: for a file, `--sector-size 4096` says so"), "{said}");
    assert_eq!(fs::read(&to).unwrap(), b"something");
}

#[test]
fn what_was_in_the_file_is_gone() {
    let ground = Ground::new();
    let size = fs::metadata(ground.path("disk.raw")).unwrap().len();
    // Longer than the image, and full.
    fs::write(ground.path("disk"), noise(9, 1 << 20).repeat((size / MIB) as usize + 7)).unwrap();
    ground.write("disk.raw", "disk");
    assert_eq!(fs::metadata(ground.path("disk")).unwrap().len(), size);
    ground.check("disk");
    let (image, disk) = (fs::read(ground.path("disk.raw")), fs::read(ground.path("disk")));
    let (image, disk) = (image.unwrap(), disk.unwrap());
    // But for ids and checksums, it is the image.
    let differ = image.iter().zip(&disk).filter(|(one, other)| one != other).count();
    assert!(differ < 2000, "{differ} bytes");
}

#[test]
fn what_the_host_is_told_lies_on_the_esp() {
    let ground = Ground::new();
    let text = "hostname = \"rack4-17\"\n";
    fs::write(ground.path("mine.toml"), text).unwrap();
    let image = ground.path("disk.raw").display().to_string();
    let options = |config: &str| Options {
        config: Some(ground.path(config)),
        ..ground.options(&image, &ground.path("disk"))
    };
    write::write(&options("mine.toml"), Progress::Silent).unwrap();
    ground.check("disk");
    let esp = cut(&ground.path("disk"), 1, SectorSize::B512);
    let there = Cmd::new("mtype").arg("-i").arg(esp.path()).arg("::/basalt/host.toml").run();
    assert_eq!(there.unwrap().stdout, text.as_bytes());
    // An image that was written once can be written on, with another one.
    fs::rename(ground.path("disk"), ground.path("disk.raw")).unwrap();
    fs::write(ground.path("mine.toml"), "hostname = \"other\"\n").unwrap();
    write::write(&options("mine.toml"), Progress::Silent).unwrap();
    ground.check("disk");
    let esp = cut(&ground.path("disk"), 1, SectorSize::B512);
    let there = Cmd::new("mtype").arg("-i").arg(esp.path()).arg("::/basalt/host.toml").run();
    assert_eq!(there.unwrap().stdout_text(), "hostname = \"other\"");

    fs::write(ground.path("wrong.toml"), "hostnam = \"a\"").unwrap();
    let before = fs::read(ground.path("disk")).unwrap();
    let said = refused(&options("wrong.toml"));
    assert!(said.contains("did you mean `hostname`?"), "{said}");
    assert!(fs::read(ground.path("disk")).unwrap() == before, "nothing was written");
}

#[test]
fn a_damaged_image_boots_nowhere() {
    let ground = Ground::new();
    ground.describe();
    let image = File::options().write(true).open(ground.path("disk.raw")).unwrap();
    image.write_all_at(b"damage", 60 * MIB).unwrap();
    let to = ground.path("disk");
    let said = refused(&ground.options(&ground.path("disk.raw").display().to_string(), &to));
    assert!(said.contains("the image is not what its manifest says"), "{said}");
    assert!(boots_nowhere(&to));
}

#[test]
fn an_image_that_is_cut_off_or_too_long_is_refused() {
    let ground = Ground::new();
    let size = fs::metadata(ground.path("disk.raw")).unwrap().len();
    let to = ground.path("disk");
    for (name, length) in [("short", size - 512), ("long", size + 512), ("head", MIB)] {
        fs::copy(ground.path("disk.raw"), ground.path(name)).unwrap();
        File::options().write(true).open(ground.path(name)).unwrap().set_len(length).unwrap();
        let plain = refused(&ground.options(&ground.path(name).display().to_string(), &to));
        assert!(plain.contains(&format!("has {length} bytes")), "{plain}");
        assert!(!to.exists(), "{name}");
        // Compressed, nobody knows before all of it was read.
        Cmd::new("zstd").args(["-q", "-f"]).arg(ground.path(name)).run().unwrap();
        let packed = ground.path(&format!("{name}.zst")).display().to_string();
        let said = refused(&ground.options(&packed, &to));
        let why = if length < size { "it ends early" } else { "it goes on after" };
        assert!(said.contains(why), "{said}");
        assert!(boots_nowhere(&to), "{name}");
        fs::remove_file(&to).unwrap();
    }
}

#[test]
fn what_is_no_image_is_refused_before_anything_is_written() {
    let ground = Ground::new();
    let to = ground.path("disk");
    for (content, expected) in [
        (&b"hello"[..], "it is no disk image"),
        (&noise(1, 2 << 20), "it has no partition table"),
        (&[&b"QFI\xfb"[..], &noise(1, 2 << 20)].concat(), "qemu-img convert"),
        (&vec![0; 2 << 20], "it has no partition table"),
    ] {
        fs::write(ground.path("other"), content).unwrap();
        let said = refused(&ground.options(&ground.path("other").display().to_string(), &to));
        assert!(said.contains(expected), "{said}");
        assert!(!to.exists());
    }
    let said = refused(&ground.options("/nowhere/disk.raw", &to));
    assert!(said.contains("cannot read `/nowhere/disk.raw`"), "{said}");
    let image = ground.path("disk.raw");
    let said = refused(&ground.options(&image.display().to_string(), &image));
    assert!(said.contains("the same file"), "{said}");
}

#[test]
fn only_a_trusted_image_is_written_when_a_key_is_named() {
    let ground = Ground::new();
    let manifest = ground.describe();
    let image = ground.path("disk.raw").display().to_string();
    key::create("release", ground.dir.path()).unwrap();
    key::create("foreign", ground.dir.path()).unwrap();
    let sign = |name: &str| {
        let secret = fs::read(ground.path(&format!("{name}.manifest.key"))).unwrap();
        let sealed = seal_image(&manifest.image().unwrap(), &[SecretKey::parse(&secret).unwrap()]);
        fs::write(ground.path(Manifest::SIGNED), sealed.unwrap()).unwrap();
    };
    let to = ground.path("disk");
    let keys = vec![ground.path("release.pub")];
    let options = Options { keys, ..ground.options(&image, &to) };
    assert!(refused(&options).contains("the image is not signed"));
    sign("foreign");
    assert!(refused(&options).contains("no trusted key signed the image"));
    assert!(!to.exists());
    sign("release");
    assert!(write::write(&options, Progress::Silent).unwrap().trusted);
    ground.check("disk");
}

#[test]
fn a_target_is_written_by_one_at_a_time() {
    let ground = Ground::new();
    let to = ground.path("disk");
    let held = File::create(&to).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let image = ground.path("disk.raw").display().to_string();
    assert!(refused(&ground.options(&image, &to)).contains("somebody else is writing to it"));
    drop(held);
    ground.write("disk.raw", "disk");
}
