//! `hostd` itself: starts, tells systemd, runs rounds until it is asked to stop.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use basalt_api::status::{Boot, HostStatus, State};
use basalt_log::Filter;
use hostd_core::health;
use rustix::fs::{FlockOperation, flock};
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::books::Books;
use crate::clock;
use crate::config::{self, Loaded};
use crate::facts::Facts;
use crate::issue;
use crate::ledger::Store;
use crate::paths::Paths;
use crate::reboots;
use crate::round::Round;
use crate::server;
use crate::worker::Worker;
use crate::workloads::Workloads;

/// Threads for what may block beside the round, which has its own: the ledger, secrets as files,
/// credentials, and one look at paths of the host. They are started when they are needed.
const BLOCKING_THREADS: usize = 16;
/// How long what blocks may take to end once `hostd` stops; what hangs then is left behind.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Time between rounds while something is not as it should be yet: a boot waits for it.
const HURRY: Duration = Duration::from_secs(1);
/// How long it hurries; what is not well by then is not about to be.
const HURRIED_ROUNDS: u32 = 120;

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// Another one runs, or the socket or the state folder cannot be used at all.
pub fn run(paths: &Paths, credentials: Option<&Path>) -> Result<()> {
    let loaded = config::load(paths, credentials);
    begin_logging(&loaded);
    let _lock = lock(&paths.lock())?;
    let (round, store) = first_round(paths, loaded)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .context("cannot start the runtime")?;
    let ended = runtime.block_on(serve(paths, credentials, round, Books::new(store)));
    runtime.shutdown_timeout(LAST_WORDS);
    ended
}

fn begin_logging(loaded: &Loaded) {
    // Checked when the configuration was read.
    if let Ok(filter) = Filter::parse(&loaded.config.log) {
        basalt_log::begin(filter);
    }
    for layer in &loaded.bad {
        tracing::error!(layer = layer.name, "configuration left out: {}", layer.message);
    }
}

/// There is one `hostd`: two would undo each other's work.
fn lock(path: &Path) -> Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder `{}`", folder.display()))?;
    }
    let file = File::create(path).with_context(|| format!("cannot open `{}`", path.display()))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            bail!("another hostd runs; it holds `{}`", path.display())
        }
        Err(error) => Err(error).with_context(|| format!("cannot lock `{}`", path.display())),
    }
}

fn first_round(paths: &Paths, loaded: Loaded) -> Result<(Round, Store)> {
    let state = paths.state();
    let facts = Facts::read(paths);
    let mut store = Store::open(&state)
        .with_context(|| format!("cannot read the ledger in `{}`", state.display()))?;
    let lasting = health::of_configuration(&loaded.bad);
    let (paths, config) = (paths.clone(), loaded.config);
    let mut round = Round { paths, config, facts, lasting, blessed: false };
    if round.is_blessed() {
        // Nothing is written yet, so nothing can fail.
        let _ = store.settle();
    }
    let now = u64::try_from(clock::unix_s()).unwrap_or_default();
    if let Err(error) = store.begin(&round.facts.boot_id, now) {
        tracing::error!(%error, "cannot write the ledger");
    }
    for problem in health::of_ledger(&store.found).iter().chain(&round.lasting) {
        tracing::error!(code = ?problem.code, "{problem}");
    }
    Ok((round, store))
}

