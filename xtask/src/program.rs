//! Runs a program that prints for itself: its output is ours, it ends when we are asked to stop,
//! and where there is no terminal something is printed every minute.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use basalt_cmd::{Cmd, Running};

use crate::progress::{Progress, shown};
use crate::session::Session;

/// How often the end of the program and the wish to stop are looked for.
const TICK: Duration = Duration::from_millis(100);
/// How long a program may take to end after it was asked to.
const LAST_WORDS: Duration = Duration::from_secs(15);
/// How often a silent program is spoken for where there is no terminal.
const STILL: Duration = Duration::from_secs(60);

/// What happens to what the program prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// All of it goes where ours goes, as it is.
    Shown,
    /// Its stdout is kept and not shown; its stderr goes where ours goes.
    StdoutKept,
    /// Both are shown line by line, and kept.
    ShownAndKept,
}

/// What `cargo run` tells xtask of its own package begins so. A build script that asks for such a
/// variable runs anew whenever it changes, and with it all that needs its crate.
const OF_OUR_PACKAGE: [&str; 2] = ["CARGO_PKG_", "CARGO_MANIFEST_"];

/// Runs `cmd` to its end, as from a shell, and returns the lines that were kept.
///
/// # Errors
/// It cannot be started, fails, misses `deadline`, or somebody asked to stop.
pub(crate) fn run(
    session: &Session,
    cmd: Cmd,
    output: Output,
    deadline: Duration,
) -> Result<Vec<String>> {
    session.go_on()?;
    let line = cmd.line();
    let kept = if output == Output::Shown { Stdio::inherit } else { Stdio::piped };
    let stderr = if output == Output::ShownAndKept { Stdio::piped } else { Stdio::inherit };
    let mut program = as_from_a_shell(cmd).spawn(Stdio::null(), kept(), stderr())?;
    let mut watch = Watch {
        session,
        line,
        lines: read_lines(&mut program),
        shows: output == Output::ShownAndKept,
        kept: Vec::new(),
        said: Instant::now(),
    };
    watch.until_it_ends(program, deadline)?;
    Ok(watch.kept)
}

/// What is compiled by us and what is compiled by hand is the same then.
fn as_from_a_shell(cmd: Cmd) -> Cmd {
    let names = std::env::vars_os().map(|(name, _)| name);
    let ours = names.filter(|name| {
        let name = name.to_string_lossy();
        OF_OUR_PACKAGE.iter().any(|prefix| name.starts_with(prefix))
    });
    ours.fold(cmd, Cmd::env_remove)
}

fn read_lines(program: &mut Running) -> Receiver<String> {
    let (sender, receiver) = channel();
    if let Some(pipe) = program.child().stdout.take() {
        let sender = sender.clone();
        thread::spawn(move || send_lines(pipe, &sender));
    }
    if let Some(pipe) = program.child().stderr.take() {
        thread::spawn(move || send_lines(pipe, &sender));
    }
    receiver
}

fn send_lines(pipe: impl Read, sender: &Sender<String>) {
    for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
        if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
            return;
        }
    }
}

struct Watch<'a> {
    session: &'a Session,
    line: String,
    lines: Receiver<String>,
    shows: bool,
    kept: Vec<String>,
    said: Instant,
}

