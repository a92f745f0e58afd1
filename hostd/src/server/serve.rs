//! Carries out what was asked.

use std::time::Duration;

use basalt_api::id::WorkloadUid;
use basalt_api::local::{
    AdoptRequest, ApplyAnswer, ApplyRequest, ApplyResult, MAX_REQUEST_BYTES, PlanAnswer,
    WorkloadDescription, WorkloadList,
};
use basalt_api::report::{Source, WorkloadStatus};
use basalt_api::status::HostStatus;
use basalt_api::validate;
use basalt_api::workload::WorkloadSpec;
use hostd_core::books::{self, Applied, Hold, Orphan, Refused};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, HeaderValue};
use hyper::{Request, Response, StatusCode};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::answer::{self, Body};
use super::request::{Asked, NotAsked};
use super::{Ground, Peer};
use crate::books::BooksError;
use crate::clock;
use crate::metrics;
use crate::runtime::{Failure, LogsWanted};

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long somebody who follows may take to read what was written.
const READER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the first look at the host may take; `hostctl` waits longer for its answer.
const FIRST_LOOK: Duration = Duration::from_secs(20);
/// How long what was just written may take to be seen.
const CATCH_UP: Duration = Duration::from_secs(5);

/// Prometheus' text format.
const METRICS_KIND: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Who reads an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// root on this host.
    Root,
    /// Somebody who may read how the host is, and no values that may be secrets.
    Anybody,
}

type Answer = Response<Body>;
type Problem = (StatusCode, String);

pub(super) async fn answer(request: Request<Incoming>, peer: &Peer, ground: Ground) -> Answer {
    let query = request.uri().query().unwrap_or_default();
    let asked = match Asked::parse(request.method(), request.uri().path(), query) {
        Ok(asked) => asked,
        Err(not_asked) => return refuse(not_asked),
    };
    if let Some(refusal) = peer.refusal().filter(|_| asked.needs_root()) {
        return answer::problem(StatusCode::FORBIDDEN, refusal);
    }
    let place = if asked.follows() { peer.follow().map(Some) } else { Some(None) };
    let Some(place) = place else {
        let text = "you follow as much already as one user may\nhint: end another `hostctl … -f`";
        return answer::problem(StatusCode::SERVICE_UNAVAILABLE, text);
    };
    let reader = if peer.refusal().is_none() { Reader::Root } else { Reader::Anybody };
    match carry_out(asked, request, &ground, reader).await {
        Ok(answer) => match place {
            Some(place) => answer::holding(answer, place),
            None => answer,
        },
        Err((code, text)) => answer::problem(code, &text),
    }
}

/// What somebody hears who has as many connections as one may.
pub(super) fn no_place() -> Answer {
    let text =
        "there are too many connections to hostd\nhint: end some of yours, as `hostctl … -f`";
    answer::problem(StatusCode::SERVICE_UNAVAILABLE, text)
}

fn refuse(not_asked: NotAsked) -> Answer {
    let (code, text) = not_asked.words();
    let mut answer = answer::problem(code, text);
    if let NotAsked::Method(allowed) = not_asked {
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    }
    answer
}

async fn carry_out(
    asked: Asked,
    request: Request<Incoming>,
    ground: &Ground,
    reader: Reader,
) -> Result<Answer, Problem> {
    match asked {
        Asked::Status => Ok(answer::json(&status(ground).await?)),
        Asked::Metrics => {
            let status = status(ground).await?;
            Ok(answer::text(METRICS_KIND, ground.metrics(&status)))
        }
        Asked::Workloads => {
            let workloads = known_picture(ground).await?;
            Ok(answer::json(&WorkloadList { workloads }))
        }
        Asked::Plan => {
            known_picture(ground).await?;
            let picture = ground.picture.borrow().clone();
            let (plan, under_way) = (picture.plan.clone(), picture.under_way.clone());
            Ok(answer::json(&PlanAnswer { plan, under_way }))
        }
        Asked::Describe(name) => describe(&name, ground, reader).await,
        Asked::Events { after, follow } => Ok(events(after, follow, ground)),
        Asked::Apply => apply(request, ground).await,
        Asked::Delete(name) => {
            let delete = move |ledger: &mut _| books::delete_local(ledger, &name);
            let uid = ground.books.change(delete).await.map_err(problem_of)?;
            Ok(answer::json(&uid))
        }
        Asked::Start(name) => hold(name, Hold::LetGo, ground).await,
        Asked::Stop(name) => hold(name, Hold::Keep, ground).await,
        Asked::Adopt(name) => adopt(&name, request, ground).await,
        Asked::Purge(name) => purge(&name, ground).await,
        Asked::Logs(name, wanted) => logs(&name, wanted, ground).await,
    }
}

