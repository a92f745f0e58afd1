//! The system that is to be installed: a commit in a repository, as far as planning reads it.

mod archive;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use basalt_deploy::{Patience, Remote, Repo};
use serde::Serialize;

/// Where a host looks for the keys that it takes commits by.
pub const KEYS: &str = "/usr/share/basalt/keys";

/// The name under which a host keeps where its commits come from.
pub(crate) const REMOTE: &str = "basalt";

/// The files of a system.
pub trait Image {
    /// The content of a file by its path from `/`, as `etc/passwd`; none where there is no file.
    ///
    /// # Errors
    /// The repository cannot be read.
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>>;

    /// Names in a folder, of files, links and folders; none where there is no folder.
    ///
    /// # Errors
    /// The repository cannot be read.
    fn names(&self, folder: &str) -> Result<Vec<String>>;

    /// Whether there is something at a path.
    ///
    /// # Errors
    /// The repository cannot be read.
    fn has(&self, path: &str) -> Result<bool> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok(self.names(folder)?.iter().any(|it| it == name))
    }

    /// Whether there is a program at a whole path, as `/bin/sh`: `/bin` is a link to `/usr/bin`.
    ///
    /// # Errors
    /// The repository cannot be read.
    fn has_program(&self, path: &str) -> Result<bool> {
        let path = path.trim_start_matches('/');
        Ok(self.has(path)? || self.has(&format!("usr/{path}"))?)
    }

    /// A text file; empty where there is none.
    ///
    /// # Errors
    /// The repository cannot be read, or it is no text.
    fn text(&self, path: &str) -> Result<String> {
        let bytes = self.read(path)?.unwrap_or_default();
        String::from_utf8(bytes).with_context(|| format!("`/{path}` of the image is no text"))
    }
}

/// What is known of the commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct About {
    /// Where it lies.
    pub origin: Origin,
    /// The commit, 64 hex digits.
    pub commit: String,
    /// The ref that a host asks for its next release by.
    #[serde(rename = "ref")]
    pub branch: String,
    /// The version, where it says one.
    pub version: Option<String>,
    /// What the loader's menu shows.
    pub title: String,
    /// The kernel arguments of the image.
    pub arguments: Vec<String>,
    /// Bytes that it takes on a root.
    pub bytes: u64,
    /// Bytes of its kernel and initramfs.
    pub boot_bytes: u64,
    /// Who vouches for it.
    pub signed: Signed,
}

/// Where a commit lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// In a repository of this machine.
    Repository(PathBuf),
    /// In an archive elsewhere.
    Archive(Archive),
}

/// An archive elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Archive {
    /// Its URL.
    pub url: String,
    /// Files with the keys that may have signed a commit.
    #[serde(skip)]
    pub keyrings: Vec<PathBuf>,
    /// The repository of this machine, which has some of it.
    #[serde(skip)]
    pub carried: PathBuf,
}

impl Archive {
    /// As a repository pulls from it.
    pub(crate) fn remote(&self) -> Remote<'_> {
        Remote {
            name: REMOTE,
            url: &self.url,
            keyrings: &self.keyrings,
            ca: None,
            beside: Some(&self.carried),
            patience: Patience::default(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repository(path) => path.display().fmt(f),
            Self::Archive(archive) => f.write_str(&archive.url),
        }
    }
}

/// Who vouches for a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signed {
    /// A key that the installer's own system trusts.
    ByTrustedKey,
    /// Nobody: the installer's own system trusts no key at all, and so is an unsigned build itself.
    NoKeyIsTrusted,
}

/// A commit in a repository.
pub struct Commit {
    repo: Repo,
    commit: String,
}

impl Image for Commit {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.repo.read_file(&self.commit, &in_commit(path))?)
    }

    fn names(&self, folder: &str) -> Result<Vec<String>> {
        Ok(self.repo.list_folder(&self.commit, &in_commit(folder))?)
    }
}

/// A commit has its `/etc` below `/usr`.
fn in_commit(path: &str) -> String {
    match path == "etc" || path.starts_with("etc/") {
        true => format!("usr/{path}"),
        false => path.to_owned(),
    }
}

