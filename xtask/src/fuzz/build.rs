//! Builds the programs with fuzz targets, with coverage, and nothing else anew.
//!
//! Only packages of this workspace are compiled for it (`xtask/rustc-for-fuzzing`). Those of others
//! are taken as `cargo build --release --workspace --all-targets` left them, which needs the same
//! features: hence one call for all packages, and those without a library with them, for their
//! features.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use basalt_cmd::Cmd;
use serde::Deserialize;

use crate::program::{self, Output};
use crate::session::{self, Session};

/// What a package with targets uses.
const FUZZ: &str = "basalt-fuzz";
/// How the name of a target begins.
const PREFIX: &str = "fuzz_";
const COMPILE_DEADLINE: Duration = Duration::from_secs(1800);
const QUICK_DEADLINE: Duration = Duration::from_secs(60);

/// A target, and the program that it is in.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) program: PathBuf,
    /// The package, as cargo's `--package` takes it.
    pub(super) package: String,
    /// The test, with its module.
    pub(super) test: String,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    id: String,
    name: String,
    dependencies: Vec<Dependency>,
    targets: Vec<CargoTarget>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
}

#[derive(Debug, Deserialize)]
struct CargoTarget {
    name: String,
    kind: Vec<String>,
}

/// What `cargo` says of something that it made.
#[derive(Debug, Deserialize)]
struct Artifact {
    package_id: String,
    #[serde(default)]
    fresh: bool,
    executable: Option<PathBuf>,
}

/// What is asked of cargo.
#[derive(Debug, PartialEq, Eq)]
struct Selection {
    /// Packages, whose features count.
    packages: Vec<String>,
    /// Programs; the libraries of all packages are built anyway.
    programs: Vec<String>,
}

/// Builds them, and lists what is in them.
///
/// # Errors
/// They do not compile, or a package that uses `basalt-fuzz` has no target.
pub(super) fn targets(session: &Session) -> Result<Vec<Target>> {
    let metadata = metadata(session)?;
    let artifacts = build(session, &selection(&metadata.packages))?;
    let anew = compiled_anew(&artifacts, &metadata.packages);
    if !anew.is_empty() {
        eprintln!("compiled for it beside our own packages: {}", anew.join(" "));
    }
    let names: BTreeMap<&str, &str> =
        metadata.packages.iter().map(|it| (it.id.as_str(), it.name.as_str())).collect();
    let mut all = Vec::new();
    for artifact in artifacts {
        let Some(program) = artifact.executable else { continue };
        let package = names.get(artifact.package_id.as_str()).context("a package of others")?;
        let tests = listed(&program)?;
        if tests.is_empty() {
            bail!("`{package}` uses `{FUZZ}` and has no test `{PREFIX}…`");
        }
        let target =
            |test| Target { program: program.clone(), package: (*package).to_owned(), test };
        all.extend(tests.into_iter().map(target));
    }
    if all.is_empty() {
        bail!("cargo built no program with fuzz targets");
    }
    Ok(all)
}

fn metadata(session: &Session) -> Result<Metadata> {
    let cmd = Cmd::new(session::cargo())
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(&session.root);
    let output = cmd.deadline(QUICK_DEADLINE).run()?;
    serde_json::from_str(&output.stdout_text()).context("cannot read what cargo says of packages")
}

/// Packages with targets, and those that only add their features. Pure.
fn selection(packages: &[Package]) -> Selection {
    let (mut selected, mut programs) = (Vec::new(), Vec::new());
    for package in packages {
        let is_fuzzed = package.dependencies.iter().any(|it| it.name == FUZZ);
        let has_library = package.has("lib").next().is_some();
        if is_fuzzed || !has_library {
            selected.push(package.name.clone());
        }
        if is_fuzzed && !has_library {
            programs.extend(package.has("bin").map(str::to_owned));
        }
    }
    Selection { packages: selected, programs }
}

impl Package {
    fn has(&self, kind: &'static str) -> impl Iterator<Item = &str> {
        let targets = self.targets.iter();
        targets.filter(move |it| it.kind.iter().any(|it| it == kind)).map(|it| it.name.as_str())
    }
}

