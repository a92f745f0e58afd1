//! Which rootfs an initrd belongs to. It lies in the initrd, so that whoever vouches for the
//! initrd vouches for all that it boots.

use serde::{Deserialize, Serialize};

/// Form of the file.
const FORM: u32 = 1;
/// Digits of a SHA-256.
const DIGITS: usize = 64;

/// The root file system of a live system, a SquashFS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rootfs {
    form: u32,
    /// The image's name.
    pub name: String,
    /// The image's version.
    pub version: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its SHA-256, in small hex digits.
    pub sha256: String,
}

/// Why a text names no rootfs.
#[derive(Debug, thiserror::Error)]
pub enum BadRootfs {
    /// It is no JSON of this shape.
    #[error("it cannot be understood")]
    Json(#[from] serde_json::Error),
    /// It is of another form.
    #[error("it has the form {0}, not {FORM}")]
    Form(u32),
    /// What it says can be of no rootfs.
    #[error("its `{0}` can be none")]
    Value(&'static str),
}

impl Rootfs {
    /// Where it lies in the initrd, and how the initrd's maker puts it there.
    pub const PATH: &'static str = "usr/lib/basalt/live.json";

    /// What is said of a rootfs.
    #[must_use]
    pub fn new(name: &str, version: &str, size: u64, sha256: &str) -> Self {
        let (name, version, sha256) = (name.to_owned(), version.to_owned(), sha256.to_owned());
        Self { form: FORM, name, version, size, sha256 }
    }

    /// Reads it.
    ///
    /// # Errors
    /// It is damaged, or of another form.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadRootfs> {
        let rootfs: Self = serde_json::from_slice(bytes)?;
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_hash = rootfs.sha256.len() == DIGITS && rootfs.sha256.bytes().all(is_hex);
        match rootfs {
            Self { form, .. } if form != FORM => Err(BadRootfs::Form(form)),
            Self { size: 0, .. } => Err(BadRootfs::Value("size")),
            _ if !is_hash => Err(BadRootfs::Value("sha256")),
            rootfs => Ok(rootfs),
        }
    }

    /// As it lies in the initrd.
    ///
    /// # Errors
    /// None that a rootfs of [`new`](Self::new) has.
    pub fn render(&self) -> Result<String, BadRootfs> {
        Ok(serde_json::to_string(self)? + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rootfs() -> Rootfs {
        Rootfs::new("base", "5", 300, &"0f".repeat(32))
    }

    #[test]
    fn what_was_written_is_read_as_the_same() {
        let text = rootfs().render().unwrap();
        assert_eq!(Rootfs::parse(text.as_bytes()).unwrap(), rootfs());
    }

    #[test]
    fn what_names_no_rootfs_is_refused_with_the_reason() {
        let check = |from: &str, to: &str, expected: &str| {
            let text = rootfs().render().unwrap().replace(from, to);
            assert_eq!(Rootfs::parse(text.as_bytes()).unwrap_err().to_string(), expected);
        };
        check("\"form\":1", "\"form\":2", "it has the form 2, not 1");
        check("300", "0", "its `size` can be none");
        check("0f", "0F", "its `sha256` can be none");
        check("0f0f", "0f", "its `sha256` can be none");
        check("{", "", "it cannot be understood");
    }

    #[test]
    fn fuzz_rootfs_of_an_initrd() {
        let seed = rootfs().render().unwrap();
        basalt_fuzz::run(&[seed.as_bytes()], |bytes| {
            if let Ok(read) = Rootfs::parse(bytes) {
                let again = read.render().unwrap();
                assert_eq!(Rootfs::parse(again.as_bytes()).unwrap(), read);
            }
        });
    }
}
