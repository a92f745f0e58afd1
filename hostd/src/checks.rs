//! Checks of a boot that the image or the operator brings, as greenboot has them: programs in
//! `required.d` and `wanted.d`. `hostctl checks` runs them, in a unit of its own and as root, for
//! they look at what `hostd` itself is kept from. What fails is written down for `hostd` to tell.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use basalt_api::checks::{FailedCheck, Weight};
use basalt_cmd::{Cmd, CmdError};
use basalt_durable::PRIVATE;

use crate::paths::Paths;

/// The longest that one check may take.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// Bytes of a check's output that are kept while it runs, and of a line.
const MAX_OUTPUT: usize = 16 << 10;
const MAX_LINE: usize = 200;
/// Lines of a check that failed which are kept.
const MAX_LINES: usize = 4;

/// A file that is there to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Check {
    path: PathBuf,
    weight: Weight,
    is_executable: bool,
}

/// Runs all of them, one after the other, the required ones first: those of the image and of the
/// operator together, by their names. Returns those that failed.
///
/// # Errors
/// A folder cannot be read.
pub fn run(paths: &Paths, budget: Duration) -> io::Result<Vec<FailedCheck>> {
    let until = Instant::now() + budget;
    let mut failed = Vec::new();
    for check in find(paths)? {
        let left = until.saturating_duration_since(Instant::now()).min(DEADLINE);
        let mut lines = VecDeque::new();
        if let Some(how) = failure(&check, left, &mut lines) {
            failed.push(FailedCheck {
                path: check.path.display().to_string(),
                weight: check.weight,
                how,
                lines: lines.into(),
            });
        }
    }
    Ok(failed)
}

/// Writes down what failed, for `hostd`.
///
/// # Errors
/// The file cannot be written.
pub fn keep(paths: &Paths, failed: &[FailedCheck]) -> io::Result<()> {
    let path = paths.failed_checks();
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    basalt_durable::write(&path, &serde_json::to_vec_pretty(failed)?, PRIVATE)
}

/// What failed in this boot; nothing, as long as nobody has looked.
#[must_use]
pub fn kept(paths: &Paths) -> Vec<FailedCheck> {
    let bytes = basalt_durable::read(&paths.failed_checks()).ok().flatten();
    bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

fn find(paths: &Paths) -> io::Result<Vec<Check>> {
    let mut found = Vec::new();
    for (weight, folders) in paths.checks() {
        let mut of_weight = Vec::new();
        for folder in folders {
            of_weight.extend(files(&folder)?.into_iter().map(|(path, is_executable)| Check {
                path,
                weight,
                is_executable,
            }));
        }
        // The sort is stable: of two with one name the image's comes first.
        of_weight.sort_by(|a, b| a.path.file_name().cmp(&b.path.file_name()));
        found.extend(of_weight);
    }
    Ok(found)
}

/// Files in a folder and whether they can be run. What an editor leaves is none, nor is a folder.
fn files(folder: &Path) -> io::Result<Vec<(PathBuf, bool)>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let about = fs::metadata(&path);
        if name.starts_with('.')
            || name.ends_with('~')
            || about.as_ref().is_ok_and(fs::Metadata::is_dir)
        {
            continue;
        }
        found.push((path, about.is_ok_and(|about| about.permissions().mode() & 0o111 != 0)));
    }
    Ok(found)
}

/// How a check failed; none where it did not.
fn failure(check: &Check, time: Duration, lines: &mut VecDeque<String>) -> Option<String> {
    if !check.is_executable {
        return Some("it is not executable and was not run".to_owned());
    }
    if time.is_zero() {
        return Some("no time was left for it".to_owned());
    }
    let said = |line: &str| {
        let line: String = line.trim_end().chars().take(MAX_LINE).collect();
        if lines.len() == MAX_LINES {
            lines.pop_front();
        }
        lines.extend(Some(line).filter(|line| !line.is_empty()));
    };
    let cmd = Cmd::new(&check.path).current_dir("/").deadline(time).output_cap(MAX_OUTPUT);
    match cmd.run_with_lines(said) {
        Ok(_) => None,
        Err(CmdError::Failed { status, .. }) => Some(ended(status)),
        Err(CmdError::Deadline { deadline, .. }) => {
            Some(format!("it did not end within {} s", deadline.as_millis().div_ceil(1000)))
        }
        Err(error) => Some(basalt_explain::explain(&error.into()).replace('\n', "; ")),
    }
}

fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("it was ended by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Host(tempfile::TempDir);

    impl Host {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn paths(&self) -> Paths {
            Paths::under(self.0.path())
        }

        fn put(&self, path: &str, script: &str, mode: u32) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }

        fn required(&self, name: &str, script: &str) {
            self.put(&format!("usr/lib/basalt/required.d/{name}"), script, 0o755);
        }

        /// Name, how, and lines of what fails.
        fn fails(&self, budget: Duration) -> Vec<(String, String, String)> {
            let failed = run(&self.paths(), budget).unwrap();
            let name = |path: &str| path.rsplit('/').next().unwrap().to_owned();
            failed.into_iter().map(|it| (name(&it.path), it.how, it.lines.join("|"))).collect()
        }
    }

    #[track_caller]
    fn check(script: &str, how: &str, lines: &str) {
        let host = Host::new();
        host.required("one", script);
        let expected = [("one".to_owned(), how.to_owned(), lines.to_owned())];
        assert_eq!(host.fails(Duration::from_secs(30)), expected);
    }

    #[test]
    fn a_check_that_fails_is_told_with_how_and_its_last_lines() {
        // Of both at once the order is not known: they are two pipes.
        check("echo out; exit 3", "exit code 3", "out");
        check("echo err >&2; exit 3", "exit code 3", "err");
        check("seq 1 100; exit 1", "exit code 1", "97|98|99|100");
        check("kill -9 $$", "it was ended by signal 9", "");
        let long = format!("printf '%0300d' 7; exit 1; {}", "#".repeat(10));
        check(&long, "exit code 1", &"0".repeat(MAX_LINE));
        // More than is kept of it, and never a line.
        check("head -c 200000 /dev/zero | tr '\\0' x; exit 1", "exit code 1", &{
            let pieces = vec!["x".repeat(MAX_LINE); MAX_LINES];
            pieces.join("|")
        });
    }

    #[test]
    fn a_check_that_does_not_end_is_ended_and_the_next_one_has_no_time() {
        let host = Host::new();
        host.required("1-hangs", "echo begun; sleep 100 & sleep 100");
        host.required("2-fine", "exit 0");
        let began = Instant::now();
        let failed = host.fails(Duration::from_secs(1));
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        let expected = [
            ("1-hangs", "it did not end within 1 s", "begun"),
            ("2-fine", "no time was left for it", ""),
        ];
        let expected = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
        assert_eq!(failed, expected);
    }

    #[test]
    fn those_of_the_image_and_of_the_operator_run_by_their_names_the_required_first() {
        let host = Host::new();
        let log = host.0.path().join("log");
        for path in [
            "etc/basalt/wanted.d/00-first",
            "etc/basalt/required.d/10-b",
            "usr/lib/basalt/required.d/20-c",
            "usr/lib/basalt/required.d/10-b",
            "usr/lib/basalt/required.d/05-a",
        ] {
            host.put(path, &format!("echo {path} >>'{}'", log.display()), 0o755);
        }
        host.put("etc/basalt/required.d/.hidden", "exit 1", 0o755);
        host.put("etc/basalt/required.d/old~", "exit 1", 0o755);
        host.put("etc/basalt/required.d/folder/inside", "exit 1", 0o755);
        assert_eq!(host.fails(Duration::from_secs(30)), []);
        let ran = fs::read_to_string(log).unwrap();
        let expected = [
            "usr/lib/basalt/required.d/05-a",
            "usr/lib/basalt/required.d/10-b",
            "etc/basalt/required.d/10-b",
            "usr/lib/basalt/required.d/20-c",
            "etc/basalt/wanted.d/00-first",
        ];
        assert_eq!(ran.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_cannot_be_run_has_failed() {
        let host = Host::new();
        host.put("etc/basalt/required.d/a-plain", "exit 0", 0o644);
        host.put("etc/basalt/required.d/b-odd", "", 0o755);
        let odd = host.0.path().join("etc/basalt/required.d/b-odd");
        fs::write(odd, "#!/nowhere/sh\n").unwrap();
        let link = host.0.path().join("etc/basalt/required.d/c-gone");
        std::os::unix::fs::symlink("/nowhere", link).unwrap();
        let failed = host.fails(Duration::from_secs(30));
        let how: Vec<_> = failed.iter().map(|(name, how, _)| format!("{name}: {how}")).collect();
        assert_eq!(how[0], "a-plain: it is not executable and was not run");
        assert!(how[1].starts_with("b-odd: cannot run `"), "{how:?}");
        assert_eq!(how[2], "c-gone: it is not executable and was not run");
    }

    #[test]
    fn what_failed_is_there_for_hostd_until_the_next_run() {
        let host = Host::new();
        assert_eq!(kept(&host.paths()), []);
        host.required("one", "exit 1");
        let failed = run(&host.paths(), DEADLINE).unwrap();
        keep(&host.paths(), &failed).unwrap();
        assert_eq!(kept(&host.paths()), failed);
        keep(&host.paths(), &[]).unwrap();
        assert_eq!(kept(&host.paths()), []);
    }
}
