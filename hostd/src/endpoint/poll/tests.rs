//! A host's polls against a server that answers what each test says, over real TLS.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use basalt_api::capacity::HostFacts;
use basalt_api::checkin::{ReportedSet, SET_PATH};
use basalt_api::id::Lineage;
use basalt_api::ledger::{Generation, Ledger};
use basalt_api::set::HostSet;
use http_body_util::{BodyExt, Full};
use hyper::Response;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::*;
use crate::books::Books;
use crate::config::Config;
use crate::endpoint::{EndpointSecrets, Trouble};
use crate::ledger::Store;
use crate::paths::Paths;
use crate::reconcile::Picture;
use crate::{identity, runtimes};

/// How long anything here may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// What the server asks for where it is busy, far beyond any wait that the host would choose.
const RETRY_AFTER_S: u16 = 300;

/// A poll as it reached the server.
struct Asked {
    request: CheckinRequest,
    /// The number of the connection.
    line: u32,
    answer: oneshot::Sender<(StatusCode, Vec<u8>)>,
}

impl Asked {
    fn answer(self, change: impl FnOnce(&mut CheckinAnswer)) {
        let mut answer = CheckinAnswer {
            lineage: Lineage(Uuid::nil()),
            generation: self.request.observed_generation,
            set_hash: String::new(),
            set: None,
            wait_s: 60,
            lease_s: 100,
            server_time: clock::unix_s(),
            actions: Vec::new(),
        };
        change(&mut answer);
        self.answer.send((StatusCode::OK, serde_json::to_vec(&answer).unwrap())).unwrap();
    }
}

/// A host that polls.
struct Host {
    polls: mpsc::Receiver<Asked>,
    /// Sets that were sent by themselves.
    sets: mpsc::Receiver<ReportedSet>,
    /// Whether the server knows that way.
    takes_sets: Arc<AtomicBool>,
    picture: watch::Sender<Arc<Picture>>,
    facts: watch::Sender<Option<HostFacts>>,
    heard: watch::Receiver<Option<Duration>>,
    trouble: watch::Receiver<Trouble>,
    standing: watch::Receiver<Standing>,
    books: Arc<Books>,
    task: tokio::task::JoinHandle<Result<()>>,
    _others: Vec<Box<dyn std::any::Any>>,
}

impl Drop for Host {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Host {
    async fn new() -> Self {
        Self::with(|_| ()).await
    }

    /// One that has this in its ledger.
    async fn with(prepare: impl FnOnce(&mut Ledger) + Send + 'static) -> Self {
        let host = Self::that_nobody_looked_at(prepare).await;
        host.facts.send_replace(Some(HostFacts::default()));
        host
    }

    /// The same, of which is not known yet what it has to give.
    async fn that_nobody_looked_at(prepare: impl FnOnce(&mut Ledger) + Send + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        let mut store = Store::open(&paths.state()).unwrap();
        store.begin("boot", 1).unwrap();
        let books = Books::new(store);
        let prepare = |ledger: &mut Ledger| {
            prepare(ledger);
            Ok(())
        };
        books.change(prepare).await.unwrap();
        let identity = identity::Store::of(&paths);
        let takes_sets = Arc::new(AtomicBool::new(true));
        let (tell_set, sets) = mpsc::channel(16);
        let way = SetsWay { is_known: Arc::clone(&takes_sets), tell: tell_set };
        let (enrolled, polls) = serve(&identity.key().unwrap(), way).await;
        let (picture, picture_seen) =
            watch::channel(Arc::new(Picture { is_known: true, ..Picture::default() }));
        let (facts, facts_seen) = watch::channel(None);
        let (heard, heard_seen) = watch::channel(None);
        let (trouble, trouble_seen) = watch::channel(Trouble::default());
        let (standing, standing_seen) = watch::channel(Standing::Alone);
        let ground = Ground {
            store: identity,
            machine: identity::machine(&paths),
            join: None,
            name: "a".to_owned(),
            boot_id: "boot".to_owned(),
            books: Arc::clone(&books),
            runtimes: runtimes::open(&paths, &Config::default()),
            picture: picture_seen,
            facts: facts_seen,
            can_update: true,
            us: watch::channel(None).0,
            heard,
            heard_file: folder.path().join("heard"),
            standing,
            trouble,
            copy: watch::channel(false).0,
            secrets: Arc::new(EndpointSecrets::new(paths.secrets())),
        };
        let task = tokio::spawn(for_ever(ground, enrolled));
        let others: Vec<Box<dyn std::any::Any>> = vec![Box::new(folder)];
        Self {
            polls,
            sets,
            takes_sets,
            picture,
            facts,
            heard: heard_seen,
            trouble: trouble_seen,
            standing: standing_seen,
            books,
            task,
            _others: others,
        }
    }

