//! Holds the arrows of the house: which package may use which, and what a package never reaches.
//!
//! The rules are the two tables below; ARCHITECTURE.md tells them in words. A new package stands
//! in no table, and so fails until somebody says where it belongs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use basalt_cmd::Cmd;
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Each package of ours and the packages of ours that it may use.
const MAY_USE: &[(&str, &[&str])] = &[
    ("basalt-fuzz", &[]),
    ("basalt-api", &["basalt-fuzz"]),
    ("basalt-beneath", &[]),
    ("basalt-cmd", &[]),
    ("basalt-archive", &["basalt-release"]),
    ("basalt-consoles", &[]),
    ("basalt-medium", &[]),
    ("basalt-durable", &[]),
    ("basalt-explain", &[]),
    ("basalt-document", &[]),
    ("basalt-download", &["basalt-fuzz"]),
    ("basalt-host-toml", &["basalt-document", "basalt-fuzz"]),
    ("basalt-log", &["basalt-fuzz"]),
    ("basalt-manual", &[]),
    ("basalt-table", &[]),
    ("basalt-window", &["basalt-fuzz"]),
    ("basalt-release", &["basalt-fuzz"]),
    ("basalt-sysroot", &["basalt-fuzz"]),
    ("basalt-live", &["basalt-fuzz", "basalt-sysroot"]),
    (
        "basalt-live-boot",
        &[
            "basalt-consoles",
            "basalt-download",
            "basalt-explain",
            "basalt-fuzz",
            "basalt-live",
            "basalt-medium",
        ],
    ),
    ("basalt-disk", &["basalt-cmd", "basalt-fuzz", "basalt-sysroot"]),
    ("basalt-deploy", &["basalt-cmd", "basalt-durable", "basalt-sysroot"]),
    ("basalt-vm", &["basalt-cmd", "basalt-sysroot"]),
    ("basalt-mend-esp", &["basalt-cmd", "basalt-fuzz"]),
    ("basalt-power-cut", &["basalt-cmd", "basalt-mend-esp", "basalt-sysroot", "basalt-vm"]),
    ("basalt-site", &["basalt-cmd"]),
    ("hostd-core", &["basalt-api", "basalt-sysroot"]),
    (
        "hostd",
        &[
            "basalt-api",
            "basalt-beneath",
            "basalt-cmd",
            "basalt-document",
            "basalt-durable",
            "basalt-explain",
            "basalt-fuzz",
            "basalt-host-toml",
            "basalt-https",
            "basalt-log",
            "basalt-manual",
            "basalt-sysroot",
            "basalt-table",
            "basalt-window",
            "basalt-workload-file",
            "hostd-core",
        ],
    ),
    (
        "hostd-os",
        &[
            "basalt-api",
            "basalt-archive",
            "basalt-cmd",
            "basalt-deploy",
            "basalt-durable",
            "basalt-explain",
            "basalt-mend-esp",
            "basalt-release",
            "basalt-sysroot",
        ],
    ),
    ("basalt-https", &["basalt-fuzz"]),
    (
        "hostd-virt",
        &[
            "basalt-api",
            "basalt-beneath",
            "basalt-cmd",
            "basalt-durable",
            "basalt-fuzz",
            "hostd-core",
        ],
    ),
    ("basalt-workload-file", &["basalt-api", "basalt-document", "basalt-fuzz"]),
    (
        "basalt-kickstart",
        &["basalt-api", "basalt-cmd", "basalt-document", "basalt-fuzz", "basalt-host-toml"],
    ),
    ("basalt-kickstart-file", &["basalt-document", "basalt-kickstart"]),
    (
        "basalt-install",
        &[
            "basalt-api",
            "basalt-archive",
            "basalt-beneath",
            "basalt-cmd",
            "basalt-consoles",
            "basalt-deploy",
            "basalt-disk",
            "basalt-document",
            "basalt-durable",
            "basalt-explain",
            "basalt-host-toml",
            "basalt-https",
            "basalt-kickstart",
            "basalt-kickstart-file",
            "basalt-live",
            "basalt-medium",
            "basalt-release",
            "basalt-sysroot",
        ],
    ),
    ("basalt-endpoint-core", &["basalt-api", "basalt-window"]),
    (
        "basalt-endpoint",
        &[
            "basalt-api",
            "basalt-cmd",
            "basalt-document",
            "basalt-durable",
            "basalt-endpoint-core",
            "basalt-explain",
            "basalt-fuzz",
            "basalt-https",
            "basalt-log",
            "basalt-manual",
            "basalt-table",
            "basalt-window",
            "basalt-workload-file",
        ],
    ),
    (
        "basalt-builder",
        &[
            "basalt-cmd",
            "basalt-deploy",
            "basalt-disk",
            "basalt-document",
            "basalt-download",
            "basalt-durable",
            "basalt-explain",
            "basalt-fuzz",
            "basalt-host-toml",
            "basalt-kickstart-file",
            "basalt-live",
            "basalt-log",
            "basalt-manual",
            "basalt-release",
            "basalt-sysroot",
            "basalt-vm",
        ],
    ),
];

