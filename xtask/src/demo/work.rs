//! The host at work: it enrols, is told to run a container and a virtual machine, and does.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use basalt_site::{Site, guest, web};
use basalt_vm::Vm;
use serde_json::Value;

use crate::progress::shown;
use crate::session::Session;

/// Where the container serves its page.
pub(super) const WEB: u16 = 8080;
/// What takes longer, on a slow machine too, never comes.
const PATIENCE: Duration = Duration::from_secs(300);
const TICK: Duration = Duration::from_millis(500);

/// What a look saw.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Found(String),
    /// How far it is.
    NotYet(String),
}

/// Gives the host work, and tells line by line what came of it.
///
/// # Errors
/// The host does not enrol, or something does not run, speak or answer in time.
pub(super) fn give(session: &Session, site: &Site, vm: &Vm) -> Result<Vec<(&'static str, String)>> {
    session.progress.heading("work");
    let host = until(session, "enrolment", || {
        let hosts = ask(site, &["hosts", "--json"])?;
        let host = &hosts["hosts"][0];
        Ok(match (host["name"].as_str(), host["state"].as_str()) {
            (Some(name), Some("present")) => Seen::Found(name.to_owned()),
            (_, state) => Seen::NotYet(state.unwrap_or("nobody has enrolled").to_owned()),
        })
    })?;
    let container = apply(session, site, "web", &site.container("web", WEB)?)?;
    let (line, _) = speaks(session, site, "web", Site::WEB_UP)?;
    let port = vm.forwarded(WEB)?;
    let page = until(session, "its page", || {
        let page = web::page(port).map(|page| format!("`{}`", page.trim()));
        Ok(page.map_or_else(|| Seen::NotYet("nobody answers".to_owned()), Seen::Found))
    })?;
    let machine = apply(session, site, "guest", &site.machine("guest")?)?;
    let (console, after) = speaks(session, site, "guest", guest::UP)?;
    let (container, machine, after) = (shown(container), shown(machine), shown(after));
    Ok(vec![
        ("enrolled", format!("as `{host}`, by the credential that it was given")),
        ("web", format!("container, runs {container} after it was applied, says `{line}`")),
        ("page", format!("{page}, at port {WEB} of the host")),
        ("guest", format!("virtual machine, runs {machine} after it was applied")),
        ("console", format!("of the guest, {after} later: {console}")),
    ])
}

/// Applies a workload and waits until its host says that it runs; how long that took.
fn apply(session: &Session, site: &Site, name: &str, file: &Path) -> Result<Duration> {
    let began = Instant::now();
    site.endpoint
        .ctl(["apply", file.to_str().context("the folder's name is not UTF-8")?])?
        .run()?;
    until(session, name, || Ok(state(&ask(site, &["workloads", "--json"])?, name)))?;
    Ok(began.elapsed())
}

/// Whether a workload runs, or how far it is and why. Pure.
fn state(workloads: &Value, name: &str) -> Seen {
    let all = workloads["workloads"].as_array();
    let found = all.into_iter().flatten().find(|one| one["spec"]["name"] == name);
    let status = found.map_or(&Value::Null, |one| &one["status"]);
    let word = |key: &str| status[key].as_str().unwrap_or_default();
    match word("state") {
        "running" => Seen::Found("running".to_owned()),
        state => Seen::NotYet(format!("{state} {}", word("reason")).trim().to_owned()),
    }
}

/// Waits until a workload has said something; the line, and how long that took.
fn speaks(session: &Session, site: &Site, name: &str, words: &str) -> Result<(String, Duration)> {
    let began = Instant::now();
    let line = until(session, &format!("{name}'s log"), || {
        // They come from the host, which may be busy with what was just asked of it.
        let said = match site.endpoint.ctl(["logs", name])?.run() {
            Ok(output) => output.stdout_text(),
            Err(error) => return Ok(Seen::NotYet(error.to_string())),
        };
        let line = said.lines().map(str::trim).find(|line| line.contains(words));
        Ok(match line {
            Some(line) => Seen::Found(line.to_owned()),
            None => Seen::NotYet(said.lines().next_back().unwrap_or("nothing yet").to_owned()),
        })
    })?;
    Ok((line, began.elapsed()))
}

fn ask(site: &Site, args: &[&str]) -> Result<Value> {
    let said = site.endpoint.ctl(args.iter().copied())?.run()?.stdout_text();
    serde_json::from_str(&said).with_context(|| format!("`basaltctl` printed no JSON: {said}"))
}

/// Looks until something is there, and shows what is seen meanwhile.
fn until(session: &Session, name: &str, mut look: impl FnMut() -> Result<Seen>) -> Result<String> {
    let mut step = session.progress.step(name);
    let began = Instant::now();
    loop {
        session.go_on()?;
        match look()? {
            Seen::Found(found) => {
                step.finish(&found);
                return Ok(found);
            }
            Seen::NotYet(seen) if began.elapsed() >= PATIENCE => {
                bail!("{name} did not come within {}: {seen}", shown(PATIENCE))
            }
            Seen::NotYet(seen) => step.note(&seen),
        }
        sleep(TICK);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_does_not_run_yet_says_why() {
        let workload = |name, status| json!({ "spec": { "name": name }, "status": status });
        let web = workload("web", json!({ "state": "running" }));
        let reason = "network 'default' is not active";
        let guest = workload("guest", json!({ "state": "failed", "reason": reason }));
        let all = json!({ "workloads": [guest, web, workload("new", Value::Null)] });
        assert_eq!(state(&all, "web"), Seen::Found("running".to_owned()));
        assert_eq!(state(&all, "guest"), Seen::NotYet(format!("failed {reason}")));
        assert_eq!(state(&all, "new"), Seen::NotYet(String::new()));
    }
}
