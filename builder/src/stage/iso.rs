//! A live system on a medium: an ISO 9660 disc that is a disk, too, so that the same file is burnt
//! or written to a stick.
//!
//! The root lies on the disc; loaders, kernel and initrd lie on an EFI partition behind it, a FAT
//! that any laptop can put a kickstart on. The initrd finds the disc by its name and takes only the
//! root that it was made with, so that other media of the same name do no harm.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use basalt_cmd::Cmd;
use basalt_deploy::Repo;
use basalt_disk::Volume;
use basalt_live::{Mode, OnVolume, arguments};
use basalt_sysroot::partition::{Extent, SectorSize};

use crate::cache::{Cache, remove_tree};
use crate::disk::{Content, EspFiles};
use crate::manifest::{Live, Part};
use crate::progress::Step;

/// Name of the disc's image in the output folder.
pub const FILE: &str = "live.iso";
/// The disc's name.
pub const LABEL: &str = "BASALT_LIVE";
/// Where the root lies on it.
const ROOTFS: &str = "/live/rootfs.squashfs";
/// Where kernel and initrd lie on the EFI partition.
const BOOT_FOLDER: &str = "live";
/// What somebody finds there who looks for where a kickstart goes.
const README: &str = "\
This medium installs Basalt.\r\n\
\r\n\
Put a kickstart here, called ks.cfg, and the machine that starts from this\r\n\
medium installs itself as it says. Without one it asks.\r\n\
\r\n\
Once installed, the machine starts from its disk: the installer puts that\r\n\
first in the firmware's list of boots. Some firmware starts a medium first\r\n\
all the same, and a kickstart may say `bootloader --leavebootorder`: such a\r\n\
machine installs itself again, and the kickstart should end with `poweroff`\r\n\
instead of `reboot`, for the medium to be taken away. A disc comes out by\r\n\
`reboot --eject`; a stick stays in.\r\n";
/// Room for kickstarts, and for what a laptop puts beside them.
const SPARE: u64 = 16 << 20;
const MIB: u64 = 1 << 20;
/// Copying 300 MB.
const DEADLINE: Duration = Duration::from_secs(600);

/// What a medium is made from, beside the live system.
pub struct Inputs<'a> {
    /// What the loader's menu calls the image.
    pub title: &'a str,
    /// The commit that has the loaders.
    pub commit: &'a str,
    /// Every time on the disc, in seconds since 1970.
    pub time: u64,
}

/// Makes it beside the live system that lies in `output`.
///
/// # Errors
/// The commit has no loader, `xorriso` is missing or fails, or there is no space.
pub fn make(
    inputs: &Inputs<'_>,
    live: &Live,
    cache: &Cache,
    output: &Path,
    step: &Step,
) -> Result<Part> {
    let work = cache.tmp().join("iso");
    remove_tree(&work)?;
    let tree = work.join("tree");
    take_loaders(&Repo::open(&cache.repo())?, inputs.commit, &tree)?;
    step.note("the EFI partition");
    let esp = work.join("esp");
    make_esp(&files(inputs.title, live, &tree, output)?, live, &esp)?;
    step.note("the disc");
    let rootfs = output.join(&live.rootfs.file);
    disc(&rootfs, &esp, inputs.time, &output.join(FILE))?;
    remove_tree(&work)?;
    Part::of(output, FILE)
}

/// Brings the loaders out of the commit, each where it lies in the tree.
fn take_loaders(repo: &Repo, commit: &str, tree: &Path) -> Result<()> {
    for file in EspFiles::loader_sources() {
        let to = tree.join(file);
        let doing = || format!("cannot write `{}`", to.display());
        fs::create_dir_all(to.parent().unwrap_or(tree)).with_context(doing)?;
        // What is missing is told with its package by whoever looks for it in the tree.
        if let Some(bytes) = repo.read_file(commit, &format!("/{file}"))? {
            fs::write(&to, bytes).with_context(doing)?;
        }
    }
    Ok(())
}

/// What goes onto the EFI partition.
fn files(title: &str, live: &Live, tree: &Path, output: &Path) -> Result<EspFiles> {
    let mut files = EspFiles::loaders(tree)?;
    for part in [&live.kernel, &live.initrd] {
        let place = format!("{BOOT_FOLDER}/{}", part.name());
        files.push(&place, Content::File(output.join(&part.file)));
    }
    let install = entry(title, live, Mode::Install);
    files.push("loader/entries/basalt-1-install.conf", Content::Text(install));
    let host = entry(title, live, Mode::Host);
    files.push("loader/entries/basalt-2-live.conf", Content::Text(host));
    let settings = "timeout 5\ndefault basalt-1-install.conf\nauto-entries no\n";
    files.push("loader/loader.conf", Content::Text(settings.to_owned()));
    files.push("README.TXT", Content::Text(README.to_owned()));
    Ok(files)
}

/// An entry of the loader's menu.
fn entry(title: &str, live: &Live, mode: Mode) -> String {
    let rootfs = OnVolume { volume: format!("LABEL={LABEL}"), path: ROOTFS.to_owned() };
    let options = arguments(mode, &rootfs.to_string(), &live.arguments, &[]).join(" ");
    let (kernel, initrd) = (live.kernel.name(), live.initrd.name());
    let title = match mode {
        Mode::Install => format!("Install {title}"),
        Mode::Host => format!("{title}, live: nothing is kept"),
    };
    format!(
        "title {title}\nsort-key basalt\nlinux /{BOOT_FOLDER}/{kernel}\n\
         initrd /{BOOT_FOLDER}/{initrd}\noptions {options}\n"
    )
}

