//! `basalt-endpoint` and `basaltctl`.

use std::fs;
use std::path::PathBuf;

use basalt_cmd::Cmd;
use serde_json::Value;

use super::program::{Program, with};
use super::{Said, program, said};
use crate::ground::Ground;

/// Of the test's own network.
const ADDRESS: &str = "127.0.0.1:18443";

/// An endpoint in a folder of its own.
#[derive(Debug)]
pub struct Endpoint {
    folder: PathBuf,
    args: Vec<String>,
    program: Program,
}

impl Endpoint {
    pub(super) fn new(ground: &Ground) -> Self {
        let program = Program::new("the endpoint", ground.path("endpoint.log"));
        Self { folder: ground.path("endpoint"), args: Vec::new(), program }
    }

    /// Starts with these arguments, too, from now on.
    pub fn with_args(&mut self, args: &[&str]) {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
    }

    /// Starts with these variables from now on, and no others of before.
    pub fn with_env(&mut self, env: &[(&str, &str)]) {
        self.program.with_env(env);
    }

    /// Starts it, with all that it had, and waits until it answers.
    ///
    /// # Panics
    /// It does not come up.
    pub fn start(&mut self) {
        let cmd = Cmd::new(program("basalt-endpoint"))
            .arg("--data")
            .arg(&self.folder)
            .args(["--listen", ADDRESS])
            .args(&self.args);
        let operator = self.operator();
        self.program.start(cmd, || operator.ctl(&["hosts", "--json"], b"").ok.then_some(()));
    }

    /// Kills it (SIGKILL).
    ///
    /// # Panics
    /// It does not run.
    pub fn kill(&mut self) {
        self.program.kill();
    }

    /// Its process id.
    ///
    /// # Panics
    /// It does not run.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.program.id()
    }

    /// What it wrote.
    #[must_use]
    pub fn log(&self) -> String {
        self.program.log()
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
        Operator { folder: self.folder.clone(), env: self.program.env().to_vec() }
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
        said(with(cmd, &self.env))
    }
}
