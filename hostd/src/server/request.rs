//! Everything that can be asked of `hostd`: HTTP is parsed into it, and nothing else exists.

use basalt_api::STATUS_PATH;
use basalt_api::local::{EVENTS_PATH, METRICS_PATH, PLAN_PATH, WORKLOADS_PATH};
use hyper::{Method, StatusCode};

use crate::runtime::LogsWanted;

/// Where Prometheus looks when nobody tells it another place.
const USUAL_METRICS_PATH: &str = "/metrics";

/// A question or a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// How the host is.
    Status,
    /// Numbers for Prometheus.
    Metrics,
    /// How the workloads are.
    Workloads,
    /// What would be done now.
    Plan,
    /// One workload, by name or uid.
    Describe(String),
    /// What happened after an event, and from now on.
    Events { after: u64, follow: bool },
    /// Workloads of the host's own, in the body.
    Apply,
    /// The host's own workload of this name goes.
    Delete(String),
    /// The operator lets go of it, or wants it run once more.
    Start(String),
    /// The operator keeps it stopped.
    Stop(String),
    /// An orphan of this name becomes the host's own; its spec may be in the body.
    Adopt(String),
    /// An orphan of this name goes with its data.
    Purge(String),
    /// What a workload writes.
    Logs(String, LogsWanted),
}

/// Why something is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotAsked {
    /// There is nothing at this path.
    NoSuchPath,
    /// The path knows other methods.
    Method(&'static str),
    /// The query makes no sense.
    Query,
}

impl NotAsked {
    /// How HTTP says it, and in words.
    pub(super) fn words(self) -> (StatusCode, &'static str) {
        match self {
            Self::NoSuchPath => (StatusCode::NOT_FOUND, "there is nothing at this path"),
            Self::Method(_) => {
                (StatusCode::METHOD_NOT_ALLOWED, "this path does not know this method")
            }
            Self::Query => (StatusCode::BAD_REQUEST, "the query makes no sense"),
        }
    }
}

impl Asked {
    /// Reads a method, a path and a query.
    pub(super) fn parse(method: &Method, path: &str, query: &str) -> Result<Self, NotAsked> {
        let rest = path.strip_prefix(WORKLOADS_PATH).and_then(|rest| rest.strip_prefix('/'));
        let Some(rest) = rest else { return Self::of_fixed_path(method, path, query) };
        let (name, wish) = rest.split_once('/').unwrap_or((rest, ""));
        let is_name = |name: &str| {
            !name.is_empty() && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
        };
        if !is_name(name) {
            return Err(NotAsked::NoSuchPath);
        }
        let name = name.to_owned();
        match (wish, method.as_str()) {
            ("", "GET") => Ok(Self::Describe(name)),
            ("", "DELETE") => Ok(Self::Delete(name)),
            ("", _) => Err(NotAsked::Method("GET, DELETE")),
            ("start", "POST") => Ok(Self::Start(name)),
            ("stop", "POST") => Ok(Self::Stop(name)),
            ("adopt", "POST") => Ok(Self::Adopt(name)),
            ("purge", "POST") => Ok(Self::Purge(name)),
            ("start" | "stop" | "adopt" | "purge", _) => Err(NotAsked::Method("POST")),
            ("logs", "GET") => Ok(Self::Logs(name, logs_wanted(query)?)),
            ("logs", _) => Err(NotAsked::Method("GET")),
            _ => Err(NotAsked::NoSuchPath),
        }
    }

    fn of_fixed_path(method: &Method, path: &str, query: &str) -> Result<Self, NotAsked> {
        match (path, method.as_str()) {
            (STATUS_PATH, "GET") => Ok(Self::Status),
            (METRICS_PATH | USUAL_METRICS_PATH, "GET") => Ok(Self::Metrics),
            (WORKLOADS_PATH, "GET") => Ok(Self::Workloads),
            (WORKLOADS_PATH, "POST") => Ok(Self::Apply),
            (PLAN_PATH, "GET") => Ok(Self::Plan),
            (EVENTS_PATH, "GET") => {
                let after = number(query, "after")?.unwrap_or(0);
                Ok(Self::Events { after, follow: truth(query, "follow")? })
            }
            (WORKLOADS_PATH, _) => Err(NotAsked::Method("GET, POST")),
            (STATUS_PATH | METRICS_PATH | USUAL_METRICS_PATH | PLAN_PATH | EVENTS_PATH, _) => {
                Err(NotAsked::Method("GET"))
            }
            _ => Err(NotAsked::NoSuchPath),
        }
    }

    /// Whether the answer goes on until somebody ends it.
    pub(super) fn follows(&self) -> bool {
        match self {
            Self::Events { follow, .. } => *follow,
            Self::Logs(_, wanted) => wanted.follow,
            _ => false,
        }
    }