/// These may use anything, and nothing uses them.
const AT_THE_TOP: &[&str] = &["basalt-tests", "build-tests", "qemu-tests", "xtask"];

/// What a package must not reach, over however many others. `hostd` cannot be stuck in a C call;
/// what decides does no I/O; `cargo xtask` must compile before the machine is set up. The library
/// that speaks to container engines writes whole requests, secrets too, to the `log` crate, which
/// nothing may bring into `hostd`'s own log.
const NEVER_REACHES: &[(&str, &[&str])] = &[
    ("hostd", &["ostree-sys", "virt-sys", "tracing-log"]),
    ("hostd-core", &["tokio", "hyper", "rustix", "virt", "bollard"]),
    // Small, and nothing of it waits: a process that may be killed in the middle of a call.
    ("hostd-virt", &["tokio", "hyper", "ostree-sys", "hostd"]),
    ("basalt-endpoint-core", &["tokio", "hyper", "axum", "sqlx", "rustix"]),
    ("basalt-endpoint", &["hostd", "hostd-core", "basalt-builder", "aws-lc-sys", "openssl-sys"]),
    ("hostd", &["basalt-endpoint", "basalt-endpoint-core"]),
    ("basalt-api", &["tokio", "hyper", "rustix"]),
    ("basalt-document", &["tokio", "rustix"]),
    ("basalt-host-toml", &["tokio", "rustix"]),
    ("basalt-workload-file", &["tokio", "rustix"]),
    // It is said to whoever writes one, wherever that is.
    ("basalt-kickstart", &["tokio", "rustix", "basalt-cmd"]),
    // Small, for it is in every initrd of a live system.
    ("basalt-live-boot", &["tokio", "hyper", "ostree-sys", "clap"]),
    ("basalt-live", &["tokio", "rustix"]),
    ("basalt-builder", &["hostd", "hostd-core", "basalt-endpoint", "basalt-install"]),
    ("basalt-install", &["hostd", "hostd-core", "basalt-builder"]),
    ("xtask", &["ostree-sys", "virt-sys"]),
    ("qemu-tests", &["ostree-sys", "virt-sys"]),
];

/// Who uses whom.
#[derive(Default)]
struct Graph {
    /// Packages of this workspace, each with all it names, for its tests too.
    ours: BTreeMap<String, BTreeSet<String>>,
    /// Every package, with what its product is linked from.
    linked: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    fn of(metadata: &Metadata) -> Self {
        let name = |id| metadata[id].name.to_string();
        let mut graph = Self::default();
        let resolve = metadata.resolve.as_ref().expect("cargo resolves the workspace");
        for node in &resolve.nodes {
            let linked = node.deps.iter().filter(|dep| {
                dep.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development)
            });
            let linked = linked.map(|dep| name(&dep.pkg));
            // Two versions of a package are one name here.
            graph.linked.entry(name(&node.id)).or_default().extend(linked);
            if metadata.workspace_members.contains(&node.id) {
                let all = node.deps.iter().map(|dep| name(&dep.pkg)).collect();
                graph.ours.insert(name(&node.id), all);
            }
        }
        graph
    }

    /// The shortest way from one package to another, as `a → b → c`.
    fn way(&self, from: &str, to: &str) -> Option<String> {
        let mut seen = BTreeSet::from([from]);
        let mut ways = VecDeque::from([vec![from]]);
        while let Some(way) = ways.pop_front() {
            let last = way[way.len() - 1];
            if last == to {
                return Some(way.join(" → "));
            }
            for next in self.linked.get(last).into_iter().flatten() {
                if seen.insert(next) {
                    ways.push_back([way.as_slice(), &[next]].concat());
                }
            }
        }
        None
    }
}