async fn status(ground: &Ground) -> Result<HostStatus, Problem> {
    // The first round ends within seconds; an answer before it would be a guess.
    let mut status = ground.status.clone();
    let known = tokio::time::timeout(FIRST_LOOK, status.wait_for(Option::is_some)).await;
    let known = known.map_err(|_| not_looked("the host"))?;
    let now = known.ok().and_then(|status| status.clone());
    let Some(mut status) = now else { return Err(stopping()) };
    status.uptime_s = clock::uptime().as_secs();
    Ok(status)
}

impl Ground {
    fn metrics(&self, status: &HostStatus) -> String {
        let ledger = self.books.known();
        let assigned = ledger.as_ref().and_then(|ledger| ledger.assigned.as_ref());
        let heard = *self.heard.borrow();
        self.metrics.text(&metrics::Seen {
            status,
            picture: &self.picture.borrow(),
            facts: self.facts.borrow().as_ref(),
            silence: heard.map(|at| clock::uptime().saturating_sub(at)),
            generation: assigned.map_or(0, |assigned| assigned.generation),
            resident_bytes: metrics::resident_bytes(),
        })
    }
}

/// Whoever was told that a workload is applied, deleted or held finds it so; unless the loop waits
/// for an engine, and then sees it as it was before.
async fn known_picture(ground: &Ground) -> Result<Vec<WorkloadStatus>, Problem> {
    let written = ground.books.known().map_or(0, |ledger| ledger.sequence);
    let mut picture = ground.picture.clone();
    let known = tokio::time::timeout(FIRST_LOOK, picture.wait_for(|picture| picture.is_known));
    known.await.map_err(|_| not_looked("the workloads"))?.map_err(|_| stopping())?;
    let follows = picture.wait_for(|picture| picture.ledger_sequence >= written);
    let _ = tokio::time::timeout(CATCH_UP, follows).await;
    Ok(picture.borrow().statuses.clone())
}

fn not_looked(at: &str) -> Problem {
    let seconds = FIRST_LOOK.as_secs();
    let text = format!(
        "hostd has not finished its first look at {at} within {seconds} s\nhint: `journalctl -u \
         hostd` says what it waits for"
    );
    (StatusCode::SERVICE_UNAVAILABLE, text)
}

async fn describe(name: &str, ground: &Ground, reader: Reader) -> Result<Answer, Problem> {
    let statuses = known_picture(ground).await?;
    let status = find(name, statuses)?;
    let ledger = ground.books.known();
    let spec = ledger.iter().find_map(|ledger| {
        let set = ledger.assigned.iter().flat_map(|generation| &generation.set.workloads);
        let all = ledger.local.iter().chain(set).chain(&ledger.forgotten);
        all.into_iter().find(|one| one.uid == status.uid).map(|one| one.spec.clone())
    });
    let spec = match reader {
        Reader::Root => spec,
        Reader::Anybody => spec.map(WorkloadSpec::without_values),
    };
    let mut events = ground.events.after(0);
    events.retain(|event| event.uid == status.uid);
    Ok(answer::json(&WorkloadDescription { status, spec, events }))
}

fn find(name: &str, statuses: Vec<WorkloadStatus>) -> Result<WorkloadStatus, Problem> {
    let uid: Option<WorkloadUid> = name.parse().ok();
    let is_it = |status: &WorkloadStatus| status.name.as_str() == name || Some(status.uid) == uid;
    let mut found = statuses.into_iter().filter(is_it);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(problem_of(Refused::NotThere(name.to_owned()))),
        (Some(_), Some(_)) => Err(problem_of(Refused::Ambiguous(name.to_owned()))),
    }
}

