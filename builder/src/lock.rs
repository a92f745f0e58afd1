//! The package lock: which Debian packages, to the byte, an image is made of.
//!
//! It lies beside the definition (`images/base.lock`) and goes into every build's output. A build
//! takes the lock as long as the definition asks for the same. Only a definition that asks for
//! something else, or `--update`, makes it ask the mirror again; a mirror that fails never does.

mod apt;
mod deb_uri;
mod fetch;
mod suggest;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use basalt_durable::PUBLIC;
use serde::{Deserialize, Serialize};

pub use apt::resolve;
pub use fetch::{Fetcher, MissingPackages};

use crate::definition::Definition;
use crate::fingerprint::Fingerprint;

/// The form of the file. Another one is made anew from the mirror.
const FORM: u32 = 1;
const HEADER: &str =
    "# Made by `basalt build`. Lists every Debian package of the image; do not edit.\n";

/// What a build may do to the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockPolicy {
    /// Nothing: one that does not fit is an error.
    Keep,
    /// Make it anew when the definition asks for other packages.
    Follow,
    /// Make it anew from what the mirrors have today.
    Update,
}

/// A whole lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// The form of this file.
    pub form: u32,
    /// Fingerprint of what the definition asked for.
    pub request: String,
    /// When the mirror was asked, in seconds since 1970. Commits made from this lock carry it.
    pub resolved: u64,
    /// The packages, by name.
    #[serde(rename = "package")]
    pub packages: Vec<LockedPackage>,
}

/// One package, to the byte.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedPackage {
    /// Its name.
    pub name: String,
    /// Its version, epoch included.
    pub version: String,
    /// `amd64` or `all`.
    pub architecture: String,
    /// SHA-256 of the file, 64 hex digits.
    pub sha256: String,
    /// Length of the file in bytes.
    pub size: u64,
    /// Which of the definition's mirrors has it.
    pub archive: Archive,
    /// Where it lies below that mirror.
    pub path: String,
}

/// The mirrors a package can come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Archive {
    /// `debian.mirror`.
    Debian,
    /// `debian.security_mirror`.
    Security,
}

impl Lock {
    /// Where the lock of the definition at `definition` lies: beside it.
    #[must_use]
    pub fn path_for(definition: &Path) -> PathBuf {
        definition.with_extension("lock")
    }

    /// Fingerprint of what decides the packages of an image. The mirror's address does not:
    /// another mirror has the same packages.
    #[must_use]
    pub fn request_of(definition: &Definition) -> String {
        let debian = &definition.debian;
        Fingerprint::new("package request 1")
            .value(&debian.suite)
            .value(&debian.components)
            .value(&debian.extra_suites)
            .value(&debian.security_mirror.is_some())
            .value(&definition.packages)
            .hex()
    }

    /// Reads a lock. `None` when there is none, or one of another form.
    ///
    /// # Errors
    /// The file cannot be read or is damaged.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        let doing = || format!("cannot read the lock `{}`", path.display());
        let Some(bytes) = basalt_durable::read(path).with_context(doing)? else { return Ok(None) };
        let text = String::from_utf8(bytes).with_context(doing)?;
        Self::parse(&text).with_context(|| {
            format!(
                "the lock `{}` is damaged\nhint: restore it from version control, or remove it \
                 and build without `--locked`",
                path.display()
            )
        })
    }

    fn parse(text: &str) -> Result<Option<Self>> {
        #[derive(Deserialize)]
        struct Form {
            form: u32,
        }
        if toml::from_str::<Form>(text)?.form != FORM {
            return Ok(None);
        }
        Ok(Some(toml::from_str(text)?))
    }

    /// The lock as the text of its file.
    ///
    /// # Errors
    /// None that can happen with the types of a lock.
    pub fn text(&self) -> Result<String> {
        Ok(format!("{HEADER}{}", toml::to_string(self)?))
    }

    /// Writes it, whole or not at all; leaves a file that says the same alone.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = self.text()?;
        if fs::read_to_string(path).is_ok_and(|old| old == text) {
            return Ok(());
        }
        basalt_durable::write(path, text.as_bytes(), PUBLIC)
            .with_context(|| format!("cannot write the lock `{}`", path.display()))
    }

    /// Bytes of all packages.
    #[must_use]
    pub fn total_size(&self) -> u64 {
        self.packages.iter().map(|package| package.size).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock() -> Lock {
        let package = LockedPackage {
            name: "bash".into(),
            version: "5.2.37-2+b5".into(),
            architecture: "amd64".into(),
            sha256: "0".repeat(64),
            size: 7,
            archive: Archive::Debian,
            path: "pool/main/b/bash/bash_5.2.37-2+b5_amd64.deb".into(),
        };
        Lock { form: FORM, request: "r".into(), resolved: 1, packages: vec![package] }
    }

    #[test]
    fn a_lock_survives_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("base.lock");
        lock().write(&path).unwrap();
        assert_eq!(Lock::read(&path).unwrap(), Some(lock()));
    }

    #[test]
    fn a_lock_of_another_form_counts_as_none() {
        let text = lock().text().unwrap().replace("form = 1", "form = 9");
        assert_eq!(Lock::parse(&text).unwrap(), None);
    }

    #[test]
    fn a_damaged_lock_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("base.lock");
        fs::write(&path, &lock().text().unwrap()[..150]).unwrap();
        let error = format!("{:#}", Lock::read(&path).unwrap_err());
        assert!(error.contains("base.lock") && error.contains("hint:"), "{error}");
    }

    #[test]
    fn a_missing_lock_is_no_error() {
        assert_eq!(Lock::read(Path::new("/nonexistent/base.lock")).unwrap(), None);
    }

    #[test]
    fn fuzz_lock() {
        let seed = lock().text().unwrap();
        basalt_fuzz::run_on_text!(&[&seed], |text| Lock::parse(text));
    }
}
