//! Every command of `hostctl` over a host that runs something.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::process::Stdio;
use std::time::{Duration, Instant};

use basalt_cmd::{Cmd, Running};
use basalt_tests::engine::Kind;
use basalt_tests::fleet::{DEADLINE, Fleet, program, text};
use basalt_tests::until::until;
use serde_json::Value;

const TICK: Duration = Duration::from_millis(10);
/// Those that have no JSON: one has Prometheus' text, one an exit code, two write files for others.
const WITHOUT_JSON: [&str; 5] = ["metrics", "gate", "checks", "completion", "man"];

/// A `hostctl` that goes on, and the file that it writes to.
struct Follower {
    _running: Running,
    file: std::path::PathBuf,
}

impl Follower {
    fn start(fleet: &Fleet, name: &str, args: &[&str]) -> Self {
        let file = fleet.ground.path(name);
        let out = File::create(&file).unwrap();
        let cmd = Cmd::new(program("hostctl")).arg("--root").arg(fleet.host.root()).args(args);
        let errors = File::create(file.with_extension("errors")).unwrap();
        let running = cmd.spawn(Stdio::null(), out.into(), errors.into()).unwrap();
        Self { _running: running, file }
    }

    fn says(&self, what: &str) {
        let end = Instant::now() + DEADLINE;
        loop {
            let text = fs::read_to_string(&self.file).unwrap();
            if text.contains(what) {
                return;
            }
            let errors = fs::read_to_string(self.file.with_extension("errors")).unwrap();
            assert!(Instant::now() < end, "no `{what}` in {text:?}; {errors}");
            std::thread::sleep(TICK);
        }
    }

    fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.file).unwrap();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Commands about the system itself: only a host that was booted from a slot has one, so that
/// `qemu-tests` run them.
const OF_THE_SYSTEM: &str = "os-";

/// The leaves of the tree of commands, as clap has it: each has a man page.
fn leaves(fleet: &Fleet) -> BTreeSet<String> {
    let folder = fleet.ground.path("pages");
    fs::create_dir(&folder).unwrap();
    let said = fleet.host.ctl(&["man", "--out", text(&folder)]);
    assert!(said.ok, "{}", said.errors);
    let pages = fs::read_dir(&folder).unwrap().map(|page| page.unwrap().file_name());
    let pages: BTreeSet<String> = pages.map(|page| page.into_string().unwrap()).collect();
    assert!(pages.contains("hostctl.1"), "{pages:?}");
    let leaf = |page: &String| Some(page.strip_prefix("hostctl-")?.strip_suffix(".1")?.to_owned());
    let all: BTreeSet<String> = pages.iter().filter_map(leaf).collect();
    let has_more = |it: &&String| all.iter().any(|other| other.starts_with(&format!("{it}-")));
    all.iter().filter(|it| !has_more(it)).cloned().collect()
}

/// What a command prints in text, and a part of its JSON as pointer (RFC 6901) and value.
struct Row {
    command: &'static str,
    args: Vec<String>,
    text: &'static str,
    json: (&'static str, Value),
}

impl Row {
    fn args<'a>(&'a self, more: &'a [&'a str]) -> Vec<&'a str> {
        let args = self.args.iter().map(String::as_str);
        [self.command].into_iter().chain(args).chain(more.iter().copied()).collect()
    }
}

fn check(fleet: &Fleet, row: &Row) {
    if !WITHOUT_JSON.contains(&row.command) {
        let args = row.args(&["--json"]);
        let said = fleet.host.ctl(&args);
        assert!(said.ok, "{args:?}: {}", said.errors);
        let (pointer, value) = &row.json;
        // A line each, where something goes on for ever.
        let first = said.text.lines().next().unwrap_or_default();
        let whole = serde_json::from_str(&said.text).or_else(|_| serde_json::from_str(first));
        let whole: Value = whole.unwrap_or_else(|error| panic!("{args:?}: {error}: {}", said.text));
        assert_eq!(whole.pointer(pointer), Some(value), "{args:?}: {whole:#}");
    }
    let args = row.args(&[]);
    let said = fleet.host.ctl(&args);
    let told = format!("{}{}", said.text, said.errors);
    assert!(said.ok && told.contains(row.text), "{args:?}: {told}");
}