async fn apply(request: Request<Incoming>, ground: &Ground) -> Result<Answer, Problem> {
    let ApplyRequest { workloads, dry_run } = read(request).await?;
    for spec in &workloads {
        if let Some(mistake) = validate::mistakes(spec).first() {
            return Err((StatusCode::BAD_REQUEST, format!("{}: {mistake}", spec.name)));
        }
    }
    let apply = move |ledger: &mut basalt_api::ledger::Ledger| {
        let apply = |spec: WorkloadSpec| {
            let name = spec.name.clone();
            let (uid, applied) = books::apply_local(ledger, spec, WorkloadUid(Uuid::new_v4()))?;
            Ok(result(name, uid, applied, dry_run))
        };
        workloads.into_iter().map(apply).collect::<Result<Vec<_>, Refused>>()
    };
    let results = if dry_run {
        let mut ledger = ground.books.known().as_deref().cloned().unwrap_or_default();
        apply(&mut ledger).map_err(problem_of)?
    } else {
        ground.books.change(apply).await.map_err(problem_of)?
    };
    Ok(answer::json(&ApplyAnswer { results }))
}

fn result(
    name: basalt_api::id::Name,
    uid: WorkloadUid,
    applied: Applied,
    dry_run: bool,
) -> ApplyResult {
    let (result, is_new) = match applied {
        Applied::Created => ("created", true),
        Applied::Changed => ("changed", false),
        Applied::Unchanged => ("unchanged", false),
    };
    let uid = (!(is_new && dry_run)).then_some(uid);
    ApplyResult { name, uid, result: result.to_owned() }
}

async fn hold(name: String, hold: Hold, ground: &Ground) -> Result<Answer, Problem> {
    let change = move |ledger: &mut _| books::hold(ledger, &name, hold);
    let uid = ground.books.change(change).await.map_err(problem_of)?;
    if hold == Hold::LetGo {
        let _ = ground.again.send(uid).await;
    }
    Ok(answer::json(&uid))
}

async fn adopt(name: &str, request: Request<Incoming>, ground: &Ground) -> Result<Answer, Problem> {
    let AdoptRequest { spec } = read(request).await?;
    if let Some(mistake) =
        spec.as_ref().and_then(|spec| validate::mistakes(spec).into_iter().next())
    {
        return Err((StatusCode::BAD_REQUEST, format!("{name}: {mistake}")));
    }
    let orphan = orphan(name, ground).await?;
    let uid = orphan.uid;
    let adopt = move |ledger: &mut _| books::adopt(ledger, &orphan, spec);
    ground.books.change(adopt).await.map_err(problem_of)?;
    Ok(answer::json(&uid))
}

async fn purge(name: &str, ground: &Ground) -> Result<Answer, Problem> {
    let orphan = orphan(name, ground).await?;
    let uid = orphan.uid;
    let purge = move |ledger: &mut _| books::purge(ledger, &orphan);
    ground.books.change(purge).await.map_err(problem_of)?;
    Ok(answer::json(&uid))
}

/// The orphan of this name or uid. One that is called like a workload that is wanted is meant all
/// the same: only orphans are looked at.
async fn orphan(name: &str, ground: &Ground) -> Result<Orphan, Problem> {
    let statuses = known_picture(ground).await?;
    let (orphans, others): (Vec<_>, Vec<_>) =
        statuses.into_iter().partition(|status| status.source == Source::Orphaned);
    match find(name, orphans) {
        Ok(WorkloadStatus { uid, name, kind, .. }) => Ok(Orphan { uid, name, kind }),
        Err((StatusCode::NOT_FOUND, _)) if find(name, others).is_ok() => {
            Err(problem_of(Refused::NoOrphan(name.to_owned())))
        }
        Err(problem) => Err(problem),
    }
}

async fn logs(name: &str, wanted: LogsWanted, ground: &Ground) -> Result<Answer, Problem> {
    let status = find(name, known_picture(ground).await?)?;
    let Some(runtime) = ground.runtimes.of(status.kind) else {
        return Err((StatusCode::NOT_FOUND, format!("a {} has no log here", status.kind)));
    };
    let lines = runtime.logs(status.uid, wanted).await.map_err(|error| match error.kind {
        Failure::NotThere => {
            (StatusCode::NOT_FOUND, format!("`{name}` is not made yet: it has no log"))
        }
        Failure::Unavailable | Failure::Workload | Failure::Passing => {
            (StatusCode::SERVICE_UNAVAILABLE, error.message)
        }
    })?;
    Ok(answer::stream("text/plain; charset=utf-8", lines))
}

