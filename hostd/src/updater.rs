//! Brings the host to the release that its set names, through `hostd-os`.

use std::sync::Arc;
use std::time::Duration;

use basalt_api::os::{Progress, Reboot, Reply, Request, Status, Wanted};
use basalt_api::rollout::{OsTarget, OsUpdate, OsUpdateState};
use basalt_api::status::{Boot, HostStatus};
use hostd_core::updating::{Course, GOES_DOWN, Next, Seen, percent};
use tokio::sync::watch;

use crate::books::Books;
use crate::clock;
use crate::config::Updates;
use crate::endpoint::Standing;
use crate::os::{OsError, ask};
use crate::paths::Paths;
use crate::round::verdict;
use crate::running_update::running_update;

/// Why a host that is told to update does not.
const NO_ARCHIVE: &str =
    "this host knows no archive of releases: hostd.toml has no `[updates] url`";

/// How long to wait for whoever has `hostd-os` at work.
const BUSY: Duration = Duration::from_secs(5);

/// What it goes by.
pub struct Ground {
    /// The ledger, which has the set.
    pub books: Arc<Books>,
    /// How the host is.
    pub status: watch::Receiver<Option<HostStatus>>,
    /// Whether the state is another machine's: nothing is done by it then.
    pub copy: watch::Receiver<bool>,
    /// How it stands with the endpoint. What the ledger has may be an old leave to reboot, which
    /// counts only while the endpoint answers.
    pub standing: watch::Receiver<Standing>,
    /// Where `hostd-os` listens and says what it does.
    pub paths: Paths,
    /// Where releases come from.
    pub updates: Updates,
    /// Takes how far it is.
    pub told: watch::Sender<Option<OsUpdate>>,
}

/// Runs for ever.
pub async fn run(mut ground: Ground) {
    let mut course = Course::default();
    let mut ledger = ground.books.watch();
    loop {
        let target = ground.target();
        let next = ground.next(&mut course, target.as_ref());
        ground.tell(course.report());
        let wait = match (next, target) {
            (Next::Fetch | Next::Install, Some(_)) if ground.is_busy(&course) => BUSY,
            (Next::Fetch, Some(target)) => {
                ground.fetch(&mut course, &target).await;
                continue;
            }
            (Next::Install, Some(target)) => {
                ground.install(&mut course, &target).await;
                continue;
            }
            (Next::Wait(wait), _) => wait,
            _ => Duration::MAX,
        };
        tokio::select! {
            // Cancel-safe, all: a change that was not awaited is still one.
            changed = ledger.changed() => if changed.is_err() { return },
            changed = ground.status.changed() => if changed.is_err() { return },
            changed = ground.standing.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(wait) => (),
        }
    }
}

impl Ground {
    fn target(&self) -> Option<OsTarget> {
        if *self.copy.borrow() {
            return None;
        }
        let ledger = self.books.known()?;
        let target = ledger.assigned.as_ref()?.set.os.clone()?;
        let is_heard = *self.standing.borrow() == Standing::Connected;
        Some(OsTarget { reboot: target.reboot && is_heard, ..target })
    }

    fn next(&mut self, course: &mut Course, target: Option<&OsTarget>) -> Next {
        let status = self.status.borrow_and_update();
        // Nobody has looked yet.
        let Some(status) = status.as_ref() else { return Next::Rest };
        let is_blessed = status.boot == Boot::Blessed;
        course.next(&Seen { target, version: &status.version, is_blessed, now: clock::uptime() })
    }

    /// Whether somebody else has `hostd-os` at work, as an operator of the host or a `hostd` before
    /// this one.
    fn is_busy(&self, course: &Course) -> bool {
        let Some(running) = running_update(&self.paths) else { return false };
        if let Some(update) = course.doing(OsUpdateState::Fetching)
            && running.version.as_ref() == Some(&update.version)
        {
            self.tell(Some(OsUpdate { percent: part(&running.progress), ..update }));
        }
        true
    }

    fn tell(&self, update: Option<OsUpdate>) {
        self.told.send_if_modified(|told| {
            let is_news = *told != update;
            *told = update;
            is_news
        });
    }

    async fn fetch(&self, course: &mut Course, target: &OsTarget) {
        self.tell(course.doing(OsUpdateState::Fetching));
        let done = match self.wanted(target) {
            Ok(wanted) => self.ask(course, &Request::Fetch(wanted)).await,
            Err(reason) => Err(reason),
        };
        match done {
            Ok(_) => course.fetched(),
            Err(reason) => self.failed(course, reason).await,
        }
    }

