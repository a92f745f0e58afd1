//! `basalt-endpoint` and `basaltctl`.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use basalt_cmd::{Cmd, Running};
use serde_json::Value;

use super::{DEADLINE, Said, kill, program, said};
use crate::ground::Ground;
use crate::until::until;

/// Of the test's own network.
const ADDRESS: &str = "127.0.0.1:18443";

/// An endpoint in a folder of its own.
#[derive(Debug)]
pub struct Endpoint {
    folder: PathBuf,
    log: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    running: Option<Running>,
}

impl Endpoint {
    pub(super) fn new(ground: &Ground) -> Self {
        let (folder, log) = (ground.path("endpoint"), ground.path("endpoint.log"));
        Self { folder, log, args: Vec::new(), env: Vec::new(), running: None }
    }

    /// Starts with these arguments, too, from now on.
    pub fn with_args(&mut self, args: &[&str]) {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
    }

    /// Starts with these variables from now on, and no others of before.
    pub fn with_env(&mut self, env: &[(&str, &str)]) {
        self.env =
            env.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    }

    /// Starts it, with all that it had, and waits until it answers.
    ///
    /// # Panics
    /// It does not come up.
    pub fn start(&mut self) {
        let log = fs::File::options().create(true).append(true).open(&self.log).expect("a log");
        let copy = log.try_clone().expect("a second handle");
        let cmd = Cmd::new(program("basalt-endpoint"))
            .arg("--data")
            .arg(&self.folder)
            .args(["--listen", ADDRESS])
            .args(&self.args);
        let cmd = self.env.iter().fold(cmd, |cmd, (key, value)| cmd.env(key, value));
        let running = cmd.spawn(Stdio::null(), log.into(), copy.into());
        let mut running = running.expect("it can be started");
        until(DEADLINE, "the endpoint answers", || {
            let ended = running.wait_for(std::time::Duration::ZERO).expect("it is ours");
            assert!(ended.is_none(), "the endpoint ended: {}", self.log());
            self.ctl(&["hosts", "--json"]).ok.then_some(())
        });
        self.running = Some(running);
    }

    /// Kills it (SIGKILL).
    ///
    /// # Panics
    /// It does not run.
    pub fn kill(&mut self) {
        kill(&mut self.running);
    }

    /// Its process id.
    ///
    /// # Panics
    /// It does not run.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.running.as_ref().expect("it runs").id()
    }

    /// What it wrote.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.folder.clone()
    }

    /// Runs `basalt-endpoint backup` or `restore` on its folder.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Said {
        said(Cmd::new(program("basalt-endpoint")).arg("--data").arg(&self.folder).args(args))
    }

    /// Whoever operates it, also while it is away.
    #[must_use]
    pub fn operator(&self) -> Operator {
        Operator { folder: self.folder.clone(), env: self.env.clone() }
    }

    /// Runs `basaltctl` as its operator.
    #[must_use]
    pub fn ctl(&self, args: &[&str]) -> Said {
        self.operator().ctl(args, b"")
    }

    /// A join string, good once.
    ///
    /// # Panics
    /// It makes none.
    #[must_use]
    pub fn join_string(&self) -> String {
        let said = self.ctl(&["token", "create"]);
        let line = said.text.lines().next().filter(|_| said.ok);
        line.unwrap_or_else(|| panic!("no join string: {}", said.errors)).to_owned()
    }

    /// The first host, as an operator sees it; none where the endpoint does not answer or has none.
    #[must_use]
    pub fn host(&self) -> Option<Value> {
        let hosts = self.ctl(&["hosts", "--json"]).json();
        hosts["hosts"].get(0).cloned()
    }
}

/// Whoever operates an endpoint.
#[derive(Debug, Clone)]
pub struct Operator {
    folder: PathBuf,
    env: Vec<(String, String)>,
}

impl Operator {
    /// Runs `basaltctl`, with something to read on stdin.
    #[must_use]
    pub fn ctl(&self, args: &[&str], stdin: &[u8]) -> Said {
        let fingerprint = fs::read_to_string(self.folder.join("ca.sha256")).unwrap_or_default();
        let cmd = Cmd::new(program("basaltctl"))
            .args(args)
            .stdin(stdin)
            .env("BASALT_URL", format!("https://{ADDRESS}"))
            .env("BASALT_CA_FINGERPRINT", fingerprint.trim())
            .env("BASALT_TOKEN_FILE", self.folder.join("operator.token"));
        said(self.env.iter().fold(cmd, |cmd, (key, value)| cmd.env(key, value)))
    }
}
