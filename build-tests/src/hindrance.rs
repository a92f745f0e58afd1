//! What stands in a build's way: a mount or network namespace of its own, another user.

use std::path::Path;

use basalt_cmd::Cmd;

/// What stands in its way.
#[derive(Debug, Clone, Copy)]
pub enum Hindrance<'a> {
    /// No network, not even loopback.
    NoNetwork,
    /// A folder with room for so many MiB.
    Full(&'a Path, u32),
    /// A folder that cannot be written.
    ReadOnly(&'a Path),
    /// An ordinary user, with this home folder and a range of subordinate ids.
    Nobody(&'a Path),
}

/// Files that only this build sees, so that the machine's own users stay as they are.
const USER: &str = r#"
for file in passwd group subuid subgid; do touch "$0/$file" /etc/$file; done
cp /etc/passwd /etc/group "$0"
echo 'builder:x:4242:4242::/nonexistent:/bin/sh' >>"$0/passwd"
echo 'builder:x:4242:' >>"$0/group"
echo 'builder:300000:65536' >"$0/subuid"
echo 'builder:300000:65536' >"$0/subgid"
for file in passwd group subuid subgid; do mount --bind "$0/$file" /etc/$file; done
chown -R 4242:4242 "$0"
exec env HOME="$0" setpriv --reuid 4242 --regid 4242 --clear-groups --inh-caps=-all "$@"
"#;

impl Hindrance<'_> {
    /// The same command behind it.
    pub fn around(&self, cmd: Cmd) -> Cmd {
        match self {
            Self::NoNetwork => cmd.behind(["unshare", "--net", "--"]),
            Self::Full(folder, mib) => {
                let script = format!("mount -t tmpfs -o size={mib}m none \"$0\" && exec \"$@\"");
                private_mounts(cmd, &script, folder)
            }
            Self::ReadOnly(folder) => {
                let script = "mount --bind \"$0\" \"$0\" && mount -o remount,ro,bind \"$0\" && \
                              exec \"$@\"";
                private_mounts(cmd, script, folder)
            }
            Self::Nobody(home) => private_mounts(cmd, USER, home),
        }
    }
}

fn private_mounts(cmd: Cmd, script: &str, folder: &Path) -> Cmd {
    let folder = folder.display().to_string();
    cmd.behind(["unshare", "--mount", "--", "sh", "-ec", script, &folder])
}
