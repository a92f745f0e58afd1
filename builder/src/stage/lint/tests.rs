//! Trees that break one rule each.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use rustix::fs::{FileType, Mode};

use super::*;

const FSTAB: &str = "# a comment\ntmpfs /var tmpfs\n/sysroot/boot /boot none bind,noauto 0 0\n";
const TMPFILES: &str = "\
d /var/log/journal 0755 0 0 -
d$ /var/log/libvirt 0755 0 0 -
d /var/lib/libvirt/images 0711 0 0 -
L /var/lib/dpkg - - - - ../../usr/lib/sysimage/dpkg
";

/// A tree that keeps every rule, with one account of a package.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        for folder in EMPTY {
            fs::create_dir(tree.path(folder)).unwrap();
        }
        for (path, _) in NEEDED {
            tree.put(path, "");
        }
        for file in ["vmlinuz", "initramfs.img"] {
            tree.put(&format!("usr/lib/modules/6.12/{file}"), "");
        }
        for (path, target) in LINKS {
            symlink(target, tree.path(path)).unwrap();
        }
        tree.put("usr/etc/fstab", FSTAB);
        for (_, wanted_by, _) in var::FOLDERS {
            tree.put(wanted_by, "");
        }
        tree.put("usr/lib/tmpfiles.d/var.conf", TMPFILES);
        for unit in units::DONE_BY_THE_BUILDER {
            tree.mask("usr/etc", unit);
        }
        tree.put("usr/etc/passwd", "root:x:0:0::/root:/bin/sh\none:x:990:990::/:/bin/false\n");
        tree.put("usr/etc/group", "users:x:100:\nkvm:x:106:\none:x:990:\n");
        tree.put("usr/etc/shadow", "root:*:1::::::\none:!*:1::::::\n");
        tree
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.0.path().join(inside)
    }

    fn put(&self, inside: &str, content: &str) {
        let path = self.path(inside);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn node(&self, inside: &str, kind: FileType) {
        let device = rustix::fs::makedev(1, 3);
        let mode = Mode::from_raw_mode(0o644);
        rustix::fs::mknodat(rustix::fs::CWD, self.path(inside), kind, mode, device).unwrap();
    }

    fn remove(&self, inside: &str) {
        fs::remove_file(self.path(inside)).unwrap();
    }

    fn mask(&self, folder: &str, unit: &str) {
        let folder = self.path(folder).join("systemd/system");
        fs::create_dir_all(&folder).unwrap();
        symlink("/dev/null", folder.join(unit)).unwrap();
    }

    /// The file without the line that has this in it.
    fn put_without(&self, inside: &str, text: &str, left_out: &str) {
        let kept = text.lines().filter(|line| !line.contains(left_out));
        self.put(inside, &kept.map(|line| format!("{line}\n")).collect::<String>());
    }

    fn check(&self) -> Result<()> {
        super::check(self.0.path(), &crate::definition::example())
    }
}

/// A tree that was broken so is refused for this reason alone.
fn check(break_it: impl Fn(&Tree), expected: &str) {
    let tree = Tree::new();
    break_it(&tree);
    let error = tree.check().unwrap_err().to_string();
    assert_eq!(error, format!("the tree is no OSTree host:\n  {expected}"));
}

#[test]
fn a_tree_that_keeps_every_rule_passes() {
    Tree::new().check().unwrap();
}

#[test]
fn a_link_leads_where_it_must() {
    for (path, target) in LINKS {
        check(|tree| tree.remove(path), &format!("`/{path}` must be a link to `{target}`"));
    }
    let elsewhere = |tree: &Tree| {
        tree.remove("home");
        symlink("usr/home", tree.path("home")).unwrap();
    };
    check(elsewhere, "`/home` is a link to `usr/home` and must lead to `var/home`");
}

