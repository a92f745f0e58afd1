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
    /// A folder as it is with room for so many MiB more, in which the build fails; and then, with
    /// room, a second build over what the first one left. What the first one said is in the file
    /// `FOLDER.first`, its exit code last. None of it reaches the folder itself.
    FullAtFirst(&'a Path, u32),
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

/// An overlay whose upper folder is small, and then is not.
const FULL_AT_FIRST: &str = r#"
mkdir "$0.room"
mount -t tmpfs -o size=SIZEm none "$0.room"
mkdir "$0.room/upper" "$0.room/work"
mount -t overlay -o "lowerdir=$0,upperdir=$0.room/upper,workdir=$0.room/work" none "$0"
code=0
"$@" >/dev/null 2>"$0.first" || code=$?
echo "exit code $code" >>"$0.first"
mount -o remount,size=8g "$0.room"
exec "$@"
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
            Self::FullAtFirst(folder, mib) => {
                private_mounts(cmd, &FULL_AT_FIRST.replace("SIZE", &mib.to_string()), folder)
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
