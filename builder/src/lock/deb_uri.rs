//! Reads what `apt-get --print-uris` prints: one line a package, as
//! `'http://mirror/pool/…/bash_5.2_amd64.deb' bash_5.2_amd64.deb 1234 SHA256:abcd…`.

use anyhow::{Context, Result, bail};

use super::{Archive, LockedPackage};

/// The addresses that packages may come from, as the definition has them.
pub(super) struct Mirrors<'a> {
    pub(super) debian: &'a str,
    pub(super) security: Option<&'a str>,
}

/// The packages that the lines name, by name; other lines are apt's talk.
pub(super) fn parse(text: &str, mirrors: &Mirrors) -> Result<Vec<LockedPackage>> {
    let mut packages = text
        .lines()
        .filter(|line| line.starts_with('\''))
        .map(|line| parse_line(line, mirrors).with_context(|| format!("apt printed `{line}`")))
        .collect::<Result<Vec<_>>>()?;
    packages.sort();
    Ok(packages)
}

fn parse_line(line: &str, mirrors: &Mirrors) -> Result<LockedPackage> {
    let words: Vec<&str> = line.split(' ').collect();
    let [url, file, size, hash] = words[..] else { bail!("not `URL FILE SIZE HASH`") };
    let url = url.trim_matches('\'');
    let stem = file.strip_suffix(".deb").context("not a .deb")?;
    let parts: Vec<&str> = stem.split('_').collect();
    let [name, version, architecture] = parts[..] else { bail!("not NAME_VERSION_ARCH.deb") };
    let sha256 = hash.strip_prefix("SHA256:").context("the mirror gives no SHA-256 for it")?;
    if sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        bail!("`{sha256}` is no SHA-256");
    }
    let (archive, path) = locate(url, mirrors)?;
    Ok(LockedPackage {
        name: name.to_owned(),
        version: decode(version)?,
        architecture: architecture.to_owned(),
        sha256: sha256.to_owned(),
        size: size.parse().context("its size is no number")?,
        archive,
        path: decode(path)?,
    })
}

fn locate<'a>(url: &'a str, mirrors: &Mirrors) -> Result<(Archive, &'a str)> {
    let below = |mirror: &str| url.strip_prefix(mirror.trim_end_matches('/'))?.strip_prefix('/');
    // The longer address first: one mirror may lie below the other.
    if let Some(path) = mirrors.security.and_then(below) {
        return Ok((Archive::Security, path));
    }
    let path = below(mirrors.debian).context("it comes from none of the definition's mirrors")?;
    Ok((Archive::Debian, path))
}

/// Undoes percent-encoding.
fn decode(text: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'%' {
            let digits = after.get(..2).context("a `%` without two hex digits")?;
            bytes.extend(hex::decode(digits).context("a `%` without two hex digits")?);
            rest = &after[2..];
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    String::from_utf8(bytes).context("not UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIRRORS: Mirrors =
        Mirrors { debian: "http://m/debian", security: Some("http://m/debian-security/") };

    #[test]
    fn epochs_and_tildes_are_decoded() {
        let hash = "a".repeat(64);
        let line = format!(
            "'http://m/debian/pool/q/x_1%3a2%7erc%2bb_amd64.deb' x_1%3a2~rc+b_amd64.deb 12 SHA256:{hash}"
        );
        let packages = parse(&format!("Reading…\n{line}\n"), &MIRRORS).unwrap();
        assert_eq!(packages[0].version, "1:2~rc+b");
        assert_eq!(packages[0].path, "pool/q/x_1:2~rc+b_amd64.deb");
        assert_eq!(packages[0].archive, Archive::Debian);
    }

    #[test]
    fn the_security_mirror_is_told_from_the_other() {
        let line = format!(
            "'http://m/debian-security/pool/x_1_all.deb' x_1_all.deb 12 SHA256:{}",
            "b".repeat(64)
        );
        assert_eq!(parse(&line, &MIRRORS).unwrap()[0].archive, Archive::Security);
    }

    #[test]
    fn a_weak_hash_or_a_foreign_address_is_refused() {
        let weak = "'http://m/debian/x_1_all.deb' x_1_all.deb 12 MD5Sum:00";
        assert!(format!("{:#}", parse(weak, &MIRRORS).unwrap_err()).contains("no SHA-256"));
        let foreign = format!("'http://e/x_1_all.deb' x_1_all.deb 12 SHA256:{}", "c".repeat(64));
        assert!(format!("{:#}", parse(&foreign, &MIRRORS).unwrap_err()).contains("none of"));
    }

    #[test]
    fn fuzz_words_of_apt() {
        let line = format!(
            "'http://m/debian/pool/q/x_1%3a2%7erc_amd64.deb' x_1%3a2~rc_amd64.deb 12 SHA256:{}",
            "a".repeat(64)
        );
        basalt_fuzz::run_on_text!(&[&line, "E: Unable to locate package a"], |text| {
            (parse(text, &MIRRORS), super::super::suggest::unknown_packages(text))
        });
    }
}
