//! Trees that break one rule each.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use super::*;

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
        tree.put("usr/etc/fstab", "# a comment\ntmpfs /var tmpfs\n");
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

    fn remove(&self, inside: &str) {
        fs::remove_file(self.path(inside)).unwrap();
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
    let link = |tree: &Tree| symlink("boot/vmlinuz", tree.path("vmlinuz")).unwrap();
    check(link, "`/vmlinuz` must not be there: boot entries name kernels");
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
    let fstab = |tree: &Tree| tree.put("usr/etc/fstab", "tmpfs /var/tmp tmpfs\n");
    check(fstab, "`/usr/etc/fstab` has no line for `/var`");
}

#[test]
fn nothing_in_it_belongs_to_one_machine() {
    for path in IDENTITY {
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
    let open = |tree: &Tree| {
        tree.put("usr/open", "");
        fs::set_permissions(tree.path("usr/open"), fs::Permissions::from_mode(0o666)).unwrap();
    };
    check(open, "`/usr/open` may be written by anybody");
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
