//! What a boot that failed wrote to its journal.

use std::path::Path;
use std::time::Duration;

use basalt_cmd::Cmd;
use serde::Deserialize;

/// Where the journals of this boot and of those before are.
pub(crate) const JOURNALS: &str = "/var/log/journal";
/// Lines of it that are kept.
const TAIL: &str = "20";
const DEADLINE: Duration = Duration::from_secs(60);

/// A boot, as `journalctl --list-boots -o json` has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Boot {
    /// 0 is the last one, -1 the one before.
    index: i64,
    /// 32 hex digits.
    boot_id: String,
}

/// The boots that the journal in `folder` knows; none where it cannot be read.
pub(crate) fn boots(folder: &Path) -> Vec<Boot> {
    let cmd = Cmd::new("journalctl").arg("-D").arg(folder);
    let cmd = cmd.args(["--no-pager", "-q", "-o", "json", "--list-boots"]).deadline(DEADLINE);
    let listed = cmd.run().ok();
    listed.and_then(|it| serde_json::from_str(&it.stdout_text()).ok()).unwrap_or_default()
}

/// The boot that followed `before`, where it is not the one of `now`; both are the kernel's ids.
/// Pure.
pub(crate) fn boot_after(boots: &[Boot], before: &str, now: &str) -> Option<String> {
    let [before, now] = [before, now].map(|id| id.replace('-', ""));
    let at = boots.iter().find(|boot| boot.boot_id == before)?.index;
    let next = boots.iter().filter(|boot| boot.index > at).min_by_key(|boot| boot.index)?;
    Some(next.boot_id.clone()).filter(|boot| *boot != now)
}

/// The last lines of a boot; none where nothing of it is there.
pub(crate) fn tail(folder: &Path, boot: &str) -> Vec<String> {
    let cmd = Cmd::new("journalctl").arg("-D").arg(folder);
    let args = ["--no-pager", "-q", "-o", "short-monotonic", "-n", TAIL, "-b", boot];
    let said = cmd.args(args).deadline(DEADLINE).run();
    said.map(|said| said.stdout_text().lines().map(str::to_owned).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: u32) -> String {
        format!("{digit:032x}")
    }

    #[test]
    fn the_boot_that_failed_is_the_one_after_that_in_which_it_was_put_there() {
        let listed = format!(
            r#"[{{"index":-2,"boot_id":"{}","first_entry":1,"last_entry":2}},
                {{"index":-1,"boot_id":"{}","first_entry":3,"last_entry":4}},
                {{"index":0,"boot_id":"{}","first_entry":5,"last_entry":6}}]"#,
            id(1),
            id(2),
            id(3)
        );
        let boots: Vec<Boot> = serde_json::from_str(&listed).unwrap();
        let kernels = |digit| format!("00000000-0000-0000-0000-{digit:012x}");
        assert_eq!(boot_after(&boots, &kernels(1), &kernels(3)), Some(id(2)));
        // It kept no journal; or nobody knows any more where it was put there.
        assert_eq!(boot_after(&boots, &kernels(2), &kernels(3)), None);
        assert_eq!(boot_after(&boots, &kernels(9), &kernels(3)), None);
        assert_eq!(boot_after(&[], &kernels(1), &kernels(3)), None);
    }

    #[test]
    fn a_journal_that_is_not_there_has_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(boots(dir.path()), []);
        assert_eq!(tail(dir.path(), &id(1)), [""; 0]);
    }
}
