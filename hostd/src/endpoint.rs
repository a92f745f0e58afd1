//! This host and its endpoint: enrols once, then asks for ever what shall run.
//!
//! The endpoint's absence is nothing that fails: what is in the ledger runs on, and the next
//! question is asked a little later.

mod enrol;
mod lines;
mod logs;
mod once;
mod poll;
mod renew;
mod set;
mod values;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use basalt_api::capacity::HostFacts;
use basalt_api::enrol::JoinString;
use basalt_api::problem::Problem;
use basalt_https::{Client, HttpsError, Limits};
use hostd_core::checkin::{Machine, wait_after};
use hostd_core::health;
use tokio::sync::watch;

use crate::books::Books;
use crate::identity::{Enrolled, Store};
use crate::reconcile::{Picture, Runtimes};
pub use poll::recall;
pub use values::EndpointSecrets;

/// How long a short question may take.
const SHORT: Limits = Limits { deadline: Duration::from_secs(30), bytes: 1 << 20 };

/// How it stands between this host and its endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Standing {
    /// It has none, and nobody wants it to have one.
    #[default]
    Alone,
    /// It has a join string and could not redeem it yet, for this reason.
    Joining(String),
    /// It is enrolled and was answered.
    Connected,
    /// It is enrolled, and not answered, for this reason.
    Away(String),
    /// It is answered and told nothing new, for this reason: it is ahead of the endpoint's database,
    /// or a copy of another host.
    Frozen(String),
}

/// What is wrong between this host and its endpoint although it is answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trouble {
    /// The generation that is not taken, and why.
    pub refused: Option<(u64, String)>,
    /// Seconds by which the endpoint's clock is ahead of this host's, where that is too much.
    pub skew_s: Option<i64>,
}

impl Trouble {
    /// As problems of the host.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let refused = self.refused.as_ref();
        let refused = refused.map(|(number, reason)| health::set_refused(*number, reason));
        refused.into_iter().chain(self.skew_s.map(health::clock_skewed)).collect()
    }
}

/// What the endpoint's side of `hostd` goes by.
pub struct Ground {
    /// Where the identity is.
    pub store: Store,
    /// What this machine is.
    pub machine: Machine,
    /// A join string, where somebody left one.
    pub join: Option<JoinString>,
    /// The name that this host would like.
    pub name: String,
    /// The kernel's random id of this boot.
    pub boot_id: String,
    /// The ledger.
    pub books: Arc<Books>,
    /// What runs workloads, for their logs.
    pub runtimes: Runtimes,
    /// How the workloads are.
    pub picture: watch::Receiver<Arc<Picture>>,
    /// What this host is.
    pub facts: watch::Receiver<Option<HostFacts>>,
    /// Whether somebody is there who takes another release.
    pub can_update: bool,
    /// Takes who this host is.
    pub us: watch::Sender<Option<Enrolled>>,
    /// Takes the moment at which a question was asked that was answered.
    pub heard: watch::Sender<Option<Duration>>,
    /// Where that moment is kept for the next `hostd` of this boot.
    pub heard_file: PathBuf,
    /// Takes how it stands.
    pub standing: watch::Sender<Standing>,
    /// Takes what is wrong although it is answered.
    pub trouble: watch::Sender<Trouble>,
    /// Whether the state was made on another machine, and nothing may be started from it.
    pub copy: watch::Sender<bool>,
    /// Gives the values of secrets once there is somebody to ask.
    pub secrets: Arc<EndpointSecrets>,
}

/// Runs for ever. `enrolled` is who this host is already.
pub async fn run(ground: Ground, enrolled: Option<Enrolled>) {
    let enrolled = match enrolled {
        Some(enrolled) => enrolled,
        None => match enrol::until_enrolled(&ground).await {
            Some(enrolled) => enrolled,
            None => return,
        },
    };
    tracing::info!(name = %enrolled.name, id = %enrolled.host_id, "enrolled");
    ground.standing.send_replace(Standing::Away("it was not heard yet".to_owned()));
    ground.us.send_replace(Some(enrolled.clone()));
    if let Err(error) = poll::for_ever(ground, enrolled).await {
        tracing::error!("the endpoint is not asked any more: {error:#}");
    }
}

/// A pause after so many failures in a row.
async fn pause(failures: u32, retry_after: Option<Duration>) {
    let chance = f64::from(u32::from_be_bytes(random()).min(u32::MAX - 1)) / f64::from(u32::MAX);
    tokio::time::sleep(wait_after(failures, chance, retry_after)).await;
}

fn random() -> [u8; 4] {
    let [a, b, c, d, ..] = *uuid::Uuid::new_v4().as_bytes();
    [a, b, c, d]
}

/// A client of an enrolled host, at one of its URLs.
fn client(enrolled: &Enrolled, url: &str, key: &rcgen::KeyPair) -> Result<Client, HttpsError> {
    let (trust, identity) = enrolled.tls(key);
    Client::new(url, &trust, Some(&identity))
}
