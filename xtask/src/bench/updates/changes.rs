//! What changes from one release to the next: a program that was compiled anew, packages of which
//! Debian has another version.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use basalt_cmd::Cmd;

use super::super::Ground;
use crate::session;

/// Where `hostd` says that a set came, and what it says then.
const SAID: (&str, &str) = ("hostd/src/endpoint/poll.rs", "\"a new set\"");
/// Longer, so that what lies behind it moves.
const SAID_AFTER: &str = "\"a new set of workloads came from the endpoint\"";
/// Its index has older versions of what a point release brought since.
const SECURITY: &str = "http://deb.debian.org/debian-security/dists/trixie-security/main/\
                        binary-amd64/Packages.xz";
/// The kernel's name changes with its version, so that others depend on it by name.
const LEFT_OUT: &str = "linux";

/// This commit's `hostd` with one text changed, compiled as the other was.
pub(super) fn hostd_with_other_words(ground: &Ground<'_>) -> Result<PathBuf> {
    let folder = ground.folder("source")?;
    let archive = ground.work.join("source.tar");
    let git = Cmd::new("git").args(["archive", "--output"]).arg(&archive).arg("HEAD");
    git.current_dir(&ground.session.root).run()?;
    Cmd::new("tar").arg("--extract").arg("--file").arg(&archive).arg("-C").arg(&folder).run()?;
    let (file, said) = SAID;
    let path = folder.join(file);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read `{file}`"))?;
    if !text.contains(said) {
        bail!("`{file}` does not say {said} any more: name another text here");
    }
    fs::write(&path, text.replace(said, SAID_AFTER))?;
    let target = ground.work.join("target");
    ground.time(
        Cmd::new(session::cargo())
            .args(["build", "--release", "--package", "hostd", "--target-dir"])
            .arg(&target)
            .current_dir(&folder),
    )?;
    Ok(target.join("release/hostd"))
}

/// A package of Debian, by the fields of its stanza.
type Stanza = BTreeMap<String, String>;

/// The lock with at least so many packages in another version, and how many they are. Packages of
/// one source go together: they ask for each other in the same version.
pub(super) fn other_packages(lock: &str, least: usize, work: &Path) -> Result<(String, usize)> {
    let index = work.join("Packages.xz");
    let fetch = Cmd::new("curl").args(["--fail", "--silent", "--show-error", "--location"]);
    fetch.args(["--max-time", "50", "--output"]).arg(&index).arg(SECURITY).run()?;
    let unpack = Cmd::new("xz").args(["--decompress", "--stdout"]).arg(&index);
    let text = unpack.output_cap(256 << 20).run()?.stdout_text();
    let mut lock: toml::Table = lock.parse().context("the lock")?;
    let number = exchange(&mut lock, &stanzas(&text), least)?;
    Ok((toml::to_string(&lock)?, number))
}

fn stanzas(text: &str) -> Vec<Stanza> {
    let field = |line: &str| {
        let (name, value) = line.split_once(": ")?;
        Some((name.to_owned(), value.trim().to_owned()))
    };
    text.split("\n\n").map(|stanza| stanza.lines().filter_map(field).collect()).collect()
}

/// Puts other versions in the lock's place, source by source until they are enough. Pure.
fn exchange(lock: &mut toml::Table, index: &[Stanza], least: usize) -> Result<usize> {
    let locked = lock.get_mut("package").and_then(toml::Value::as_array_mut);
    let locked = locked.context("the lock lists no packages")?;
    let mut number = 0;
    for source in sources(locked, index) {
        if number >= least {
            break;
        }
        for package in locked.iter_mut() {
            let Some(stanza) = other(package, index).filter(|it| source_of(it) == source) else {
                continue;
            };
            replace(package, stanza)?;
            number += 1;
        }
    }
    if number < least {
        bail!("Debian's security archive has other versions of {number} packages, not of {least}");
    }
    Ok(number)
}

/// Sources all of whose locked packages have another version, by name.
fn sources(locked: &[toml::Value], index: &[Stanza]) -> BTreeSet<String> {
    let others = locked.iter().filter_map(|package| other(package, index));
    others.map(source_of).filter(|source| !source.starts_with(LEFT_OUT)).collect()
}

/// The package in the index, where that has it in another version.
fn other<'a>(package: &toml::Value, index: &'a [Stanza]) -> Option<&'a Stanza> {
    let of_lock = |key: &str| package.get(key).and_then(toml::Value::as_str);
    let is = |stanza: &Stanza, field: &str, value: Option<&str>| {
        stanza.get(field).map(String::as_str) == value
    };
    let same_name = |stanza: &&Stanza| is(stanza, "Package", of_lock("name"));
    index.iter().find(same_name).filter(|stanza| !is(stanza, "Version", of_lock("version")))
}

/// `Source: openssl (3.5.7-1)`, or the package's own name.
fn source_of(stanza: &Stanza) -> String {
    let source = stanza.get("Source").or_else(|| stanza.get("Package"));
    source.and_then(|source| source.split(' ').next()).unwrap_or_default().to_owned()
}

fn replace(package: &mut toml::Value, stanza: &Stanza) -> Result<()> {
    let of = |field: &str| stanza.get(field).cloned().with_context(|| format!("no {field}"));
    let package = package.as_table_mut().context("a package of the lock is no table")?;
    package.insert("version".to_owned(), of("Version")?.into());
    package.insert("sha256".to_owned(), of("SHA256")?.into());
    package.insert("size".to_owned(), of("Size")?.parse::<i64>()?.into());
    package.insert("path".to_owned(), of("Filename")?.into());
    package.insert("archive".to_owned(), "security".into());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"
        form = 1
        [[package]]
        name = "libssl3"
        version = "2"
        archive = "debian"
        [[package]]
        name = "openssl"
        version = "2"
        [[package]]
        name = "linux-image"
        version = "2"
        [[package]]
        name = "same"
        version = "1"
        [[package]]
        name = "zstd"
        version = "2"
    "#;

    fn index() -> Vec<Stanza> {
        let one = |name: &str, source: &str| {
            format!(
                "Package: {name}\nSource: {source} (1)\nVersion: 1\nSHA256: aa\nSize: 7\n\
                 Filename: pool/{name}.deb\nDescription: x\n more: of it\n"
            )
        };
        let all = [
            one("libssl3", "openssl"),
            one("linux-image", "linux"),
            one("openssl", "openssl"),
            one("same", "same"),
            one("zstd", "zstd"),
        ];
        stanzas(&all.join("\n"))
    }

    #[test]
    fn packages_of_one_source_change_together_until_they_are_enough() {
        let mut lock: toml::Table = LOCK.parse().unwrap();
        assert_eq!(exchange(&mut lock, &index(), 1).unwrap(), 2);
        let versions: Vec<_> = lock["package"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["version"].as_str().unwrap())
            .collect();
        assert_eq!(versions, ["1", "1", "2", "1", "2"]);
        let first = &lock["package"][0];
        assert_eq!(
            (first["archive"].as_str(), first["size"].as_integer()),
            (Some("security"), Some(7))
        );
        assert_eq!(first["path"].as_str(), Some("pool/libssl3.deb"));
    }

    #[test]
    fn too_few_are_said() {
        let mut lock: toml::Table = LOCK.parse().unwrap();
        let said = exchange(&mut lock, &index(), 4).unwrap_err().to_string();
        assert!(said.contains("of 3 packages, not of 4"), "{said}");
    }
}
