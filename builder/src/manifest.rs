//! `manifest.json`: what a build made, beside the disk it made.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use basalt_release::Image;
use serde::{Deserialize, Serialize};

use crate::fingerprint::sha256_of_file;

/// Form of the file.
pub const FORM: u32 = 1;

/// What one build made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Form of this file.
    pub form: u32,
    /// The definition's name.
    pub name: String,
    /// The version.
    pub version: String,
    /// Hash of everything the commit was made from.
    pub build_id: String,
    /// Checksum of the OSTree commit.
    pub commit: String,
    /// The ref that names it.
    #[serde(rename = "ref")]
    pub ref_name: String,
    /// `signed`, or `unsigned` when only the development key signed it.
    pub release: String,
    /// Fingerprint of the key that signed the commit.
    pub signed_by: String,
    /// How many Debian packages are in it.
    pub packages: usize,
    /// Hash of everything the disk was made from.
    pub disk_key: String,
    /// The disk image, when the definition's `formats` asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<Disk>,
    /// The same disk as qcow2, when `formats` asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qcow2: Option<Part>,
    /// The live system, when `formats` asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<Live>,
    /// The live system on a medium, when `formats` asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iso: Option<Part>,
}

/// A file that a build made, and what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its path, from the manifest's folder.
    pub file: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its SHA-256, in small hex digits.
    pub sha256: String,
}

/// The live system of a build: three files that belong together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// Hash of everything it was made from.
    pub key: String,
    /// The kernel.
    pub kernel: Part,
    /// The initrd, which boots this rootfs and no other.
    pub initrd: Part,
    /// The root, a SquashFS.
    pub rootfs: Part,
    /// The image's kernel arguments.
    pub arguments: Vec<String>,
}

impl Part {
    /// The file of this name in `folder`, as it is.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn of(folder: &Path, file: &str) -> Result<Self> {
        let path = folder.join(file);
        let doing = || format!("cannot read `{}`", path.display());
        let size = fs::metadata(&path).with_context(doing)?.len();
        let sha256 = sha256_of_file(&path).with_context(doing)?;
        Ok(Self { file: file.to_owned(), size, sha256 })
    }

    /// Whether it is there with its length.
    #[must_use]
    pub fn is_there(&self, folder: &Path) -> bool {
        has(folder, &self.file, self.size)
    }

    /// Its name alone.
    #[must_use]
    pub fn name(&self) -> &str {
        self.file.rsplit('/').next().unwrap_or_default()
    }
}

impl Live {
    /// Its files.
    #[must_use]
    pub fn parts(&self) -> [&Part; 3] {
        [&self.kernel, &self.initrd, &self.rootfs]
    }

    /// What `sha256sum --check` reads in the folder that has them.
    #[must_use]
    pub fn sums(&self) -> String {
        self.parts().map(|part| format!("{}  {}\n", part.sha256, part.name())).concat()
    }
}

fn has(folder: &Path, file: &str, size: u64) -> bool {
    fs::metadata(folder.join(file)).is_ok_and(|meta| meta.len() == size)
}

/// The disk image of a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// File name, beside the manifest.
    pub file: String,
    /// Its length in bytes.
    pub size: u64,
    /// Bytes that it takes; the rest are holes.
    pub allocated: u64,
    /// The [digest](crate::disk::digest) of what is in it; builds of before had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

impl Manifest {
    /// Name of the file.
    pub const FILE: &'static str = "manifest.json";

    /// Name of the file that says of the disk what is in it, signed by the release key.
    pub const SIGNED: &'static str = "manifest.signed.json";

    /// Reads the manifest in `folder`; `None` when there is none that can be read as one.
    #[must_use]
    pub fn read(folder: &Path) -> Option<Self> {
        let text = fs::read(folder.join(Self::FILE)).ok()?;
        Self::parse(&text)
    }

