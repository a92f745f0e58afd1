//! How long builds take: from nothing, over `mmdebstrap` alone with the same lock; with nothing
//! changed; with a new hostd.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use basalt_cmd::Cmd;

use super::{Ground, Measure};
use crate::session;

/// Every row is timed in this order, on the same machine within minutes.
pub(super) fn run(ground: &Ground<'_>) -> Result<Vec<Measure>> {
    let build = Build::new(ground)?;
    let alone = ground.time(mmdebstrap(ground)?)?;
    let cold = build.time()?;
    let unchanged = build.time()?;
    build.change_hostd()?;
    let new_hostd = build.time()?;
    let cargo = compile_hostd(ground)?;
    Ok(vec![
        Measure::new("mmdebstrap alone, same lock", alone, "s"),
        Measure::new("cold build", cold, "s"),
        Measure::new("cold build over mmdebstrap alone", cold / alone, "×").at_most(1.5),
        Measure::new("nothing changed", unchanged, "s").at_most(1.0),
        Measure::new("new hostd binary → bootable disk", new_hostd, "s").at_most(20.0),
        Measure::new("  cargo's own time for that binary", cargo, "s"),
    ])
}

/// A build with a cache, an output folder and host programs of its own.
struct Build<'a> {
    ground: &'a Ground<'a>,
    programs: PathBuf,
    cache: PathBuf,
    out: PathBuf,
}

impl<'a> Build<'a> {
    fn new(ground: &'a Ground<'a>) -> Result<Self> {
        // The host programs come with it.
        ground.image()?;
        let programs = ground.folder("programs")?;
        for name in ["hostd", "hostctl", "hostd-virt", "hostd-os"] {
            let from = ground.session.program(name);
            fs::copy(&from, programs.join(name))
                .with_context(|| format!("cannot copy `{}`", from.display()))?;
        }
        let (cache, out) = (ground.folder("cache")?, ground.folder("out")?);
        Ok(Self { ground, programs, cache, out })
    }

    /// `--locked`, so that both sides install the very same packages.
    fn time(&self) -> Result<f64> {
        let cmd = Cmd::new(self.ground.session.program("basalt"))
            .args(["build", "images/base.toml", "--locked", "--json", "--cache"])
            .arg(&self.cache)
            .arg("--out")
            .arg(&self.out)
            .arg("--host-programs")
            .arg(&self.programs)
            .current_dir(&self.ground.session.root);
        self.ground.time(cmd)
    }

    /// Bytes after the end of an ELF file change what it is, not what it does.
    fn change_hostd(&self) -> Result<()> {
        let mut file = File::options().append(true).open(self.programs.join("hostd"))?;
        file.write_all(b"changed").context("cannot change hostd")
    }
}

/// What cargo takes to make hostd anew after one of its files changed.
fn compile_hostd(ground: &Ground<'_>) -> Result<f64> {
    let source = ground.session.root.join("hostd/src/lib.rs");
    #[expect(clippy::disallowed_methods, reason = "cargo compares a file's time with the clock's")]
    let now = SystemTime::now();
    File::options().append(true).open(&source)?.set_modified(now)?;
    ground.time(
        Cmd::new(session::cargo())
            .args(["build", "--release", "--package", "hostd"])
            .current_dir(&ground.session.root),
    )
}

/// The same packages from the same mirrors, fetched and installed by mmdebstrap and nothing more.
/// What the definition leaves out of the tree is left out here too.
fn mmdebstrap(ground: &Ground<'_>) -> Result<Cmd> {
    let root = &ground.session.root;
    let definition = read_toml(&root.join("images/base.toml"))?;
    let lock = read_toml(&root.join("images/base.lock"))?;
    let debian = &definition["debian"];
    let is_root = Cmd::new("id").arg("-u").run()?.stdout_text() == "0";
    let suite = text(debian, "suite")?;
    let cmd = Cmd::new("mmdebstrap")
        .arg(if is_root { "--mode=root" } else { "--mode=unshare" })
        .args(["--variant=essential", "--format=directory", "--architectures=amd64"])
        .arg(format!("--include={}", included(&lock)?))
        .arg("--aptopt=APT::Install-Recommends \"false\"")
        .args(excluded(&definition).map(|path| format!("--dpkgopt=path-exclude={path}")))
        .arg("--dpkgopt=force-unsafe-io")
        .arg(suite)
        .arg(ground.work.join("alone"))
        .args(sources(debian, suite)?)
        .env("TMPDIR", &ground.work)
        .env("DEBIAN_FRONTEND", "noninteractive");
    Ok(cmd)
}

