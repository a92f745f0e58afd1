//! Many hosts in one process: each enrols with a key of its own, keeps one connection, and checks in
//! for ever. What a check-in takes is the time beyond that for which it was to be held.

use std::cell::RefCell;
use std::io::BufRead;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use basalt_api::capacity::{Capacity, HostFacts};
use basalt_api::checkin::{CHECKIN_PATH, CheckinAnswer, CheckinRequest};
use basalt_api::enrol::{ENROL_PATH, EnrolAnswer, EnrolRequest, JoinString};
use basalt_api::id::Lineage;
use basalt_api::workload::Cpus;
use basalt_https::{Client, Identity, Limits, Trust};
use hyper::{Method, StatusCode};
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;
use tokio::task::LocalSet;

use crate::pairs::Times;

pub(crate) const HOSTS: u32 = 2000;
/// Enrolments at once.
const AT_ONCE: u32 = 16;
/// Hosts begin within this, as after a power cut.
const BEGIN: Duration = Duration::from_secs(20);
/// By then every host is in a poll that is held; the next polls are counted.
const CALM: Duration = Duration::from_secs(75);
const COUNTED: Duration = Duration::from_secs(75);
const PATIENCE: Duration = Duration::from_secs(120);
const LIMITS: Limits = Limits { deadline: PATIENCE, bytes: 4 << 20 };

/// Who a host is.
#[derive(Clone)]
struct Enrolled {
    identity: Identity,
    ca: String,
    /// What it says next: it has told everything once, and has its set.
    next: CheckinRequest,
}

/// What came of the polls.
#[derive(Default)]
struct Heard {
    is_counted: bool,
    times: Times,
    timed: u32,
    failed: u32,
}

/// Enrols all, then for each line of stdin, a URL and `static` or not, checks in there and tells.
pub(crate) fn run(folder: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let join: JoinString = std::fs::read_to_string(folder.join("join")).unwrap().parse().unwrap();
    let began = Instant::now();
    let hosts = LocalSet::new().block_on(&runtime, enrol_all(join));
    let each = began.elapsed().as_secs_f64() / f64::from(HOSTS);
    std::fs::write(folder.join("hosts-ca.pem"), &hosts[0].ca).unwrap();
    println!("{}", json!({ "enrolled": { "each_s": each } }));
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let (url, kind) = line.split_once(' ').unwrap();
        let ca = (kind == "static")
            .then(|| std::fs::read_to_string(folder.join("static-ca.pem")).unwrap());
        let heard = LocalSet::new().block_on(&runtime, check_in_all(&hosts, url, ca.as_deref()));
        let times = json!({
            "p50_s": heard.times.percentile(50), "p99_s": heard.times.percentile(99),
            "timed": heard.timed, "failed": heard.failed,
        });
        println!("{}", json!({ "times": times }));
    }
}

