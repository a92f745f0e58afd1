//! An update from the second release to the third, recorded for `cargo xtask torture`: both slots
//! hold something, and each release has an initramfs of its own.

use anyhow::Result;
use basalt_power_cut::recording::Release;
use qemu_tests::host::Host;
use qemu_tests::image::Image;
use qemu_tests::recording::Recorded;
use qemu_tests::releases::{GREETED, GREETING, Releases};
use qemu_tests::story::{Start, Story};

pub(crate) const STORY: Story = Story {
    name: "recorded",
    machine: Start::Releases(first),
    steps: &[
        ("a_host_comes_to_its_second_release", comes_to_the_second),
        ("its_update_to_the_third_is_recorded", third_is_recorded),
    ],
};

/// What each release has another text in.
const FILE: &str = "usr/share/greeting";

fn first(releases: &Releases) -> Result<Image> {
    let text = "hello from 1\n";
    let image = releases.install("1", &[(FILE, text)], &[(GREETING, text), GREETED])?;
    releases.publish()?;
    offers(releases, "2")?;
    Ok(image)
}

fn offers(releases: &Releases, version: &str) -> Result<Release> {
    let text = format!("hello from {version}\n");
    let release = releases.build_with(version, &[(FILE, &text)], &[(GREETING, &text), GREETED])?;
    releases.publish()?;
    Ok(release)
}

fn comes_to_the_second(host: &mut Host) -> Result<()> {
    host.passes_the_gate()?;
    host.ok("hostctl os update 2>&1")?;
    Ok(())
}

fn third_is_recorded(host: &mut Host) -> Result<()> {
    let third = offers(host.releases()?, "3")?;
    let folder = host.folder.join("recording");
    let recorded = Recorded::start(host, &folder)?;
    host.until("hostctl status | grep -q 'b, blessed'")?;
    recorded.update(host, "hostctl os update 2>&1", &third)?;
    host.vm.qmp().quit()?;
    Ok(())
}