fn build(session: &Session, selection: &Selection) -> Result<Vec<Artifact>> {
    let packages = selection.packages.iter().flat_map(|name| ["--package", name]);
    let programs = selection.programs.iter().flat_map(|name| ["--bin", name]);
    let cmd = Cmd::new(session::cargo())
        .args(["test", "--release", "--no-run", "--message-format", "json-render-diagnostics"])
        .args(["--features", &format!("{FUZZ}/guided"), "--lib"])
        .args(packages)
        .args(programs)
        .env("RUSTC_WORKSPACE_WRAPPER", session.root.join("xtask/rustc-for-fuzzing"))
        .current_dir(&session.root);
    let lines = program::run(session, cmd, Output::StdoutKept, COMPILE_DEADLINE)?;
    Ok(lines.iter().filter_map(|line| artifact(line)).collect())
}

/// What was made, by a message of cargo's.
fn artifact(line: &str) -> Option<Artifact> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let is_artifact = message["reason"] == "compiler-artifact";
    let is_test = message["profile"]["test"] == serde_json::Value::Bool(true);
    let mut artifact: Artifact = serde_json::from_value(message).ok().filter(|_| is_artifact)?;
    artifact.executable = artifact.executable.filter(|_| is_test);
    Some(artifact)
}

/// Packages of others that were not taken as they lay there.
fn compiled_anew<'a>(artifacts: &'a [Artifact], ours: &[Package]) -> Vec<&'a str> {
    let is_ours = |id: &str| ours.iter().any(|package| package.id == id);
    let foreign = artifacts.iter().filter(|it| !it.fresh && !is_ours(&it.package_id));
    let mut names: Vec<&str> =
        foreign.map(|it| it.package_id.rsplit(['/', '#']).next().unwrap_or_default()).collect();
    names.dedup();
    names
}

/// The targets of a program.
fn listed(program: &Path) -> Result<Vec<String>> {
    let output = Cmd::new(program).args(["--list", "--format", "terse"]);
    let output = output.deadline(QUICK_DEADLINE).run()?.stdout_text();
    let tests = output.lines().filter_map(|line| line.strip_suffix(": test"));
    let is_target = |test: &&str| test.rsplit("::").next().is_some_and(|it| it.starts_with(PREFIX));
    Ok(tests.filter(is_target).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, uses: &str, kind: &str) -> Package {
        let target = CargoTarget { name: name.to_owned(), kind: vec![kind.to_owned()] };
        Package {
            id: format!("path+file:///w/{name}#0.1.0"),
            name: name.to_owned(),
            dependencies: vec![Dependency { name: uses.to_owned() }],
            targets: vec![target],
        }
    }

    #[test]
    fn packages_with_targets_are_built_and_programs_add_their_features() {
        let packages = [
            package("parser", FUZZ, "lib"),
            package("daemon", FUZZ, "bin"),
            package("tool", "clap", "bin"),
            package("quiet", "serde", "lib"),
        ];
        let Selection { packages, programs } = selection(&packages);
        assert_eq!(packages, ["parser", "daemon", "tool"]);
        assert_eq!(programs, ["daemon"]);
    }

    #[test]
    fn a_program_with_tests_is_told_from_a_library() {
        let test = r#"{"reason":"compiler-artifact","package_id":"a","profile":{"test":true},
            "executable":"/t/a-1","fresh":true}"#;
        let program = |text: &str| artifact(text).and_then(|it| it.executable);
        assert_eq!(program(test), Some(PathBuf::from("/t/a-1")));
        for other in [test.replace("true}", "false}").as_str(), "{}", "no message"] {
            assert_eq!(program(other), None);
        }
    }

    #[test]
    fn what_was_compiled_anew_of_others_is_named() {
        let artifact =
            |id: &str, fresh| Artifact { package_id: id.to_owned(), fresh, executable: None };
        let artifacts = [
            artifact("path+file:///w/parser#0.1.0", false),
            artifact("registry+https://github.com/rust-lang/crates.io-index#ring@0.17.1", false),
            artifact("registry+https://github.com/rust-lang/crates.io-index#cc@1.0.0", true),
        ];
        let ours = [package("parser", FUZZ, "lib")];
        assert_eq!(compiled_anew(&artifacts, &ours), ["ring@0.17.1"]);
    }
}
