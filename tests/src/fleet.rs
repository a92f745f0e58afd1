//! The real endpoint and real hosts that are enrolled at it, in the place of one test.
//!
//! Each program keeps everything in a folder of the ground, is started, killed and asked there, and
//! ends with the test.

mod endpoint;
mod host;
mod machine;
mod program;

use std::path::{Path, PathBuf};
use std::time::Duration;

use basalt_cmd::Cmd;
use serde_json::Value;

use crate::engine::Kind;
use crate::ground::Ground;
use crate::until::until;

pub use endpoint::{Endpoint, Operator};
pub use host::{Host, hostctl};

/// On a slow and busy machine.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// Runs until it is asked to end, and says so at its beginning.
pub const LOOP: &str = "echo here; trap 'exit 0' TERM; while :; do sleep 0.1; done";

/// One endpoint and one host, which are enrolled at each other.
#[derive(Debug)]
pub struct Fleet {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// The host.
    pub host: Host,
    /// Where they live. Last, so that it goes last.
    pub ground: Ground,
}

/// What a program said.
#[derive(Debug)]
pub struct Said {
    /// Whether it ended with 0.
    pub ok: bool,
    /// Its stdout.
    pub text: String,
    /// Its stderr.
    pub errors: String,
}

impl Fleet {
    /// Both run and know each other; `None`, said in one line, where this cannot be.
    ///
    /// # Panics
    /// They do not come together.
    #[must_use]
    pub fn start(kind: Kind) -> Option<Self> {
        let mut fleet = Self::prepare(kind)?;
        fleet.endpoint.start();
        fleet.enrol();
        Some(fleet)
    }

    /// Neither runs yet.
    ///
    /// # Panics
    /// The ground cannot be made although it should.
    #[must_use]
    pub fn prepare(kind: Kind) -> Option<Self> {
        let ground = Ground::prepare(kind)?;
        let endpoint = Endpoint::new(&ground);
        let host = Host::new(&ground, "host");
        Some(Self { endpoint, host, ground })
    }

    /// Gives the host a join string of the endpoint, starts it, and waits until both agree.
    ///
    /// # Panics
    /// They do not come together.
    pub fn enrol(&mut self) {
        let join = self.endpoint.join_string();
        self.enrol_with(&join);
    }

    /// The same with this join string.
    ///
    /// # Panics
    /// They do not come together.
    pub fn enrol_with(&mut self, join: &str) {
        self.host.put("etc/basalt/join", join);
        self.host.start();
        self.is_present();
    }

    /// Waits until the endpoint has the host for present.
    ///
    /// # Panics
    /// It never does.
    pub fn is_present(&self) {
        self.is_at_the_endpoint("present");
    }

    /// Waits until the endpoint has the host in this state.
    ///
    /// # Panics
    /// It never has.
    pub fn is_at_the_endpoint(&self, state: &str) {
        until(DEADLINE, &format!("the endpoint has the host for {state}"), || {
            (self.endpoint.host()?["state"] == state).then_some(())
        });
    }

    /// A file with a container that runs [`LOOP`]; `rest` stands in its first table.
    #[must_use]
    pub fn container(&self, name: &str, rest: &str) -> PathBuf {
        let text = container(name, rest, "");
        self.put(&format!("{name}.toml"), &text)
    }

    /// Writes a file.
    ///
    /// # Panics
    /// It cannot.
    pub fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.ground.path(name);
        std::fs::write(&path, text).expect("a file");
        path
    }

    /// Applies a container at the endpoint, and waits until it runs.
    ///
    /// # Panics
    /// It does not.
    pub fn apply(&self, name: &str, rest: &str) {
        let file = self.container(name, rest);
        let said = self.endpoint.ctl(&["apply", text(&file), "--wait"]);
        assert!(said.ok, "{}{}", said.text, said.errors);
    }

    /// Ids of every container that the engine has, whoever made it, in order.
    ///
    /// # Panics
    /// The engine does not answer.
    #[must_use]
    pub fn containers(&self) -> Vec<String> {
        let list = self.ground.engine.ask("GET /containers/json?all=true").json();
        let list = list.as_array().cloned().unwrap_or_default();
        let mut ids: Vec<String> =
            list.iter().filter_map(|one| one["Id"].as_str().map(str::to_owned)).collect();
        ids.sort();
        ids
    }
}

/// The spec of a container that runs [`LOOP`]; `rest` stands in its first table, `container` in the
/// other.
#[must_use]
pub fn container(name: &str, rest: &str, container: &str) -> String {
    let image = crate::ground::TINY;
    format!(
        "name = {name:?}\nkind = \"container\"\n{rest}\n[container]\nimage = {image:?}\n\
         network = \"none\"\ncommand = [\"sh\", \"-c\", {LOOP:?}]\n{container}\n"
    )
}

/// A path as text.
///
/// # Panics
/// It is none.
#[must_use]
pub fn text(path: &Path) -> &str {
    path.to_str().expect("a path of a test is text")
}

/// One of the programs that `cargo build --release` makes.
///
/// # Panics
/// It is not there.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("this program's own file");
    let path = own.ancestors().nth(2).expect("a folder of cargo's").join(name);
    assert!(path.is_file(), "there is no `{}`\nhint: `cargo build --release`", path.display());
    path
}

/// Runs a program to its end.
///
/// # Panics
/// It does not end.
pub(crate) fn said(cmd: Cmd) -> Said {
    let output = cmd.deadline(DEADLINE).output().expect("it ends");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    Said { ok: output.status.success(), text: output.stdout_text(), errors }
}

impl Said {
    /// What it printed, as JSON; null where it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}
