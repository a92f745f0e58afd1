//! What a commit says of the image in it.

use anyhow::{Context, Result, bail};
use basalt_deploy::Repo;
use basalt_release::BootContent;
use basalt_sysroot::boot_file::{BootFile, Kind};
use sha2::{Digest, Sha256};

const OS_RELEASE: &str = "usr/lib/os-release";
const MODULES: &str = "usr/lib/modules";

/// An image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    /// Its name, as its definition says it.
    pub(super) name: String,
    /// Its version.
    pub(super) version: String,
    /// Its kernel and its initramfs.
    pub(super) boot_files: Vec<BootContent>,
}

impl Image {
    pub(super) fn read(repo: &Repo, commit: &str) -> Result<Self> {
        let text = repo.read_file(commit, OS_RELEASE)?;
        let text = text.with_context(|| format!("{commit} has no `{OS_RELEASE}`"))?;
        let text = String::from_utf8_lossy(&text);
        let value = |key| {
            let found = value(&text, key);
            found.with_context(|| format!("`{OS_RELEASE}` of {commit} has no `{key}`"))
        };
        let (name, version) = (value("IMAGE_ID")?, value("IMAGE_VERSION")?);
        Ok(Self { name, version, boot_files: boot_files(repo, commit)? })
    }

    /// Bytes of its kernel and its initramfs together.
    pub(super) fn boot_bytes(&self) -> u64 {
        self.boot_files.iter().map(|file| file.bytes).sum()
    }
}

fn value(os_release: &str, key: &str) -> Option<String> {
    let mut lines = os_release.lines().filter_map(|line| line.split_once('='));
    let (_, value) = lines.find(|(found, _)| *found == key)?;
    Some(value.trim_matches('"').to_owned())
}

fn boot_files(repo: &Repo, commit: &str) -> Result<Vec<BootContent>> {
    let kernels = repo.list_folder(commit, MODULES)?;
    let [kernel] = &kernels[..] else {
        bail!("{commit} has {} kernels in `{MODULES}`, not one", kernels.len());
    };
    let read = |(kind, name)| {
        let path = format!("{MODULES}/{kernel}/{name}");
        let content = repo.read_file(commit, &path)?;
        let content = content.with_context(|| format!("{commit} has no `{path}`"))?;
        let place = BootFile::new(kind, &Sha256::digest(&content).into()).to_string();
        Ok(BootContent { place, bytes: content.len() as u64 })
    };
    [(Kind::Linux, "vmlinuz"), (Kind::Initrd, "initramfs.img")].into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use basalt_deploy::CommitRequest;

    use super::*;

    #[test]
    fn an_image_is_what_its_tree_says() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        let repo = Repo::open_or_create(&dir.path().join("repo")).unwrap();
        let read = || {
            let request =
                CommitRequest { ref_name: "r", time: 1, version: None, build_id: None, key: None };
            let commit = repo.commit(&tree, &request).unwrap();
            Image::read(&repo, &commit).map_err(|error| error.to_string())
        };
        fs::create_dir_all(tree.join("usr/lib/modules/6.12")).unwrap();
        assert!(read().unwrap_err().contains("no `usr/lib/os-release`"));
        fs::write(tree.join(OS_RELEASE), "IMAGE_ID=base\n").unwrap();
        assert!(read().unwrap_err().contains("no `IMAGE_VERSION`"));
        fs::write(tree.join(OS_RELEASE), "IMAGE_ID=base\nIMAGE_VERSION=\"7\"\n").unwrap();
        fs::write(tree.join("usr/lib/modules/6.12/vmlinuz"), "kernel").unwrap();
        assert!(read().unwrap_err().contains("no `usr/lib/modules/6.12/initramfs.img`"));
        fs::write(tree.join("usr/lib/modules/6.12/initramfs.img"), "initramfs").unwrap();
        let (name, version) = ("base".to_owned(), "7".to_owned());
        let file = |place: &str, bytes| BootContent { place: place.to_owned(), bytes };
        let boot_files = vec![
            file("/basalt/6923dd1bc0460082c5d55a831908c24a/linux", 6),
            file("/basalt/9752c38a9065f7646ffaac3621d1fa2f/initrd", 9),
        ];
        let image = Image { name, version, boot_files };
        assert_eq!(read(), Ok(image.clone()));
        assert_eq!(image.boot_bytes(), 15);
        fs::create_dir(tree.join("usr/lib/modules/6.13")).unwrap();
        assert!(read().unwrap_err().contains("2 kernels"));
    }

    #[test]
    fn fuzz_os_release_of_an_image() {
        let seed = "NAME=a\nIMAGE_ID=\"base\"\nIMAGE_VERSION=12";
        basalt_fuzz::run_on_text!(&[seed], |text| {
            let found = value(text, "IMAGE_ID");
            assert!(found.is_none_or(|value| text.contains(&value)), "{text}");
        });
    }
}
