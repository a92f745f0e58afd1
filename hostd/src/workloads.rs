//! The part of `hostd` that is about workloads, put together: runtimes, loop, endpoint, and what
//! the socket shows of them.

mod comeback;
mod facts;
mod join;

use std::sync::Arc;
use std::time::Duration;

use basalt_api::capacity::HostFacts;
use basalt_api::enrol::JoinString;
use basalt_api::id::WorkloadUid;
use basalt_api::problem::Problem;
use basalt_api::rollout::OsUpdate;
use basalt_api::status::{Boot, EndpointState, EndpointStatus, HostStatus};
use hostd_core::checkin::Machine;
use hostd_core::{cmdline, health};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::books::Books;
use crate::clock;
use crate::config::Config;
use crate::endpoint::{self, EndpointSecrets, Standing, Trouble};
use crate::events::Events;
use crate::identity::{self, Enrolled, Found};
use crate::metrics::Metrics;
use crate::paths::Paths;
use crate::reconcile::{self, Picture, Runtimes};
use crate::server;
use crate::updater;

/// Wishes for another run that may wait.
const WISHES: usize = 16;

/// Everything about workloads that runs.
pub struct Workloads {
    runtimes: Runtimes,
    events: Arc<Events>,
    metrics: Arc<Metrics>,
    heard: watch::Receiver<Option<Duration>>,
    picture: watch::Receiver<Arc<Picture>>,
    again: mpsc::Sender<WorkloadUid>,
    facts: watch::Sender<Option<HostFacts>>,
    capacity: facts::Ground,
    standing: watch::Receiver<Standing>,
    trouble: watch::Receiver<Trouble>,
    us: watch::Receiver<Option<Enrolled>>,
    copy: watch::Receiver<bool>,
    /// Whose copy the state was when `hostd` started.
    copy_of: String,
    /// What ran before the host booted.
    comeback: comeback::Keeper,
    /// What is wrong with the join string, and with where it is.
    bad_join: Vec<Problem>,
    /// How far it is with the release that its set names.
    update: Release,
    tasks: Vec<JoinHandle<()>>,
}

/// How far the host is with the release that its set names, once somebody tells.
struct Release {
    tell: watch::Sender<Option<OsUpdate>>,
    told: watch::Receiver<Option<OsUpdate>>,
}

impl Default for Release {
    fn default() -> Self {
        let (tell, told) = watch::channel(None);
        Self { tell, told }
    }
}

/// Where the state comes from.
struct Origin {
    /// Who this host is already.
    enrolled: Option<Enrolled>,
    /// The host whose copy it is.
    copy_of: Option<String>,
    standing: Standing,
}

impl Origin {
    fn read(store: &identity::Store, machine: &Machine) -> Self {
        let (enrolled, copy_of, standing) = match store.read(machine) {
            Ok(Found::Nothing) => (None, None, Standing::Alone),
            Ok(Found::Enrolled(enrolled)) => {
                (Some(*enrolled), None, Standing::Away("it was not heard yet".to_owned()))
            }
            Ok(Found::Copy(copy)) => (None, Some(copy.name.to_string()), Standing::Alone),
            Err(error) => (None, None, Standing::Away(format!("{error:#}"))),
        };
        Self { enrolled, copy_of, standing }
    }
}

/// Where the identity is, and what this machine is.
fn identity(paths: &Paths, config: &Config) -> (identity::Store, Machine) {
    let store = identity::Store::of(paths).at(config.endpoints.clone());
    (store, identity::machine(paths))
}

/// The join string, and what is wrong with it or beside it. A host that is enrolled needs none: what
/// was left there may be of a time when its endpoint had another CA.
fn read_join(
    paths: &Paths,
    config: &Config,
    is_enrolled: bool,
) -> (Option<JoinString>, Vec<Problem>) {
    let on_cmdline = cmdline::join(&join::cmdline(paths));
    let beside = on_cmdline.map(health::join_on_cmdline);
    let read = match is_enrolled {
        true => join::left(paths, on_cmdline).map(|_| None),
        false => join::read(paths, on_cmdline, &config.endpoints),
    };
    match read {
        Ok(join) => (join, beside.into_iter().collect()),
        Err(reason) => (None, beside.into_iter().chain([health::join_invalid(&reason)]).collect()),
    }
}

