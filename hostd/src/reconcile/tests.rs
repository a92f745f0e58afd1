//! The loop against a runtime in memory.

mod cuts;
mod looks;
mod memory;
mod periods;

use basalt_api::id::WorkloadUid;
use basalt_api::ledger::Ledger;
use hostd_core::books::{apply_local, delete_local};

use super::*;
use crate::ledger::Store;
use crate::secrets::NoSecrets;
use memory::Memory;

/// How long anything here may take.
const DEADLINE: Duration = Duration::from_secs(20);

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
        let set = basalt_api::set::HostSet { workloads: vec![quiet()], os: None };
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
    // What is done for the one that runs is told to be over a moment after it runs.
    let others = host.picture.wait_for(|picture| picture.under_way == ["stuck: prepare"]);
    tokio::time::timeout(DEADLINE, others).await.unwrap().unwrap();
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