    async fn asked(&mut self) -> Asked {
        tokio::time::timeout(DEADLINE, self.polls.recv()).await.unwrap().unwrap()
    }

    /// One assigned workload is in another state than before.
    fn flips(&self, state: &str) {
        let text = format!(
            r#"{{"uid":"00000000-0000-0000-0000-000000000001","name":"a","kind":"container",
                "source":"assigned","state":"{state}"}}"#
        );
        let statuses = vec![serde_json::from_str(&text).unwrap()];
        let picture = Picture { statuses, is_known: true, ..Picture::default() };
        self.picture.send_replace(Arc::new(picture));
    }
}

/// How sets reach the server, where it knows that way.
#[derive(Clone)]
struct SetsWay {
    is_known: Arc<AtomicBool>,
    tell: mpsc::Sender<ReportedSet>,
}

impl SetsWay {
    async fn take(&self, body: &[u8]) -> StatusCode {
        if !self.is_known.load(Ordering::Relaxed) {
            return StatusCode::NOT_FOUND;
        }
        self.tell.send(serde_json::from_slice(body).unwrap()).await.unwrap();
        StatusCode::NO_CONTENT
    }
}

/// A server, what a host needs to ask it, and the polls that reach it.
async fn serve(host: &KeyPair, sets: SetsWay) -> (Enrolled, mpsc::Receiver<Asked>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::new(params, ca_key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let params = CertificateParams::new(Vec::new()).unwrap();
    let of_host = params.signed_by(host, &issuer).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(
        tokio_rustls::rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(
        vec![certificate.der().clone()],
        PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
    )
    .unwrap();
    let tls = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, polls) = mpsc::channel(16);
    tokio::spawn(async move {
        let lines = AtomicU32::new(0);
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (tls, tell, sets) = (tls.clone(), tell.clone(), sets.clone());
            let line = lines.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let stream = TokioIo::new(tls.accept(stream).await.unwrap());
                let answer =
                    service_fn(|request| answer(request, line, tell.clone(), sets.clone()));
                let _ = http1::Builder::new().serve_connection(stream, answer).await;
            });
        }
    });
    let enrolled = serde_json::json!({
        "host_id": Uuid::nil(), "name": "a", "urls": [format!("https://localhost:{port}")],
        "certificate": of_host.pem(), "ca": ca, "machine_id": "",
    });
    (serde_json::from_value(enrolled).unwrap(), polls)
}

async fn answer(
    request: hyper::Request<Incoming>,
    line: u32,
    tell: mpsc::Sender<Asked>,
    sets: SetsWay,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let is_set = request.uri().path() == SET_PATH;
    let body = request.into_body().collect().await?.to_bytes();
    if is_set {
        let mut response = Response::new(Full::default());
        *response.status_mut() = sets.take(&body).await;
        return Ok(response);
    }
    let request = serde_json::from_slice(&body).unwrap();
    let (answer, answered) = oneshot::channel();
    let _ = tell.send(Asked { request, line, answer }).await;
    let (status, body) = match answered.await {
        Ok(answer) => answer,
        Err(_) => std::future::pending().await,
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, hyper::header::HeaderValue::from(RETRY_AFTER_S));
    }
    Ok(response)
}

#[tokio::test]
async fn a_host_that_nobody_looked_at_yet_does_not_say_that_it_has_nothing_to_give() {
    let mut host = Host::that_nobody_looked_at(|_| ()).await;
    let early = tokio::time::timeout(Duration::from_millis(300), host.polls.recv()).await;
    assert!(early.is_err(), "{:?}", early.map(|asked| asked.map(|asked| asked.request)));
    let mut facts = HostFacts::default();
    facts.capacity.memory_mib = 4096;
    host.facts.send_replace(Some(facts.clone()));
    assert_eq!(host.asked().await.request.facts, Some(facts));
}