    async fn install(&self, course: &mut Course, target: &OsTarget) {
        self.tell(course.doing(OsUpdateState::Installing));
        let done = match self.wanted(target) {
            Ok(wanted) => {
                let (tries, reboot) = (self.updates.tries, Reboot::Now);
                self.ask(course, &Request::Update { wanted, tries, reboot }).await
            }
            Err(reason) => Err(reason),
        };
        let reason = match done {
            Ok(Reply::BootsNext(_)) => {
                tracing::info!(version = target.version, "rebooting into another release");
                tokio::time::sleep(GOES_DOWN).await;
                format!("the host has not gone down within {} s", GOES_DOWN.as_secs())
            }
            // It runs already, and the status will say so.
            Ok(_) => return course.fetched(),
            Err(reason) => reason,
        };
        self.failed(course, reason).await;
    }

    /// What went wrong may have its reason in a pin, which is no failure.
    async fn failed(&self, course: &mut Course, reason: String) {
        let now = clock::uptime();
        match self.pin().await {
            Some(pin) => course.pinned(pin, now),
            None if self.failed_its_trial(course) => course.is_bad(reason),
            None => {
                tracing::warn!("the release of the endpoint is not taken: {reason}");
                course.failed(reason, now);
            }
        }
    }

    /// Whether what is wanted is what was tried here last and did not prove itself.
    fn failed_its_trial(&self, course: &Course) -> bool {
        let wanted = course.doing(OsUpdateState::Failed).map(|update| update.version);
        let verdict = verdict(&self.paths).filter(|verdict| verdict.what != "good");
        verdict.is_some_and(|verdict| Some(verdict.release.version) == wanted)
    }

    async fn pin(&self) -> Option<String> {
        match ask(&self.paths.os_socket(), &Request::Status, |_| ()).await {
            Ok(Reply::Status(Status { pinned, .. })) => pinned,
            _ => None,
        }
    }

    fn wanted(&self, target: &OsTarget) -> Result<Wanted, String> {
        let url = self.updates.url.clone().ok_or(NO_ARCHIVE)?;
        let ca = self.updates.ca.as_ref().map(|ca| ca.to_string_lossy().into_owned());
        Ok(Wanted { url, ca, version: Some(target.version.clone()) })
    }

    async fn ask(&self, course: &Course, request: &Request) -> Result<Reply, String> {
        let told = |progress: &Progress| {
            let Some(percent) = part(progress) else { return };
            let update = course.doing(OsUpdateState::Fetching);
            self.tell(update.map(|update| OsUpdate { percent: Some(percent), ..update }));
        };
        ask(&self.paths.os_socket(), request, told).await.map_err(|error| reason(&error))
    }
}

/// How much of a download is there.
fn part(progress: &Progress) -> Option<u8> {
    match progress {
        Progress::Download { bytes, of_bytes, .. } => percent(*bytes, *of_bytes),
        Progress::Plan { .. } | Progress::Install { .. } => None,
    }
}