/// A line of JSON for each event.
fn events(after: u64, follow: bool, ground: &Ground) -> Answer {
    let (send, receive) = mpsc::channel(16);
    let events = std::sync::Arc::clone(&ground.events);
    tokio::spawn(async move {
        let (mut last, mut watch) = (after, events.watch());
        loop {
            for event in events.after(last) {
                last = event.number;
                let mut line = serde_json::to_vec(&event).unwrap_or_default();
                line.push(b'\n');
                let sent = tokio::time::timeout(READER_TIMEOUT, send.send(Bytes::from(line))).await;
                if !matches!(sent, Ok(Ok(()))) {
                    return;
                }
            }
            if !follow {
                return;
            }
            tokio::select! {
                // Cancel-safe, both: a change that was not awaited is still one.
                changed = watch.changed() => if changed.is_err() { return },
                () = send.closed() => return,
            }
        }
    });
    answer::stream("application/x-ndjson", receive)
}

async fn read<T: serde::de::DeserializeOwned>(request: Request<Incoming>) -> Result<T, Problem> {
    let bad = |text: String| (StatusCode::BAD_REQUEST, text);
    let body = Limited::new(request.into_body(), MAX_REQUEST_BYTES).collect();
    let body = tokio::time::timeout(BODY_TIMEOUT, body)
        .await
        .map_err(|_| (StatusCode::REQUEST_TIMEOUT, "the body did not arrive".to_owned()))?
        .map_err(|error| bad(format!("the body cannot be read: {error}")))?
        .to_bytes();
    serde_json::from_slice(&body).map_err(|error| bad(format!("the body makes no sense: {error}")))
}

fn problem_of(error: impl Into<BooksError>) -> Problem {
    let error = error.into();
    let code = match &error {
        BooksError::Refused(Refused::NotThere(_)) => StatusCode::NOT_FOUND,
        BooksError::Refused(_) => StatusCode::CONFLICT,
        BooksError::Unwritable(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let text = match &error {
        BooksError::Unwritable(source) => format!("the ledger cannot be written: {source}"),
        BooksError::Refused(_) => error.to_string(),
    };
    (code, text)
}

fn stopping() -> Problem {
    (StatusCode::SERVICE_UNAVAILABLE, "hostd is stopping".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::tests::unknown;
    use super::*;
    use crate::reconcile::Picture;

    #[tokio::test(start_paused = true)]
    async fn a_first_look_that_does_not_end_is_told() {
        let root = tempfile::tempdir().unwrap();
        let (tell_status, status) = tokio::sync::watch::channel(None);
        let (tell_picture, picture) = tokio::sync::watch::channel(std::sync::Arc::default());
        let ground = Ground { status, picture, ..unknown(root.path()) };
        let (code, text) = super::status(&ground).await.unwrap_err();
        assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
        assert!(text.starts_with("hostd has not finished its first look at the host"), "{text}");
        let (_, text) = known_picture(&ground).await.unwrap_err();
        assert!(
            text.contains("at the workloads within 20 s\nhint: `journalctl -u hostd`"),
            "{text}"
        );
        drop((tell_status, tell_picture));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_was_told_that_something_is_applied_finds_it_so() {
        let root = tempfile::tempdir().unwrap();
        let before = Picture { is_known: true, ..Picture::default() };
        let (tell, picture) = tokio::sync::watch::channel(std::sync::Arc::new(before));
        let ground = Ground { picture, ..unknown(root.path()) };
        let spec = r#"{"name":"a","kind":"container","container":{"image":"x.test/a:1"}}"#;
        let spec = serde_json::from_str(spec).unwrap();
        let uid = WorkloadUid(Uuid::new_v4());
        let apply = move |ledger: &mut _| books::apply_local(ledger, spec, uid);
        ground.books.change(apply).await.unwrap();
        assert_eq!(known_picture(&ground).await.unwrap(), [], "a loop that waits holds up nobody");

        let looks = tokio::spawn({
            let ground = ground.clone();
            async move { known_picture(&ground).await.unwrap() }
        });
        tokio::time::sleep(CATCH_UP / 2).await;
        let status = format!(
            r#"{{"uid":"{uid}","name":"a","kind":"container","source":"local","state":"pending"}}"#
        );
        let after = Picture {
            statuses: vec![serde_json::from_str(&status).unwrap()],
            ledger_sequence: ground.books.known().unwrap().sequence,
            is_known: true,
            ..Picture::default()
        };
        tell.send_replace(std::sync::Arc::new(after));
        assert_eq!(looks.await.unwrap()[0].uid, uid);
    }
}
