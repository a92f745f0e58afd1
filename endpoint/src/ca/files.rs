//! The CA's files. `ca.pem` says which CA signs: its first certificate. The key of a new one is on
//! the disk before that file names it, and takes the old one's place after; so of any cut in between
//! one of the two keys fits.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, Result, bail};
use basalt_durable::{PRIVATE, PUBLIC};
use basalt_endpoint_core::Seconds;
use rcgen::KeyPair;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use super::authority::{self, Authority};
use crate::data::{self, Data};

/// How often the files are read while another process may be changing them.
const TRIES: u32 = 5;

/// Reads the CA, or makes it on the first start: the key first, so that a cut in between leaves a
/// key that the next start takes.
pub(super) fn open(data: &Data, life: Seconds, now: Seconds) -> Result<Authority> {
    if !data.ca_certificate().exists() {
        let key = data::read_or_make(&data.ca_key(), new_key)?;
        let key = key_of(&data.ca_key(), &key)?;
        let pem = authority::own(life, now)?.self_signed(&key)?.pem();
        write(&data.ca_certificate(), pem.as_bytes(), PRIVATE)?;
    }
    let (pem, key) = read_pair(data)?;
    let name = data.ca_certificate();
    let authority = Authority::new(certificates(&pem)?, key_of(&data.ca_key(), &key)?)
        .with_context(|| format!("`{}` makes no sense", name.display()))?;
    finish(data, &authority, &key)?;
    Ok(authority)
}

/// `ca.pem`, and whichever key fits it.
///
/// # Errors
/// They cannot be read, or no key fits.
pub(crate) fn read_pair(data: &Data) -> Result<(Vec<u8>, Vec<u8>)> {
    let path = data.ca_certificate();
    for _ in 0..TRIES {
        let pem = fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        let first = certificates(&pem)
            .with_context(|| format!("`{}` holds no certificate", path.display()))?;
        for name in [data.ca_key(), data.ca_next_key()] {
            match fs::read(&name) {
                Ok(key) if authority::fits(&first[0], &key_of(&name, &key)?) => {
                    return Ok((pem, key));
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot read `{}`", name.display()));
                }
                // Another one's, or none: the other name may hold it, or the next look find it.
                Ok(_) | Err(_) => (),
            }
        }
    }
    bail!("`{}` holds another key than the one of `{}`", data.ca_key().display(), path.display())
}

/// Makes the CA after `current`, which signs its key.
pub(super) fn roll(
    data: &Data,
    current: &Authority,
    life: Seconds,
    now: Seconds,
) -> Result<Authority> {
    // One that was made before a cut is as good as another.
    let key = data::read_or_make(&data.ca_next_key(), new_key)?;
    let pair = key_of(&data.ca_next_key(), &key)?;
    let successor = current.succeed(&pair, life, now).context("cannot make a new CA")?;
    let mut all = vec![successor.own, successor.by_the_old_one];
    all.extend(current.without_ended(now));
    write(&data.ca_certificate(), pem(all.iter()).as_bytes(), PRIVATE)?;
    let next = Authority::new(all, pair)?;
    finish(data, &next, &key)?;
    Ok(next)
}

/// Lets go of the CAs before `current` that have ended.
pub(super) fn without_ended(data: &Data, current: &Authority, now: Seconds) -> Result<Authority> {
    let all = current.without_ended(now);
    write(&data.ca_certificate(), pem(all.iter()).as_bytes(), PRIVATE)?;
    let (_, key) = read_pair(data)?;
    Authority::new(all, key_of(&data.ca_key(), &key)?)
}

/// What follows from `ca.pem`: the key's place, and the fingerprint for people.
fn finish(data: &Data, authority: &Authority, key: &[u8]) -> Result<()> {
    if fs::read(data.ca_key()).ok().as_deref() != Some(key) {
        write(&data.ca_key(), key, PRIVATE)?;
    }
    basalt_durable::remove(&data.ca_next_key()).context("cannot remove a key's second copy")?;
    write(&data.ca_fingerprint(), format!("{}\n", authority.fingerprint()).as_bytes(), PUBLIC)
}

fn new_key() -> Result<Vec<u8>> {
    Ok(KeyPair::generate()?.serialize_pem().into_bytes())
}

fn key_of(path: &Path, pem: &[u8]) -> Result<KeyPair> {
    let text = std::str::from_utf8(pem).ok();
    let key = text.and_then(|text| KeyPair::from_pem(text).ok());
    key.with_context(|| format!("`{}` holds no key", path.display()))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>()?;
    if all.is_empty() {
        bail!("it holds no certificate");
    }
    Ok(all)
}

