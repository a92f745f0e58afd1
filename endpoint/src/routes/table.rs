//! The table.

use axum::http::Method;
use basalt_api::checkin::{
    CHECKIN_PATH, CheckinAnswer, CheckinRequest, LOGS_PATH as HOST_LOGS_PATH, MAX_ANSWER_BYTES,
    ReportedSet, SET_PATH,
};
use basalt_api::enrol::{ENROL_PATH, EnrolAnswer, EnrolRequest, RENEW_PATH, RenewRequest};
use basalt_api::install::{INSTALL_PATH, InstallReport};
use basalt_api::operator::{
    AUDIT_PATH, Apply, ApplyAnswer, AuditLog, CORDON_PATH, Claims, EVENTS_PATH, Events,
    EventsQuery, HEALTH_PATH, HOST_PATH, HOSTS_PATH, HostDetail, HostSummary, Hosts, LOGS_PATH,
    LogsQuery, METRICS_PATH, OPENAPI_PATH, OperatorToken, PageQuery, RESYNC_PATH, ROTATE_PATH,
    RemoveQuery, Resync, SECRET_PATH, SECRETS_PATH, TOKEN_PATH, TOKENS_PATH, TokenCreate,
    TokenCreated, Tokens, UNCORDON_PATH, WORKLOAD_PATH, WORKLOADS_PATH, WorkloadDetail, Workloads,
};
use basalt_api::rollout::{
    ABORT_PATH, CHANNEL_PATH, CHANNELS_PATH, Channel, ChannelSet, Channels, FLEETLOCK_LOCK_PATH,
    FLEETLOCK_UNLOCK_PATH, FleetLock, FleetLockRequest, GROUP_FLEETLOCK_PATH, GROUP_LOCKS_PATH,
    GROUP_PATH, GROUPS_PATH, Group, GroupSet, Groups, PAUSE_PATH, RESUME_PATH, ROLLOUT_PATH,
    ROLLOUTS_PATH, Rollout, RolloutResume, RolloutStart, Rollouts, UnlockQuery,
};
use basalt_api::secret::{SECRET_PATH as HOST_SECRET_PATH, SecretInfo, SecretValue, Secrets};

use super::Route;
use super::Who::{Anyone, Host, Operator};
use crate::serve::{
    about, channels, check_in, enrol, events, fleetlock, groups, host_secrets, hosts,
    installations, logs, renew, reported_set, rollouts, secrets, tokens, workloads,
};

const TEXT: &str = "text/plain; charset=utf-8";

/// Everything that can be asked.
#[must_use]
pub fn table() -> Vec<Route> {
    let mut table = for_hosts();
    table.extend(about_hosts());
    table.extend(about_workloads());
    table.extend(about_rollouts());
    table.extend(about_groups());
    table.extend(about_access());
    table.extend(about_the_endpoint());
    table
}

fn for_hosts() -> Vec<Route> {
    vec![
        Route::new(Method::POST, ENROL_PATH, Anyone, enrol::enrol)
            .summary("Redeem a token and become a host")
            .takes::<EnrolRequest>()
            .gives::<EnrolAnswer>(),
        Route::new(Method::POST, INSTALL_PATH, Anyone, installations::report)
            .summary("Say how far the installation of a host-to-be is")
            .takes::<InstallReport>(),
        Route::new(Method::POST, RENEW_PATH, Anyone, renew::renew)
            .summary("Get a new certificate, proven by the old one's key")
            .takes::<RenewRequest>()
            .gives::<EnrolAnswer>(),
        Route::new(Method::POST, CHECKIN_PATH, Host, check_in::check_in)
            .summary("Say how the host is and hear what it shall run; a long poll")
            .takes::<CheckinRequest>()
            .gives::<CheckinAnswer>(),
        Route::new(Method::POST, SET_PATH, Host, reported_set::take)
            .summary("Send the set of a frozen host, which the endpoint asked for")
            .takes::<ReportedSet>()
            .up_to(MAX_ANSWER_BYTES),
        Route::new(Method::GET, HOST_SECRET_PATH, Host, host_secrets::get)
            .summary("Get the value of a secret that the host's set names")
            .gives::<SecretValue>(),
        Route::new(Method::POST, HOST_LOGS_PATH, Host, logs::deliver)
            .summary("Send the end of a log that the endpoint asked for")
            .takes_other(TEXT),
    ]
}