impl Watch<'_> {
    fn until_it_ends(&mut self, mut program: Running, deadline: Duration) -> Result<()> {
        let began = Instant::now();
        let status = loop {
            self.take_lines(TICK);
            if let Some(status) = program.wait_for(self.patience())? {
                break status;
            }
            if self.session.is_stopped() {
                stop(&mut program)?;
                self.session.go_on()?;
            }
            if began.elapsed() >= deadline {
                stop(&mut program)?;
                bail!("`{}` did not end within {} and was stopped", self.line, shown(deadline));
            }
            self.say_still_there(began.elapsed());
        };
        // A child that it left behind may hold its pipes for ever.
        let ended = Instant::now();
        while !self.is_closed() && ended.elapsed() < Duration::from_secs(2) {
            self.take_lines(TICK);
        }
        if !status.success() {
            bail!("`{}` failed with {status}", self.line);
        }
        Ok(())
    }

    /// Waiting happens where the lines come from, or, without any, where the end is seen.
    fn patience(&mut self) -> Duration {
        if self.is_closed() { TICK } else { Duration::ZERO }
    }

    fn is_closed(&mut self) -> bool {
        match self.lines.recv_timeout(Duration::ZERO) {
            Ok(line) => {
                self.take(line);
                false
            }
            Err(error) => error == RecvTimeoutError::Disconnected,
        }
    }

    fn take_lines(&mut self, patience: Duration) {
        let mut patience = patience;
        while let Ok(line) = self.lines.recv_timeout(patience) {
            self.take(line);
            patience = Duration::ZERO;
        }
    }

    fn take(&mut self, line: String) {
        if self.shows {
            eprintln!("{line}");
            self.said = Instant::now();
        }
        self.kept.push(line);
    }

    fn say_still_there(&mut self, elapsed: Duration) {
        if self.session.progress == Progress::Lines && self.said.elapsed() >= STILL {
            self.said = Instant::now();
            eprintln!("… {} so far: {}", shown(elapsed), self.line);
        }
    }
}

/// Ends the program: asked first, then killed, its process group with it.
fn stop(program: &mut Running) -> Result<()> {
    program.terminate();
    let ended = program.wait_for(LAST_WORDS).context("cannot wait for its end")?;
    if ended.is_none() {
        program.kill();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    fn sh(session: &Session, script: &str, deadline: Duration) -> Result<Vec<String>> {
        let cmd = Cmd::new("/bin/sh").args(["-c", script]);
        run(session, cmd, Output::ShownAndKept, deadline)
    }

    #[test]
    fn every_line_is_kept_also_the_last_without_a_newline() {
        let lines = sh(&Session::alone(), "echo one; printf two", SOON).unwrap();
        assert_eq!(lines, ["one", "two"]);
    }

    #[test]
    fn a_program_is_not_told_of_our_package() {
        assert!(std::env::var_os("CARGO_PKG_NAME").is_some(), "cargo tells its tests");
        let script = "echo ${CARGO_PKG_NAME-nothing} ${CARGO_MANIFEST_DIR-nothing}";
        let lines = sh(&Session::alone(), script, SOON).unwrap();
        assert_eq!(lines, ["nothing nothing"]);
    }

    #[test]
    fn a_program_that_fails_is_named_with_its_status() {
        let error = sh(&Session::alone(), "exit 3", SOON).unwrap_err().to_string();
        assert_eq!(error, "`/bin/sh -c 'exit 3'` failed with exit status: 3");
    }

    #[test]
    fn a_program_past_its_deadline_is_stopped() {
        let began = Instant::now();
        let error = sh(&Session::alone(), "sleep 60", Duration::from_millis(200)).unwrap_err();
        assert!(error.to_string().contains("did not end within 0.2 s"), "{error}");
        assert!(began.elapsed() < SOON);
    }

    #[test]
    fn a_wish_to_stop_ends_a_program_that_runs() {
        let session = Session::alone();
        let began = Instant::now();
        let folder = tempfile::tempdir().unwrap();
        let begun = folder.path().join("begun");
        Cmd::new("mkfifo").arg(&begun).run().unwrap();
        let script = format!("echo begun > {}; sleep 60", begun.display());
        let error = thread::scope(|scope| {
            scope.spawn(|| {
                // Returns when the program has written to it.
                std::fs::read(&begun).unwrap();
                session.stop();
            });
            sh(&session, &script, SOON).unwrap_err()
        });
        assert_eq!(error.to_string(), "interrupted");
        assert!(began.elapsed() < SOON);
    }

    #[test]
    fn a_child_left_behind_does_not_hold_us() {
        let began = Instant::now();
        let lines = sh(&Session::alone(), "echo done; sleep 60 & exit 0", SOON).unwrap();
        assert_eq!(lines, ["done"]);
        assert!(began.elapsed() < SOON);
    }
}