/// The commit that `repo` carries: of `branch` where one is named, else the only one there is. A key
/// in the folder `keys` must have signed it, where there is any key.
///
/// # Errors
/// There is no repository, none or several commits, no good signature, or no host's system in it.
pub fn open(repo: &Path, branch: Option<&str>, keys: &Path) -> Result<(About, Commit)> {
    let doing = || format!("cannot install from the repository `{}`", repo.display());
    let repo = &repo.canonicalize().with_context(doing)?;
    let source = Repo::open(repo).with_context(doing)?;
    let (branch, commit) = choose(&source, branch).with_context(doing)?;
    if !source.has(&commit)? {
        bail!("{}: it lacks the commit {commit} of `{branch}`", doing());
    }
    let signed = verify(&source, &commit, keys).with_context(doing)?;
    let folder = source.kernel_folder(&commit).with_context(doing)?;
    let size = |name: &str| -> Result<u64> {
        let size = source.file_size(&commit, &format!("{folder}/{name}"))?;
        size.with_context(|| format!("{commit} has no `/{folder}/{name}`"))
    };
    let about = About {
        origin: Origin::Repository(repo.to_owned()),
        version: source.describe(&commit)?.and_then(|known| known.version),
        title: source.title(&commit)?,
        arguments: source.kernel_arguments(&commit)?,
        bytes: source.sizes(&commit).with_context(doing)?.blocks,
        boot_bytes: size("vmlinuz")? + size("initramfs.img")?,
        signed,
        branch,
        commit: commit.clone(),
    };
    Ok((about, Commit { repo: source, commit }))
}

pub(crate) use archive::bring;

/// A ref, without the remote that it is known of, and its commit.
fn choose(repo: &Repo, branch: Option<&str>) -> Result<(String, String)> {
    let plain = |name: &str| name.split_once(':').map_or(name, |(_, plain)| plain).to_owned();
    let refs = repo.all_refs()?;
    // libostree keeps one for each deployment of its own.
    let refs = refs.into_iter().filter(|(name, _)| !name.starts_with("ostree/"));
    let mut found: Vec<_> = refs.map(|(name, commit)| (plain(&name), commit)).collect();
    found.retain(|(name, _)| branch.is_none_or(|branch| branch == name));
    found.sort();
    found.dedup();
    match (&found[..], branch) {
        ([one], _) => Ok(one.clone()),
        ([], Some(branch)) => bail!("it has no ref `{branch}`"),
        ([], None) => bail!("it has no ref"),
        (many, _) => {
            let names: Vec<_> = many.iter().map(|(name, _)| format!("`{name}`")).collect();
            bail!("it has several refs: {}\nhint: say which with `--ref`", names.join(", "))
        }
    }
}

/// By any of the keys, as hosts do it.
fn verify(repo: &Repo, commit: &str, keys: &Path) -> Result<Signed> {
    let entries = std::fs::read_dir(keys).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let mut paths: Vec<_> =
        paths.filter(|it| it.extension().is_some_and(|end| end == "asc")).collect();
    paths.sort();
    let mut last = None;
    for key in &paths {
        match repo.verify(commit, key) {
            Ok(()) => return Ok(Signed::ByTrustedKey),
            Err(error) => last = Some(error),
        }
    }
    last.map_or(Ok(Signed::NoKeyIsTrusted), |error| {
        Err(error).context("no key that this system trusts has signed the commit")
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// An image in memory, by the paths of its files.
    #[derive(Debug, Default, Clone)]
    pub(crate) struct InMemory(pub(crate) BTreeMap<String, String>);

    impl InMemory {
        pub(crate) fn with(files: &[(&str, &str)]) -> Self {
            let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
            Self(files.collect())
        }
    }

    impl Image for InMemory {
        fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
            Ok(self.0.get(path).map(|text| text.clone().into_bytes()))
        }

        fn names(&self, folder: &str) -> Result<Vec<String>> {
            let below =
                self.0.keys().filter_map(|path| path.strip_prefix(folder)?.strip_prefix('/'));
            let mut names: Vec<_> =
                below.filter_map(|rest| rest.split('/').next()).map(str::to_owned).collect();
            names.dedup();
            Ok(names)
        }
    }

    #[test]
    fn the_etc_of_a_commit_lies_below_its_usr() {
        assert_eq!(in_commit("etc/passwd"), "usr/etc/passwd");
        assert_eq!(in_commit("etc"), "usr/etc");
        assert_eq!(in_commit("etcetera/x"), "etcetera/x");
        assert_eq!(in_commit("usr/lib/os-release"), "usr/lib/os-release");
    }
}