    /// Reads a manifest; `None` when it cannot be read as one.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let manifest: Self = serde_json::from_slice(text).ok()?;
        (manifest.form == FORM).then_some(manifest)
    }

    /// Whether the folder holds what the manifest speaks of.
    #[must_use]
    pub fn is_whole(&self, folder: &Path) -> bool {
        let disk = self.disk.as_ref().is_none_or(|disk| has(folder, &disk.file, disk.size));
        let live = self.live.iter().flat_map(Live::parts);
        let parts = self.qcow2.iter().chain(live).chain(&self.iso);
        disk && parts.into_iter().all(|part| part.is_there(folder))
    }

    /// What is signed of the disk; `None` when there is no disk.
    #[must_use]
    pub fn image(&self) -> Option<Image> {
        let disk = self.disk.as_ref()?;
        let (file, size, digest) = (disk.file.clone(), disk.size, disk.digest.clone()?);
        Some(Image { file, size, digest, ..Image::of(&self.name, &self.version, &self.commit) })
    }

    /// Writes it into `folder`.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        basalt_durable::write(&folder.join(Self::FILE), &text, basalt_durable::PUBLIC)
            .with_context(|| format!("cannot write the manifest in `{}`", folder.display()))
    }
}

#[cfg(test)]
impl Manifest {
    /// The manifest of a build without any form of disk.
    pub(crate) fn sample() -> Self {
        Self {
            form: FORM,
            name: "base".into(),
            version: "5".into(),
            build_id: "x".into(),
            commit: "c".into(),
            ref_name: "r".into(),
            release: "unsigned".into(),
            signed_by: "f".into(),
            packages: 1,
            disk_key: "d".into(),
            disk: None,
            qcow2: None,
            live: None,
            iso: None,
        }
    }
}

#[cfg(test)]
impl Live {
    /// A live system whose files are in the folder `live` of `output`, each with its own name in it.
    pub(crate) fn sample(output: &Path) -> Self {
        Self::sample_of(output, "")
    }

    /// The same with something behind each name.
    pub(crate) fn sample_of(output: &Path, behind: &str) -> Self {
        let part = |name: &str| {
            fs::write(output.join("live").join(name), format!("{name}{behind}")).unwrap();
            Part::of(output, &format!("live/{name}")).unwrap()
        };
        Self {
            key: "l".into(),
            kernel: part("vmlinuz"),
            initrd: part("initrd.img"),
            rootfs: part("rootfs.squashfs"),
            arguments: vec!["quiet".into()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_there_with_its_length_and_its_hash_stands_in_the_sums() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("live")).unwrap();
        let live = Live::sample(dir.path());
        let sums = live.sums();
        assert_eq!(sums.lines().count(), 3);
        assert!(sums.ends_with(&format!("{}  rootfs.squashfs\n", live.rootfs.sha256)), "{sums}");
        assert!(live.kernel.is_there(dir.path()));
        fs::write(dir.path().join("live/vmlinuz"), "cut").unwrap();
        assert!(!live.kernel.is_there(dir.path()));
    }

    #[test]
    fn fuzz_manifest_of_a_build() {
        let seed = br#"{"form":1,"name":"base","version":"1","build_id":"a","commit":"b","ref":"c",
            "release":"signed","signed_by":"d","packages":1,"disk_key":"e",
            "disk":{"file":"disk.img","size":1,"allocated":1,"digest":"f"},
            "live":{"key":"g","arguments":["quiet"],"kernel":{"file":"live/a","size":1,"sha256":"h"},
            "initrd":{"file":"live/b","size":1,"sha256":"i"},
            "rootfs":{"file":"live/c","size":1,"sha256":"j"}},
            "iso":{"file":"live.iso","size":1,"sha256":"k"}}"#;
        assert!(Manifest::parse(seed).is_some());
        basalt_fuzz::run(&[seed], |bytes| {
            if let Some(manifest) = Manifest::parse(bytes) {
                let again = serde_json::to_vec(&manifest).unwrap();
                assert_eq!(Manifest::parse(&again), Some(manifest));
            }
        });
    }
}