/// Certificates in PEM.
pub(super) fn pem<'a>(all: impl Iterator<Item = &'a CertificateDer<'static>>) -> String {
    use base64::Engine as _;
    let mut text = String::new();
    for certificate in all {
        let body = base64::engine::general_purpose::STANDARD.encode(certificate);
        text += "-----BEGIN CERTIFICATE-----\n";
        // Lines of 64 characters (RFC 7468).
        for line in body.as_bytes().chunks(64) {
            text.extend(line.iter().copied().map(char::from));
            text.push('\n');
        }
        text += "-----END CERTIFICATE-----\n";
    }
    text
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    basalt_durable::write(path, bytes, mode)
        .with_context(|| format!("cannot write `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::{Ca, Turn};
    use super::*;

    const NOW: Seconds = 1_800_000_000;
    const LIFE: Seconds = 900;

    fn ca() -> (tempfile::TempDir, Data, Ca) {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::at(folder.path());
        let ca = Ca::open(&data, LIFE, NOW).unwrap();
        (folder, data, ca)
    }

    #[test]
    fn the_ca_stays_over_a_start_and_its_key_is_private() {
        let (_folder, data, ca) = ca();
        assert_eq!(Ca::open(&data, LIFE, NOW + 5).unwrap().fingerprint(), ca.fingerprint());
        let mode = fs::metadata(data.ca_key()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_ca_has_a_successor_before_it_ends_and_is_trusted_until_then() {
        let (_folder, data, ca) = ca();
        let old = ca.fingerprint();
        assert_eq!(ca.keep(NOW + 599).unwrap(), None);
        let turn = ca.keep(NOW + 600).unwrap().unwrap();
        let new = ca.fingerprint();
        assert_ne!(new, old);
        let expected = Turn::Rolled { fingerprint: new.clone(), old_until: NOW + LIFE };
        assert_eq!(turn, expected);
        assert_eq!(fs::read_to_string(data.ca_fingerprint()).unwrap().trim(), new);
        assert_eq!(ca.trusted().len(), 2);
        assert_eq!(ca.keep(NOW + 601).unwrap(), None, "once");
        // The same after a start.
        let again = Ca::open(&data, LIFE, NOW + 700).unwrap();
        assert_eq!((again.fingerprint(), again.trusted().len()), (new.clone(), 2));
        assert_eq!(ca.keep(NOW + 899).unwrap(), None);
        assert_eq!(ca.keep(NOW + 900).unwrap(), Some(Turn::Ended));
        assert_eq!((ca.fingerprint(), ca.trusted().len()), (new, 1));
        assert_eq!(ca.sign_server(&["a".to_owned()], NOW + 900).unwrap().chain.len(), 2);
    }

    #[test]
    fn of_a_roll_that_was_cut_off_anywhere_one_ca_is_left_and_its_key() {
        let (_folder, data, ca) = ca();
        let (old_pem, old_key) = read_pair(&data).unwrap();
        let old = ca.fingerprint();
        ca.keep(NOW + 600).unwrap();
        let new = ca.fingerprint();
        let (new_pem, new_key) = read_pair(&data).unwrap();
        for (pem, key, next, expected) in [
            (&old_pem, &old_key, Some(&new_key), &old),
            (&new_pem, &old_key, Some(&new_key), &new),
            (&new_pem, &new_key, Some(&new_key), &new),
            (&new_pem, &new_key, None, &new),
        ] {
            fs::write(data.ca_certificate(), pem).unwrap();
            fs::write(data.ca_key(), key).unwrap();
            let _ = fs::remove_file(data.ca_next_key());
            next.iter().for_each(|next| fs::write(data.ca_next_key(), next).unwrap());
            let opened = Ca::open(&data, LIFE, NOW + 601).unwrap();
            assert_eq!(opened.fingerprint(), *expected);
            assert_eq!(fs::read_to_string(data.ca_fingerprint()).unwrap().trim(), expected);
            opened.keep(NOW + 601).unwrap();
            assert_eq!(opened.trusted().len(), 2);
        }
        fs::write(data.ca_key(), &old_key).unwrap();
        fs::write(data.ca_certificate(), &new_pem).unwrap();
        let refused = Ca::open(&data, LIFE, NOW).unwrap_err().to_string();
        assert!(refused.contains("holds another key"), "{refused}");
    }
}
