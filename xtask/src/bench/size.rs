//! How much an image weighs: the disk, and the tree by folder and by package.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use basalt_cmd::Cmd;

use super::{Ground, Measure};

/// Rows of each kind in the results.
const ROWS: usize = 15;
/// Bytes that the list of a tree may take: 30 000 files of 100 bytes each, and room.
const LIST_CAP: usize = 64 << 20;
/// What the build puts into /usr/bin beside the packages.
const HOST_PROGRAMS: [&str; 4] = ["hostd", "hostctl", "hostd-virt", "hostd-os"];
const MODULES: &str = "/usr/lib/modules/";
const DPKG_INFO: &str = "/usr/lib/sysimage/dpkg/info";

pub(super) fn run(ground: &Ground<'_>) -> Result<Vec<Measure>> {
    let repo = ground.session.out().join("repo");
    let image = ground.image()?;
    let commit = &image.commit;
    let ostree = || Cmd::new("ostree").arg(format!("--repo={}", repo.display()));
    let list = ostree().args(["ls", "-R", commit]).output_cap(LIST_CAP).run()?.stdout_text();
    let files = files(&list);
    let info = ground.work.join("dpkg");
    let subpath = format!("--subpath={DPKG_INFO}");
    ostree().args(["checkout", "--user-mode", &subpath, commit]).arg(&info).run()?;
    let owners = owners(&info)?;
    let tree: u64 = files.iter().map(|(_, size)| size).sum();
    let mut measures = vec![
        Measure::new("disk, allocated", mb(image.allocated), "MB").at_most(850.0),
        Measure::new("tree", mb(tree), "MB").at_most(800.0),
    ];
    measures.extend(rows("folder", by(&files, folder)));
    measures.extend(rows("package", by(&files, |path| owner(&owners, path))));
    Ok(measures)
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Path and size of every regular file that `ostree ls -R` printed: mode, uid, gid, size, path.
fn files(list: &str) -> Vec<(&str, u64)> {
    list.lines().filter_map(parse_file).collect()
}

fn parse_file(line: &str) -> Option<(&str, u64)> {
    let rest = line.strip_prefix('-')?;
    let path = &rest[rest.find('/')?..];
    Some((path, rest.split_whitespace().nth(3)?.parse().ok()?))
}

fn by(files: &[(&str, u64)], key: impl Fn(&str) -> String) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for (path, size) in files {
        *sums.entry(key(path)).or_default() += size;
    }
    sums
}

/// The largest ones, and what all others weigh together.
fn rows(kind: &str, sums: BTreeMap<String, u64>) -> Vec<Measure> {
    let mut sums: Vec<(String, u64)> = sums.into_iter().collect();
    sums.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
    let others = sums.split_off(ROWS.min(sums.len()));
    let rest: u64 = others.iter().map(|(_, size)| size).sum();
    if rest > 0 {
        sums.push((format!("{} others", others.len()), rest));
    }
    let row = |(name, size): (String, u64)| Measure::new(format!("{kind} {name}"), mb(size), "MB");
    sums.into_iter().map(row).collect()
}

/// The first three parts of a file's folder: `/usr/lib/modules`.
fn folder(path: &str) -> String {
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    let parts: Vec<&str> = parent.split('/').take(4).collect();
    if parent.is_empty() { "/".to_owned() } else { parts.join("/") }
}

/// Which package each file came with, by dpkg's lists in `info`.
fn owners(info: &Path) -> Result<HashMap<String, String>> {
    let mut owners = HashMap::new();
    for entry in fs::read_dir(info).context("cannot read dpkg's lists")? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "list") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let name = name.split(':').next().unwrap_or_default().to_owned();
            let text = fs::read_to_string(&path)?;
            owners.extend(text.lines().map(|file| (in_the_tree(file), name.clone())));
        }
    }
    Ok(owners)
}