impl Workloads {
    /// Starts the loop and the line to the endpoint.
    #[must_use]
    pub fn begin(paths: &Paths, config: &Config, boot_id: &str, books: &Arc<Books>) -> Self {
        let runtimes = crate::runtimes::open(paths, config);
        let (store, machine) = identity(paths, config);
        let Origin { enrolled, copy_of, standing } = Origin::read(&store, &machine);
        let (join, bad_join) = read_join(paths, config, enrolled.is_some());
        let (events, metrics) = (Arc::new(Events::default()), Arc::new(Metrics::default()));
        let secrets = Arc::new(EndpointSecrets::new(paths.secrets()));
        let (show, picture) = watch::channel(Arc::default());
        let (again, wishes) = mpsc::channel(WISHES);
        // The identity is known before the first round: nothing of the endpoint's is a stranger.
        let (us_tell, us) = watch::channel(enrolled.clone());
        let (copy_tell, copy) = watch::channel(copy_of.is_some());
        let (heard_tell, heard) = watch::channel(None);
        let (standing_tell, standing) = watch::channel(standing);
        let (trouble_tell, trouble) = watch::channel(Trouble::default());
        let (facts, facts_seen) = watch::channel(None);
        let endpoint = endpoint::Ground {
            store,
            machine,
            join,
            name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            boot_id: boot_id.to_owned(),
            books: Arc::clone(books),
            runtimes: runtimes.clone(),
            picture: picture.clone(),
            facts: facts_seen,
            can_update: paths.os_socket().exists(),
            us: us_tell,
            heard: heard_tell,
            heard_file: paths.heard(),
            standing: standing_tell,
            trouble: trouble_tell,
            copy: copy_tell,
            secrets: Arc::clone(&secrets),
        };
        endpoint::recall(&endpoint);
        let reconcile = reconcile::Ground {
            books: Arc::clone(books),
            runtimes: runtimes.clone(),
            secrets: Arc::clone(&secrets) as _,
            policy: config.policy.clone(),
            us: us.clone(),
            copy: copy.clone(),
            heard: heard.clone(),
            events: Arc::clone(&events),
            metrics: Arc::clone(&metrics),
            picture: show,
            again: wishes,
        };
        Self {
            runtimes,
            events,
            metrics,
            heard,
            picture,
            again,
            facts,
            capacity: facts::Ground::of(paths, config),
            standing,
            trouble,
            us,
            copy,
            copy_of: copy_of.unwrap_or_default(),
            comeback: comeback::Keeper::open(paths.ran(), boot_id),
            bad_join,
            update: Release::default(),
            tasks: vec![
                tokio::spawn(secrets.follow(books.watch())),
                tokio::spawn(reconcile::run(reconcile)),
                tokio::spawn(endpoint::run(endpoint, enrolled)),
            ],
        }
    }

    /// From now on the host comes to the release that its set names. `status` is how the host is.
    pub fn follow_release(
        &mut self,
        paths: &Paths,
        config: &Config,
        books: &Arc<Books>,
        status: watch::Receiver<Option<HostStatus>>,
    ) {
        let ground = updater::Ground {
            books: Arc::clone(books),
            status,
            copy: self.copy.clone(),
            standing: self.standing.clone(),
            paths: paths.clone(),
            updates: config.updates.clone(),
            told: self.update.tell.clone(),
        };
        self.tasks.push(tokio::spawn(updater::run(ground)));
    }

    /// What the socket shows.
    #[must_use]
    pub fn shown(
        &self,
        status: watch::Receiver<Option<HostStatus>>,
        books: Arc<Books>,
    ) -> server::Ground {
        server::Ground {
            status,
            picture: self.picture.clone(),
            books,
            events: Arc::clone(&self.events),
            runtimes: self.runtimes.clone(),
            again: self.again.clone(),
            metrics: Arc::clone(&self.metrics),
            facts: self.facts.subscribe(),
            heard: self.heard.clone(),
        }
    }

    /// Adds to the host's status what is known here.
    pub async fn add_to(&mut self, status: &mut HostStatus) {
        status.endpoint = self.endpoint();
        if *self.copy.borrow() {
            status.problems.push(health::state_copied(&self.copy_of));
        }
        status.problems.extend(self.bad_join.clone());
        status.problems.extend(self.trouble.borrow_and_update().problems());
        let picture = self.picture.borrow().clone();
        status.problems.extend(health::of_strangers(&picture.strangers));
        let statuses = picture.is_known.then_some(picture.statuses.as_slice());
        let is_good = status.boot != Boot::Trial;
        let missing = self.comeback.see(statuses, is_good, clock::uptime()).await;
        status.problems.extend(missing);
        status.state = health::state(&status.problems);
        let mut facts = self.capacity.facts(status, self.picture.borrow().taken);
        facts.os.update.clone_from(&self.update.told.borrow_and_update());
        self.facts.send_if_modified(|known| {
            let is_news = known.as_ref() != Some(&facts);
            *known = Some(facts);
            is_news
        });
    }

    /// Returns when it stands otherwise with the endpoint, or with another release, than before.
    pub async fn standing_changed(&mut self) {
        let changed = tokio::select! {
            // Cancel-safe, all: a change that was not awaited is still one.
            changed = self.standing.changed() => changed,
            changed = self.trouble.changed() => changed,
            changed = self.update.told.changed() => changed,
        };
        if changed.is_err() {
            std::future::pending::<()>().await;
        }
    }

    fn endpoint(&self) -> Option<EndpointStatus> {
        let name = self.us.borrow().as_ref().map(|us| us.name.to_string());
        let (state, reason) = match self.standing.borrow().clone() {
            Standing::Joining(reason) if *self.copy.borrow() => (EndpointState::Copy, Some(reason)),
            _ if *self.copy.borrow() => (EndpointState::Copy, None),
            Standing::Alone => return None,
            Standing::Joining(reason) => (EndpointState::Joining, Some(reason)),
            Standing::Connected => (EndpointState::Connected, None),
            Standing::Away(reason) => (EndpointState::Away, Some(reason)),
            Standing::Frozen(reason) => (EndpointState::Frozen, Some(reason)),
        };
        Some(EndpointStatus { state, name, reason })
    }

    /// Ends the loop and the line. What runs goes on, and is found again by the next `hostd`.
    pub fn end(&self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
