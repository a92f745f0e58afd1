//! Runs Debian's own tools over a tree without letting them touch this machine.

use std::path::Path;

use basalt_cmd::Cmd;

/// A command in mount and process namespaces of its own: whatever it mounts goes with it, and
/// whatever it started dies with it, also when this process is killed.
pub fn isolated(program: &str) -> Cmd {
    Cmd::new("unshare")
        .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"])
        .arg(program)
}

/// How a program inside a tree sees that tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It may change files. A tree that is a hard-linked checkout is only safe with programs that
    /// replace files and never write into them.
    ReadWrite,
    /// It may only read.
    ReadOnly,
}

/// A program of the tree, run with the tree as its root, a private `/dev`, `/proc`, `/tmp`,
/// `/var/tmp` and `/run`, no network and an empty environment.
pub fn inside(tree: &Path, access: Access, program: &str) -> Cmd {
    inside_with(tree, access, &[], program)
}

/// As [`inside`], with more folders of this machine bound writable at paths in the tree.
pub fn inside_with(tree: &Path, access: Access, binds: &[(&Path, &str)], program: &str) -> Cmd {
    let bind = match access {
        Access::ReadWrite => "--bind",
        Access::ReadOnly => "--ro-bind",
    };
    let mut cmd = Cmd::new("bwrap").arg(bind).arg(tree).arg("/");
    cmd = cmd.args(["--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--tmpfs", "/run"]);
    if tree.join("var/tmp").is_dir() {
        cmd = cmd.args(["--tmpfs", "/var/tmp"]);
    }
    for (from, to) in binds {
        cmd = cmd.arg("--bind").arg(from).arg(to);
    }
    cmd.args(["--unshare-pid", "--unshare-net", "--unshare-ipc", "--die-with-parent"])
        .args(["--cap-add", "ALL", "--clearenv"])
        .args(["--setenv", "PATH", "/usr/sbin:/usr/bin:/sbin:/bin"])
        .args(["--setenv", "LC_ALL", "C.UTF-8"])
        .args(["--chdir", "/", "--"])
        .arg(program)
}
