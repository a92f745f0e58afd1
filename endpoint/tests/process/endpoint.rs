//! An endpoint in a folder of its own.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use basalt_api::enrol::JoinString;
use basalt_api::operator::{TOKENS_PATH, TokenCreate, TokenCreated};
use basalt_cmd::{Cmd, Running};
use basalt_endpoint::client::Client;
use basalt_endpoint::data::Data;
use basalt_https::{Fingerprint, Trust};
use hyper::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Far beyond what anything here takes.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct Endpoint {
    pub(crate) folder: TempDir,
    args: Vec<String>,
    running: Option<Running>,
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Endpoint {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(args: &[&str]) -> Self {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        let mut endpoint = Self { folder: tempfile::tempdir().unwrap(), args, running: None };
        endpoint.run();
        endpoint
    }

    /// Starts the program and waits until it says that it is ready.
    pub(crate) fn run(&mut self) {
        let socket = self.folder.path().join("notify");
        let _ = fs::remove_file(&socket);
        let notify = UnixDatagram::bind(&socket).unwrap();
        notify.set_read_timeout(Some(DEADLINE)).unwrap();
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_path()).unwrap();
        let cmd = Cmd::new(env!("CARGO_BIN_EXE_basalt-endpoint"))
            .arg("--data")
            .arg(self.data().folder())
            .args(["--listen", "127.0.0.1:0", "--log", "debug"])
            .args(&self.args)
            .env("NOTIFY_SOCKET", &socket);
        self.running = Some(cmd.spawn(Stdio::null(), Stdio::null(), log.into()).unwrap());
        let mut bytes = [0; 4096];
        let length = notify
            .recv(&mut bytes)
            .unwrap_or_else(|error| panic!("silent ({error}): {}", self.log()));
        assert!(String::from_utf8_lossy(&bytes[..length]).contains("READY=1"));
    }

    pub(crate) fn data(&self) -> Data {
        Data::at(&self.folder.path().join("data"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log_path(&self) -> PathBuf {
        self.path("log")
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.running.as_ref().unwrap().id()
    }

    pub(crate) fn kill(&mut self) {
        self.running.take().unwrap().kill();
    }

    /// Asks it to end; its exit code.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        let mut running = self.running.take().unwrap();
        running.terminate();
        running.wait_for(DEADLINE).unwrap().and_then(|status| status.code())
    }

    pub(crate) fn url(&self) -> String {
        fs::read_to_string(self.data().url()).unwrap().trim().to_owned()
    }

    pub(crate) fn address(&self) -> String {
        self.url().strip_prefix("https://").unwrap().to_owned()
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        fs::read_to_string(self.data().ca_fingerprint()).unwrap().parse().unwrap()
    }

    pub(crate) fn client(&self) -> Client {
        let trust = Trust::Fingerprint(self.fingerprint());
        Client::new(self.url().parse().unwrap(), &trust, None).unwrap()
    }

    pub(crate) fn operator(&self) -> Client {
        let token = fs::read_to_string(self.data().operator_token()).unwrap();
        self.client().with_token(&token).unwrap()
    }

    pub(crate) async fn token(&self, asked: TokenCreate) -> JoinString {
        let created: TokenCreated =
            self.operator().send(Method::POST, TOKENS_PATH, &asked, DEADLINE).await.unwrap();
        created.join.parse().unwrap()
    }

    /// Applies a container that any host can run.
    pub(crate) async fn apply(&self, name: &str) -> Value {
        self.apply_spec(container(name)).await
    }

    pub(crate) async fn apply_spec(&self, spec: Value) -> Value {
        let body = json!({ "workloads": [spec] });
        self.operator().send(Method::POST, "/v1/workloads", &body, DEADLINE).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.operator().get(path, DEADLINE).await.unwrap()
    }

    /// Runs `basaltctl`, logged in by its environment.
    pub(crate) async fn ctl(&self, args: &[&str]) -> Ended {
        self.ctl_with(args, b"").await
    }

    pub(crate) async fn ctl_with(&self, args: &[&str], stdin: &[u8]) -> Ended {
        run(self.ctl_cmd().args(args).stdin(stdin)).await
    }

    /// `basaltctl` of somebody who never logged in.
    pub(crate) fn strangers_ctl(&self) -> Cmd {
        let cmd = Cmd::new(env!("CARGO_BIN_EXE_basaltctl"));
        cmd.env_clear().env("HOME", self.folder.path())
    }

    pub(crate) fn ctl_cmd(&self) -> Cmd {
        self.ctl_env(self.strangers_ctl())
    }

    /// A program that is logged in by its environment.
    pub(crate) fn ctl_env(&self, cmd: Cmd) -> Cmd {
        cmd.env("BASALT_URL", self.url())
            .env("BASALT_CA_FINGERPRINT", self.fingerprint().to_string())
            .env("BASALT_TOKEN_FILE", self.data().operator_token())
    }

    /// Runs `basalt-endpoint backup` or `restore`.
    pub(crate) async fn command(&self, args: &[&str]) -> Ended {
        let cmd = Cmd::new(env!("CARGO_BIN_EXE_basalt-endpoint"));
        run(cmd.arg("--data").arg(self.data().folder()).args(args)).await
    }
}

pub(crate) fn container(name: &str) -> Value {
    json!({ "name": name, "kind": "container", "container": { "image": "x" } })
}

/// Runs a program to its end, while others go on.
pub(crate) async fn run(cmd: Cmd) -> Ended {
    let run = move || cmd.deadline(DEADLINE).output().unwrap();
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: output.stdout_text(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Every file below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Waits until `is_so`; shows what was seen last when it never is.
pub(crate) async fn wait_until<F>(what: &str, mut is_so: impl FnMut() -> F)
where
    F: Future<Output = Result<(), String>>,
{
    let until = Instant::now() + DEADLINE;
    loop {
        let Err(seen) = is_so().await else { return };
        assert!(Instant::now() < until, "it never was so that {what}; last: {seen}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
