//! `basalt pxe`: a live system in a folder that any TFTP and HTTP server serves.
//!
//! Each build lies in a folder of its own, whose name never comes to mean another one half-way, and
//! the script that boots one comes last. So a machine that boots meanwhile finds what it began with.

mod dnsmasq;
mod http;
mod interface;
mod script;
pub mod serve;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use basalt_durable::PUBLIC;
use basalt_live::arguments::fetchable;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::cache::{self, Claim, remove_tree};
use crate::manifest::{Live, Manifest, Part};
use crate::progress::Progress;
use crate::stage::live::SUMS;
pub use script::script;

/// The script that iPXE runs, beside the builds' folders and in each of them.
pub const SCRIPT: &str = "boot.ipxe";
const PIECE: usize = 1 << 20;

/// What `basalt pxe` was asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of a build.
    pub build: PathBuf,
    /// Where the live system goes.
    pub dir: PathBuf,
    /// Under which URL that folder is served.
    pub url: String,
    /// More kernel arguments.
    pub append: Vec<String>,
}

/// What was put there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Placed {
    /// The image's name.
    pub name: String,
    /// The image's version.
    pub version: String,
    /// The folder of this build.
    pub folder: PathBuf,
    /// The URL of the script that boots it.
    pub script: String,
    /// Bytes of kernel, initrd and rootfs.
    pub size: u64,
}

/// Puts the live system of a build into a folder, whole or not at all.
///
/// # Errors
/// The build has none, or a damaged one; an argument or the URL makes no sense; or there is no
/// space. What was there before still boots.
pub fn put(options: &Options, progress: Progress) -> Result<Placed> {
    let Options { build, dir, .. } = options;
    let (manifest, live) = read(build)?;
    let name = format!("{}-{}", manifest.name, manifest.version);
    let url = served_at(&options.url)?;
    let text = script(&manifest, &live, &format!("{url}/{name}"), &options.append)?;
    fs::create_dir_all(dir).with_context(|| format!("cannot make `{}`", dir.display()))?;
    let claim = Claim { user: "`basalt pxe`", what: "folder", flag: "--dir" };
    let _lock = cache::lock(&dir.join(".lock"), claim, progress)?;
    let step = progress.step("pxe");
    let staging = dir.join(format!(".{name}.new"));
    remove_tree(&staging)?;
    fs::create_dir(&staging).with_context(|| format!("cannot make `{}`", staging.display()))?;
    for part in live.parts() {
        step.note(part.name());
        copy(&build.join(&part.file), &staging.join(part.name()), part)?;
    }
    let write = |folder: &Path, name: &str, text: &str| {
        let path = folder.join(name);
        let written = basalt_durable::write(&path, text.as_bytes(), PUBLIC);
        written.with_context(|| format!("cannot write `{}`", path.display()))
    };
    write(&staging, SCRIPT, &text)?;
    let sums = format!("{}{}  {SCRIPT}\n", live.sums(), hex::encode(Sha256::digest(&text)));
    write(&staging, SUMS, &sums)?;
    let folder = dir.join(&name);
    place(&staging, &folder)?;
    write(dir, SCRIPT, &text)?;
    let size = live.parts().map(|part| part.size).iter().sum();
    step.finish(&format!("{} MB", size / 1_000_000));
    let script = format!("{url}/{SCRIPT}");
    Ok(Placed { name: manifest.name, version: manifest.version, folder, script, size })
}

/// A build's manifest, and its live system.
///
/// # Errors
/// There is no build, or it has none.
pub fn read(build: &Path) -> Result<(Manifest, Live)> {
    let Some(manifest) = Manifest::read(build) else {
        bail!(
            "`{}` is no folder of a build\nhint: `basalt build` prints it, as `out/base/1`",
            build.display()
        )
    };
    let Some(live) = manifest.live.clone() else {
        bail!(
            "`{}` has no live system\nhint: build it with `--format live`, or put `live` into the \
             definition's `formats`",
            build.display()
        )
    };
    Ok((manifest, live))
}

/// The URL of the folder, without a slash at its end.
fn served_at(typed: &str) -> Result<String> {
    let bad = || {
        format!(
            "`{typed}` is no http or https URL of a folder\nhint: as `http://boot.example/basalt`"
        )
    };
    let url = fetchable(typed).with_context(bad)?;
    if url.query().is_some() || url.fragment().is_some() {
        bail!(bad());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Copies a file and looks whether it is what its manifest says.
fn copy(from: &Path, to: &Path, part: &Part) -> Result<()> {
    let reading = || format!("cannot read `{}`", from.display());
    let writing = || format!("cannot write `{}`", to.display());
    let mut source = File::open(from).with_context(reading)?;
    let mut target = File::create(to).with_context(writing)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; PIECE];
    loop {
        let read = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).with_context(reading),
        };
        hash.update(&buffer[..read]);
        target.write_all(&buffer[..read]).with_context(writing)?;
    }
    target.sync_all().with_context(writing)?;
    if hex::encode(hash.finalize()) != part.sha256 {
        bail!(
            "`{}` is not what its manifest says\nhint: remove its folder and build it again",
            from.display()
        );
    }
    Ok(())
}

