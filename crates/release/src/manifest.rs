//! What a release is: a commit, its place in the order of releases, and what it needs of a host.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Form of the manifest. A host refuses one of another form: it could mean something else.
pub const FORM: u32 = 1;
/// Characters of a name or a version.
const MAX_NAME: usize = 64;

/// One release of one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Form of this document.
    pub form: u32,
    /// The image's name, as its definition says it. A host takes releases of its own image only.
    pub name: String,
    /// The OSTree ref that the commit is published under.
    #[serde(rename = "ref")]
    pub ref_name: String,
    /// The version.
    pub version: String,
    /// Checksum of the OSTree commit, 64 hex digits.
    pub commit: String,
    /// Rises with every publication of this image, also where the version goes back.
    pub sequence: u64,
    /// When it was published.
    pub published: Timestamp,
    /// From when on a host no longer believes it.
    pub expires: Timestamp,
    /// Bytes that the tree takes on a root file system that has nothing of it.
    pub tree_bytes: u64,
    /// Bytes of the kernel and the initramfs together.
    pub boot_bytes: u64,
    /// The two by their places on the ESP: of what lies there, a host needs no second one. Not
    /// said by releases of before this was known.
    #[serde(default)]
    pub boot_files: Vec<BootContent>,
    /// Bytes on the wire for a host that has nothing of it.
    pub download_bytes: u64,
    /// Shorter ways, from commits that hosts may run.
    #[serde(default)]
    pub deltas: Vec<Delta>,
}

/// A static delta.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// Checksum of the commit that it starts from, 64 hex digits.
    pub from: String,
    /// Bytes on the wire.
    pub bytes: u64,
    /// Bytes that what `from` has not takes on a root file system; 0 where that is not known.
    #[serde(default)]
    pub tree_bytes: u64,
}

/// A kernel or an initramfs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootContent {
    /// Where it lies on the ESP: `/basalt/<32 hex digits>/linux` or `…/initrd`.
    pub place: String,
    /// Its bytes.
    pub bytes: u64,
}

/// Why a document is no manifest that a host may act on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It is no JSON, or lacks something.
    #[error("the release manifest cannot be read: {0}")]
    Malformed(String),
    /// It has another form.
    #[error(
        "the release manifest has form {0}, and this host knows {FORM}\nhint: update to a release \
         between the two first"
    )]
    Form(u64),
    /// A value makes no sense.
    #[error("the release manifest's `{key}` is {value:?}, which is no {expected}")]
    Value {
        /// Which one.
        key: &'static str,
        /// What it is.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
}

impl Manifest {
    /// Reads one and checks every value.
    ///
    /// # Errors
    /// It is malformed, of another form, or a value makes no sense.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let malformed = |error: serde_json::Error| ManifestError::Malformed(error.to_string());
        let form: FormOnly = serde_json::from_slice(bytes).map_err(malformed)?;
        if form.form != u64::from(FORM) {
            return Err(ManifestError::Form(form.form));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(malformed)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Bytes on the wire for a host that runs `commit`.
    #[must_use]
    pub fn bytes_from(&self, commit: &str) -> u64 {
        self.delta_from(commit).map_or(self.download_bytes, |delta| delta.bytes)
    }

    /// Bytes that it takes on the root of a host that runs `commit`, at most: a delta lies there
    /// before it is unpacked.
    #[must_use]
    pub fn root_bytes_from(&self, commit: &str) -> u64 {
        let delta = self.delta_from(commit).filter(|delta| delta.tree_bytes > 0);
        delta.map_or(self.tree_bytes, |delta| delta.bytes.saturating_add(delta.tree_bytes))
    }

    fn delta_from(&self, commit: &str) -> Option<&Delta> {
        self.deltas.iter().find(|delta| delta.from == commit)
    }

    /// Checks every value.
    ///
    /// # Errors
    /// One makes no sense.
    pub fn check(&self) -> Result<(), ManifestError> {
        let wrong = |key, value: &str, expected| {
            Err(ManifestError::Value { key, value: value.to_owned(), expected })
        };
        if !is_name(&self.name) {
            return wrong("name", &self.name, "name of an image");
        }
        if !is_name(&self.version) {
            return wrong("version", &self.version, "version");
        }
        if !is_ref(&self.ref_name) {
            return wrong("ref", &self.ref_name, "OSTree ref");
        }
        if !is_checksum(&self.commit) {
            return wrong("commit", &self.commit, "checksum of 64 hex digits");
        }
        if self.expires <= self.published {
            return wrong("expires", &self.expires.to_string(), "time after `published`");
        }
        match self.bad_delta() {
            Some(delta) => wrong("deltas.from", &delta.from, "checksum that occurs once"),
            None => Ok(()),
        }
    }

    fn bad_delta(&self) -> Option<&Delta> {
        let mut seen = BTreeSet::new();
        let mut deltas = self.deltas.iter();
        deltas.find(|delta| !is_checksum(&delta.from) || !seen.insert(delta.from.as_str()))
    }
}

#[derive(Deserialize)]
struct FormOnly {
    form: u64,
}

pub(crate) fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with('.')
}