fn row(
    command: &'static str,
    args: &[&str],
    text: &'static str,
    json: (&'static str, Value),
) -> Row {
    Row { command, args: args.iter().map(|arg| (*arg).to_owned()).collect(), text, json }
}

pub(crate) fn every_command_does_what_it_says_in_text_and_in_json(kind: Kind) {
    let Some(mut fleet) = Fleet::start(kind) else { return };
    fleet.apply("web", "");
    let own = fleet.container("own", "");
    let name = |name: &str| ("/results/0/name", Value::from(name));
    let man = fleet.ground.path("man");
    fs::create_dir(&man).unwrap();
    let no = || ("", Value::Null);
    let events = Follower::start(&fleet, "events", &["events", "-f"]);
    let events_json = Follower::start(&fleet, "events.json", &["events", "-f", "--json"]);
    let rows = [
        row("status", &[], "ready", ("/state", "ready".into())),
        row("workloads", &[], "web", ("/workloads/0/name", "web".into())),
        row("describe", &["web"], "web", ("/status/name", "web".into())),
        row("apply", &[text(&own), "--dry-run"], "own: would be created", name("own")),
        row("apply", &[text(&own)], "own", name("own")),
        row("plan", &[], "nothing", ("/plan", serde_json::json!([]))),
        row("logs", &["web"], "here", ("/message", "here".into())),
        row("stop", &["own"], "own: held", name("own")),
        row("start", &["own"], "own: let go", name("own")),
        row("events", &[], "web", ("/workload", "web".into())),
        row("metrics", &[], "# TYPE", no()),
        row("gate", &["--deadline", "30"], "this boot is good", no()),
        row("checks", &[], "", no()),
        row("completion", &["bash"], "hostctl", no()),
        row("man", &["--out", text(&man)], "", no()),
        row(
            "purge",
            &["--all", "--yes"],
            "there is no orphan",
            ("/results", serde_json::json!([])),
        ),
    ];
    for row in &rows {
        if row.command == "plan" {
            fleet.host.becomes(&[("own", "running"), ("web", "running")]);
        }
        check(&fleet, row);
    }
    fleet.host.becomes(&[("own", "running"), ("web", "running")]);
    events.says("own");
    events_json.says("own");
    assert!(events_json.lines().iter().any(|event| event["workload"] == "own"));

    what_goes_away(&fleet);
    what_is_an_orphan(&mut fleet, text(&own));
    a_reset_wants_its_word(&fleet);

    let mut known: BTreeSet<String> = rows.iter().map(|row| row.command.to_owned()).collect();
    known.extend(["delete", "adopt"].map(str::to_owned));
    let all = leaves(&fleet);
    let (system, own): (BTreeSet<_>, BTreeSet<_>) =
        all.iter().cloned().partition(|leaf| leaf.starts_with(OF_THE_SYSTEM));
    assert_eq!(own, known, "each command has a row, and each row a command");
    assert!(system.len() > 5, "{system:?}");
    for leaf in &all {
        let words = leaf.strip_prefix(OF_THE_SYSTEM).map_or(vec![&**leaf], |it| vec!["os", it]);
        let help = fleet.host.ctl(&[&words[..], &["--help"]].concat()).text;
        let has_json = help.contains("--json");
        assert_eq!(has_json, !WITHOUT_JSON.contains(&leaf.as_str()), "{leaf}: {help}");
    }
}

/// What goes away can be asked once alone.
fn what_goes_away(fleet: &Fleet) {
    let speaks = "name = \"speaks\"\nkind = \"container\"\n[container]\n\
                  image = \"example.test/tiny:1\"\nnetwork = \"none\"\ncommand = [\"sh\", \"-c\", \
                  \"while :; do echo tick; sleep 0.2; done\"]\nstop_grace_s = 1\n";
    let speaks = fleet.put("speaks.toml", speaks);
    assert!(fleet.host.ctl(&["apply", text(&speaks)]).ok);
    fleet.host.becomes(&[("own", "running"), ("speaks", "running"), ("web", "running")]);
    let logs = Follower::start(fleet, "logs", &["logs", "-f", "-n", "0", "speaks"]);
    let logs_json = Follower::start(fleet, "logs.json", &["logs", "-f", "--json", "speaks"]);
    logs.says("tick\ntick");
    logs_json.says("tick");
    assert!(logs_json.lines().iter().all(|line| line["message"] == "tick"));
    let deleted = fleet.host.ctl(&["delete", "own", "--json"]);
    assert_eq!(deleted.json()["results"][0]["result"], "deleted", "{}", deleted.text);
    let deleted = fleet.host.ctl(&["delete", "speaks"]);
    assert!(deleted.ok && deleted.text.contains("speaks: deleted"), "{}", deleted.errors);
    fleet.host.becomes(&[("web", "running")]);
}

/// One that no ledger knows.
fn what_is_an_orphan(fleet: &mut Fleet, own: &str) {
    assert!(fleet.host.ctl(&["apply", own]).ok);
    fleet.host.becomes(&[("own", "running"), ("web", "running")]);
    fleet.host.kill();
    for name in ["ledger.a", "ledger.b", "ledger.mark"] {
        fs::remove_file(fleet.host.path("var/lib/hostd").join(name)).unwrap();
    }
    fleet.host.start();
    until(DEADLINE, "it is an orphan", || {
        (fleet.host.workloads()?.get("own")?["source"] == "orphaned").then_some(())
    });
    let adopted = fleet.host.ctl(&["adopt", "own", "--spec", own, "--json"]);
    assert_eq!(adopted.json()["results"][0]["result"], "adopted", "{}", adopted.errors);
}

/// At a terminal; there is nothing that could be reset.
fn a_reset_wants_its_word(fleet: &Fleet) {
    let reset = ["os", "factory-reset"];
    for (more, typed, expected) in [
        (None, "yes\n", "nothing is reset"),
        (None, "erase\n", "nothing is reset"),
        (Some("--all"), "reset\n", "nothing is reset"),
        (Some("--all"), "\n", "nothing is reset"),
        (None, "reset\n", "nobody listens on"),
        (Some("--all"), "erase\n", "nobody listens on"),
    ] {
        let args: Vec<&str> = reset.into_iter().chain(more).collect();
        let said = fleet.host.ctl_at_a_terminal(&args, typed);
        assert!(!said.ok && said.text.contains(expected), "{args:?}, {typed:?}: {}", said.text);
        assert!(said.text.contains("this host loses /etc, its identity"), "{}", said.text);
    }
    let said = fleet.host.ctl(&reset);
    assert!(said.errors.contains("hint: `--yes` resets without asking"), "{}", said.errors);
}

/// As somebody types it: the image is still prepared when the log is asked for.
#[test]
fn the_log_of_what_is_about_to_start_is_followed() {
    let Some(fleet) = Fleet::start(Kind::Podman) else { return };
    for name in ["one", "two", "three"] {
        let file = fleet.container(name, "");
        assert!(fleet.host.ctl(&["apply", text(&file)]).ok);
        let follower = Follower::start(&fleet, &format!("{name}.log"), &["logs", "-f", name]);
        follower.says("here");
    }
}
