//! GPG signatures of commits. Debian's libostree knows no other kind.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use ostree::{gio, glib};

use crate::DeployError;
use crate::error::Doing;
use crate::repo::{NEVER, Repo, not_utf8};

/// A secret key in a GnuPG home folder.
#[derive(Debug, Clone)]
pub struct SigningKey {
    /// The GnuPG home that holds it; mode 0700.
    pub home: PathBuf,
    /// Its fingerprint, 40 hex digits.
    pub fingerprint: String,
}

impl Repo {
    /// Adds `key`'s signature to `commit`. The commit's checksum stays as it is.
    ///
    /// # Errors
    /// GnuPG cannot sign with that key.
    pub fn sign(&self, commit: &str, key: &SigningKey) -> Result<(), DeployError> {
        let home = key.home.to_str().ok_or_else(|| not_utf8(&key.home))?;
        match self.inner.sign_commit(commit, &key.fingerprint, Some(home), NEVER) {
            // The commit was there already, with this very signature.
            Err(error) if error.matches(gio::IOErrorEnum::Exists) => Ok(()),
            result => result.doing(|| format!("sign {commit} with the key {}", key.fingerprint)),
        }
    }

    /// Checks that `commit` carries a good signature by a key in the file `trusted`: a keyring, or
    /// keys in ASCII armor, as images bring them.
    ///
    /// # Errors
    /// It carries none, or none that is good; or the file cannot be read.
    pub fn verify(&self, commit: &str, trusted: &Path) -> Result<(), DeployError> {
        let doing = || format!("verify the signature of {commit} by `{}`", trusted.display());
        // libostree takes armor for the keys of a remote alone.
        let plain = dearmored(&fs::read(trusted).doing(doing)?);
        let mut file = tempfile::NamedTempFile::new().doing(doing)?;
        file.write_all(&plain).doing(doing)?;
        let keyring = gio::File::for_path(file.path());
        self.inner
            .verify_commit_ext(commit, gio::File::NONE, Some(&keyring), NEVER)
            .doing(doing)?
            .require_valid_signature()
            .doing(doing)
    }
}

/// Keys without their ASCII armor (RFC 9580, 6.2), of which there may be several; what has none
/// stays as it is.
fn dearmored(bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    let blocks = text.split("-----BEGIN PGP PUBLIC KEY BLOCK-----").skip(1);
    let keys: Vec<u8> = blocks.flat_map(block).collect();
    if keys.is_empty() { bytes.to_vec() } else { keys }
}

/// What stands between the beginning and the end of one: headers, an empty line, base64, a checksum.
fn block(text: &str) -> Vec<u8> {
    let lines = text.lines().map(str::trim).skip_while(|line| !line.is_empty());
    let lines = lines.skip_while(|line| line.is_empty() || line.contains(": "));
    let body: String =
        lines.take_while(|line| !line.starts_with(['=', '-']) && !line.is_empty()).collect();
    glib::base64_decode(&body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn armor_is_taken_off_of_each_key_and_what_has_none_stays() {
        let one = "-----BEGIN PGP PUBLIC KEY BLOCK-----\nVersion: 1\n\nYWJj\nZGVm\n=abcd\n\
                   -----END PGP PUBLIC KEY BLOCK-----\n";
        assert_eq!(dearmored(one.as_bytes()), b"abcdef");
        let plain = one.replace("Version: 1\n", "").replace('\n', "\r\n");
        assert_eq!(dearmored((one.to_owned() + &plain).as_bytes()), b"abcdefabcdef");
        assert_eq!(dearmored(&[0x99, 0xff, 0x00]), [0x99, 0xff, 0x00]);
    }
}
