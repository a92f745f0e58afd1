//! The tree of packages: `mmdebstrap` over exactly the locked packages, then what depends on
//! packages alone.
//!
//! `mmdebstrap` sees a local archive that holds the locked packages and nothing else, so that the
//! lock, not a solver, decides what is installed. The result is a commit in the cache's repository.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use basalt_cmd::Cmd;
use basalt_deploy::{CommitRequest, Repo};
use sha2::{Digest, Sha256};

use super::accounts::{self, AccountLines};
use super::sandbox::{Access, inside, isolated};
use super::whole;
use crate::cache::{Cache, remove_tree};
use crate::definition::Definition;
use crate::fingerprint::Fingerprint;
use crate::lock::Lock;
use crate::progress::Step;

/// Unpacking and configuring some 260 packages takes 107 s on two busy cores.
const DEADLINE: Duration = Duration::from_secs(1800);
/// A tool that runs over a whole tree.
const TOOL_DEADLINE: Duration = Duration::from_secs(300);
/// Change it when this stage makes something else from the same inputs.
const FORM: &str = "tree 3";

/// What only apt, dpkg's helpers and package scripts read, none of which ever runs on a host. Some
/// of it tells of the folder it was built in. dpkg's own database stays: it lists what is there.
const PACKAGERS: [&str; 17] = [
    "etc/apt",
    "var/backups",
    "var/cache/apt",
    "var/cache/debconf",
    "var/lib/apt",
    "var/lib/dracut",
    "var/lib/pam",
    "var/lib/sgml-base",
    "var/lib/shells.state",
    "var/lib/systemd/deb-systemd-helper-enabled",
    "var/lib/systemd/deb-systemd-helper-masked",
    "var/lib/systemd/deb-systemd-user-helper-enabled",
    "var/lib/systemd/deb-systemd-user-helper-masked",
    "var/lib/ucf",
    "var/lib/xml-core",
    "var/log/apt",
    "var/log/runit",
];

/// Files that belong to one machine, or that differ from one run to the next.
const ONE_MACHINES: [&str; 14] = [
    "etc/machine-id",
    "etc/hostname",
    "etc/resolv.conf",
    "etc/.pwd.lock",
    "etc/passwd-",
    "etc/group-",
    "etc/shadow-",
    "etc/gshadow-",
    "etc/subuid-",
    "etc/subgid-",
    "var/lib/dbus/machine-id",
    "var/lib/systemd/random-seed",
    "var/lib/dpkg/status-old",
    "var/lib/dpkg/lock",
];

/// Fingerprint of a tree's inputs.
#[must_use]
pub fn key(definition: &Definition, lock: &Lock) -> String {
    Fingerprint::new(FORM)
        .value(&lock.packages)
        .value(&lock.resolved)
        .value(&definition.users)
        .value(&definition.groups)
        .value(&definition.tree)
        .value(&definition.kernel.remove)
        .hex()
}

/// The ref that names a tree in the cache's repository.
#[must_use]
pub fn ref_name(key: &str) -> String {
    format!("tree/{key}")
}

/// Whether the cache has the tree of this key.
///
/// # Errors
/// The cache cannot be read.
pub fn is_cached(key: &str, cache: &Cache) -> Result<bool> {
    let repo = Repo::open_or_create(&cache.repo())?;
    Ok(repo.resolve(&ref_name(key))?.is_some())
}

/// Whether it has every file of it as it was committed.
///
/// # Errors
/// The cache cannot be read or written.
pub fn is_whole(key: &str, cache: &Cache, step: &Step) -> Result<bool> {
    let repo = Repo::open_or_create(&cache.repo())?;
    Ok(whole::take(&repo, &ref_name(key), step)?.is_some())
}

