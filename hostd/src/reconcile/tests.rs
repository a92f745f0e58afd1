//! The loop against a runtime in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use basalt_api::id::WorkloadUid;
use basalt_api::ledger::Ledger;
use bytes::Bytes;
use hostd_core::books::{Orphan, apply_local, delete_local};
use hostd_core::instance::{Instance, InstanceState};
use hostd_core::ledger::Place;
use hostd_core::step::{Data, Step};
use hostd_core::track::Purpose;
use tokio::sync::Notify;

use super::*;
use crate::ledger::Store;
use crate::runtime::{Failure, LogsWanted, Make, Runtime, RuntimeError, Sight};
use crate::secrets::NoSecrets;

/// How long anything here may take.
const DEADLINE: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Memory {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    instances: BTreeMap<WorkloadUid, Instance>,
    /// Names whose image is not to be had.
    without_image: BTreeSet<String>,
    /// Names whose image never arrives.
    stuck: BTreeSet<String>,
    /// How long every image takes.
    takes: Duration,
    /// The time that each had to end.
    graces: Vec<u64>,
    /// What has our labels and is not ours.
    strangers: Vec<String>,
    /// Whether a removal leaves the data, as one that is cut off.
    is_cut: bool,
    is_away: bool,
    looks: u32,
    created: u32,
}

impl Memory {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Something ends by itself.
    fn end(&self, name: &str, at: i64) {
        self.end_unheard(name, at);
        self.changed.notify_one();
    }

    /// The same, and the event is lost.
    fn end_unheard(&self, name: &str, at: i64) {
        for instance in self.state().instances.values_mut() {
            if instance.name.as_str() == name {
                instance.state = InstanceState::Ended { code: Some(1), at, note: None };
            }
        }
    }
}

fn failure(kind: Failure, message: &str) -> RuntimeError {
    RuntimeError { kind, message: message.to_owned() }
}

#[async_trait]
impl Runtime for Memory {
    async fn observe(&self) -> Result<Sight, RuntimeError> {
        let mut state = self.state();
        state.looks += 1;
        if state.is_away {
            return Err(failure(Failure::Unavailable, "podman does not answer"));
        }
        let instances = state.instances.values().cloned().collect();
        Ok(Sight { instances, strangers: state.strangers.clone() })
    }

    async fn prepare(&self, make: &Make) -> Result<(), RuntimeError> {
        let name = make.assigned.spec.name.to_string();
        if self.state().stuck.contains(&name) {
            std::future::pending::<()>().await;
        }
        let takes = self.state().takes;
        tokio::time::sleep(takes).await;
        let is_missing = self.state().without_image.contains(&name);
        if is_missing { Err(failure(Failure::Workload, "no such image")) } else { Ok(()) }
    }

    async fn create(&self, make: &Make) -> Result<(), RuntimeError> {
        let mut state = self.state();
        let instance = Instance {
            uid: make.assigned.uid,
            name: make.assigned.spec.name.clone(),
            kind: make.assigned.spec.kind,
            owner: make.owner,
            hash: make.assigned.replacement_hash(),
            state: InstanceState::Made,
            addresses: Vec::new(),
            lacks: None,
        };
        state.created += 1;
        state.instances.insert(instance.uid, instance);
        Ok(())
    }

    async fn start(&self, uid: WorkloadUid) -> Result<(), RuntimeError> {
        let mut state = self.state();
        let instance = state.instances.get_mut(&uid);
        let instance = instance.ok_or_else(|| failure(Failure::NotThere, "not there"))?;
        instance.state = InstanceState::Running { since: 1 };
        Ok(())
    }

    async fn stop(&self, uid: WorkloadUid, grace: Duration) -> Result<(), RuntimeError> {
        self.state().graces.push(grace.as_secs());
        if let Some(instance) = self.state().instances.get_mut(&uid) {
            instance.state = InstanceState::Ended { code: Some(137), at: 9, note: None };
        }
        Ok(())
    }

    async fn remove(&self, uid: WorkloadUid, _: Data) -> Result<(), RuntimeError> {
        let mut state = self.state();
        if state.is_cut
            && let Some(instance) = state.instances.get_mut(&uid)
        {
            instance.state = InstanceState::DataOnly;
            return Err(failure(Failure::Unavailable, "killed"));
        }
        state.instances.remove(&uid);
        Ok(())
    }

    async fn changed(&self) {
        self.changed.notified().await;
    }