/// Puts a finished folder in its place, also where one is, by one rename.
fn place(staging: &Path, folder: &Path) -> Result<()> {
    let doing = || format!("cannot place `{}`", folder.display());
    if !folder.exists() {
        return basalt_durable::rename(staging, folder).with_context(doing);
    }
    renameat_with(CWD, staging, CWD, folder, RenameFlags::EXCHANGE).with_context(doing)?;
    remove_tree(staging)?;
    basalt_durable::sync_folder(folder.parent().unwrap_or(folder)).with_context(doing)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A build with a live system, and a folder for it.
    struct Ground(tempfile::TempDir);

    impl Ground {
        fn new() -> Self {
            let ground = Self(tempfile::tempdir().unwrap());
            fs::create_dir_all(ground.build().join("live")).unwrap();
            ground.make("1");
            ground
        }

        fn build(&self) -> PathBuf {
            self.0.path().join("build")
        }

        fn dir(&self) -> PathBuf {
            self.0.path().join("served")
        }

        /// Makes it anew, with this version.
        fn make(&self, version: &str) {
            let live = Live::sample_of(&self.build(), &format!(" {version}"));
            let manifest =
                Manifest { version: version.into(), live: Some(live), ..Manifest::sample() };
            manifest.write(&self.build()).unwrap();
        }

        fn put(&self) -> Result<Placed> {
            let options = Options {
                build: self.build(),
                dir: self.dir(),
                url: "http://boot.example/a/".into(),
                append: Vec::new(),
            };
            put(&options, Progress::Silent)
        }

        fn text(&self, name: &str) -> String {
            fs::read_to_string(self.dir().join(name)).unwrap()
        }
    }

    #[test]
    fn a_live_system_lies_there_whole_with_its_sums_and_a_script_that_boots_it() {
        let ground = Ground::new();
        let placed = ground.put().unwrap();
        assert_eq!(placed.script, "http://boot.example/a/boot.ipxe");
        assert_eq!(ground.text("base-1/rootfs.squashfs"), "rootfs.squashfs 1");
        assert!(ground.text(SCRIPT).contains("http://boot.example/a/base-1/vmlinuz"));
        assert_eq!(ground.text(SCRIPT), ground.text("base-1/boot.ipxe"));
        let check = basalt_cmd::Cmd::new("sha256sum").args(["--check", "--strict", SUMS]);
        let checked = check.current_dir(ground.dir().join("base-1")).run().unwrap();
        assert_eq!(checked.stdout_text().lines().count(), 4);
    }

    #[test]
    fn another_version_leaves_the_one_before_for_whoever_boots_it() {
        let ground = Ground::new();
        ground.put().unwrap();
        ground.make("2");
        ground.put().unwrap();
        assert!(ground.text(SCRIPT).contains("/base-2/vmlinuz"));
        assert_eq!(ground.text("base-1/vmlinuz"), "vmlinuz 1");
        // What is there already is put there again, and nothing is left of the work.
        ground.put().unwrap();
        let names = fs::read_dir(ground.dir()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.collect();
        names.sort();
        assert_eq!(names, [".lock", "base-1", "base-2", SCRIPT]);
    }

    #[test]
    fn what_is_damaged_or_missing_is_refused_and_what_was_there_still_boots() {
        let ground = Ground::new();
        ground.put().unwrap();
        let before = ground.text(SCRIPT);
        ground.make("2");
        fs::write(ground.build().join("live/initrd.img"), "initrd.img X").unwrap();
        let told = ground.put().unwrap_err().to_string();
        assert!(told.contains("live/initrd.img` is not what its manifest says\nhint: "), "{told}");
        assert_eq!(ground.text(SCRIPT), before);
        assert!(!ground.dir().join("base-2").exists());
        let (mut manifest, _) = read(&ground.build()).unwrap();
        manifest.live = None;
        manifest.write(&ground.build()).unwrap();
        let told = ground.put().unwrap_err().to_string();
        assert!(told.contains("has no live system\nhint: build it with `--format live`"), "{told}");
        let told = read(&ground.dir()).unwrap_err().to_string();
        assert!(told.contains("is no folder of a build\nhint: "), "{told}");
    }

    #[test]
    fn a_url_must_be_one_of_a_folder() {
        assert_eq!(served_at("http://a.example").unwrap(), "http://a.example");
        assert_eq!(served_at("https://a.example/b/").unwrap(), "https://a.example/b");
        for bad in ["ftp://a/b", "a.example/b", "http://a/b?c", "http://a/b#c", ""] {
            assert!(served_at(bad).is_err(), "{bad}");
        }
    }
}