/// Makes the tree and commits it to the cache's repository.
///
/// # Errors
/// A package that cannot be installed, no space, or a missing tool; the message has its last words.
pub fn make(definition: &Definition, lock: &Lock, cache: &Cache, step: &Step) -> Result<()> {
    let work = cache.tmp().join("tree");
    remove_tree(&work)?;
    fs::create_dir_all(work.join("archive"))?;
    local_archive(&work.join("archive"), lock, cache)?;
    let users = write_accounts(&work, &accounts::lines(definition))?;
    let root = work.join("root");
    install(definition, lock, &work, &users, step)?;
    step.note("uncompressing kernel modules");
    uncompress_modules(&root)?;
    step.note("making indexes");
    make_indexes(&root)?;
    clear_volatile(&root)?;
    step.note("committing");
    let repo = Repo::open_or_create(&cache.repo())?;
    repo.commit(
        &root,
        &CommitRequest {
            ref_name: &ref_name(&key(definition, lock)),
            time: lock.resolved,
            version: None,
            build_id: None,
            key: None,
        },
    )?;
    remove_tree(&work)
}

/// An archive of the locked packages, as apt reads one.
fn local_archive(folder: &Path, lock: &Lock, cache: &Cache) -> Result<()> {
    let mut index = String::new();
    for package in &lock.packages {
        let source = cache.package(&package.sha256);
        let name = format!("{}.deb", package.sha256);
        fs::hard_link(&source, folder.join(&name))
            .with_context(|| format!("cannot link `{}`", source.display()))?;
        let control = Cmd::new("dpkg-deb").arg("--field").arg(&source).run()?;
        let (size, sha256) = (package.size, &package.sha256);
        writeln!(
            index,
            "{}\nFilename: ./{name}\nSize: {size}\nSHA256: {sha256}\n",
            control.stdout_text()
        )?;
    }
    let hash = hex::encode(Sha256::digest(&index));
    let release = format!(
        "Suite: locked\nCodename: locked\nArchitectures: amd64 all\nDate: Thu, 01 Jan 1970 00:00:00 UTC\nSHA256:\n {hash} {} Packages\n",
        index.len()
    );
    fs::write(folder.join("Packages"), index)?;
    fs::write(folder.join("Release"), release)?;
    Ok(())
}

fn write_accounts(work: &Path, lines: &AccountLines) -> Result<PathBuf> {
    let folder = work.join("accounts");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("passwd"), &lines.passwd)?;
    fs::write(folder.join("group"), &lines.group)?;
    fs::write(folder.join("shadow"), &lines.shadow)?;
    fs::write(folder.join("gshadow"), &lines.gshadow)?;
    Ok(folder)
}

fn install(
    definition: &Definition,
    lock: &Lock,
    work: &Path,
    accounts: &Path,
    step: &Step,
) -> Result<()> {
    let names: Vec<&str> = lock.packages.iter().map(|package| package.name.as_str()).collect();
    let archive = work.join("archive");
    // The shell that runs the hook sees the folder as an environment variable, not as code.
    let hook = r#"for f in passwd group shadow gshadow; do cat "$BASALT_ACCOUNTS/$f" >> "$1/etc/$f"; done"#;
    let cmd = isolated("mmdebstrap")
        .args(["--mode=root", "--variant=essential", "--format=directory", "--architectures=amd64"])
        .arg(format!("--include={}", names.join(",")))
        .args(dpkg_options(definition))
        .arg("--aptopt=APT::Install-Recommends \"false\"")
        .arg(format!("--essential-hook={hook}"))
        .args(["--skip=cleanup/reproducible", "locked"])
        .arg(work.join("root"))
        .arg(format!("deb [trusted=yes] copy://{} ./", archive.display()))
        .env("BASALT_ACCOUNTS", accounts)
        .env("SOURCE_DATE_EPOCH", lock.resolved.to_string())
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C.UTF-8")
        .env("TMPDIR", work)
        .deadline(DEADLINE);
    cmd.run_with_lines(|line| step.note(line)).context("cannot install the packages")?;
    Ok(())
}

fn dpkg_options(definition: &Definition) -> Vec<String> {
    let exclude = definition.tree.exclude.iter().cloned();
    let modules = definition.kernel.remove.iter();
    let modules =
        modules.map(|folder| format!("/usr/lib/modules/*/{}/*", folder.trim_matches('/')));
    let include = definition.tree.include.iter();
    exclude
        .chain(modules)
        .map(|pattern| format!("--dpkgopt=path-exclude={pattern}"))
        .chain(include.map(|pattern| format!("--dpkgopt=path-include={pattern}")))
        .chain(["--dpkgopt=force-unsafe-io".to_owned()])
        .collect()
}

