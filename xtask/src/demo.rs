//! `cargo xtask demo`: builds the image, boots it, shows what it proved, stops.

mod machine;
mod probe;
mod report;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;

use crate::image;
use crate::session::Session;
use crate::setup::{self, Purpose, SetupArgs};
use machine::{Login, Machine};

/// A boot takes half a minute of CPU without KVM; a machine that says nothing for this long hangs.
const SILENCE: Duration = Duration::from_secs(300);
const TICK: Duration = Duration::from_millis(200);

/// What was typed.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    #[command(flatten)]
    setup: SetupArgs,
    /// Leave it running until Ctrl-C, with a root shell
    #[arg(long)]
    keep: bool,
}

/// Does it. No process is left behind, however it ends.
///
/// # Errors
/// Something could not be built or booted, or what was booted is not as it should be.
pub(crate) fn run(session: &Session, args: &DemoArgs) -> Result<()> {
    setup::run(session, &args.setup, Purpose::Build)?;
    image::compile(session)?;
    let image = image::build(session)?;
    let login = if args.keep { Login::RootShell } else { Login::None };
    let mut machine = Machine::start(session, &image.disk, login)?;
    let answers = boot(session, &mut machine)?;
    let report = report::report(&image, &answers);
    println!("\n{report}");
    if args.keep {
        keep(session, &mut machine)?;
    }
    drop(machine);
    report.verdict()
}

/// Waits until the system has answered everything.
fn boot(session: &Session, machine: &mut Machine) -> Result<probe::Answers> {
    let mut step = session.progress.step("boot");
    let mut heard = (0, Instant::now());
    loop {
        if let Some(answers) = probe::answers(&machine.answers()) {
            step.finish("over, and all questions answered");
            return Ok(answers);
        }
        session.go_on()?;
        let console = machine.console();
        step.note(console.trim_end().lines().next_back().unwrap_or("firmware"));
        if console.len() != heard.0 {
            heard = (console.len(), Instant::now());
        }
        if machine.ended_within(TICK)? {
            bail!(
                "the machine stopped before it was up; its console said last:\n{}",
                tail(&console)
            );
        }
        if heard.1.elapsed() >= SILENCE {
            bail!("the machine hangs; its console said last:\n{}", tail(&console));
        }
    }
}

fn tail(console: &str) -> String {
    let lines: Vec<&str> = console.trim_end().lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}

fn keep(session: &Session, machine: &mut Machine) -> Result<()> {
    eprintln!("{}", machine.how_to_look());
    while !session.is_stopped() && !machine.ended_within(TICK)? {}
    Ok(())
}