#[tokio::test]
async fn a_poll_with_news_runs_to_its_answer_while_more_goes_on_changing() {
    let mut host = Host::new().await;
    let first = host.asked().await;
    assert!(first.request.is_full);
    // The endpoint takes its time, and every tenth of a second something is new.
    let begun = Instant::now();
    for number in 0..25 {
        host.flips(if number % 2 == 0 { "failed" } else { "preparing" });
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(host.polls.try_recv().is_err(), "the first was not answered yet");
    }
    first.answer(|_| ());
    let (mut polls, mut left) = (0, Vec::new());
    let next = loop {
        let asked = host.asked().await;
        if !carries_news(&asked.request) {
            left.push(asked);
            continue;
        }
        polls += 1;
        if begun.elapsed() > Duration::from_secs(6) {
            break asked;
        }
        assert_eq!(asked.request.changes.len(), 1, "what was in flight is not told twice");
        asked.answer(|_| ());
        host.flips(if polls % 2 == 0 { "failed" } else { "preparing" });
    };
    // 3.5 s, and news once a second.
    assert!((3..=5).contains(&polls), "{polls}");
    assert!(left.len() <= polls, "{} waited in vain", left.len());
    assert!(usize::try_from(next.line).unwrap() <= 2 * polls, "{}", next.line);
    assert!(host.heard.borrow().is_some());
}

#[tokio::test]
async fn a_poll_without_news_makes_room_for_one_with_news_and_its_connection_serves_again() {
    let mut host = Host::new().await;
    host.asked().await.answer(|_| ());
    let mut lines = Vec::new();
    for state in ["preparing", "running", "failed", "running"] {
        let idle = host.asked().await;
        assert!(!carries_news(&idle.request));
        host.flips(state);
        let news = host.asked().await;
        assert_eq!(news.request.changes[0].state.to_string(), state);
        lines.push((idle.line, news.line));
        let fault = FaultKind::Superseded.with("");
        let body = serde_json::to_vec(&fault).unwrap();
        idle.answer.send((StatusCode::CONFLICT, body)).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        news.answer(|_| ());
    }
    let numbers = lines.iter().flat_map(|(idle, news)| [*idle, *news]);
    assert_eq!(numbers.max(), Some(1), "two connections serve: {lines:?}");
}

#[tokio::test]
async fn what_was_told_a_moment_ago_keeps_no_set_waiting() {
    let mut host = Host::new().await;
    let begun = Instant::now();
    let first = host.asked().await;
    assert!(carries_news(&first.request));
    first.answer(|_| ());
    let next = host.asked().await;
    assert!(!carries_news(&next.request) && begun.elapsed() < PACE / 2, "it waits for a set");
    let hash = HostSet::default().hash();
    next.answer(|answer| {
        (answer.generation, answer.set_hash) = (7, hash);
        answer.set = Some(HostSet::default());
    });
    host.asked().await;
    assert!(begun.elapsed() < PACE / 2, "and for the one after it");
}