/// Uncompressed modules load faster, and a change to one gives a small delta.
fn uncompress_modules(root: &Path) -> Result<()> {
    let modules: Vec<PathBuf> = walkdir::WalkDir::new(root.join("usr/lib/modules"))
        .sort_by_file_name()
        .into_iter()
        .filter_map(Result::ok)
        .map(walkdir::DirEntry::into_path)
        .filter(|path| path.extension().is_some_and(|extension| extension == "xz"))
        .collect();
    let half = modules.len().div_ceil(2).max(1);
    std::thread::scope(|scope| {
        let workers: Vec<_> =
            modules.chunks(half).map(|chunk| scope.spawn(move || uncompress(chunk))).collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(result) => result,
            Err(_) => Err(anyhow::anyhow!("a thread that uncompressed modules died")),
        })
    })
}

fn uncompress(modules: &[PathBuf]) -> Result<()> {
    // Below the limit on the length of a command line.
    for chunk in modules.chunks(500) {
        Cmd::new("xz").args(["--decompress", "--"]).args(chunk).deadline(TOOL_DEADLINE).run()?;
    }
    Ok(())
}

/// Indexes that a stock Debian makes at boot or when a package is configured.
fn make_indexes(root: &Path) -> Result<()> {
    for version in kernel_versions(root)? {
        run_inside(root, "depmod", &["-a", &version])?;
    }
    run_inside(root, "ldconfig", &[])?;
    run_inside(root, "systemd-hwdb", &["--usr", "update"])?;
    run_inside(root, "journalctl", &["--update-catalog"])
}

fn run_inside(root: &Path, program: &str, args: &[&str]) -> Result<()> {
    inside(root, Access::ReadWrite, program).args(args).deadline(TOOL_DEADLINE).run()?;
    Ok(())
}

/// The kernel versions that have modules in the tree.
///
/// # Errors
/// The tree cannot be read.
pub fn kernel_versions(root: &Path) -> Result<Vec<String>> {
    let mut versions = Vec::new();
    let folder = root.join("usr/lib/modules");
    if !folder.is_dir() {
        return Ok(versions);
    }
    for entry in fs::read_dir(&folder)? {
        versions.push(entry?.file_name().to_string_lossy().into_owned());
    }
    versions.sort();
    Ok(versions)
}

/// Empties what belongs to a running system, and drops what differs from one run to the next.
fn clear_volatile(root: &Path) -> Result<()> {
    for path in PACKAGERS {
        remove_any(&root.join(path))?;
    }
    for folder in ["dev", "proc", "sys", "run", "tmp", "var/tmp", "var/log", "var/cache"] {
        let folder = root.join(folder);
        if !folder.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() && !path.is_symlink() {
                keep_folders(&path, folder.ends_with("var/log") || folder.ends_with("var/cache"))?;
            } else {
                fs::remove_file(&path)?;
            }
        }
    }
    remove_identity(root)
}

/// Removes a file, or a folder with all that is in it; one that is not there is as good.
fn remove_any(path: &Path) -> Result<()> {
    if path.is_dir() && !path.is_symlink() {
        return remove_tree(path);
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove `{}`", path.display()))
        }
        _ => Ok(()),
    }
}

/// Removes what tells one machine from another, and backups that packages leave.
fn remove_identity(root: &Path) -> Result<()> {
    let mut files: Vec<PathBuf> = ONE_MACHINES.iter().map(|file| root.join(file)).collect();
    if let Ok(entries) = fs::read_dir(root.join("etc/ssh")) {
        let keys = entries.filter_map(Result::ok).map(|entry| entry.path());
        files.extend(keys.filter(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ssh_host_"))
        }));
    }
    for file in files {
        remove_any(&file)?;
    }
    Ok(())
}

/// Removes a folder, or only the files in it where its empty shape is to be made again on a host.
fn keep_folders(path: &Path, keep: bool) -> Result<()> {
    if !keep {
        return remove_tree(path);
    }
    for entry in walkdir::WalkDir::new(path) {
        let entry = entry?;
        if !entry.file_type().is_dir() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