fn about_hosts() -> Vec<Route> {
    vec![
        Route::new(Method::GET, HOSTS_PATH, Operator, hosts::list)
            .summary("List the hosts, in pages")
            .query::<PageQuery>()
            .gives::<Hosts>(),
        Route::new(Method::GET, HOST_PATH, Operator, hosts::show)
            .summary("Show a host and what it reports")
            .gives::<HostDetail>(),
        Route::new(Method::DELETE, HOST_PATH, Operator, hosts::remove)
            .summary("Remove a host: its certificate is worth nothing from now on")
            .query::<RemoveQuery>(),
        Route::new(Method::POST, CORDON_PATH, Operator, hosts::cordon)
            .summary("Give a host nothing new")
            .gives::<HostSummary>(),
        Route::new(Method::POST, UNCORDON_PATH, Operator, hosts::uncordon)
            .summary("Give a host new workloads again")
            .gives::<HostSummary>(),
        Route::new(Method::GET, RESYNC_PATH, Operator, hosts::claims)
            .summary("Show what the set of a frozen host claims")
            .gives::<Claims>(),
        Route::new(Method::POST, RESYNC_PATH, Operator, hosts::resync)
            .summary("Decide whose set counts on a host that is frozen")
            .takes::<Resync>()
            .gives::<HostSummary>(),
    ]
}

fn about_workloads() -> Vec<Route> {
    vec![
        Route::new(Method::GET, WORKLOADS_PATH, Operator, workloads::list)
            .summary("List the workloads, in pages")
            .query::<PageQuery>()
            .gives::<Workloads>(),
        Route::new(Method::POST, WORKLOADS_PATH, Operator, workloads::apply)
            .summary("Apply workloads, all or none")
            .takes::<Apply>()
            .gives::<ApplyAnswer>(),
        Route::new(Method::GET, WORKLOAD_PATH, Operator, workloads::show)
            .summary("Show a workload and how it is")
            .gives::<WorkloadDetail>(),
        Route::new(Method::DELETE, WORKLOAD_PATH, Operator, workloads::delete)
            .summary("Delete a workload"),
        Route::new(Method::GET, LOGS_PATH, Operator, logs::get)
            .summary("Get the end of what a workload printed, from its host")
            .query::<LogsQuery>()
            .gives_other(TEXT),
    ]
}

fn about_rollouts() -> Vec<Route> {
    vec![
        Route::new(Method::GET, CHANNELS_PATH, Operator, channels::list)
            .summary("List the channels")
            .gives::<Channels>(),
        Route::new(Method::PUT, CHANNEL_PATH, Operator, channels::set)
            .summary("Give a channel a version; no host changes by that alone")
            .takes::<ChannelSet>()
            .gives::<Channel>(),
        Route::new(Method::DELETE, CHANNEL_PATH, Operator, channels::remove)
            .summary("Remove a channel"),
        Route::new(Method::GET, ROLLOUTS_PATH, Operator, rollouts::list)
            .summary("List the rollouts and how far their hosts are")
            .gives::<Rollouts>(),
        Route::new(Method::POST, ROLLOUTS_PATH, Operator, rollouts::start)
            .summary("Bring a channel's hosts to its version")
            .takes::<RolloutStart>()
            .gives::<Rollout>(),
        Route::new(Method::GET, ROLLOUT_PATH, Operator, rollouts::show)
            .summary("Show a channel's rollout and how far its hosts are")
            .gives::<Rollout>(),
        Route::new(Method::POST, PAUSE_PATH, Operator, rollouts::pause)
            .summary("Hold a rollout; hosts that reboot already go on")
            .gives::<Rollout>(),
        Route::new(Method::POST, RESUME_PATH, Operator, rollouts::resume)
            .summary("Let a rollout go on that is held or stopped by itself")
            .takes::<RolloutResume>()
            .gives::<Rollout>(),
        Route::new(Method::POST, ABORT_PATH, Operator, rollouts::abort)
            .summary("End a rollout; hosts that have not rebooted stay as they are")
            .gives::<Rollout>(),
    ]
}

