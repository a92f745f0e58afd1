//! Runs external programs, and is the only place that does.
//!
//! Every program gets its own process group, a deadline and a cap on what it may print; secrets
//! travel by stdin or as redacted arguments. When the caller dies, the program is killed with it.
//! Blocking: an async caller goes through its runtime's blocking pool.

mod capture;
mod error;
mod line;
mod running;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

pub use error::CmdError;
pub use running::Running;

/// Deadline of a command that names none: long enough for any tool that does not download.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(60);
/// Bytes kept of each output stream when the caller names no cap; the tail is kept.
const DEFAULT_OUTPUT_CAP: usize = 4 << 20;

/// What a finished program printed and how it ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// The last bytes of its stdout, up to the cap.
    pub stdout: Vec<u8>,
    /// The last bytes of its stderr, up to the cap.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Stdout as text, with invalid UTF-8 replaced and the final newline removed.
    #[must_use]
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end_matches('\n').to_owned()
    }
}

/// A program to run. Build it up, then [`run`](Self::run), [`output`](Self::output) or
/// [`spawn`](Self::spawn) it.
#[must_use]
pub struct Cmd {
    program: OsString,
    args: Vec<line::Arg>,
    /// Without a value it is taken away.
    env: Vec<(OsString, Option<OsString>)>,
    clear_env: bool,
    dir: Option<PathBuf>,
    stdin: Vec<u8>,
    deadline: Duration,
    output_cap: usize,
}

impl Cmd {
    /// A command with no arguments, the caller's environment, an empty stdin and a deadline of
    /// 60 s.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            clear_env: false,
            dir: None,
            stdin: Vec::new(),
            deadline: DEFAULT_DEADLINE,
            output_cap: DEFAULT_OUTPUT_CAP,
        }
    }

    /// Appends one argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(line::Arg::Shown(arg.as_ref().to_owned()));
        self
    }

    /// Appends several arguments.
    pub fn args<A: AsRef<OsStr>>(self, args: impl IntoIterator<Item = A>) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    /// Appends an argument that logs and errors show as `***`. Other users of the machine can
    /// still see it in the process list: a real secret goes by [`stdin`](Self::stdin).
    pub fn redacted_arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(line::Arg::Redacted(arg.as_ref().to_owned()));
        self
    }

    /// The same command, started by another program, as `["unshare", "--net", "--"]`.
    pub fn behind<A: AsRef<OsStr>>(mut self, starter: impl IntoIterator<Item = A>) -> Self {
        let mut starter = starter.into_iter().map(|word| word.as_ref().to_owned());
        let Some(program) = starter.next() else { return self };
        let own = std::mem::replace(&mut self.program, program);
        let words = starter.chain([own]).map(line::Arg::Shown);
        self.args.splice(0..0, words);
        self
    }

    /// Sets one environment variable.
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((key.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Takes one environment variable of the caller's away.
    pub fn env_remove(mut self, key: impl AsRef<OsStr>) -> Self {
        self.env.push((key.as_ref().to_owned(), None));
        self
    }

    /// Starts from an empty environment, so that the caller's cannot change the result.
    pub fn env_clear(mut self) -> Self {
        self.clear_env = true;
        self
    }

    /// Runs it in this folder.
    pub fn current_dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.dir = Some(dir.as_ref().to_owned());
        self
    }

    /// What it reads on stdin; nothing by default.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// How long it may take before its process group is killed.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How many bytes of each output stream are kept (the last ones).
    pub fn output_cap(mut self, bytes: usize) -> Self {
        self.output_cap = bytes;
        self
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// It cannot be started, misses its deadline, or ends with anything but exit code 0.
    pub fn run(self) -> Result<Output, CmdError> {
        self.run_with_lines(|_| ())
    }

    /// Like [`run`](Self::run), and hands each line of stdout and stderr to `on_line` as it comes.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_with_lines(self, on_line: impl FnMut(&str)) -> Result<Output, CmdError> {
        let line = self.line();
        let output = self.capture(on_line)?;
        if output.status.success() { Ok(output) } else { Err(CmdError::failed(line, &output)) }
    }

    /// Runs it to its end, whatever its exit code.
    ///
    /// # Errors
    /// It cannot be started or misses its deadline.
    pub fn output(self) -> Result<Output, CmdError> {
        self.capture(|_| ())
    }

    /// Starts it and returns at once; its stdio is as given. The deadline, cap and stdin bytes of
    /// this builder do not apply. It is killed when the handle is dropped, or when the *thread*
    /// that called this ends: keep that thread alive.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn(self, stdin: Stdio, stdout: Stdio, stderr: Stdio) -> Result<Running, CmdError> {
        let line = self.line();
        let mut command = self.command();
        command.stdin(stdin).stdout(stdout).stderr(stderr);
        running::start(&mut command, line)
    }

    /// Becomes the program: on success this process runs it from here on and nothing returns.
    /// The deadline, cap and stdin bytes of this builder do not apply.
    #[must_use]
    pub fn exec(self) -> CmdError {
        let source = std::os::unix::process::CommandExt::exec(&mut self.command());
        CmdError::Start { line: self.line(), source }
    }

    /// The command as a person would type it, secrets shown as `***`.
    #[must_use]
    pub fn line(&self) -> String {
        line::render(&self.program, &self.args)
    }

    fn capture(self, on_line: impl FnMut(&str)) -> Result<Output, CmdError> {
        let line = self.line();
        tracing::debug!(command = %line, "run");
        let mut command = self.command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = running::start(&mut command, line)?;
        let limits = capture::Limits { deadline: self.deadline, cap: self.output_cap };
        capture::capture(child, self.stdin, &limits, on_line)
    }

    fn command(&self) -> std::process::Command {
        #[expect(clippy::disallowed_methods, reason = "the one place that starts programs")]
        let mut command = std::process::Command::new(&self.program);
        if self.clear_env {
            command.env_clear();
        }
        command.args(self.args.iter().map(line::Arg::value));
        for (key, value) in &self.env {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command
    }
}

#[cfg(test)]
mod tests;