/// Where a path of a package lies in an OSTree tree.
fn in_the_tree(path: &str) -> String {
    let top = path.split('/').nth(1).unwrap_or_default();
    match top {
        "bin" | "sbin" | "lib" | "lib64" | "etc" => format!("/usr{path}"),
        _ => path.to_owned(),
    }
}

/// The package that a file came with, or what made it.
fn owner(owners: &HashMap<String, String>, path: &str) -> String {
    if let Some(package) = names(path).iter().find_map(|name| owners.get(name)) {
        return package.clone();
    }
    let program = path.strip_prefix("/usr/bin/").filter(|name| HOST_PROGRAMS.contains(name));
    match program {
        Some(program) => format!("({program})"),
        None if path.ends_with("/initramfs.img") => "(initramfs)".to_owned(),
        None => "(made by the build)".to_owned(),
    }
}

/// The names under which a package may have brought a file: its own; that of a module, which the
/// build uncompresses; that of a kernel, which it moves beside its modules.
fn names(path: &str) -> [String; 3] {
    let kernel = path.strip_prefix(MODULES).and_then(|rest| rest.split_once('/'));
    let boot = kernel.map(|(version, name)| format!("/boot/{name}-{version}"));
    [path.to_owned(), format!("{path}.xz"), boot.unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
d00755 0 0      0 /
-00644 0 0   1200 /usr/lib/modules/6.12/vmlinuz
-00644 0 0     30 /usr/bin/a file
l00777 0 0      0 /bin -> usr/bin
-00644 0 0      7 /usr/etc/fstab
";

    #[test]
    fn only_regular_files_weigh_and_spaces_stay_in_names() {
        let expected = [
            ("/usr/lib/modules/6.12/vmlinuz", 1200),
            ("/usr/bin/a file", 30),
            ("/usr/etc/fstab", 7),
        ];
        assert_eq!(files(LIST), expected);
    }

    #[test]
    fn a_folder_is_three_parts_deep_at_most() {
        let folders = ["/usr/lib/modules/6.12/vmlinuz", "/usr/bin/a", "/a"].map(folder);
        assert_eq!(folders, ["/usr/lib/modules", "/usr/bin", "/"]);
    }

    #[test]
    fn a_file_belongs_to_its_package_though_the_tree_moved_it() {
        let owners = HashMap::from([(in_the_tree("/etc/fstab"), "base".to_owned())]);
        assert_eq!(owner(&owners, "/usr/etc/fstab"), "base");
        assert_eq!(owner(&owners, "/usr/lib/modules/6/initramfs.img"), "(initramfs)");
    }

    #[test]
    fn what_the_build_uncompressed_or_moved_is_its_packages_still() {
        let module = "/usr/lib/modules/6.12/kernel/fs/ext4/ext4.ko";
        let kernel = "linux-image-6.12";
        let listed = [format!("{module}.xz"), "/boot/vmlinuz-6.12".to_owned()];
        let owners: HashMap<_, _> =
            listed.iter().map(|file| (in_the_tree(file), kernel.to_owned())).collect();
        assert_eq!(owner(&owners, module), kernel);
        assert_eq!(owner(&owners, "/usr/lib/modules/6.12/vmlinuz"), kernel);
        assert_eq!(owner(&owners, "/usr/lib/modules/6.13/vmlinuz"), "(made by the build)");
        assert_eq!(owner(&owners, "/usr/lib/modules/6.12/modules.dep.bin"), "(made by the build)");
    }

    #[test]
    fn a_host_program_is_named() {
        assert_eq!(owner(&HashMap::new(), "/usr/bin/hostd-virt"), "(hostd-virt)");
        assert_eq!(owner(&HashMap::new(), "/usr/sbin/hostd"), "(made by the build)");
    }

    #[test]
    fn what_is_not_shown_is_still_counted() {
        let sums = (0..20).map(|n| (format!("p{n:02}"), 1_000_000)).collect();
        let rows = rows("package", sums);
        assert_eq!(rows.len(), ROWS + 1);
        assert_eq!(rows[ROWS], Measure::new("package 5 others", 5.0, "MB"));
    }
}