/// `name=version` of every locked package.
fn included(lock: &toml::Table) -> Result<String> {
    let packages = lock["package"].as_array().context("the lock lists no packages")?;
    let pinned = packages
        .iter()
        .map(|package| Ok(format!("{}={}", text(package, "name")?, text(package, "version")?)));
    Ok(pinned.collect::<Result<Vec<_>>>()?.join(","))
}

fn excluded(definition: &toml::Table) -> impl Iterator<Item = String> {
    let list = |table: &str, key: &str| {
        let values = definition.get(table).and_then(|table| table.get(key)?.as_array());
        let values = values.into_iter().flatten();
        values.filter_map(|value| value.as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let modules = list("kernel", "remove");
    let modules = modules.into_iter().map(|folder| format!("/usr/lib/modules/*/{folder}/*"));
    list("tree", "exclude").into_iter().chain(modules)
}

/// Lines for apt, as the definition has its mirrors.
fn sources(debian: &toml::Value, suite: &str) -> Result<Vec<String>> {
    let words = |key: &str| {
        let values = debian.get(key).and_then(toml::Value::as_array).into_iter().flatten();
        values.filter_map(toml::Value::as_str).collect::<Vec<_>>()
    };
    let components = words("components").join(" ");
    let keyring = text(debian, "keyring")?;
    let line = |mirror: &str, suite: &str| {
        format!("deb [signed-by={keyring}] {mirror} {suite} {components}")
    };
    let mirror = text(debian, "mirror")?;
    let suites = std::iter::once(suite).chain(words("extra_suites"));
    let mut lines: Vec<String> = suites.map(|suite| line(mirror, suite)).collect();
    if let Ok(security) = text(debian, "security_mirror") {
        lines.push(line(security, &format!("{suite}-security")));
    }
    Ok(lines)
}

fn read_toml(path: &Path) -> Result<toml::Table> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    text.parse().with_context(|| format!("`{}` is damaged", path.display()))
}

fn text<'a>(table: &'a toml::Value, key: &str) -> Result<&'a str> {
    table.get(key).and_then(toml::Value::as_str).with_context(|| format!("no `{key}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFINITION: &str = r#"
        [debian]
        suite = "trixie"
        components = ["main"]
        mirror = "http://deb"
        extra_suites = ["trixie-updates"]
        security_mirror = "http://sec"
        keyring = "/k.gpg"
        [tree]
        exclude = ["/usr/share/doc/*"]
        [kernel]
        remove = ["kernel/sound"]
    "#;

    #[test]
    fn mmdebstrap_sees_every_suite_of_the_definition() {
        let definition: toml::Table = DEFINITION.parse().unwrap();
        let lines = sources(&definition["debian"], "trixie").unwrap();
        let expected = [
            "deb [signed-by=/k.gpg] http://deb trixie main",
            "deb [signed-by=/k.gpg] http://deb trixie-updates main",
            "deb [signed-by=/k.gpg] http://sec trixie-security main",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn mmdebstrap_leaves_out_what_the_builder_leaves_out() {
        let definition: toml::Table = DEFINITION.parse().unwrap();
        let paths: Vec<_> = excluded(&definition).collect();
        assert_eq!(paths, ["/usr/share/doc/*", "/usr/lib/modules/*/kernel/sound/*"]);
    }

    #[test]
    fn every_locked_version_is_pinned() {
        let lock =
            "[[package]]\nname = 'a'\nversion = '1:2-3'\n[[package]]\nname = 'b'\nversion = '4'";
        assert_eq!(included(&lock.parse().unwrap()).unwrap(), "a=1:2-3,b=4");
    }
}
