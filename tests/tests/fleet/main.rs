//! The real endpoint, the real `hostd` and a real engine: what an operator applies runs, and goes
//! on running whoever is killed.

#![expect(clippy::unwrap_used, reason = "what cannot set up its fleet has failed")]

mod adoption;
mod changes;
mod commands;
mod denials;
mod drift;
mod hanging;
mod reenrolment;
mod told;

use adoption::a_container_of_the_release_before_is_adopted_by_its_ledger;
use basalt_api::enrol::JoinString;
use basalt_tests::engine::Kind;
use basalt_tests::fleet::{DEADLINE, Fleet, text};
use basalt_tests::ground::TINY;
use basalt_tests::until::until;
use changes::{
    a_hold_is_told_at_the_endpoint_and_outlives_a_reboot,
    what_is_changed_in_place_keeps_its_process_and_has_its_effect,
};
use commands::every_command_does_what_it_says_in_text_and_in_json;
use denials::{
    what_the_policy_allows_no_more_is_stopped, what_the_policy_denies_is_told_and_harms_no_other,
};
use drift::what_somebody_removes_stops_or_pauses_by_hand_runs_again;
use reenrolment::what_ran_under_the_replaced_id_is_left_alone_until_it_is_purged;
use rustix::process::{Pid, Signal, kill_process};
use told::devices_and_problems_come_through_to_the_endpoint;

/// Says what its secret is, and runs on.
const SECRET_LOOP: &str = "echo $DB; trap 'exit 0' TERM; while :; do sleep 0.1; done";

fn what_is_applied_runs_speaks_and_goes(kind: Kind) {
    let Some(fleet) = Fleet::start(kind) else { return };
    fleet.apply("web", "");
    fleet.host.becomes(&[("web", "running")]);
    assert_eq!(fleet.endpoint.ctl(&["logs", "web"]).text.trim(), "here");
    assert_eq!(fleet.host.ctl(&["logs", "web"]).text.trim(), "here");
    assert!(fleet.endpoint.ctl(&["delete", "web"]).ok);
    fleet.host.becomes(&[]);
    assert_eq!(fleet.containers(), Vec::<String>::new());
}

fn nothing_stops_and_nothing_doubles_when_either_is_killed(kind: Kind) {
    let Some(mut fleet) = Fleet::start(kind) else { return };
    for name in ["a", "b"] {
        fleet.apply(name, "");
    }
    let before = fleet.containers();
    assert_eq!(before.len(), 2);
    fleet.host.kill();
    fleet.host.start();
    fleet.host.becomes(&[("a", "running"), ("b", "running")]);
    fleet.endpoint.kill();
    fleet.host.kill();
    // The host comes back without its endpoint and knows what it runs.
    fleet.host.start();
    fleet.host.becomes(&[("a", "running"), ("b", "running")]);
    fleet.endpoint.start();
    assert!(fleet.endpoint.ctl(&["delete", "a"]).ok);
    fleet.host.becomes(&[("b", "running")]);
    let after = fleet.containers();
    assert!(after.len() == 1 && before.contains(&after[0]), "{before:?} became {after:?}");
}

