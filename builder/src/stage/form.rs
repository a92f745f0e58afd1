//! Turns a Debian tree into the form that OSTree deploys: nothing in /var, /etc in /usr/etc,
//! state behind links.

use std::fmt::Write;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use anyhow::{Context, Result};

use crate::cache::remove_tree;
use crate::overlay::put;

/// Top-level folders that a host keeps in /var or /run: (path, link, mode of the folder there).
const LINKS: [(&str, &str, u32); 8] = [
    ("home", "var/home", 0o755),
    ("root", "var/roothome", 0o700),
    ("opt", "var/opt", 0o755),
    ("srv", "var/srv", 0o755),
    ("mnt", "var/mnt", 0o755),
    ("media", "run/media", 0o755),
    ("ostree", "sysroot/ostree", 0o755),
    ("usr/local", "../var/usrlocal", 0o755),
];
/// Empty folders that a deployment mounts over.
const MOUNT_POINTS: [&str; 9] =
    ["boot", "dev", "efi", "proc", "run", "sys", "sysroot", "tmp", "var"];
/// Where dpkg's database lies in an image; `/var/lib/dpkg` is a link to it.
const DPKG: &str = "usr/lib/sysimage/dpkg";

/// Brings `tree` into OSTree's form. The kernel and the initramfs must already be in
/// `/usr/lib/modules`.
///
/// # Errors
/// The tree cannot be written.
pub fn apply(tree: &Path) -> Result<()> {
    move_dpkg(tree).context("cannot move dpkg's database")?;
    for (path, link, mode) in LINKS {
        replace_by_link(tree, path, link, mode)
            .with_context(|| format!("cannot replace `/{path}` by a link"))?;
    }
    let lines = empty_var(tree).context("cannot empty /var")?;
    put(tree, "usr/lib/tmpfiles.d/zz-basalt-var.conf", lines.as_bytes(), 0o644)?;
    for folder in MOUNT_POINTS {
        empty(&tree.join(folder)).with_context(|| format!("cannot empty `/{folder}`"))?;
    }
    fs::set_permissions(tree.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    remove_boot_links(tree)?;
    fs::rename(tree.join("etc"), tree.join("usr/etc")).context("cannot move /etc to /usr/etc")
}

fn move_dpkg(tree: &Path) -> io::Result<()> {
    let from = tree.join("var/lib/dpkg");
    if !from.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(tree.join("usr/lib/sysimage"))?;
    fs::rename(&from, tree.join(DPKG))?;
    symlink(Path::new("../..").join(DPKG), from)
}

/// Moves what a folder holds to where its link will lead, and puts the link in its place.
fn replace_by_link(tree: &Path, path: &str, link: &str, mode: u32) -> io::Result<()> {
    let from = tree.join(path);
    let to = tree.join(link.trim_start_matches("../"));
    if link.contains("var/") {
        fs::create_dir_all(&to)?;
        fs::set_permissions(&to, fs::Permissions::from_mode(mode))?;
        if from.is_dir() && !from.is_symlink() {
            for entry in fs::read_dir(&from)? {
                let entry = entry?;
                fs::rename(entry.path(), to.join(entry.file_name()))?;
            }
        }
    }
    if from.is_symlink() {
        fs::remove_file(&from)?;
    } else if from.exists() {
        fs::remove_dir(&from)?;
    }
    symlink(link, from)
}

/// Empties /var and returns the tmpfiles.d lines that make it again on a host: folders by `d`,
/// links by `L`, files by `C` from `/usr/share/factory`.
fn empty_var(tree: &Path) -> Result<String> {
    let mut lines = String::from("# Made by the image builder: /var as the packages want it.\n");
    let var = tree.join("var");
    for entry in walkdir::WalkDir::new(&var).min_depth(1).sort_by_file_name() {
        let entry = entry?;
        let inside = entry.path().strip_prefix(tree).unwrap_or(entry.path());
        let path = escape(&inside.to_string_lossy());
        let meta = fs::symlink_metadata(entry.path())?;
        if meta.is_dir() {
            let (mode, uid, gid) = (meta.mode() & 0o7777, meta.uid(), meta.gid());
            writeln!(lines, "d /{path} {mode:04o} {uid} {gid} -")?;
        } else if meta.is_symlink() {
            let target = fs::read_link(entry.path())?;
            writeln!(lines, "L /{path} - - - - {}", target.display())?;
        } else {
            let factory = tree.join("usr/share/factory").join(inside);
            fs::create_dir_all(factory.parent().unwrap_or(tree))?;
            fs::rename(entry.path(), &factory)?;
            writeln!(lines, "C /{path} - - - - /usr/share/factory/{path}")?;
        }
    }
    Ok(lines)
}

/// tmpfiles.d reads `%` as a specifier and blanks as separators.
fn escape(path: &str) -> String {
    path.replace('%', "%%").replace(' ', r"\x20")
}

fn empty(folder: &Path) -> Result<()> {
    remove_tree(folder)?;
    fs::create_dir(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// Debian's links to the newest kernel: boot entries name it themselves.
fn remove_boot_links(tree: &Path) -> io::Result<()> {
    for name in ["vmlinuz", "vmlinuz.old", "initrd.img", "initrd.img.old"] {
        match fs::remove_file(tree.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => (),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for folder in
            ["etc", "usr/lib", "usr/local/bin", "root", "home", "var/lib/dpkg/info", "boot"]
        {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        fs::write(dir.path().join("root/.profile"), "p").unwrap();
        fs::write(dir.path().join("var/lib/a file"), "f").unwrap();
        fs::write(dir.path().join("var/lib/dpkg/status"), "s").unwrap();
        fs::write(dir.path().join("boot/config"), "c").unwrap();
        symlink("/run", dir.path().join("var/run")).unwrap();
        dir
    }

    #[test]
    fn var_is_empty_and_every_part_of_it_comes_back_by_tmpfiles() {
        let dir = tree();
        apply(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path().join("var")).unwrap().count(), 0);
        let lines =
            fs::read_to_string(dir.path().join("usr/lib/tmpfiles.d/zz-basalt-var.conf")).unwrap();
        for part in [
            "d /var/roothome 0700 ",
            "C /var/roothome/.profile - - - - /usr/share/factory/var/roothome/.profile",
            r"C /var/lib/a\x20file ",
            "L /var/run - - - - /run",
            "L /var/lib/dpkg - - - - ../../usr/lib/sysimage/dpkg",
            "d /var/usrlocal/bin 0755 ",
        ] {
            assert!(lines.contains(part), "`{part}` is not in\n{lines}");
        }
        assert!(dir.path().join("usr/share/factory/var/lib/a file").exists());
        assert!(dir.path().join("usr/lib/sysimage/dpkg/status").exists());
    }

    #[test]
    fn the_top_level_is_links_and_empty_mount_points() {
        let dir = tree();
        apply(dir.path()).unwrap();
        let link = |name: &str| fs::read_link(dir.path().join(name)).unwrap();
        assert_eq!(link("root"), Path::new("var/roothome"));
        assert_eq!(link("ostree"), Path::new("sysroot/ostree"));
        assert_eq!(link("usr/local"), Path::new("../var/usrlocal"));
        assert!(!dir.path().join("etc").exists() && dir.path().join("usr/etc").is_dir());
        assert_eq!(fs::read_dir(dir.path().join("boot")).unwrap().count(), 0);
    }
}