async fn enrol_all(join: JoinString) -> Vec<Enrolled> {
    let (join, done) = (Rc::new(join), Rc::new(RefCell::new(Vec::new())));
    let next = Rc::new(RefCell::new(0..HOSTS));
    let workers: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (join, done, next) = (Rc::clone(&join), Rc::clone(&done), Rc::clone(&next));
            tokio::task::spawn_local(async move {
                let trust = Trust::Fingerprint(join.ca_sha256.parse().unwrap());
                let mut client = Client::new(&join.urls[0], &trust, None).unwrap();
                loop {
                    let Some(number) = next.borrow_mut().next() else { return };
                    let mut enrolled = enrol(&join, &mut client, number).await;
                    tell_everything(&join.urls[0], &mut enrolled).await;
                    done.borrow_mut().push(enrolled);
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    done.take()
}

async fn enrol(join: &JoinString, client: &mut Client, number: u32) -> Enrolled {
    let key = KeyPair::generate().unwrap();
    let csr = CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
    let name = format!("h{number}").parse().unwrap();
    let request = EnrolRequest { secret: join.secret.clone(), name, csr };
    let body = serde_json::to_vec(&request).unwrap().into();
    let answer = client.ask(Method::POST, ENROL_PATH, body, LIMITS).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{}", String::from_utf8_lossy(&answer.body));
    let EnrolAnswer { certificate, ca, .. } = serde_json::from_slice(&answer.body).unwrap();
    let identity = Identity { certificate, key: key.serialize_pem() };
    Enrolled { identity, ca, next: first(number) }
}

/// A host's first check-in, as it is for the endpoint: everything about the host is new.
async fn tell_everything(url: &str, host: &mut Enrolled) {
    let trust = Trust::Ca(host.ca.clone());
    let mut client = Client::new(url, &trust, Some(&host.identity)).unwrap();
    let body = serde_json::to_vec(&host.next).unwrap().into();
    let answer = client.ask(Method::POST, CHECKIN_PATH, body, LIMITS).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{}", String::from_utf8_lossy(&answer.body));
    take(&mut host.next, serde_json::from_slice(&answer.body).unwrap());
}

async fn check_in_all(hosts: &[Enrolled], url: &str, ca: Option<&str>) -> Heard {
    let heard = Rc::new(RefCell::new(Heard::default()));
    let tasks: Vec<_> = (0..HOSTS)
        .zip(hosts)
        .map(|(number, host)| {
            let trust = Trust::Ca(ca.unwrap_or(&host.ca).to_owned());
            let client = Client::new(url, &trust, Some(&host.identity)).unwrap();
            let begin = BEGIN.mul_f64(f64::from(number) / f64::from(HOSTS));
            tokio::task::spawn_local(one(client, host.next.clone(), begin, Rc::clone(&heard)))
        })
        .collect();
    tokio::time::sleep(CALM).await;
    println!("{}", json!({ "waiting": HOSTS }));
    heard.borrow_mut().is_counted = true;
    tokio::time::sleep(COUNTED).await;
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    heard.take()
}

/// A host's life.
async fn one(
    mut client: Client,
    mut request: CheckinRequest,
    begin: Duration,
    heard: Rc<RefCell<Heard>>,
) {
    tokio::time::sleep(begin).await;
    let mut held = Duration::ZERO;
    loop {
        let body = serde_json::to_vec(&request).unwrap().into();
        let began = Instant::now();
        let answer = client.ask(Method::POST, CHECKIN_PATH, body, LIMITS).await;
        let took = began.elapsed();
        let answer = match answer {
            Ok(answer) if answer.status == StatusCode::OK => answer,
            Ok(answer) if answer.headers.contains_key("retry-after") => {
                let after = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
                tokio::time::sleep(Duration::from_secs(after)).await;
                continue;
            }
            failed => {
                heard.borrow_mut().fail(&format!("{:?}", failed.map(|answer| answer.status)));
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let answer: CheckinAnswer = serde_json::from_slice(&answer.body).unwrap();
        note(&mut heard.borrow_mut(), took, held);
        // The first answer of a run is not held; from then on each is.
        held = Duration::from_secs(answer.wait_s);
        take(&mut request, answer);
    }
}

impl Heard {
    /// Counts a failure and tells of it; what is not counted yet is where all begin at once.
    fn fail(&mut self, how: &str) {
        if self.is_counted {
            self.failed += 1;
            eprintln!("a check-in failed: {how}");
        }
    }
}

fn note(heard: &mut Heard, took: Duration, held: Duration) {
    if let Some(beyond) = took.checked_sub(held)
        && heard.is_counted
        && !held.is_zero()
    {
        heard.times.add(beyond);
        heard.timed += 1;
    }
}

fn take(request: &mut CheckinRequest, answer: CheckinAnswer) {
    request.lineage = Some(answer.lineage);
    request.observed_generation = answer.generation;
    request.applied_generation = answer.generation;
    request.set_hash = answer.set_hash;
    (request.is_full, request.facts) = (false, None);
}

fn first(number: u32) -> CheckinRequest {
    let capacity = Capacity { cpus: Cpus::whole(4), memory_mib: 4096, ..Capacity::default() };
    CheckinRequest {
        protocol: 1,
        features: ["container", "vm", "secrets", "logs"].map(str::to_owned).to_vec(),
        boot_id: format!("boot of {number}"),
        session: 1,
        lineage: None::<Lineage>,
        observed_generation: 0,
        applied_generation: 0,
        set_hash: String::new(),
        changes: Vec::new(),
        gone: Vec::new(),
        is_full: true,
        facts: Some(HostFacts { capacity, ..HostFacts::default() }),
        set: None,
    }
}
