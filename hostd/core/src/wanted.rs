//! What shall run here: the endpoint's set and the host's own, with what the host makes of them.

use std::time::Duration;

use basalt_api::id::{HostId, Name, WorkloadUid};
use basalt_api::set::Assigned;
use basalt_api::validate;
use basalt_api::workload::{Body, DisconnectPolicy, Kind, Network, WorkloadSpec};

use crate::instance::Owner;
use crate::policy::Policy;

/// Seconds that a container has to end when its spec says nothing.
const CONTAINER_GRACE_S: u32 = 10;
/// Seconds that a guest has to shut down when its spec says nothing.
const VM_GRACE_S: u32 = 120;

/// A workload that shall be here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What it is.
    pub assigned: Assigned,
    /// Who wants it.
    pub owner: Owner,
    /// What it must be made from.
    pub hash: String,
    /// Whether an operator of the host keeps it stopped.
    pub held: bool,
}

/// When the endpoint was heard last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contact {
    /// Not since this boot.
    Never,
    /// So long ago, counted from when the request was sent that it answered.
    Ago(Duration),
}

/// What becomes of a workload that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aim {
    /// It shall run.
    Run,
    /// It is held stopped by the host's operator.
    Held,
    /// It is stopped until the endpoint is heard again.
    Disconnected(String),
    /// It must not run here.
    Refused(String),
}

impl Wanted {
    /// One whose hash is computed here, once.
    #[must_use]
    pub fn new(assigned: Assigned, owner: Owner, held: bool) -> Self {
        let hash = assigned.replacement_hash();
        Self { assigned, owner, hash, held }
    }

    /// Which one it is.
    #[must_use]
    pub fn uid(&self) -> WorkloadUid {
        self.assigned.uid
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.assigned.spec.name
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.assigned.spec.kind
    }

    /// How long it may take to end.
    #[must_use]
    pub fn grace(&self) -> Duration {
        grace(&self.assigned.spec)
    }

    /// Whether it takes something of the host's of which there is only one, as a port.
    #[must_use]
    pub fn takes_a_port(&self) -> bool {
        match self.assigned.spec.body() {
            Some(Body::Container(container)) => {
                container.network == Network::Host || !container.ports.is_empty()
            }
            Some(Body::Vm(_)) | None => false,
        }
    }

    /// What becomes of it.
    #[must_use]
    pub fn aim(&self, policy: &Policy, contact: Contact) -> Aim {
        let spec = &self.assigned.spec;
        if let Some(reason) = impossible(spec).or_else(|| policy.refusal(spec)) {
            return Aim::Refused(reason);
        }
        if self.held {
            return Aim::Held;
        }
        match (self.owner, silence(spec, contact)) {
            (Owner::Host(_), Some(reason)) => Aim::Disconnected(reason),
            _ => Aim::Run,
        }
    }

    /// How long it may still run when the endpoint stays silent; none where that changes nothing.
    #[must_use]
    pub fn may_run_for(&self, contact: Contact) -> Option<Duration> {
        let after = period(&self.assigned.spec).filter(|_| self.owner != Owner::Local)?;
        match contact {
            Contact::Never => None,
            Contact::Ago(ago) => after.checked_sub(ago).filter(|left| !left.is_zero()),
        }
    }
}

impl Contact {
    /// The contact at `now` with an endpoint that was heard at `heard`; both are times since boot.
    #[must_use]
    pub fn at(now: Duration, heard: Option<Duration>) -> Self {
        heard.map_or(Self::Never, |at| Self::Ago(now.saturating_sub(at)))
    }
}

/// How long a workload may take to end.
#[must_use]
pub fn grace(spec: &WorkloadSpec) -> Duration {
    let seconds = match spec.body() {
        Some(Body::Container(container)) => container.stop_grace_s,
        Some(Body::Vm(vm)) => vm.stop_grace_s,
        None => None,
    };
    seconds.map_or_else(|| default_grace(spec.kind), |seconds| Duration::from_secs(seconds.into()))
}

/// How long an instance may take to end when nothing says how long.
#[must_use]
pub fn default_grace(kind: Kind) -> Duration {
    let seconds = if kind == Kind::Vm { VM_GRACE_S } else { CONTAINER_GRACE_S };
    Duration::from_secs(seconds.into())
}

/// Whether an instance belongs to this host: its own, or one of the endpoint's for the id that it
/// has now.
#[must_use]
pub fn is_ours(owner: Owner, us: Option<HostId>) -> bool {
    match owner {
        Owner::Local => true,
        Owner::Host(id) => Some(id) == us,
    }
}

fn impossible(spec: &WorkloadSpec) -> Option<String> {
    validate::mistakes(spec).first().map(ToString::to_string)
}

/// How long the endpoint may be silent before it is stopped; none where it runs on for ever.
fn period(spec: &WorkloadSpec) -> Option<Duration> {
    let after_s = spec.disconnect.after_s?;
    match spec.disconnect.policy {
        DisconnectPolicy::Keep => None,
        DisconnectPolicy::StopAfter | DisconnectPolicy::ReplaceAfter => {
            Some(Duration::from_secs(after_s.into()))
        }
    }
}

/// Why a workload is stopped while the endpoint is silent; none while it may run.
fn silence(spec: &WorkloadSpec, contact: Contact) -> Option<String> {
    let after = period(spec)?;
    match contact {
        Contact::Never => {
            Some("it waits for the endpoint, which was not heard since the host booted".to_owned())
        }
        Contact::Ago(ago) if ago >= after => {
            Some(format!("the endpoint was not heard for {} s", after.as_secs()))
        }
        Contact::Ago(_) => None,
    }
}