fn make_esp(files: &EspFiles, live: &Live, to: &Path) -> Result<()> {
    let length = esp_size(live);
    let file = File::options().read(true).write(true).create_new(true).open(to);
    let file = file.with_context(|| format!("cannot make `{}`", to.display()))?;
    file.set_len(length).with_context(|| format!("cannot make `{}`", to.display()))?;
    // The same medium has the same id, whenever it is made.
    let id = u32::from_str_radix(live.rootfs.sha256.get(..8).unwrap_or_default(), 16);
    let volume = Volume {
        extent: Extent { start: 0, length },
        sector: SectorSize::B512,
        id: id.unwrap_or_default(),
    };
    Ok(basalt_disk::make(&file, &volume, &files.iter().collect::<Vec<_>>())?)
}

/// Whole MiB, and not less than a FAT32 has to have.
fn esp_size(live: &Live) -> u64 {
    let files = live.kernel.size + live.initrd.size + SPARE;
    files.next_multiple_of(MIB).max(64 * MIB)
}

/// Writes the disc: an ISO 9660 from sector 16 of a GPT on, and the EFI partition behind it, which
/// the firmware also finds by El Torito.
fn disc(rootfs: &Path, esp: &Path, time: u64, to: &Path) -> Result<()> {
    // As bytes: a folder may have any name.
    let mut grafted = OsString::from(format!("{ROOTFS}="));
    grafted.push(rootfs);
    Cmd::new("xorriso")
        .env("SOURCE_DATE_EPOCH", time.to_string())
        .args(["-as", "mkisofs", "-quiet", "-iso-level", "3", "-r", "-V", LABEL])
        .args(["--set_all_file_dates", &format!("={time}")])
        .args(["-partition_offset", "16", "-append_partition", "2", "0xef"])
        .arg(esp)
        .args(["-appended_part_as_gpt", "-e", "--interval:appended_partition_2:all::"])
        .args(["-no-emul-boot", "-o"])
        .arg(to)
        .arg("-graft-points")
        .arg(grafted)
        .deadline(DEADLINE)
        .run()
        .context("cannot make the disc\nhint: it takes the package `xorriso`")?;
    let synced = File::open(to).and_then(|file| file.sync_all());
    synced.with_context(|| format!("cannot write `{}`", to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An output with a live system, and a tree with loaders.
    fn ground() -> (tempfile::TempDir, Live) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("live")).unwrap();
        for file in EspFiles::loader_sources() {
            let to = dir.path().join("tree").join(file);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::write(to, file).unwrap();
        }
        let live = Live::sample(dir.path());
        (dir, live)
    }

    #[test]
    fn the_same_live_system_gives_the_same_disc_which_is_a_disk() {
        let (dir, live) = ground();
        let at = |name: &str| dir.path().join(name);
        let made = |name: &str| {
            let esp = at(&format!("{name}.esp"));
            let files = files("Basalt 5 (base)", &live, &at("tree"), dir.path()).unwrap();
            make_esp(&files, &live, &esp).unwrap();
            disc(&at(&live.rootfs.file), &esp, 1_700_000_000, &at(name)).unwrap();
            fs::read(at(name)).unwrap()
        };
        let first = made("first");
        assert!(first == made("second"), "they differ");
        assert_eq!(&first[0x8028..][..LABEL.len()], LABEL.as_bytes());
        assert_eq!(&first[512..520], b"EFI PART");
        let listed = Cmd::new("sfdisk").arg("--json").arg(at("first")).run().unwrap();
        let esp = basalt_sysroot::partition::ESP_TYPE.to_string().to_uppercase();
        assert_eq!(listed.stdout_text().matches(&esp).count(), 1, "{}", listed.stdout_text());
    }

    #[test]
    fn it_installs_unless_somebody_chooses_otherwise() {
        let (dir, live) = ground();
        let files = files("Basalt 5 (base)", &live, &dir.path().join("tree"), dir.path()).unwrap();
        let text = |path: &str| {
            let file = files.iter().find(|file| file.path == path);
            match file.map(|file| &file.content) {
                Some(Content::Text(text)) => text.clone(),
                other => panic!("{path} is {other:?}"),
            }
        };
        assert!(text("loader/loader.conf").contains("default basalt-1-install.conf\n"));
        let install = text("loader/entries/basalt-1-install.conf");
        let expected = "\
title Install Basalt 5 (base)
sort-key basalt
linux /live/vmlinuz
initrd /live/initrd.img
options androidboot.slot_suffix=_a ostree systemd.machine_id=firmware basalt.live=install \
basalt.live.url=hd:LABEL=BASALT_LIVE:/live/rootfs.squashfs quiet
";
        assert_eq!(install, expected);
        assert!(text("loader/entries/basalt-2-live.conf").contains(" basalt.live=host "));
    }

    #[test]
    fn the_efi_partition_has_room_for_what_comes_later() {
        let (_dir, mut live) = ground();
        assert_eq!(esp_size(&live), 64 * MIB);
        live.initrd.size = 100 * MIB + 1;
        assert_eq!(esp_size(&live), 117 * MIB);
    }
}
