//! Tells an engine which authorities it may believe for which registry.
//!
//! Engines read every `*.crt` in `certs.d/HOST:PORT/` at each fetch (containers-certs.d(5)). We
//! write one file of our own name there, and remove only that one.

use std::fs;
use std::io;
use std::path::Path;

use super::{FileError, Registries, read};

/// Our file beside those of others.
const OURS: &str = "basalt.crt";

/// Brings `certs.d` of an engine to what the registries say.
///
/// # Errors
/// A certificate cannot be read or is none, or the folder cannot be written. What could be done
/// was done.
pub fn trust(registries: &Registries, certs_d: &Path) -> Result<(), FileError> {
    let distrusted = distrust(registries, certs_d);
    let trusted = registries.certificates().map(|(host, ca)| {
        let bytes = read(ca)?;
        if !bytes.windows(BEGIN.len()).any(|window| window == BEGIN) {
            return Err(FileError::new(ca, "holds no certificate in PEM"));
        }
        let folder = certs_d.join(host);
        write(&folder, &bytes).map_err(|error| {
            FileError::new(ca, format!("cannot be put into `{}`: {error}", folder.display()))
        })
    });
    // Each is tried before the first failure is told.
    let trusted: Vec<_> = trusted.collect();
    trusted.into_iter().collect::<Result<(), _>>().and(distrusted)
}

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

fn write(folder: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = folder.join(OURS);
    if fs::read(&path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    basalt_durable::write(&path, bytes, basalt_durable::PUBLIC)
}

/// Removes our files of registries that have no certificate any more.
fn distrust(registries: &Registries, certs_d: &Path) -> Result<(), FileError> {
    let error = |error: io::Error| FileError::new(certs_d, format!("cannot be tidied up: {error}"));
    let entries = match fs::read_dir(certs_d) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(error(cause)),
    };
    for entry in entries {
        let entry = entry.map_err(error)?;
        let is_wanted = registries.certificates().any(|(host, _)| entry.file_name() == host);
        let path = entry.path().join(OURS);
        if !is_wanted && path.exists() {
            basalt_durable::remove(&path).map_err(error)?;
            // Others may have files there.
            let _ = fs::remove_dir(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Registry;
    use super::*;

    fn registries(entries: &[(&str, &Path)]) -> Registries {
        let mut registries = Registries::default();
        for (host, ca) in entries {
            let ca = Some((*ca).to_owned());
            registries.insert(host, Registry { ca, login: None });
        }
        registries
    }

    #[test]
    fn only_our_own_file_comes_and_goes() {
        let folder = tempfile::tempdir().unwrap();
        let certs_d = folder.path().join("certs.d");
        let ca = folder.path().join("ca.pem");
        fs::write(&ca, "-----BEGIN CERTIFICATE-----\n").unwrap();
        fs::create_dir_all(certs_d.join("b")).unwrap();
        fs::write(certs_d.join("b/theirs.crt"), "theirs").unwrap();

        trust(&registries(&[("a:1", &ca), ("b", &ca)]), &certs_d).unwrap();
        assert!(certs_d.join("a:1/basalt.crt").exists());
        assert!(certs_d.join("b/basalt.crt").exists());

        trust(&registries(&[]), &certs_d).unwrap();
        assert!(!certs_d.join("a:1").exists());
        assert!(!certs_d.join("b/basalt.crt").exists());
        assert!(certs_d.join("b/theirs.crt").exists());
    }

    #[test]
    fn one_bad_certificate_is_told_and_hinders_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let (bad, good) = (folder.path().join("bad"), folder.path().join("good"));
        fs::write(&bad, "nothing").unwrap();
        fs::write(&good, "-----BEGIN CERTIFICATE-----\n").unwrap();
        let registries = registries(&[("a", &bad), ("b", &good)]);
        let error = trust(&registries, &folder.path().join("certs.d")).unwrap_err().to_string();
        assert!(error.contains("holds no certificate in PEM"), "{error}");
        assert!(folder.path().join("certs.d/b/basalt.crt").exists());
    }
}