#[test]
fn what_is_mounted_over_is_there_and_empty() {
    for folder in EMPTY {
        let missing = format!("the folder `/{folder}` is missing");
        check(|tree| fs::remove_dir(tree.path(folder)).unwrap(), &missing);
        let full = format!("`/{folder}` must be empty and holds `x`");
        check(|tree| tree.put(&format!("{folder}/x"), ""), &full);
    }
}

#[test]
fn what_ostree_keeps_elsewhere_is_not_at_the_top() {
    check(|tree| tree.put("etc/x", ""), "`/etc` must not be there: it is in /usr/etc");
    for (name, why) in [
        ("vmlinuz", "boot entries name kernels"),
        ("vmlinuz.old", "boot entries name kernels"),
        ("initrd.img", "boot entries name initramfs images"),
        ("initrd.img.old", "boot entries name initramfs images"),
    ] {
        let link = |tree: &Tree| symlink("boot/gone", tree.path(name)).unwrap();
        check(link, &format!("`/{name}` must not be there: {why}"));
    }
}

#[test]
fn there_is_one_kernel_and_it_is_whole() {
    for file in ["vmlinuz", "initramfs.img"] {
        let path = format!("usr/lib/modules/6.12/{file}");
        check(|tree| tree.remove(&path), &format!("`/{path}` is missing"));
    }
    check(
        |tree| tree.put("usr/lib/modules/6.13/vmlinuz", ""),
        "one kernel is needed and there are 2: [\"6.12\", \"6.13\"]",
    );
}

#[test]
fn without_what_it_boots_with_it_is_refused() {
    for (path, hint) in NEEDED {
        check(|tree| tree.remove(path), &format!("`/{path}` is missing: {hint}"));
    }
    check(
        |tree| tree.put_without("usr/etc/fstab", FSTAB, "/var"),
        "`/usr/etc/fstab` has no line for `/var`",
    );
    for without_bind in ["/dev/sda1 /boot ext4 bind", "/sysroot/boot /boot none noauto"] {
        check(
            |tree| tree.put("usr/etc/fstab", &format!("tmpfs /var tmpfs\n{without_bind} 0 0\n")),
            "`/usr/etc/fstab` does not say that ostree binds /boot: add `/sysroot/boot /boot none \
             bind,noauto 0 0`",
        );
    }
}

#[test]
fn what_is_lost_with_an_empty_var_comes_back_on_a_host() {
    let file = "usr/lib/tmpfiles.d/var.conf";
    for (path, _, loss) in var::FOLDERS {
        let expected = format!("no line of tmpfiles.d makes `{path}`: {loss}");
        check(|tree| tree.put_without(file, TMPFILES, path), &expected);
        // A line that only sets the mode of what is there makes nothing.
        let adjusts = TMPFILES.replace(&format!("d {path}"), &format!("z {path}"));
        let adjusts = adjusts.replace(&format!("d$ {path}"), &format!("z {path}"));
        check(|tree| tree.put(file, &adjusts), &expected);
    }
    let expected = "no line of tmpfiles.d links `/var/lib/dpkg` to `/usr/lib/sysimage/dpkg`";
    check(|tree| tree.put_without(file, TMPFILES, "dpkg"), expected);
    let elsewhere = TMPFILES.replace("usr/lib/sysimage", "usr/share");
    check(|tree| tree.put(file, &elsewhere), expected);
}

/// Rule by rule for what is in the tree: without libvirt, its folders are not asked for.
#[test]
fn a_program_that_is_not_there_needs_no_folder() {
    let tree = Tree::new();
    tree.remove("usr/sbin/libvirtd");
    tree.put_without("usr/lib/tmpfiles.d/var.conf", TMPFILES, "libvirt");
    tree.check().unwrap();
}