fn about_groups() -> Vec<Route> {
    vec![
        Route::new(Method::GET, GROUPS_PATH, Operator, groups::list)
            .summary("List the groups of hosts that do not reboot all at once")
            .gives::<Groups>(),
        Route::new(Method::PUT, GROUP_PATH, Operator, groups::set)
            .summary("Say how many hosts of a group may reboot at once")
            .takes::<GroupSet>()
            .gives::<Group>(),
        Route::new(Method::DELETE, GROUP_PATH, Operator, groups::remove).summary("Remove a group"),
        Route::new(Method::POST, GROUP_FLEETLOCK_PATH, Operator, groups::open)
            .summary("Let hosts that are not ours take part, by a new key that is shown this once")
            .gives::<FleetLock>(),
        Route::new(Method::DELETE, GROUP_FLEETLOCK_PATH, Operator, groups::close)
            .summary("Let hosts that are not ours take part no more"),
        Route::new(Method::DELETE, GROUP_LOCKS_PATH, Operator, groups::unlock)
            .summary("Take back the leave to reboot of a host that is not ours")
            .query::<UnlockQuery>(),
        Route::new(Method::POST, FLEETLOCK_LOCK_PATH, Anyone, fleetlock::lock)
            .summary("Ask for leave to reboot, by FleetLock")
            .takes::<FleetLockRequest>(),
        Route::new(Method::POST, FLEETLOCK_UNLOCK_PATH, Anyone, fleetlock::unlock)
            .summary("Say that the reboot is over, by FleetLock")
            .takes::<FleetLockRequest>(),
    ]
}

fn about_access() -> Vec<Route> {
    vec![
        Route::new(Method::GET, TOKENS_PATH, Operator, tokens::list)
            .summary("List the tokens for enrolment")
            .gives::<Tokens>(),
        Route::new(Method::POST, TOKENS_PATH, Operator, tokens::create)
            .summary("Make a token for enrolment; it is shown this once")
            .takes::<TokenCreate>()
            .gives::<TokenCreated>(),
        Route::new(Method::DELETE, TOKEN_PATH, Operator, tokens::revoke)
            .summary("Take a token back"),
        Route::new(Method::POST, ROTATE_PATH, Operator, tokens::rotate)
            .summary("Replace the operator's own token")
            .gives::<OperatorToken>(),
        Route::new(Method::GET, SECRETS_PATH, Operator, secrets::list)
            .summary("List the secrets, without their values")
            .gives::<Secrets>(),
        Route::new(Method::PUT, SECRET_PATH, Operator, secrets::set)
            .summary("Give a secret a value")
            .takes::<SecretValue>()
            .gives::<SecretInfo>(),
        Route::new(Method::DELETE, SECRET_PATH, Operator, secrets::remove)
            .summary("Remove a secret that no workload uses"),
    ]
}

fn about_the_endpoint() -> Vec<Route> {
    vec![
        Route::new(Method::GET, EVENTS_PATH, Operator, events::list)
            .summary("List what happened, or wait for it")
            .query::<EventsQuery>()
            .gives::<Events>(),
        Route::new(Method::GET, AUDIT_PATH, Operator, events::audit)
            .summary("List who asked for what")
            .gives::<AuditLog>(),
        Route::new(Method::GET, METRICS_PATH, Operator, about::metrics)
            .summary("Numbers for Prometheus")
            .gives_other("text/plain; version=0.0.4"),
        Route::new(Method::GET, OPENAPI_PATH, Anyone, about::openapi)
            .summary("This description")
            .gives_other("application/json"),
        Route::new(Method::GET, HEALTH_PATH, Anyone, about::health)
            .summary("Whether the endpoint answers")
            .gives_other(TEXT),
    ]
}
