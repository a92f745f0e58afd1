//! Releases for a host that runs ten workloads: one that goes well, and one in which none of them
//! starts any more.

use anyhow::{Context, Result, ensure};
use basalt_vm::Patience;
use qemu_tests::host::{BOOT, Host};
use qemu_tests::image::Image;
use qemu_tests::releases::Releases;
use qemu_tests::story::{Start, Story};

pub(crate) const STORY: Story = Story {
    name: "laden",
    machine: Start::Releases(first),
    steps: &[
        ("ten_containers_run", ten_run),
        ("a_rollout_updates_a_host_with_ten_workloads_and_they_run_again", goes_well),
        ("a_release_in_which_no_workload_starts_is_left_and_they_run_again", none_starts),
    ],
};

const WORKLOADS: u16 = 10;
const FIRST_PORT: u16 = 8000;
/// Containers find no runtime.
const NO_RUNTIME: (&str, &str) = ("usr/bin/crun", "#!/bin/sh\nexit 1\n");
/// What fails in a rollout fails at once.
const TRIED_ONCE: (&str, &str) =
    ("usr/lib/basalt/hostd.toml.d/90-tries.toml", "[updates]\ntries = 1\n");

/// Ten workloads take their time on one emulated processor.
const TAKES_LONG: (&str, &str) =
    ("usr/lib/basalt/hostd.toml.d/90-gate.toml", "[gate]\ndeadline_s = 210\n");
/// Until a release is brought over beside them, and they run again.
const UPDATED: Patience = Patience { overall: BOOT.saturating_mul(2), silence: BOOT };

fn first(releases: &Releases) -> Result<Image> {
    let image = releases.install("1", &[TRIED_ONCE], &[])?;
    releases.publish()?;
    Ok(image)
}

fn names() -> Vec<String> {
    (0..WORKLOADS).map(|number| format!("web{number}")).collect()
}

/// All of them run, and each serves its page.
fn all_run(host: &mut Host) -> Result<()> {
    let names = names();
    let expected: Vec<_> = names.iter().map(|name| (name.as_str(), "running")).collect();
    host.runs(&expected)?;
    let last = FIRST_PORT + WORKLOADS - 1;
    // The shell of scripts knows no network.
    host.until(&format!(
        "bash -c 'for port in $(seq {FIRST_PORT} {last}); do
            exec 3<>/dev/tcp/127.0.0.1/$port && printf \"GET / HTTP/1.0\\r\\n\\r\\n\" >&3 &&
            grep -q \"200 OK\" <&3 || exit 1
         done'"
    ))
}

fn ten_run(host: &mut Host) -> Result<()> {
    host.passes_the_gate()?;
    for (name, port) in names().iter().zip(FIRST_PORT..) {
        let file = host.site()?.container(name, port)?;
        let file = file.to_str().context("a name in UTF-8")?.to_owned();
        host.ctl(&["apply", &file])?;
    }
    all_run(host)
}

fn goes_well(host: &mut Host) -> Result<()> {
    host.releases()?
        .build("2", &[("usr/share/greeting", "hello from 2\n"), TRIED_ONCE, TAKES_LONG])?;
    host.releases()?.publish()?;
    host.ctl(&["os", "channel", "set", "stable", "2"])?;
    host.ctl(&["os", "rollout", "start", "--no-drain"])?;
    host.vm.wait_for_console("slot b blessed, hostd is ", UPDATED)?;
    host.catches_up()?;
    host.expect_status("version", "2")?;
    host.eventually("all hosts are through", |host| {
        let said = host.ctl(&["os", "rollout", "status", "--json"])?;
        Ok(if said.contains("\"complete\": true") { Ok(()) } else { Err(said) })
    })?;
    all_run(host)
}

fn none_starts(host: &mut Host) -> Result<()> {
    host.releases()?.build("3", &[NO_RUNTIME, TRIED_ONCE])?;
    host.releases()?.publish()?;
    host.ctl(&["os", "channel", "set", "stable", "3"])?;
    host.ctl(&["os", "rollout", "start", "--no-drain"])?;
    host.vm.wait_for_console("this boot is not good after ", UPDATED)?;
    host.console_says(&["slot b blessed, hostd is "])?;
    host.catches_up()?;
    host.expect_status("version", "2")?;
    let said = host.told_of("3")?;
    ensure!(said.contains("bad") && said.contains("gate: "), "{said}");
    let said = host.ok("hostctl os history --json")?;
    ensure!(said.contains("web0") && said.contains("ran before"), "{said}");
    all_run(host)
}