/// A set with a guest that has this in its table.
fn guest(fields: &str) -> HostSet {
    let text = format!(
        r#"{{"workloads":[{{"uid":"00000000-0000-0000-0000-000000000001","spec":{{"name":"guest",
            "kind":"vm","vm":{{"disk":{{"url":"http://x/y","sha256":"0","format":"raw"}},{fields}}}
            }}}}]}}"#
    );
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn a_set_that_was_sealed_by_a_lost_key_comes_once_more() {
    let sealed = guest(r#""user_data":"AAAA","user_data_secret":"sealed""#);
    let clear = guest(r#""user_data":"hello""#);
    let lineage = Lineage(Uuid::nil());
    for comes in [sealed.clone(), clear.clone()] {
        let set = sealed.clone();
        let known = Generation { lineage, generation: 7, hash: "h".to_owned(), set };
        let mut host = Host::with(|ledger| ledger.assigned = Some(known)).await;
        let first = host.asked().await;
        assert_eq!((first.request.observed_generation, first.request.lineage), (0, None));
        let set = comes.clone();
        first.answer(move |answer| {
            (answer.generation, answer.set_hash, answer.set) = (7, "h".to_owned(), Some(set));
        });
        // Whether it helped or not, nothing is claimed again that is not so.
        let next = host.asked().await;
        assert_eq!((next.request.observed_generation, next.request.lineage), (7, Some(lineage)));
        assert_eq!(host.books.known().unwrap().assigned.as_ref().unwrap().set, comes);
    }
}

#[tokio::test]
async fn an_endpoint_that_answers_at_once_with_nothing_is_not_asked_again_and_again() {
    let mut host = Host::new().await;
    let begun = Instant::now();
    let mut polls = 0;
    while begun.elapsed() < PACE * 3 {
        host.asked().await.answer(|answer| answer.actions = vec![Action::Frozen]);
        polls += 1;
    }
    assert!((3..=6).contains(&polls), "{polls}");
}

#[tokio::test]
async fn the_endpoint_is_heard_once_its_set_is_in_the_ledger_and_not_by_a_set_that_is_refused() {
    let mut host = Host::new().await;
    let set = HostSet::default();
    let hash = set.hash();
    let with_set = |hash: &str| {
        let hash = hash.to_owned();
        move |answer: &mut CheckinAnswer| {
            (answer.generation, answer.set_hash) = (7, hash);
            answer.set = Some(HostSet::default());
        }
    };
    host.asked().await.answer(with_set(&hash));
    let books = Arc::clone(&host.books);
    let heard = host.heard.wait_for(Option::is_some);
    let first = *tokio::time::timeout(DEADLINE, heard).await.unwrap().unwrap();
    assert_eq!(books.known().unwrap().assigned.as_ref().unwrap().generation, 7);
    host.asked().await.answer(with_set("another"));
    let next = host.asked().await;
    assert_eq!(*host.heard.borrow(), first, "what it wants here is not known");
    let told = host.trouble.borrow().problems();
    assert_eq!(
        told[0].to_string(),
        "endpoint: its generation 7 is not taken: generation 7 is known with another content"
    );
    next.answer(|_| ());
    let fine = host.trouble.wait_for(|trouble| trouble.refused.is_none());
    tokio::time::timeout(DEADLINE, fine).await.unwrap().unwrap();
}

/// A host that took a set of so many bytes, and a poll of it.
async fn with_set(bytes: usize) -> (Host, Asked) {
    let mut host = Host::new().await;
    let text = format!(
        r#"{{"workloads":[{{"uid":"00000000-0000-0000-0000-000000000001","spec":
            {{"name":"a","kind":"container","container":
              {{"image":"a","environment":{{"X":"{}"}}}}}}}}]}}"#,
        "x".repeat(bytes)
    );
    let set: HostSet = serde_json::from_str(&text).unwrap();
    host.asked().await.answer(|answer| {
        (answer.generation, answer.set_hash, answer.set) = (7, set.hash(), Some(set));
    });
    let next = host.asked().await;
    assert_eq!(next.request.observed_generation, 7);
    (host, next)
}

#[tokio::test]
async fn the_set_that_the_endpoint_asks_for_is_sent_at_once_and_not_again_and_again() {
    // More than a check-in may have.
    let (mut host, mut asked) = with_set(2 << 20).await;
    let mut times = Vec::new();
    for _ in 0..3 {
        assert_eq!(asked.request.set, None, "it has a way of its own");
        let hash = asked.request.set_hash.clone();
        times.push(Instant::now());
        asked.answer(|answer| answer.actions = vec![Action::ReportSet]);
        let sent = tokio::time::timeout(DEADLINE, host.sets.recv()).await.unwrap().unwrap();
        assert_eq!((sent.generation, &sent.set_hash), (7, &hash));
        assert_eq!(sent.set.hash(), hash);
        asked = host.asked().await;
    }
    assert!(times[1] - times[0] < PACE, "somebody waits for it");
    assert!(times[2] - times[1] > PACE / 2, "it was sent");
}

#[tokio::test]
async fn an_endpoint_of_the_release_before_gets_the_set_by_a_poll() {
    let (mut host, asked) = with_set(1).await;
    host.takes_sets.store(false, Ordering::Relaxed);
    let begun = Instant::now();
    asked.answer(|answer| answer.actions = vec![Action::ReportSet]);
    let next = host.asked().await;
    assert_eq!(next.request.set.as_ref().unwrap().hash(), next.request.set_hash);
    assert!(begun.elapsed() < PACE, "somebody waits for it");
    next.answer(|answer| answer.actions = vec![Action::Frozen]);
    assert_eq!(host.asked().await.request.set, None, "once");
}

