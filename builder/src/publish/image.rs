//! What a commit says of the image in it.

use anyhow::{Context, Result, bail};
use basalt_deploy::Repo;

const OS_RELEASE: &str = "usr/lib/os-release";
const MODULES: &str = "usr/lib/modules";

/// An image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    /// Its name, as its definition says it.
    pub(super) name: String,
    /// Its version.
    pub(super) version: String,
    /// Bytes of its kernel and its initramfs together.
    pub(super) boot_bytes: u64,
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
        Ok(Self { name, version, boot_bytes: boot_bytes(repo, commit)? })
    }
}

fn value(os_release: &str, key: &str) -> Option<String> {
    let mut lines = os_release.lines().filter_map(|line| line.split_once('='));
    let (_, value) = lines.find(|(found, _)| *found == key)?;
    Some(value.trim_matches('"').to_owned())
}

fn boot_bytes(repo: &Repo, commit: &str) -> Result<u64> {
    let kernels = repo.list_folder(commit, MODULES)?;
    let [kernel] = &kernels[..] else {
        bail!("{commit} has {} kernels in `{MODULES}`, not one", kernels.len());
    };
    let mut bytes = 0;
    for name in ["vmlinuz", "initramfs.img"] {
        let path = format!("{MODULES}/{kernel}/{name}");
        let size = repo.file_size(commit, &path)?;
        bytes += size.with_context(|| format!("{commit} has no `{path}`"))?;
    }
    Ok(bytes)
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
        assert_eq!(read(), Ok(Image { name, version, boot_bytes: 15 }));
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