fn a_container_that_is_killed_comes_back(kind: Kind) {
    let Some(fleet) = Fleet::start(kind) else { return };
    fleet.apply("web", "");
    let id = fleet.containers().remove(0);
    if kind == Kind::Podman {
        // Not by the engine: it answers once it has seen the end, which a restart at once hides.
        let inspected = fleet.ground.engine.ask(&format!("GET /containers/{id}/json")).json();
        let pid = inspected["State"]["Pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.and_then(Pid::from_raw).expect("it runs");
        kill_process(pid, Signal::KILL).expect("it is ours");
    } else {
        let answer = fleet.ground.engine.ask(&format!("POST /containers/{id}/kill"));
        assert_eq!(answer.status, 204);
    }
    until(DEADLINE, "it was started again", || {
        let list = fleet.host.ctl(&["workloads", "--json"]).json();
        let one = &list["workloads"][0];
        (one["restarts"] == 1 && one["state"] == "running").then_some(())
    });
}

fn a_hold_of_the_hosts_operator_outlives_hostd(kind: Kind) {
    let Some(mut fleet) = Fleet::start(kind) else { return };
    fleet.apply("web", "");
    assert!(fleet.host.ctl(&["stop", "web"]).ok);
    fleet.host.becomes(&[("web", "stopped")]);
    fleet.host.kill();
    fleet.host.start();
    fleet.host.becomes(&[("web", "stopped")]);
    assert!(fleet.host.ctl(&["start", "web"]).ok);
    fleet.host.becomes(&[("web", "running")]);
}

fn a_secret_comes_from_whichever_url_answers(kind: Kind) {
    let Some(mut fleet) = Fleet::prepare(kind) else { return };
    fleet.endpoint.start();
    let mut join: JoinString = fleet.endpoint.join_string().parse().expect("a join string");
    join.urls.insert(0, "https://127.0.0.1:9".to_owned());
    fleet.enrol_with(&join.reveal());
    let set = fleet.endpoint.operator().ctl(&["secret", "set", "db"], b"canary");
    assert!(set.ok, "{}", set.errors);
    let web = format!(
        "name = \"web\"\nkind = \"container\"\n[container]\nimage = {TINY:?}\n\
         network = \"none\"\ncommand = [\"sh\", \"-c\", {SECRET_LOOP:?}]\n\
         secrets = [{{ name = \"db\", variable = \"DB\" }}]\n"
    );
    let web = fleet.put("web.toml", &web);
    let applied = fleet.endpoint.ctl(&["apply", text(&web), "--wait"]);
    assert!(applied.ok, "{}{}", applied.text, applied.errors);
    until(DEADLINE, "it has its secret", || {
        fleet.host.ctl(&["logs", "web"]).text.contains("canary").then_some(())
    });
    // Logs go where the check-in is answered, too.
    let logs = fleet.endpoint.ctl(&["logs", "web"]);
    assert!(logs.ok && logs.text.contains("canary"), "{}{}", logs.text, logs.errors);
}

fn what_no_ledger_knows_is_adopted_or_purged_and_left_alone_before(kind: Kind) {
    let Some(mut fleet) = Fleet::start(kind) else { return };
    let [a, b, c] = ["a", "b", "c"].map(|name| fleet.container(name, ""));
    for file in [&a, &b, &c] {
        assert!(fleet.host.ctl(&["apply", text(file)]).ok);
    }
    let all = [("a", "running"), ("b", "running"), ("c", "running")];
    fleet.host.becomes(&all);
    let before = fleet.containers();
    fleet.host.kill();
    for name in ["ledger.a", "ledger.b", "ledger.mark"] {
        std::fs::remove_file(fleet.host.path("var/lib/hostd").join(name)).expect("a copy");
    }
    fleet.host.start();
    fleet.host.becomes(&all);
    let listed = fleet.host.ctl(&["workloads"]).text;
    assert!(listed.contains("orphaned") && listed.contains("no ledger knows it"), "{listed}");
    assert_eq!(fleet.containers(), before);
    let asked = fleet.host.ctl(&["purge", "a", "b"]);
    assert!(!asked.ok, "{}", asked.text);
    assert!(asked.errors.contains("hint: `--yes` purges without asking"), "{}", asked.errors);
    let declined = fleet.host.ctl_at_a_terminal(&["purge", "b", "c"], "n\n");
    assert!(!declined.ok && declined.text.contains("with all data? [y/N]"), "{}", declined.text);
    assert!(declined.text.contains("nothing was purged"), "{}", declined.text);
    assert_eq!(fleet.containers(), before);
    let confirmed = fleet.host.ctl_at_a_terminal(&["purge", "c"], "y\n");
    assert!(confirmed.ok && confirmed.text.contains("purged"), "{}", confirmed.text);
    fleet.host.becomes(&all[..2]);
    let unknown = fleet.host.ctl(&["adopt", "a"]);
    assert!(!unknown.ok && unknown.errors.contains("`--spec FILE`"), "{}", unknown.errors);
    let adopted = fleet.host.ctl(&["adopt", "a", "--spec", text(&a)]);
    assert!(adopted.ok, "{}", adopted.errors);
    assert!(fleet.host.ctl(&["purge", "--all", "--yes"]).ok);
    fleet.host.becomes(&[("a", "running")]);
    let after = fleet.containers();
    assert!(after.len() == 1 && before.contains(&after[0]), "{before:?} became {after:?}");
    assert!(!fleet.host.ctl(&["purge", "a", "--yes"]).ok, "it is no orphan any more");
    assert!(fleet.host.ctl(&["delete", "a"]).ok);
    fleet.host.becomes(&[]);
    assert_eq!(fleet.containers(), Vec::<String>::new());
}

/// As if it had run long enough in the boot before, and this were another one.
fn boots(fleet: &mut Fleet, uid: &str, without: &[&str]) {
    fleet.host.kill();
    let ran = format!(r#"{{"boot_id":"another","is_good":true,"ran":["{uid}"],"before":[]}}"#);
    fleet.host.put("var/lib/hostd/ran.json", &ran);
    let containers = fleet.containers();
    let containers = containers.iter().map(|id| format!("containers/{id}"));
    let images = without.iter().map(|image| format!("images/{image}"));
    for gone in containers.chain(images) {
        let answer = fleet.ground.engine.ask(&format!("DELETE /{gone}?force=true"));
        assert!(answer.status < 300, "{gone}: {}", answer.status);
    }
    fleet.host.begin();
}

fn the_gate_waits_for_what_ran_before_the_boot(kind: Kind) {
    let Some(mut fleet) = Fleet::start(kind) else { return };
    fleet.host.put("etc/basalt/hostd.toml", "round_interval_s = 1\n");
    fleet.apply("web", "");
    let workloads = fleet.host.workloads().expect("hostd answers");
    let uid = workloads["web"]["uid"].as_str().expect("a uid").to_owned();
    boots(&mut fleet, &uid, &[]);
    let gate = fleet.host.ctl(&["gate", "--deadline", "50"]);
    assert!(gate.ok, "{}{}", gate.text, gate.errors);
    fleet.host.becomes(&[("web", "running")]);
    // A boot in which it cannot come back.
    boots(&mut fleet, &uid, &[TINY]);
    let gate = fleet.host.ctl(&["gate", "--deadline", "10"]);
    let expected = "web: it ran before the host booted, and is ";
    let said = gate.text + &gate.errors;
    assert!(!gate.ok && said.contains(expected), "{said}");
    assert!(fleet.host.ctl(&["status"]).text.contains(expected));
    // Held by somebody, it does not have to come back.
    assert!(fleet.host.ctl(&["stop", "web"]).ok);
    assert!(fleet.host.ctl(&["gate", "--deadline", "20"]).ok);
}

basalt_tests::on_both_engines!(
    what_is_applied_runs_speaks_and_goes,
    nothing_stops_and_nothing_doubles_when_either_is_killed,
    a_container_that_is_killed_comes_back,
    a_hold_of_the_hosts_operator_outlives_hostd,
    what_the_policy_denies_is_told_and_harms_no_other,
    what_the_policy_allows_no_more_is_stopped,
    a_secret_comes_from_whichever_url_answers,
    what_no_ledger_knows_is_adopted_or_purged_and_left_alone_before,
    the_gate_waits_for_what_ran_before_the_boot,
    what_somebody_removes_stops_or_pauses_by_hand_runs_again,
    what_is_changed_in_place_keeps_its_process_and_has_its_effect,
    a_hold_is_told_at_the_endpoint_and_outlives_a_reboot,
    every_command_does_what_it_says_in_text_and_in_json,
    devices_and_problems_come_through_to_the_endpoint,
    what_ran_under_the_replaced_id_is_left_alone_until_it_is_purged,
    a_container_of_the_release_before_is_adopted_by_its_ledger,
);
