//! A runtime on an engine, and workloads for it.

use std::collections::BTreeMap;
use std::time::Duration;

use basalt_api::id::WorkloadUid;
use basalt_api::set::Assigned;
use basalt_api::workload::WorkloadSpec;
use basalt_tests::engine::Kind;
use basalt_tests::ground::{ADDRESS, Ground, HOST, TINY};
use basalt_tests::process::Process;
use hostd::containers::{Containers, Settings};
use hostd::registries::Registries;
use hostd::runtime::{Data, Make, Runtime, RuntimeError};
use hostd_core::instance::{Instance, InstanceState, Owner};
use serde_json::{Value, json};

/// For what takes milliseconds on a machine with nothing else to do.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A runtime on an engine of its own.
pub(crate) struct Stage {
    pub(crate) runtime: Containers,
    pub(crate) ground: Ground,
}

/// A stage; none where a test must be skipped.
pub(crate) fn stage(kind: Kind) -> Option<Stage> {
    let ground = Ground::prepare(kind)?;
    let runtime = Containers::new(settings(&ground));
    Some(Stage { runtime, ground })
}

pub(crate) fn settings(ground: &Ground) -> Settings {
    // Registries of tests are on the loopback of their own network.
    let url_allow = vec![ADDRESS.to_owned(), HOST.to_owned()];
    Settings { url_allow, ..Settings::new(ground.engine.socket(), Registries::default()) }
}

/// Its number tells workloads apart.
pub(crate) fn uid(number: u8) -> WorkloadUid {
    format!("0f8fad5b-d9cb-469f-a165-7086772895{number:02x}").parse().expect("a uid")
}

impl Stage {
    /// A workload of the tiny image. `container` is laid over the table, `resources` is the other.
    pub(crate) fn make_with(&self, number: u8, container: Value, resources: &Value) -> Make {
        let mut table = json!({ "image": TINY, "network": "none" });
        let (Value::Object(table), Value::Object(fields)) = (&mut table, container) else {
            panic!("tables");
        };
        table.extend(fields);
        let spec = json!({
            "name": format!("w{number}"), "kind": "container", "container": table,
            "resources": resources,
        });
        let spec: WorkloadSpec = serde_json::from_value(spec).expect("a spec");
        assert_eq!(basalt_api::validate::mistakes(&spec), [], "the test's own spec");
        let secrets = spec.secrets().into_iter();
        let secrets =
            secrets.map(|name| (name.clone(), format!("canary of {name}").into_bytes())).collect();
        let uid = uid(number);
        let private = self.ground.private().join(uid.to_string());
        let assigned = Assigned { uid, spec, secret_versions: BTreeMap::new() };
        Make { assigned, owner: Owner::Local, secrets, private }
    }

    pub(crate) fn make(&self, number: u8, container: Value) -> Make {
        self.make_with(number, container, &json!({}))
    }

    /// A workload that runs this script.
    pub(crate) fn script(&self, number: u8, script: &str) -> Make {
        self.make(number, json!({ "command": ["sh", "-c", script] }))
    }

    /// Makes and starts it.
    pub(crate) async fn run(&self, make: &Make) {
        self.runtime.create(make).await.expect("it can be made");
        self.runtime.start(make.assigned.uid).await.expect("it can be started");
    }

    pub(crate) async fn create_error(&self, make: &Make) -> RuntimeError {
        self.runtime.create(make).await.expect_err("it cannot be made")
    }

    /// How a workload is; none where it is not there.
    pub(crate) async fn see(&self, make: &Make) -> Option<Instance> {
        let all = self.runtime.observe().await.expect("the engine answers");
        all.instances.into_iter().find(|instance| instance.uid == make.assigned.uid)
    }

    pub(crate) async fn state(&self, make: &Make) -> Option<InstanceState> {
        self.see(make).await.map(|instance| instance.state)
    }

    /// Waits for its end, and returns how it ended.
    pub(crate) async fn end_of(&self, make: &Make) -> InstanceState {
        let end = tokio::time::Instant::now() + SOON;
        loop {
            let state = self.state(make).await.expect("it is there");
            if matches!(state, InstanceState::Ended { .. }) {
                return state;
            }
            assert!(tokio::time::Instant::now() < end, "it does not end: {state:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The name of its container.
    pub(crate) fn name(make: &Make) -> String {
        format!("{}-{}", make.assigned.spec.name, &make.assigned.uid.to_string()[..8])
    }

    /// What the engine tells about it.
    pub(crate) fn inspect(&self, make: &Make) -> Value {
        self.ground.engine.inspect(&Self::name(make))
    }

    /// Its first process.
    pub(crate) fn process(&self, make: &Make) -> Process {
        let pid = self.inspect(make)["State"]["Pid"].as_u64().unwrap_or_default();
        assert_ne!(pid, 0, "it does not run");
        Process(pid)
    }

    /// Waits until its script has replaced the engine's helper and made this file in `/tmp`.
    pub(crate) fn ready(&self, make: &Make) -> Process {
        let process = self.process(make);
        let file = process.root("/tmp/ready");
        basalt_tests::until::until(SOON, "the script is ready", || {
            let has_ended = self.inspect(make)["State"]["Running"] == false;
            assert!(!has_ended, "the script ended: {}", self.raw_log(make));
            file.exists().then_some(())
        });
        process
    }

    /// What the engine has of its output, with the engine's own bytes in between.
    fn raw_log(&self, make: &Make) -> String {
        let request = format!("GET /containers/{}/logs?stdout=1&stderr=1", Self::name(make));
        String::from_utf8_lossy(&self.ground.engine.ask(&request).body).into_owned()
    }

    /// All that it wrote, once it has ended.
    pub(crate) async fn output(&self, make: &Make) -> String {
        self.end_of(make).await;
        let wanted = hostd::runtime::LogsWanted { tail: None, follow: false };
        let pieces = self.runtime.logs(make.assigned.uid, wanted).await.expect("a log");
        read(pieces).await
    }

    /// Stops and removes it.
    pub(crate) async fn clear(&self, make: &Make, data: Data) {
        let uid = make.assigned.uid;
        self.runtime.stop(uid, Duration::ZERO).await.expect("it can be stopped");
        self.runtime.remove(uid, data).await.expect("it can be removed");
    }
}

/// Everything until the end.
pub(crate) async fn read(mut pieces: tokio::sync::mpsc::Receiver<bytes::Bytes>) -> String {
    let mut all = Vec::new();
    let all_read = async {
        while let Some(piece) = pieces.recv().await {
            all.extend_from_slice(&piece);
        }
    };
    tokio::time::timeout(SOON, all_read).await.expect("the log ends");
    String::from_utf8_lossy(&all).into_owned()
}