    /// Whether only root may: whatever changes something, and what workloads write.
    pub(super) fn needs_root(&self) -> bool {
        match self {
            Self::Status
            | Self::Metrics
            | Self::Workloads
            | Self::Plan
            | Self::Describe(_)
            | Self::Events { .. } => false,
            Self::Apply
            | Self::Delete(_)
            | Self::Start(_)
            | Self::Stop(_)
            | Self::Adopt(_)
            | Self::Purge(_)
            | Self::Logs(..) => true,
        }
    }
}

fn logs_wanted(query: &str) -> Result<LogsWanted, NotAsked> {
    let tail = number(query, "tail")?.map(u32::try_from).transpose();
    Ok(LogsWanted { tail: tail.map_err(|_| NotAsked::Query)?, follow: truth(query, "follow")? })
}

fn value<'a>(query: &'a str, key: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
}

fn number(query: &str, key: &str) -> Result<Option<u64>, NotAsked> {
    value(query, key).map(str::parse).transpose().map_err(|_| NotAsked::Query)
}

fn truth(query: &str, key: &str) -> Result<bool, NotAsked> {
    let truth = value(query, key).map(str::parse).transpose().map_err(|_| NotAsked::Query)?;
    Ok(truth.unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "the calls read like a table")]
    fn check(line: &str, expected: Result<Asked, NotAsked>) {
        let (method, target) = line.split_once(' ').unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        assert_eq!(Asked::parse(&method.parse().unwrap(), path, query), expected, "{line}");
    }

    #[test]
    fn every_path_has_its_methods() {
        let web = || "web".to_owned();
        let logs = |tail, follow| Asked::Logs(web(), LogsWanted { tail, follow });
        check("GET /v1/status", Ok(Asked::Status));
        check("GET /v1/metrics", Ok(Asked::Metrics));
        check("GET /metrics", Ok(Asked::Metrics));
        check("GET /v1/workloads", Ok(Asked::Workloads));
        check("POST /v1/workloads", Ok(Asked::Apply));
        check("GET /v1/plan", Ok(Asked::Plan));
        check("GET /v1/workloads/web", Ok(Asked::Describe(web())));
        check("DELETE /v1/workloads/web", Ok(Asked::Delete(web())));
        check("POST /v1/workloads/web/start", Ok(Asked::Start(web())));
        check("POST /v1/workloads/web/stop", Ok(Asked::Stop(web())));
        check("POST /v1/workloads/web/adopt", Ok(Asked::Adopt(web())));
        check("POST /v1/workloads/web/purge", Ok(Asked::Purge(web())));
        check("GET /v1/workloads/web/logs?follow=true&tail=5", Ok(logs(Some(5), true)));
        check("GET /v1/workloads/web/logs", Ok(logs(None, false)));
        check("GET /v1/events?after=7", Ok(Asked::Events { after: 7, follow: false }));
    }

    #[test]
    fn what_is_not_there_cannot_be_asked() {
        check("POST /v1/status", Err(NotAsked::Method("GET")));
        check("PUT /v1/workloads/web", Err(NotAsked::Method("GET, DELETE")));
        check("GET /v1/../etc/shadow", Err(NotAsked::NoSuchPath));
        check("GET /v1/workloads/../x", Err(NotAsked::NoSuchPath));
        check("GET /v1/workloads/a%2fb", Err(NotAsked::NoSuchPath));
        check("GET /v1/workloads/web/purge", Err(NotAsked::Method("POST")));
        check("POST /v1/workloads/web/exec", Err(NotAsked::NoSuchPath));
        check("GET /v1/workloads/web/logs?tail=many", Err(NotAsked::Query));
        check("GET /", Err(NotAsked::NoSuchPath));
    }

    #[test]
    fn only_reading_how_the_host_is_needs_no_root() {
        let name = || "a".to_owned();
        let logs = LogsWanted { tail: None, follow: false };
        let events = Asked::Events { after: 0, follow: true };
        let open = [Asked::Status, Asked::Metrics, Asked::Workloads, Asked::Plan];
        for open in open.into_iter().chain([Asked::Describe(name()), events]) {
            assert!(!open.needs_root(), "{open:?}");
        }
        let closed = [
            Asked::Apply,
            Asked::Delete(name()),
            Asked::Start(name()),
            Asked::Stop(name()),
            Asked::Adopt(name()),
            Asked::Purge(name()),
            Asked::Logs(name(), logs),
        ];
        for closed in closed {
            assert!(closed.needs_root(), "{closed:?}");
        }
    }

    #[test]
    fn fuzz_a_question_on_the_socket() {
        let seeds = ["GET /v1/workloads/web/logs?lines=5&follow=true", "POST /v1/workloads?", "x"];
        basalt_fuzz::run_on_text!(&seeds, |text| {
            let (method, rest) = text.split_once(' ').unwrap_or(("GET", text));
            let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
            let method = Method::from_bytes(method.as_bytes()).unwrap_or(Method::GET);
            Asked::parse(&method, path, query).map(|asked| asked.needs_root())
        });
    }
}