#[tokio::test]
async fn a_clock_that_differs_from_the_endpoints_is_told() {
    let mut host = Host::new().await;
    host.asked().await.answer(|answer| answer.server_time += 4000);
    let skewed = host.trouble.wait_for(|trouble| trouble.skew_s.is_some());
    let skew = tokio::time::timeout(DEADLINE, skewed).await.unwrap().unwrap().skew_s.unwrap();
    assert!((3990..=4010).contains(&skew), "{skew}");
    let problem = host.trouble.borrow().problems().remove(0).to_string();
    assert!(problem.ends_with(" s behind its endpoint's"), "{problem}");
}

/// How long it takes by a clock that goes on while nothing else does, until the next poll.
async fn until_the_next(host: &mut Host) -> (Duration, Asked) {
    tokio::time::pause();
    let begun = Instant::now();
    let next = host.polls.recv().await.unwrap();
    let took = begun.elapsed();
    tokio::time::resume();
    (took, next)
}

#[tokio::test]
async fn a_poll_that_is_held_beyond_its_wait_is_given_up_and_asked_again() {
    let mut host = Host::new().await;
    host.asked().await.answer(|answer| answer.wait_s = 45);
    let held = host.asked().await;
    assert!(!carries_news(&held.request));
    let (took, next) = until_the_next(&mut host).await;
    // The wait, 10 s more, and the pause after a first failure: at most 1 s.
    assert!((54..=57).contains(&took.as_secs()), "{took:?}");
    let Standing::Away(why) = host.standing.borrow().clone() else { panic!("{:?}", host.standing) };
    assert!(why.contains("55 s"), "{why}");
    assert_ne!(next.line, held.line, "the old connection may hang");
    next.answer(|_| ());
    let well = host.standing.wait_for(|standing| *standing == Standing::Connected);
    tokio::time::timeout(DEADLINE, well).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_busy_endpoint_is_asked_again_when_it_said() {
    let mut host = Host::new().await;
    host.asked().await.answer(|_| ());
    let asked = host.asked().await;
    asked.answer.send((StatusCode::SERVICE_UNAVAILABLE, b"busy".to_vec())).unwrap();
    let away = host.standing.wait_for(|standing| matches!(standing, Standing::Away(_)));
    tokio::time::timeout(DEADLINE, away).await.unwrap().unwrap();
    let (took, next) = until_the_next(&mut host).await;
    let asked_for = u64::from(RETRY_AFTER_S);
    assert!((asked_for - 2..=asked_for + 1).contains(&took.as_secs()), "{took:?}");
    next.answer(|_| ());
}

#[tokio::test]
async fn an_answer_of_a_later_release_is_taken() {
    let mut host = Host::new().await;
    let first = host.asked().await;
    let hash = HostSet::default().hash();
    let answer = serde_json::json!({
        "lineage": Uuid::nil(), "generation": 7, "set_hash": hash,
        "set": { "workloads": [], "colour": "blue" }, "wait_s": 60, "lease_s": 100,
        "server_time": clock::unix_s(), "moon": { "phase": 3 },
        "actions": [{ "action": "dance", "steps": [1, 2] }, { "action": "report_all", "loud": true }],
    });
    first.answer.send((StatusCode::OK, serde_json::to_vec(&answer).unwrap())).unwrap();
    let next = host.asked().await;
    assert_eq!(next.request.observed_generation, 7);
    assert!(next.request.is_full, "what stands beside what is unknown is done");
    assert_eq!(*host.standing.borrow(), Standing::Connected);
    assert!(host.heard.borrow().is_some());
    assert_eq!(host.trouble.borrow().problems(), []);
}

/// `systemctl stop` and `start` are no boot: what was heard in it counts.
#[test]
fn when_the_endpoint_was_heard_outlives_a_stop_of_hostd() {
    let unit = include_str!("../../../../images/base/usr/lib/systemd/system/hostd.service");
    assert!(unit.lines().any(|line| line == "RuntimeDirectoryPreserve=yes"));
}