    async fn logs(
        &self,
        _: WorkloadUid,
        _: LogsWanted,
    ) -> Result<mpsc::Receiver<Bytes>, RuntimeError> {
        Err(failure(Failure::NotThere, "not there"))
    }
}

struct Host {
    runtime: Arc<Memory>,
    books: Arc<Books>,
    picture: watch::Receiver<Arc<Picture>>,
    task: tokio::task::JoinHandle<()>,
    heard: watch::Sender<Option<Duration>>,
    us: watch::Sender<Option<Enrolled>>,
    _copy: watch::Sender<bool>,
    folder: Arc<tempfile::TempDir>,
}

impl Host {
    fn new() -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let mut store = Store::open(folder.path()).unwrap();
        store.begin("boot", 1).unwrap();
        Self::over(folder, Arc::default(), Books::new(store))
    }

    fn over(folder: Arc<tempfile::TempDir>, runtime: Arc<Memory>, books: Arc<Books>) -> Self {
        let (show, picture) = watch::channel(Arc::default());
        let (us_tell, us) = watch::channel(None);
        let (heard_tell, heard) = watch::channel(None);
        let (copy_tell, copy) = watch::channel(false);
        let runtimes = Runtimes {
            containers: runtime.clone(),
            machines: Arc::new(Memory::default()),
            private: folder.path().to_owned(),
            marks: folder.path().to_owned(),
        };
        let allowed = folder.path().to_str().unwrap().to_owned();
        let task = tokio::spawn(run(Ground {
            books: Arc::clone(&books),
            runtimes,
            secrets: Arc::new(NoSecrets),
            policy: Policy { host_paths: vec![allowed], ..Policy::default() },
            us,
            copy,
            heard,
            events: Arc::default(),
            metrics: Arc::default(),
            picture: show,
            again: mpsc::channel(1).1,
        }));
        Self {
            runtime,
            books,
            picture,
            task,
            heard: heard_tell,
            us: us_tell,
            _copy: copy_tell,
            folder,
        }
    }

    /// hostd is killed and comes back; the runtime goes on.
    fn comes_back(self) -> Self {
        self.task.abort();
        let store = Store::open(self.folder.path()).unwrap();
        Self::over(self.folder, self.runtime, Books::new(store))
    }

    async fn apply(&self, name: &str) {
        self.apply_with_grace(name, 10).await;
    }

    async fn apply_with_grace(&self, name: &str, seconds: u32) {
        self.apply_container(name, &format!(r#"{{"image":"a","stop_grace_s":{seconds}}}"#)).await;
    }

    async fn apply_image(&self, name: &str, image: &str) {
        self.apply_container(name, &format!(r#"{{"image":"{image}"}}"#)).await;
    }

    async fn apply_container(&self, name: &str, container: &str) {
        let text = format!(r#"{{"name":"{name}","kind":"container","container":{container}}}"#);
        let spec = serde_json::from_str(&text).unwrap();
        let uid = WorkloadUid(uuid::Uuid::new_v4());
        let apply = move |ledger: &mut Ledger| apply_local(ledger, spec, uid);
        self.books.change(apply).await.unwrap();
    }

    /// Its endpoint was heard so long ago and wants this workload, which may run for 60 s without.
    async fn assign_quiet(&self, heard_before: Duration) {
        let heard = clock::uptime().checked_sub(heard_before).unwrap();
        self.heard.send_replace(Some(heard));
        let enrolled = r#"{"host_id":"00000000-0000-0000-0000-000000000001","name":"a","urls":[],
            "certificate":"","ca":"","machine_id":""}"#;
        self.us.send_replace(Some(serde_json::from_str(enrolled).unwrap()));
        let set = basalt_api::set::HostSet { workloads: vec![quiet()] };
        let lineage = basalt_api::id::Lineage(uuid::Uuid::nil());
        let take = move |ledger: &mut Ledger| books::take_set(ledger, lineage, 1, "h", set);
        self.books.change(take).await.unwrap();
    }

    /// With a folder of the host.
    async fn apply_with_path(&self, name: &str, path: &str) {
        let path = self.folder.path().join(path);
        let spec = serde_json::from_value(serde_json::json!({
            "name": name, "kind": "container",
            "container": { "image": "a", "volumes": [{ "host": path, "path": "/a" }] },
        }));
        let (spec, uid) = (spec.unwrap(), WorkloadUid(uuid::Uuid::new_v4()));
        let apply = move |ledger: &mut Ledger| apply_local(ledger, spec, uid);
        self.books.change(apply).await.unwrap();
    }

    /// Waits until the workloads are so: `web=running job=failed`.
    async fn becomes(&mut self, expected: &str) {
        let shown = |picture: &Arc<Picture>| {
            let one = |status: &WorkloadStatus| format!("{}={}", status.name, status.state);
            picture.statuses.iter().map(one).collect::<Vec<_>>().join(" ")
        };
        let is_so = |picture: &Arc<Picture>| picture.is_known && shown(picture) == expected;
        let wait = self.picture.wait_for(is_so);
        if tokio::time::timeout(DEADLINE, wait).await.is_err() {
            let picture = self.picture.borrow();
            panic!("expected {expected}, it is {}: {picture:?}", shown(&picture));
        }
    }
}

/// One that may run for 60 s while its endpoint is silent.
fn quiet() -> basalt_api::set::Assigned {
    let text = r#"{"uid":"00000000-0000-0000-0000-000000000007","spec":{"name":"quiet",
        "kind":"container","disconnect":{"policy":"stop_after","after_s":60},
        "container":{"image":"a"}}}"#;
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn what_has_a_period_is_stopped_when_it_is_over_and_not_a_minute_later() {
    let mut host = Host::new();
    host.assign_quiet(Duration::from_secs(57)).await;
    host.becomes("quiet=running").await;
    let begun = Instant::now();
    host.becomes("quiet=stopped").await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn what_is_being_prepared_when_its_period_ends_is_given_up() {
    let mut host = Host::new();
    host.runtime.state().stuck.insert("quiet".to_owned());
    host.assign_quiet(Duration::from_secs(58)).await;
    host.becomes("quiet=preparing").await;
    host.becomes("quiet=stopped").await;
    assert_eq!(host.runtime.state().created, 0);
}

/// Without the loop's help: it may be busy looking at a runtime that does not answer.
#[tokio::test]
async fn nothing_is_made_after_a_preparation_that_outlived_the_period() {
    let runtime = Arc::new(Memory::default());
    runtime.state().takes = Duration::from_secs(2);
    let host_id = HostId(uuid::Uuid::nil());
    let wanted = Wanted::new(quiet(), hostd_core::instance::Owner::Host(host_id), false);
    let heard = clock::uptime().checked_sub(Duration::from_secs(59)).unwrap();
    let (_give_up_tell, give_up) = watch::channel(false);
    let (_heard_tell, heard) = watch::channel(Some(heard));
    let (report, mut reports) = mpsc::channel(16);
    let task = carry_out::Task {
        runtime: runtime.clone(),
        secrets: Arc::new(NoSecrets),
        private: std::path::PathBuf::new(),
        work: Work {
            uid: wanted.uid(),
            name: wanted.name().clone(),
            kind: Kind::Container,
            steps: vec![Step::Prepare, Step::Create, Step::Start],
            purpose: Purpose::Run(wanted.hash.clone()),
        },
        wanted: Some(wanted),
        report,
        give_up,
        policy: Policy::default(),
        host_paths: crate::host_paths::HostPaths::new(&[]),
        heard,
    };
    task.run().await;
    let mut told = Vec::new();
    while let Some((_, progress)) = reports.recv().await {
        told.push(progress);
    }
    assert_eq!(
        told,
        [Progress::Began(Step::Prepare), Progress::Did(Step::Prepare), Progress::Over]
    );
    assert_eq!(runtime.state().created, 0);
}

#[tokio::test]
async fn what_is_applied_runs_and_what_is_deleted_goes() {
    let mut host = Host::new();
    host.apply("web").await;
    host.becomes("web=running").await;
    host.books.change(|ledger| delete_local(ledger, "web")).await.unwrap();
    host.becomes("").await;
    assert!(host.runtime.state().instances.is_empty());
}

#[tokio::test]
async fn a_path_of_the_host_that_a_link_leads_elsewhere_is_not_mounted() {
    let mut host = Host::new();
    std::fs::create_dir(host.folder.path().join("data")).unwrap();
    std::os::unix::fs::symlink("/etc", host.folder.path().join("link")).unwrap();
    host.apply_with_path("bad", "link/ssh").await;
    host.apply_with_path("good", "data").await;
    host.becomes("bad=failed good=running").await;
    let reason = host.picture.borrow().statuses[0].reason.clone().unwrap();
    assert!(reason.contains("leads through a symbolic link"), "{reason}");
    assert_eq!(host.runtime.state().created, 1);
}

#[tokio::test]
async fn what_is_deleted_has_its_own_time_to_end_although_hostd_died_between() {
    let mut host = Host::new();
    host.apply_with_grace("web", 77).await;
    host.becomes("web=running").await;
    host.task.abort();
    host.books.change(|ledger| delete_local(ledger, "web")).await.unwrap();
    let mut host = host.comes_back();
    host.becomes("").await;
    assert_eq!(host.runtime.state().graces, [77]);
}

/// Between the container and its volumes; hostd is killed at the same moment.
#[tokio::test]
async fn a_removal_that_was_cut_off_before_the_data_goes_on_after_a_start() {
    let mut host = Host::new();
    host.apply("web").await;
    host.becomes("web=running").await;
    host.runtime.state().is_cut = true;
    host.books.change(|ledger| delete_local(ledger, "web")).await.unwrap();
    host.becomes("web=failed").await;
    host.task.abort();
    host.runtime.state().is_cut = false;
    let mut host = host.comes_back();
    host.becomes("").await;
    assert!(host.runtime.state().instances.is_empty());
}

#[tokio::test]
async fn data_alone_is_no_container_for_who_wants_it() {
    let mut host = Host::new();
    host.apply("web").await;
    host.becomes("web=running").await;
    for instance in host.runtime.state().instances.values_mut() {
        instance.state = InstanceState::DataOnly;
        instance.hash.clear();
    }
    host.runtime.changed.notify_one();
    let made_again = async {
        while host.runtime.state().created < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, made_again).await.unwrap();
    host.becomes("web=running").await;
}

#[tokio::test]
async fn secrets_that_a_cut_left_go_at_the_next_start_and_those_in_use_stay() {
    let mut host = Host::new();
    host.apply("web").await;
    host.becomes("web=running").await;
    let wanted = host.picture.borrow().statuses[0].uid;
    let left = WorkloadUid(uuid::Uuid::new_v4());
    for name in [left.to_string(), wanted.to_string(), "no-workload".to_owned()] {
        std::fs::create_dir(host.folder.path().join(name)).unwrap();
    }
    std::fs::write(host.folder.path().join(left.to_string()).join("key"), "canary").unwrap();
    let mut host = host.comes_back();
    host.becomes("web=running").await;
    let is_there = |name: &str| host.folder.path().join(name).exists();
    assert!(!is_there(&left.to_string()));
    assert!(is_there(&wanted.to_string()) && is_there("no-workload"));
}

#[tokio::test]
async fn what_has_our_labels_and_is_not_ours_is_told_as_long_as_it_is_there() {
    let mut host = Host::new();
    host.runtime.state().strangers = vec!["`a` has the labels of `b`".to_owned()];
    host.apply("web").await;
    host.becomes("web=running").await;
    assert_eq!(host.picture.borrow().strangers, ["`a` has the labels of `b`"]);
    host.runtime.state().strangers.clear();
    host.runtime.changed.notify_one();
    let gone = host.picture.wait_for(|picture| picture.strangers.is_empty());
    tokio::time::timeout(DEADLINE, gone).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_an_older_copy_of_the_ledger_does_not_know_is_left_alone() {
    let mut host = Host::new();
    host.apply("web").await;
    host.becomes("web=running").await;
    host.task.abort();
    // The copy that knew it is damaged; the one before it serves.
    let folder = host.folder.path().to_owned();
    let sequence = host.books.known().unwrap().sequence;
    std::fs::write(folder.join(Place::of(sequence).file_name()), "torn").unwrap();
    let mut host = host.comes_back();
    host.becomes("web=running").await;
    let status = host.picture.borrow().statuses[0].clone();
    assert_eq!(status.source, basalt_api::report::Source::Orphaned);
    let orphan = Orphan { uid: status.uid, name: status.name, kind: status.kind };
    host.books.change(move |ledger| books::purge(ledger, &orphan)).await.unwrap();
    host.becomes("").await;
    assert!(host.runtime.state().instances.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_ledger_forgets_what_is_gone() {
    let mut host = Host::new();
    host.apply("web").await;
    host.becomes("web=running").await;
    host.books.change(|ledger| delete_local(ledger, "web")).await.unwrap();
    host.becomes("").await;
    let mut known = host.books.watch();
    assert_eq!(known.borrow().as_ref().unwrap().leaving.len(), 1);
    let forgotten = known.wait_for(|known| known.as_ref().unwrap().leaving.is_empty());
    tokio::time::timeout(Duration::from_secs(600), forgotten).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_broken_and_a_stuck_workload_hold_up_no_other() {
    let mut host = Host::new();
    host.runtime.state().without_image.insert("broken".to_owned());
    host.runtime.state().stuck.insert("stuck".to_owned());
    for name in ["broken", "stuck", "web"] {
        host.apply(name).await;
    }
    host.becomes("broken=failed stuck=preparing web=running").await;
    let picture = host.picture.borrow().clone();
    assert_eq!(picture.statuses[0].reason.as_deref(), Some("no such image"));
    assert_eq!(picture.under_way, ["stuck: prepare"]);
}

#[tokio::test]
async fn a_corrected_spec_a_hold_and_a_deletion_wait_for_no_image_that_never_comes() {
    let mut host = Host::new();
    host.runtime.state().stuck.insert("web".to_owned());
    host.apply("web").await;
    host.becomes("web=preparing").await;
    host.books.change(|ledger| books::hold(ledger, "web", books::Hold::Keep)).await.unwrap();
    host.becomes("web=stopped").await;
    host.books.change(|ledger| books::hold(ledger, "web", books::Hold::LetGo)).await.unwrap();
    host.becomes("web=preparing").await;
    host.runtime.state().stuck.clear();
    host.apply_image("web", "corrected").await;
    host.becomes("web=running").await;
    // The replacement's image never comes either; deleted, the old one goes at once.
    host.runtime.state().stuck.insert("web".to_owned());
    host.apply_image("web", "wrong").await;
    let prepares = host.picture.wait_for(|picture| picture.under_way == ["web: prepare"]);
    tokio::time::timeout(DEADLINE, prepares).await.unwrap().unwrap();
    host.books.change(|ledger| delete_local(ledger, "web")).await.unwrap();
    host.becomes("").await;
    assert!(host.runtime.state().instances.is_empty());
}

#[tokio::test]
async fn what_ends_by_itself_is_started_again_at_once() {
    let mut host = Host::new();
    host.apply("web").await;
    host.becomes("web=running").await;
    host.runtime.end("web", 77);
    let restarted = host.picture.wait_for(|picture| picture.statuses[0].restarts == 1);
    tokio::time::timeout(DEADLINE, restarted).await.unwrap().unwrap();
    host.becomes("web=running").await;
}

#[tokio::test(start_paused = true)]
async fn what_no_event_told_is_seen_within_two_minutes_although_the_endpoint_is_heard() {
    let mut host = Host::new();
    host.apply("web").await;
    host.becomes("web=running").await;
    host.runtime.end_unheard("web", 77);
    let heard = host.heard.clone();
    let ticks = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(24)).await;
            heard.send_replace(Some(clock::uptime()));
        }
    });
    let restarted = host.picture.wait_for(|picture| picture.statuses[0].restarts == 1);
    tokio::time::timeout(Duration::from_secs(120), restarted).await.unwrap().unwrap();
    ticks.abort();
}

#[tokio::test]
async fn after_a_crash_what_runs_is_adopted() {
    let mut host = Host::new();
    host.apply("web").await;
    host.becomes("web=running").await;
    let mut host = host.comes_back();
    host.becomes("web=running").await;
    assert_eq!(host.runtime.state().created, 1);
}

#[tokio::test]
async fn a_runtime_that_comes_back_is_used_again() {
    let mut host = Host::new();
    host.runtime.state().is_away = true;
    host.apply("web").await;
    host.becomes("web=unknown").await;
    host.runtime.state().is_away = false;
    host.runtime.changed.notify_one();
    host.becomes("web=running").await;
}

#[tokio::test]
async fn without_workloads_no_runtime_is_asked() {
    let mut host = Host::new();
    let known = host.picture.wait_for(|picture| picture.is_known);
    tokio::time::timeout(DEADLINE, known).await.unwrap().unwrap();
    assert_eq!(host.runtime.state().looks, 0);
}

#[tokio::test]
async fn a_kind_that_was_not_used_costs_no_write() {
    let memory = || Arc::new(Memory::default());
    // A folder that is not there can be neither written to nor synced.
    let runtimes = Runtimes {
        containers: memory(),
        machines: memory(),
        private: "/nowhere".into(),
        marks: "/nowhere/at/all".into(),
    };
    runtimes.is_done_with(Kind::Vm).await.unwrap();
    assert!(runtimes.will_use(Kind::Vm).await.is_err());
}