fn is_ref(text: &str) -> bool {
    text.len() <= 255 && text.split('/').all(is_name)
}

pub(crate) fn is_checksum(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn manifest() -> Manifest {
        Manifest {
            form: FORM,
            name: "base".to_owned(),
            ref_name: "basalt/trixie/x86_64/base".to_owned(),
            version: "7".to_owned(),
            commit: "c7".repeat(32),
            sequence: 12,
            published: "2026-11-24T12:00:00Z".parse().unwrap(),
            expires: "2027-11-24T12:00:00Z".parse().unwrap(),
            tree_bytes: 800_000_000,
            boot_bytes: 40_000_000,
            boot_files: vec![BootContent {
                place: format!("/basalt/{}/linux", "ab".repeat(16)),
                bytes: 12_000_000,
            }],
            download_bytes: 300_000_000,
            deltas: vec![Delta { from: "c6".repeat(32), bytes: 3_000_000, tree_bytes: 9_000_000 }],
        }
    }

    #[test]
    fn a_manifest_reads_back() {
        let text = serde_json::to_vec(&manifest()).unwrap();
        assert_eq!(Manifest::parse(&text), Ok(manifest()));
    }

    #[test]
    fn a_delta_shortens_the_way_from_its_own_commit_only() {
        assert_eq!(manifest().bytes_from(&"c6".repeat(32)), 3_000_000);
        assert_eq!(manifest().bytes_from(&"c5".repeat(32)), 300_000_000);
        assert_eq!(manifest().root_bytes_from(&"c6".repeat(32)), 12_000_000);
        assert_eq!(manifest().root_bytes_from(&"c5".repeat(32)), 800_000_000);
    }

    #[test]
    fn a_manifest_of_before_sizes_were_known_is_read_and_needs_room_for_all() {
        let mut value = serde_json::to_value(manifest()).unwrap();
        value.as_object_mut().unwrap().remove("boot_files");
        value["deltas"][0].as_object_mut().unwrap().remove("tree_bytes");
        let old = Manifest::parse(value.to_string().as_bytes()).unwrap();
        assert_eq!(old.boot_files, []);
        assert_eq!(old.root_bytes_from(&"c6".repeat(32)), 800_000_000);
    }

    #[test]
    fn another_form_is_refused_before_anything_else_is_read() {
        let error = Manifest::parse(br#"{"form": 2, "shape": "unknown"}"#).unwrap_err();
        assert_eq!(error, ManifestError::Form(2));
    }

    #[test]
    fn values_that_make_no_sense_are_named() {
        let check = |change: fn(&mut Manifest), key| {
            let mut manifest = manifest();
            change(&mut manifest);
            let text = serde_json::to_vec(&manifest).unwrap();
            let error = Manifest::parse(&text).unwrap_err();
            assert!(matches!(&error, ManifestError::Value { key: k, .. } if *k == key), "{error}");
        };
        check(|it| it.name = "../etc".to_owned(), "name");
        check(|it| it.version = String::new(), "version");
        check(|it| it.ref_name = "a//b".to_owned(), "ref");
        check(|it| it.commit = "C7".repeat(32), "commit");
        check(|it| it.expires = it.published, "expires");
        check(|it| it.deltas[0].from.clear(), "deltas.from");
        check(|it| it.deltas.push(it.deltas[0].clone()), "deltas.from");
        assert!(matches!(Manifest::parse(b"{}"), Err(ManifestError::Malformed(_))));
    }
}
