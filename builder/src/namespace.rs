//! Lets a plain user build: the builder runs itself again as root of a user namespace.
//!
//! There it owns user ids 0 to 65535, mapped to the user's own id and the subordinate ids that
//! the machine gives them, so that files in a tree get the owners they will have on a host.

use anyhow::{Context, Result, bail};
use basalt_cmd::Cmd;

/// Ids that Debian's packages may use.
const IDS: u64 = 65_536;

/// Returns at once for root, and for root of a namespace. For a user it does not return: the
/// same command goes on inside a new namespace, in this process.
///
/// # Errors
/// The machine gives the user no subordinate ids, or no user namespaces.
pub fn become_root() -> Result<()> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    check_subordinate_ids()?;
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let again = Cmd::new("unshare")
        .args(["--user", "--map-root-user", "--map-auto", "--mount", "--"])
        .arg(program)
        .args(std::env::args_os().skip(1));
    Err(again.exec())
        .context("cannot enter a user namespace\nhint: install `util-linux`, or build as root")
}

fn check_subordinate_ids() -> Result<()> {
    let uid = rustix::process::getuid().as_raw();
    let user = user_name(uid);
    for file in ["/etc/subuid", "/etc/subgid"] {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        if subordinate_ids(&text, &user, uid) < IDS - 1 {
            bail!(
                "`{file}` gives `{user}` no range of {IDS} ids, which building as a user needs\n\
                 hint: as root, run `usermod --add-subuids 100000-165535 --add-subgids \
                 100000-165535 {user}`, or build as root"
            );
        }
    }
    Ok(())
}

/// The user's login name, or their id where it has none.
fn user_name(uid: u32) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.get(2).is_some_and(|id| *id == uid.to_string()))
        .map_or_else(|| uid.to_string(), |fields| fields[0].to_owned())
}

/// The largest range that `text`, in the form of `/etc/subuid`, gives to a user.
fn subordinate_ids(text: &str, user: &str, uid: u32) -> u64 {
    text.lines()
        .filter_map(|line| {
            let (name, range) = line.split_once(':')?;
            let (_, count) = range.split_once(':')?;
            (name == user || name == uid.to_string()).then(|| count.trim().parse().ok())?
        })
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_found_by_name_or_id_and_the_largest_counts() {
        let text = "ann:100000:1000\n1000:200000:65536\nbob:1:2\n";
        assert_eq!(subordinate_ids(text, "ann", 1000), 65_536);
        assert_eq!(subordinate_ids(text, "bob", 7), 2);
        assert_eq!(subordinate_ids(text, "eve", 8), 0);
    }

    #[test]
    fn fuzz_subuid_and_passwd() {
        let seed = "root:x:0:0:root:/root:/bin/sh\nroot:100000:65536\n0:1:18446744073709551616";
        basalt_fuzz::run_on_text!(&[seed], |text| subordinate_ids(text, "root", 0));
    }
}
