//! What an update takes beside `ostree pull` and `ostree admin deploy` of the same release, on the
//! same host; for `cargo xtask bench updates`.

use std::env;
use std::fs;

use anyhow::{Context, Result, ensure};
use qemu_tests::host::Host;
use qemu_tests::image::Image;
use qemu_tests::releases::{REF, Releases};
use qemu_tests::story::{Start, Story};
use serde_json::json;

pub(crate) const STORY: Story = Story {
    name: "timed",
    machine: Start::Releases(first),
    steps: &[("an_update_is_timed_beside_what_ostree_takes", is_timed)],
};

/// Names the file that the measures go to.
const REPORT: &str = "BASALT_TIMED_REPORT";
/// Of each, in turns. Each begins on a disk that was just installed.
const TIMES: usize = 3;
const KEYS: &str = "/usr/share/basalt/keys/release.asc";

fn first(releases: &Releases) -> Result<Image> {
    let image = releases.install("1", &[], &[])?;
    releases.publish()?;
    releases.build("2", &[("usr/share/greeting", "hello from 2\n")])?;
    releases.publish()?;
    Ok(image)
}

fn is_timed(host: &mut Host) -> Result<()> {
    let (mut ours, mut ostree) = (Vec::new(), Vec::new());
    let mut grown_kib = Vec::new();
    for number in 0..TIMES {
        afresh(host, &format!("ours-{number}"))?;
        let before = pss_kib(host)?;
        ours.push(seconds(host, "hostctl os update")?);
        grown_kib.push(pss_kib(host)? - before);
        let said = host.ok("hostctl os status")?;
        ensure!(said.contains("\nb     2        on trial"), "{said}");
        afresh(host, &format!("ostree-{number}"))?;
        let url = host.releases()?.url();
        host.ok(&format!("ostree remote add --gpg-import={KEYS} raw {url}"))?;
        host.ok("mount -o remount,rw /sysroot")?;
        ostree.push(seconds(
            host,
            &format!("ostree pull raw {REF} && ostree admin deploy --os=basalt raw:{REF}"),
        )?);
        let said = host.ok("ostree admin status")?;
        ensure!(said.contains("Version: 2"), "{said}");
    }
    let told = json!({ "ours_s": ours, "ostree_s": ostree, "hostd_grown_kib": grown_kib });
    eprintln!("{told}");
    let Some(report) = env::var_os(REPORT) else { return Ok(()) };
    fs::write(&report, told.to_string()).context("cannot write the report")
}

/// The first release on a new disk, up and at rest.
fn afresh(host: &mut Host, name: &str) -> Result<()> {
    host.vm.kill();
    let disk = host.folder.join(format!("{name}.qcow2"));
    host.image = host.releases()?.installed("1")?.on(&disk)?;
    host.vm = host.of_releases()?.start(&host.folder.join(name))?;
    host.passes_the_gate()?;
    host.ok("systemctl is-system-running --wait || { systemctl --failed; exit 1; }")?;
    Ok(())
}

/// What a command takes, by the guest's clock.
fn seconds(host: &mut Host, command: &str) -> Result<f64> {
    let timed = format!(
        "began=$(date +%s%N); ({command}) >/run/timed 2>&1 || {{ tail -5 /run/timed; exit 1; }}; \
         echo $(( $(date +%s%N) - began ))"
    );
    let said = host.ok(&timed)?;
    let nanoseconds: f64 = said.parse().with_context(|| format!("`{said}` is no time"))?;
    Ok(nanoseconds / 1e9)
}

/// What `hostd` has in memory.
fn pss_kib(host: &mut Host) -> Result<i64> {
    let command = "sed -n 's/^Pss: *\\([0-9]*\\) kB$/\\1/p' /proc/$(pidof hostd)/smaps_rollup";
    let said = host.ok(command)?;
    said.parse().with_context(|| format!("`{said}` is no size"))
}
