//! What `basaltctl` and the endpoint say to each other.
//!
//! An operator shows a bearer token. Lists come as objects, so that they can grow.

mod events;
mod hosts;
mod pages;
mod tokens;
mod workloads;

pub use events::{AuditEntry, AuditLog, Event, Events, EventsQuery};
pub use hosts::{
    Claim, Claims, HostDetail, HostState, HostSummary, Hosts, Keep, RESERVED_HOST_NAME,
    RemoveQuery, Resync,
};
pub use pages::{MAX_PAGE, PageQuery};
pub use tokens::{OperatorToken, TokenCreate, TokenCreated, TokenInfo, Tokens};
pub use workloads::{
    Applied, Apply, ApplyAnswer, Change, LogsQuery, WorkloadDetail, WorkloadSummary, Workloads,
};

/// Tokens for enrolment.
pub const TOKENS_PATH: &str = "/v1/tokens";
/// One token.
pub const TOKEN_PATH: &str = "/v1/tokens/{id}";
/// Replaces the operator's own token.
pub const ROTATE_PATH: &str = "/v1/operator/rotate";
/// Secrets.
pub const SECRETS_PATH: &str = "/v1/secrets";
/// One secret.
pub const SECRET_PATH: &str = "/v1/secrets/{name}";
/// Hosts.
pub const HOSTS_PATH: &str = "/v1/hosts";
/// One host, by name.
pub const HOST_PATH: &str = "/v1/hosts/{host}";
/// Gives a host nothing new.
pub const CORDON_PATH: &str = "/v1/hosts/{host}/cordon";
/// Gives a host new workloads again.
pub const UNCORDON_PATH: &str = "/v1/hosts/{host}/uncordon";
/// Decides for a host whose history is another than the endpoint's.
pub const RESYNC_PATH: &str = "/v1/hosts/{host}/resync";
/// Workloads.
pub const WORKLOADS_PATH: &str = "/v1/workloads";
/// One workload, by name.
pub const WORKLOAD_PATH: &str = "/v1/workloads/{name}";
/// What a workload printed last.
pub const LOGS_PATH: &str = "/v1/workloads/{name}/logs";
/// What happened.
pub const EVENTS_PATH: &str = "/v1/events";
/// Who asked for what.
pub const AUDIT_PATH: &str = "/v1/audit";
/// The API's description (OpenAPI 3.1).
pub const OPENAPI_PATH: &str = "/v1/openapi.json";
/// Whether the endpoint answers.
pub const HEALTH_PATH: &str = "/healthz";
/// Numbers for Prometheus.
pub const METRICS_PATH: &str = "/metrics";
