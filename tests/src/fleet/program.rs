//! A program that keeps what it has while it is started, killed and started again.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use basalt_cmd::{Cmd, Running};

use super::DEADLINE;
use crate::until::until;

/// What it writes goes to one log, whatever happens to it.
#[derive(Debug)]
pub(super) struct Program {
    /// As messages call it.
    name: &'static str,
    log: PathBuf,
    env: Vec<(String, String)>,
    running: Option<Running>,
}

impl Program {
    pub(super) fn new(name: &'static str, log: PathBuf) -> Self {
        Self { name, log, env: Vec::new(), running: None }
    }

    /// Starts with these variables from now on, and no others of before.
    pub(super) fn with_env(&mut self, env: &[(&str, &str)]) {
        self.env =
            env.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    }

    /// The variables that it starts with.
    pub(super) fn env(&self) -> &[(String, String)] {
        &self.env
    }

    /// Starts it and waits for nothing.
    ///
    /// # Panics
    /// It cannot be started.
    pub(super) fn begin(&mut self, cmd: Cmd) {
        let log = fs::File::options().create(true).append(true).open(&self.log).expect("a log");
        let copy = log.try_clone().expect("a second handle");
        let running = with(cmd, &self.env).spawn(Stdio::null(), log.into(), copy.into());
        self.running = Some(running.expect("it can be started"));
    }

    /// Starts it and waits until it answers.
    ///
    /// # Panics
    /// It does not come up.
    pub(super) fn start<T>(&mut self, cmd: Cmd, mut answers: impl FnMut() -> Option<T>) {
        self.begin(cmd);
        until(DEADLINE, &format!("{} answers", self.name), || {
            assert!(!self.has_ended(), "{} ended: {}", self.name, self.log());
            answers()
        });
    }

    fn has_ended(&mut self) -> bool {
        let running = self.running.as_mut().expect("it runs");
        running.wait_for(Duration::ZERO).expect("it is ours").is_some()
    }

    /// Kills it (SIGKILL).
    ///
    /// # Panics
    /// It does not run.
    pub(super) fn kill(&mut self) {
        self.running.take().expect("it runs").kill();
    }

    /// Its process id.
    ///
    /// # Panics
    /// It does not run.
    pub(super) fn id(&self) -> u32 {
        self.running.as_ref().expect("it runs").id()
    }

    /// What it wrote.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// A command with these variables.
pub(super) fn with(cmd: Cmd, env: &[(String, String)]) -> Cmd {
    env.iter().fold(cmd, |cmd, (key, value)| cmd.env(key, value))
}