async fn serve(
    paths: &Paths,
    credentials: Option<&Path>,
    mut round: Round,
    books: Arc<Books>,
) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let socket = paths.socket();
    let listener = server::bind(&socket)
        .with_context(|| format!("cannot listen on `{}`", socket.display()))?;
    let (publish, status) = watch::channel(None);
    let mut workloads = Workloads::begin(paths, &round.config, &round.facts.boot_id, &books);
    workloads.follow_release(paths, &round.config, &books, status.clone());
    let shown = workloads.shown(status, books.clone());
    let remote = round.config.listen.clone();
    let (tell_listening, mut listening) = watch::channel(None);
    let remote = remote
        .map(|listen| tokio::spawn(server::remote::serve(listen, shown.clone(), tell_listening)));
    let server = tokio::spawn(server::serve(listener, shown));
    let reboots = tokio::spawn(reboots::run(reboots::Ground {
        paths: paths.clone(),
        credentials: credentials.map(Path::to_owned),
        now: Arc::new(clock::unix_s),
        every: reboots::LOOK,
    }));
    let worker = Worker::start("round").context("cannot start the thread for rounds")?;
    let mut hurried = 0;
    loop {
        let mut status;
        let of_ledger = Arc::clone(&books);
        let of_listening = listening.borrow_and_update().clone();
        let work = move || {
            if round.blessed {
                of_ledger.settle();
            }
            let mut problems = of_ledger.problems();
            problems.extend(of_listening);
            let status = round.run(of_ledger.known().map(|ledger| ledger.sequence), problems);
            (round, status)
        };
        (round, status) = worker.run(work).await.context("a round panicked")?;
        workloads.add_to(&mut status).await;
        let (path, shown) = (paths.issue(), status.clone());
        worker.run(move || issue::show(&path, &shown)).await.context("the console's text")?;
        let is_first = publish.borrow().is_none();
        log_change(publish.borrow().as_ref(), &status);
        let pause = pause(&status, round.config.round_interval, &mut hurried);
        publish.send_replace(Some(status));
        tell_systemd(is_first);
        tokio::select! {
            // Cancel-safe: a signal that was not taken stays pending.
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            // Cancel-safe: a change that was not awaited is still one.
            () = workloads.standing_changed() => (),
            // Cancel-safe, as above; without `[listen]` nothing ever changes.
            Ok(()) = listening.changed() => (),
            () = tokio::time::sleep(pause) => (),
        }
    }
    tracing::info!("stopping");
    let _ = sd_notify::notify(false, &[NotifyState::Stopping]);
    server.abort();
    reboots.abort();
    remote.iter().for_each(JoinHandle::abort);
    workloads.end();
    basalt_durable::remove(&socket).context("cannot remove the socket")
}

/// How long to wait for the next round.
fn pause(status: &HostStatus, interval: Duration, hurried: &mut u32) -> Duration {
    let is_settled = status.state == State::Ready && status.boot == Boot::Blessed;
    if is_settled || *hurried >= HURRIED_ROUNDS {
        return interval;
    }
    *hurried += 1;
    HURRY.min(interval)
}

fn log_change(before: Option<&HostStatus>, now: &HostStatus) {
    let is_same = before.is_some_and(|before| {
        (before.state, before.boot, &before.problems) == (now.state, now.boot, &now.problems)
    });
    if is_same {
        return;
    }
    tracing::info!(state = %now.state, boot = %now.boot, slot = now.slot, version = now.version, "host");
    for problem in &now.problems {
        tracing::warn!(code = ?problem.code, "{problem}");
    }
}

/// systemd restarts a `hostd` that does not say this for 30 s: a round that hangs must not stay.
fn tell_systemd(is_first: bool) {
    let ready = [NotifyState::Ready, NotifyState::Watchdog];
    let told = sd_notify::notify(false, if is_first { &ready } else { &ready[1..] });
    if let Err(error) = told {
        tracing::warn!(%error, "cannot tell systemd that all is well");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(state: State, boot: Boot, rounds: u32, expected: u64) {
        let text = include_str!("../../crates/api/examples/status.json");
        let mut status: HostStatus = serde_json::from_str(text).unwrap();
        (status.state, status.boot) = (state, boot);
        let mut hurried = 0;
        let interval = Duration::from_secs(10);
        let last = (0..rounds).map(|_| pause(&status, interval, &mut hurried)).last();
        assert_eq!(last, Some(Duration::from_secs(expected)));
    }

    #[test]
    fn a_host_that_is_not_settled_is_looked_at_often_and_not_for_ever() {
        check(State::Ready, Boot::Trial, 1, 1);
        check(State::Degraded, Boot::Blessed, HURRIED_ROUNDS, 1);
        check(State::Degraded, Boot::Blessed, HURRIED_ROUNDS + 1, 10);
        check(State::Ready, Boot::Blessed, 1, 10);
    }

    #[test]
    fn a_second_hostd_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/lock");
        let _held = lock(&path).unwrap();
        assert!(lock(&path).unwrap_err().to_string().starts_with("another hostd runs"));
    }
}