/// For an operator far away, in one line: hints are for whoever is at the host.
fn reason(error: &OsError) -> String {
    let text = error.to_string();
    let lines = text.lines().filter(|line| !line.starts_with("hint:"));
    lines.map(|line| line.strip_prefix("error: ").unwrap_or(line)).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use basalt_api::id::Lineage;
    use basalt_api::set::HostSet;
    use hostd_core::books;
    use tempfile::TempDir;
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::UnixListener;
    use tokio::sync::mpsc;

    use super::*;
    use crate::ledger::Store;

    const RELEASE: &str = r#""version":"4","commit":"00"}"#;

    /// A host at version 3, and a `hostd-os` that gives these answers.
    struct Scene {
        _folder: TempDir,
        books: Arc<Books>,
        status: watch::Sender<Option<HostStatus>>,
        standing: watch::Sender<Standing>,
        told: watch::Receiver<Option<OsUpdate>>,
        asked: mpsc::UnboundedReceiver<String>,
        generation: u64,
    }

    impl Scene {
        fn begin(answers: &[String]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let paths = Paths::under(folder.path());
            std::fs::create_dir_all(folder.path().join("run")).unwrap();
            let listener = UnixListener::bind(paths.os_socket()).unwrap();
            let asked = answer(listener, answers.to_vec());
            let store = Store::open(&folder.path().join("state")).unwrap();
            let books = Books::new(store);
            let text = include_str!("../../crates/api/examples/status.json");
            let status: HostStatus = serde_json::from_str(text).unwrap();
            let (status, seen) = watch::channel(Some(HostStatus { boot: Boot::Blessed, ..status }));
            let (tell, told) = watch::channel(None);
            let (standing, standing_seen) = watch::channel(Standing::Connected);
            let ground = Ground {
                books: Arc::clone(&books),
                status: seen,
                copy: watch::channel(false).1,
                standing: standing_seen,
                paths,
                updates: Updates { url: Some("https://a".to_owned()), ..Updates::default() },
                told: tell,
            };
            tokio::spawn(run(ground));
            Self { _folder: folder, books, status, standing, told, asked, generation: 0 }
        }

        async fn wants(&mut self, target: Option<OsTarget>) {
            let set = HostSet { os: target, ..HostSet::default() };
            self.generation += 1;
            let (lineage, generation) = (Lineage(uuid::Uuid::nil()), self.generation);
            let hash = generation.to_string();
            self.books
                .change(move |ledger| books::take_set(ledger, lineage, generation, &hash, set))
                .await
                .unwrap();
        }

        async fn tells(&mut self, state: Option<OsUpdateState>) -> Option<OsUpdate> {
            let is_so = |told: &Option<OsUpdate>| told.as_ref().map(|told| told.state) == state;
            let wait = self.told.wait_for(is_so);
            tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap().unwrap().clone()
        }
    }

    fn answer(listener: UnixListener, answers: Vec<String>) -> mpsc::UnboundedReceiver<String> {
        let (tell, asked) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            for answer in answers {
                let (stream, _) = listener.accept().await.unwrap();
                let (read, mut write) = stream.into_split();
                let line = BufReader::new(read).lines().next_line().await.unwrap().unwrap();
                tell.send(line).unwrap();
                write.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        asked
    }

    fn target(reboot: bool) -> Option<OsTarget> {
        Some(OsTarget { version: "4".to_owned(), attempt: 2, reboot })
    }

    #[tokio::test]
    async fn the_release_of_the_set_is_fetched_and_installed_once_the_host_may_reboot() {
        let fetched = format!("{{\"tell\":\"fetched\",{RELEASE}\n");
        let boots_next = format!("{{\"tell\":\"boots_next\",{RELEASE}\n");
        let mut scene = Scene::begin(&[fetched, boots_next]);
        scene.wants(target(false)).await;
        let told = scene.tells(Some(OsUpdateState::Fetched)).await.unwrap();
        assert_eq!((told.version.as_str(), told.attempt), ("4", 2));
        let asked = scene.asked.recv().await.unwrap();
        assert_eq!(asked, r#"{"ask":"fetch","url":"https://a","version":"4"}"#);
        // An old leave counts only while the endpoint answers.
        scene.standing.send_replace(Standing::Away("no route".to_owned()));
        scene.wants(target(true)).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(scene.asked.try_recv().is_err());
        scene.standing.send_replace(Standing::Connected);
        scene.tells(Some(OsUpdateState::Installing)).await;
        let asked = scene.asked.recv().await.unwrap();
        let expected =
            r#"{"ask":"update","url":"https://a","version":"4","tries":3,"reboot":"now"}"#;
        assert_eq!(asked, expected);
    }

    #[tokio::test]
    async fn a_host_that_is_pinned_says_so_and_one_whose_set_names_nothing_is_silent() {
        let refused =
            "{\"tell\":\"failed\",\"reason\":\"error: pinned\\nhint: unpin\"}\n".to_owned();
        let status = "{\"tell\":\"status\",\"image\":\"base\",\"slots\":[],\"sequence\":1,\
                      \"pinned\":\"an audit\"}\n";
        let mut scene = Scene::begin(&[refused, status.to_owned()]);
        scene.wants(target(false)).await;
        let told = scene.tells(Some(OsUpdateState::Pinned)).await.unwrap();
        assert_eq!(told.reason.as_deref(), Some("an audit"));
        scene.wants(None).await;
        scene.tells(None).await;
    }

    #[tokio::test]
    async fn nothing_is_asked_before_the_boot_has_proved_itself() {
        let fetched = format!("{{\"tell\":\"fetched\",{RELEASE}\n");
        let mut scene = Scene::begin(&[fetched]);
        let boots = |boot: Boot| {
            move |status: &mut Option<HostStatus>| {
                status.iter_mut().for_each(|status| status.boot = boot);
            }
        };
        scene.status.send_modify(boots(Boot::Trial));
        scene.wants(target(false)).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(scene.asked.try_recv().is_err());
        scene.status.send_modify(boots(Boot::Blessed));
        scene.tells(Some(OsUpdateState::Fetched)).await;
    }

    #[test]
    fn a_reason_is_one_line_without_hints() {
        let refused = OsError::Refused("error: no room\ncaused by: /\nhint: make some".to_owned());
        assert_eq!(reason(&refused), "no room; caused by: /");
    }
}
