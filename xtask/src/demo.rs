//! `cargo xtask demo`: builds the image, boots it, gives it work, shows what it proved, stops.

mod keep;
pub(crate) mod probe;
mod report;
mod work;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use basalt_site::{Place, Site};
use basalt_vm::{Machine, Vm};
use clap::Args;

use crate::image;
use crate::session::Session;
use crate::setup::{self, Purpose, SetupArgs};
use keep::Key;

/// A boot takes half a minute of CPU without KVM; a machine that says nothing for this long hangs.
const SILENCE: Duration = Duration::from_secs(300);
/// One that talks for this long and is still not up never will be: a boot that failed says so again
/// every half minute.
const BOOT: Duration = Duration::from_secs(900);
const TICK: Duration = Duration::from_millis(200);
/// What the console shows when the host is up.
const UP: &str = "login:";

/// What was typed.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    #[command(flatten)]
    setup: SetupArgs,
    /// Leave it running until Ctrl-C, and say how to look into it
    #[arg(long)]
    keep: bool,
}

/// Does it. No process is left behind, however it ends.
///
/// # Errors
/// Something could not be built or booted, or what was booted is not as it should be.
pub(crate) fn run(session: &Session, args: &DemoArgs) -> Result<()> {
    setup::run(session, &args.setup, Purpose::Run)?;
    image::compile(session)?;
    let image = image::build(session, image::Formats::Own)?;
    let folder = tempfile::Builder::new().prefix("demo.").tempdir_in(session.out())?;
    let site = site(session, folder.path())?;
    session.progress.heading("boot");
    let key = args.keep.then(|| Key::make(folder.path())).transpose()?;
    // One processor, as the tests have it: with two, a guest in an emulated host was seen to say
    // nothing for minutes.
    let mut machine = Machine::new(&image.disk).cpus(1).shell().forward(work::WEB);
    for (name, text) in site.credentials()? {
        machine = machine.credential(name, &text);
    }
    if let Some(key) = &key {
        machine = key.let_in(machine)?;
    }
    let mut vm = machine.start(&folder.path().join("machine"))?;
    let on = Instant::now();
    boot(session, &mut vm)?;
    let step = session.progress.step("questions");
    let mut answers = probe::ask(vm.shell()?)?;
    answers.insert("on", format!("{:.1}", on.elapsed().as_secs_f64()));
    step.finish("answered");
    let work = work::give(session, &site, &vm)?;
    let report = report::report(&image, &answers, work);
    println!("\n{report}");
    if let Some(key) = &key {
        eprintln!("{}", key.how_to_look(session, &site, &vm)?);
        while !session.is_stopped() && !vm.ended_within(TICK)? {}
    }
    drop((vm, site));
    report.verdict()
}

/// What stands around the host. The guest's disk is kept where cargo keeps what tests make.
fn site(session: &Session, folder: &Path) -> Result<Site> {
    session.progress.heading("endpoint, registry, web server");
    let step = session.progress.step("site");
    let cache = session.programs.with_file_name("tmp").join("guest");
    let folder = folder.join("site");
    fs::create_dir(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    let site = Site::start(&Place { folder: &folder, programs: &session.programs, cache: &cache })?;
    step.finish("it listens");
    Ok(site)
}

/// Waits until the host is up, and shows what its console says meanwhile.
fn boot(session: &Session, vm: &mut Vm) -> Result<()> {
    let mut step = session.progress.step("firmware to login");
    let on = Instant::now();
    let mut heard = (0, on);
    loop {
        session.go_on()?;
        let console = vm.console();
        if console.contains(UP) {
            step.finish(&format!("{:.0} s of processor time", vm.processor().seconds()?));
            return Ok(());
        }
        step.note(console.trim_end().lines().next_back().unwrap_or("firmware"));
        if console.len() != heard.0 {
            heard = (console.len(), Instant::now());
        }
        let ended = vm.ended_within(TICK)?;
        let Some(why) = hopeless(ended, heard.1.elapsed(), on.elapsed()) else { continue };
        bail!("the machine {why}; its console said last:\n{}", tail(&console));
    }
}

/// Why nothing more is to be waited for. Pure.
fn hopeless(ended: bool, silent: Duration, on: Duration) -> Option<&'static str> {
    match () {
        () if ended => Some("stopped before it was up"),
        () if silent >= SILENCE => Some("hangs"),
        () if on >= BOOT => Some("talks and does not come up"),
        () => None,
    }
}

fn tail(console: &str) -> String {
    let lines: Vec<&str> = console.trim_end().lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_silence_nor_talk_is_waited_for_forever() {
        let seconds = Duration::from_secs;
        assert_eq!(hopeless(false, seconds(299), seconds(899)), None);
        assert_eq!(hopeless(true, seconds(0), seconds(1)), Some("stopped before it was up"));
        assert_eq!(hopeless(false, SILENCE, SILENCE), Some("hangs"));
        let talks = Some("talks and does not come up");
        assert_eq!(hopeless(false, seconds(30), seconds(900)), talks);
    }
}
