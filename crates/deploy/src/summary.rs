//! The signed summary of an archive: every ref and delta, for whoever pulls.
//!
//! It is two files, and who verifies the one needs the other. Before libostree 2023.1 its own
//! function removes the old signature, and GnuPG makes the new one while everybody looks
//! (`ostree_repo_regenerate_summary`). So both are made in a folder beside that has links in place
//! of what the archive has, and come into their place by two renames, one after the other. The
//! summary is the first, as in later libostree: who has the old pair asks for the signature and, as
//! long as that is the old one, keeps the pair.

use std::fs;
use std::os::unix::fs::symlink;

use tempfile::TempDir;

use crate::error::Doing;
use crate::repo::{NEVER, not_utf8};
use crate::{DeployError, Repo, SigningKey};

/// What libostree reads of an archive, or writes beside the summary. The lock among it: who prunes
/// the archive waits.
const LINKED: [&str; 8] =
    [".lock", "config", "delta-indexes", "deltas", "extensions", "objects", "refs", "state"];
/// In the order in which they are replaced.
const FILES: [&str; 2] = ["summary", "summary.sig"];

impl Repo {
    /// Writes the summary of every ref and delta anew, signed by `key`. What was there stays until
    /// both files are made and synced. May be cut anywhere and called again.
    ///
    /// # Errors
    /// The repository cannot be written, or GnuPG cannot sign with that key.
    pub fn summarize(&self, key: &SigningKey) -> Result<(), DeployError> {
        let doing = || format!("write the summary of `{}`", self.path().display());
        let home = key.home.to_str().ok_or_else(|| not_utf8(&key.home))?;
        self.say_that_deltas_are_indexed()?;
        let beside = self.beside()?;
        let made = Self::open(beside.path())?;
        made.inner.regenerate_summary(None, NEVER).doing(doing)?;
        made.inner
            .add_gpg_signature_summary(&[&key.fingerprint], Some(home), NEVER)
            .doing(doing)?;
        for name in FILES {
            fs::rename(beside.path().join(name), self.path().join(name)).doing(doing)?;
        }
        basalt_durable::sync_folder(self.path()).doing(doing)
    }

    /// libostree says it in the configuration as it makes the first index, and replaces a link by
    /// that; who pulls reads it there.
    fn say_that_deltas_are_indexed(&self) -> Result<(), DeployError> {
        let doing = || format!("configure `{}`", self.path().display());
        let config = self.inner.copy_config();
        if config.boolean("core", "indexed-deltas").unwrap_or(false) {
            return Ok(());
        }
        config.set_boolean("core", "indexed-deltas", true);
        self.inner.write_config(&config).doing(doing)
    }

    /// A repository that has what this one has, and a summary of its own. libostree removes after a
    /// day what a cut leaves in `tmp`.
    fn beside(&self) -> Result<TempDir, DeployError> {
        let doing = || format!("make a summary beside that of `{}`", self.path().display());
        let archive = fs::canonicalize(self.path()).doing(doing)?;
        // It is written through a link, and there is none before the first delta.
        fs::create_dir_all(archive.join("delta-indexes")).doing(doing)?;
        let mut builder = tempfile::Builder::new();
        let folder = builder.prefix("summary-").tempdir_in(archive.join("tmp")).doing(doing)?;
        for name in LINKED {
            symlink(archive.join(name), folder.path().join(name)).doing(doing)?;
        }
        Ok(folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_that_cannot_be_signed_leaves_the_signed_one_of_before() {
        let dir = tempfile::tempdir().unwrap();
        let archive = Repo::open_or_create_archive(&dir.path().join("archive")).unwrap();
        for name in FILES {
            fs::write(archive.path().join(name), name).unwrap();
        }
        let key = SigningKey { home: dir.path().to_owned(), fingerprint: "0".repeat(40) };
        let error = archive.summarize(&key).unwrap_err().to_string();
        assert!(error.contains("cannot write the summary of"), "{error}");
        for name in FILES {
            assert_eq!(fs::read_to_string(archive.path().join(name)).unwrap(), name);
        }
        let left = fs::read_dir(archive.path().join("tmp")).unwrap();
        let left = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert!(left.into_iter().all(|name| !name.starts_with("summary-")));
    }
}