/// Says what is wrong with the arrows, one line each; nothing when all hold. Pure.
fn wrong_arrows(graph: &Graph) -> Vec<String> {
    let direct = graph.ours.iter().flat_map(|(from, used)| wrong_uses(graph, from, used));
    let reached = NEVER_REACHES.iter().flat_map(|(from, never)| {
        let ways = never.iter().filter_map(|to| graph.way(from, to));
        ways.map(|way| format!("must not be reached: {way}"))
    });
    direct.chain(reached).collect()
}

fn wrong_uses(graph: &Graph, from: &str, used: &BTreeSet<String>) -> Vec<String> {
    let may_use = MAY_USE.iter().find(|(name, _)| *name == from).map(|(_, may_use)| *may_use);
    let at_the_top = AT_THE_TOP.contains(&from);
    if may_use.is_none() && !at_the_top {
        return vec![format!("`{from}` stands in no table of tests/tests/arrows.rs")];
    }
    let ours = used.iter().filter(|to| graph.ours.contains_key(*to));
    ours.filter(|to| match may_use {
        Some(may_use) => !may_use.contains(&to.as_str()),
        None => AT_THE_TOP.contains(&to.as_str()),
    })
    .map(|to| format!("`{from}` must not use `{to}`"))
    .collect()
}

/// `input` has a line `a: b c` for each package of ours, `a+ b c` for each foreign one.
fn check(input: &str, expected: &[&str]) {
    let mut graph = Graph::default();
    for line in input.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (from, used) = line.split_once([':', '+']).expect("a line names a package");
        let used: BTreeSet<String> = used.split_whitespace().map(str::to_owned).collect();
        if line.contains(':') {
            graph.ours.insert(from.to_owned(), used.clone());
        }
        graph.linked.insert(from.to_owned(), used);
    }
    assert_eq!(wrong_arrows(&graph), expected);
}

#[test]
fn this_workspace_keeps_every_arrow() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Cmd::new(cargo)
        .args(["metadata", "--format-version", "1"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output_cap(64 << 20)
        .deadline(Duration::from_secs(120))
        .run()
        .expect("cargo describes the workspace");
    let metadata = MetadataCommand::parse(output.stdout_text()).expect("cargo writes JSON");
    let graph = Graph::of(&metadata);
    assert_eq!(wrong_arrows(&graph), Vec::<String>::new());
    // What the tables forbid would be seen: these do reach the C libraries.
    assert!(graph.way("basalt-builder", "ostree-sys").is_some());
    assert!(graph.way("hostd-virt", "virt-sys").is_some());
}

#[test]
fn arrows_in_the_right_direction_pass() {
    check(
        "basalt-api:
         basalt-sysroot:
         hostd-core: basalt-api basalt-sysroot
         hostd: hostd-core basalt-api tokio
         basalt-tests: hostd hostd-core",
        &[],
    );
}

#[test]
fn a_hostd_that_reaches_libostree_is_seen_however_far_away() {
    check(
        "hostd: basalt-sysroot
         basalt-sysroot: serde
         serde+ ostree
         ostree+ ostree-sys",
        &["must not be reached: hostd → basalt-sysroot → serde → ostree → ostree-sys"],
    );
}

#[test]
fn a_hostd_that_reaches_libvirt_is_seen() {
    check("hostd: virt\n virt+ virt-sys", &["must not be reached: hostd → virt → virt-sys"]);
}

#[test]
fn a_builder_that_knows_hostd_is_seen() {
    check(
        "basalt-builder: hostd\n hostd:",
        &["`basalt-builder` must not use `hostd`", "must not be reached: basalt-builder → hostd"],
    );
}

#[test]
fn an_arrow_that_points_up_is_seen() {
    check("basalt-api: hostd-core\n hostd-core:", &["`basalt-api` must not use `hostd-core`"]);
}

#[test]
fn nothing_uses_the_tests_or_the_tasks() {
    check(
        "basalt-vm: xtask
         qemu-tests: basalt-tests
         basalt-tests:
         xtask:",
        &["`basalt-vm` must not use `xtask`", "`qemu-tests` must not use `basalt-tests`"],
    );
}

#[test]
fn a_core_that_does_io_is_seen() {
    check("hostd-core: tokio\n tokio+ mio", &["must not be reached: hostd-core → tokio"]);
}

#[test]
fn an_endpoint_that_decides_with_a_database_is_seen() {
    check(
        "basalt-endpoint-core: sqlx\n sqlx+ sqlx-core",
        &["must not be reached: basalt-endpoint-core → sqlx"],
    );
}

#[test]
fn a_package_that_nobody_placed_is_seen() {
    check("newcomer:", &["`newcomer` stands in no table of tests/tests/arrows.rs"]);
}