#[test]
fn what_makes_an_updates_accounts_runs_and_what_the_builder_has_done_does_not() {
    for folder in ["usr/etc", "usr/lib"] {
        check(
            |tree| tree.mask(folder, units::SYSUSERS),
            "`systemd-sysusers.service` is masked: accounts that an update brings need it",
        );
    }
    for unit in units::DONE_BY_THE_BUILDER {
        let expected =
            format!("`{unit}` would run at every deployment: add it to `mask` in `[units]`");
        check(|tree| tree.remove(&format!("usr/etc/systemd/system/{unit}")), &expected);
    }
}

#[test]
fn nothing_in_it_belongs_to_one_machine() {
    let keys = ["rsa_key", "ed25519_key", "ecdsa_key", "ecdsa_key.pub", "dsa_key"];
    let keys = keys.map(|key| format!("usr/etc/ssh/ssh_host_{key}"));
    for path in IDENTITY.into_iter().chain(keys.iter().map(String::as_str)) {
        let expected = format!("`/{path}` belongs to one machine and must not be in an image");
        check(|tree| tree.put(path, "x"), &expected);
    }
    check(|tree| tree.put("usr/etc/machine-id", "0123"), "`/usr/etc/machine-id` must be empty");
    let tree = Tree::new();
    tree.put("usr/etc/machine-id", "");
    tree.check().unwrap();
}

#[test]
fn what_has_no_form_in_ostree_or_may_be_written_by_anybody_is_refused() {
    let socket = |tree: &Tree| {
        drop(std::os::unix::net::UnixListener::bind(tree.path("usr/socket")).unwrap());
    };
    check(socket, "`/usr/socket` is a device, fifo or socket");
    let fifo = |tree: &Tree| tree.node("usr/fifo", FileType::Fifo);
    check(fifo, "`/usr/fifo` is a device, fifo or socket");
    let open = |tree: &Tree| {
        tree.put("usr/open", "");
        fs::set_permissions(tree.path("usr/open"), fs::Permissions::from_mode(0o666)).unwrap();
    };
    check(open, "`/usr/open` may be written by anybody");
}

#[test]
fn a_device_node_is_refused() {
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var_os("BASALT_NO_SKIP").is_none(), "only root can run this test");
        eprintln!("skipped: only root can make a device node");
        return;
    }
    for kind in [FileType::CharacterDevice, FileType::BlockDevice] {
        let node = |tree: &Tree| tree.node("usr/node", kind);
        check(node, "`/usr/node` is a device, fifo or socket");
    }
}

#[test]
fn an_account_has_an_id_of_its_own_and_no_password() {
    check(
        |tree| tree.put("usr/etc/passwd", "two:x:101:101::/:/bin/false\n"),
        "the user `two` has the id 101 by chance: add `[[user]]` with `name = \"two\"` and an \
         id of its own",
    );
    check(
        |tree| tree.put("usr/etc/group", "kvm:x:107:\n"),
        "the group `kvm` has the id 107 by chance: add `[[group]]` with `name = \"kvm\"` and \
         an id of its own",
    );
    for password in ["", "$y$j9T$x"] {
        check(
            |tree| tree.put("usr/etc/shadow", &format!("one:{password}:1::::::\n")),
            "the user `one` can log in with a password, or with none",
        );
    }
}

#[test]
fn a_check_that_cannot_be_run_is_named() {
    let tree = Tree::new();
    for (path, mode) in [
        ("usr/lib/basalt/required.d/10-good", 0o755),
        ("usr/lib/basalt/required.d/20-plain", 0o644),
        ("usr/etc/basalt/wanted.d/README", 0o644),
    ] {
        tree.put(path, "#!/bin/sh\n");
        fs::set_permissions(tree.path(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    let mut broken = Vec::new();
    checks::check(&tree.path(""), &mut broken).unwrap();
    broken.sort();
    let said = |path| format!("`/{path}` is not executable, and every check is run: `chmod +x` it");
    let expected = ["usr/etc/basalt/wanted.d/README", "usr/lib/basalt/required.d/20-plain"];
    assert_eq!(broken, expected.map(said));
}
