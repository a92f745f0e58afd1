//! One run of the installer, from the kickstart to the end.

use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Error, Result};
use basalt_api::install::InstallState;
use basalt_kickstart::Parsed;
use basalt_kickstart::model::ScriptKind;

use crate::boot_entry::{self, Efi};
use crate::consoles;
use crate::end;
use crate::execute::{self, Held};
use crate::log::Log;
use crate::plan::Plan;
use crate::prepare::{begin, ready};
use crate::scripts;
use crate::source::NoKickstart;

/// What is asked for.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Options {
    /// When it began.
    pub(crate) now: SystemTime,
    pub(crate) kickstart: Option<String>,
    /// The repository.
    pub(crate) source: PathBuf,
    /// Which ref of it.
    pub(crate) branch: Option<String>,
    /// The folder of trusted keys.
    pub(crate) keys: PathBuf,
    pub(crate) dry_run: bool,
    /// Somebody at this terminal says what shall be done.
    pub(crate) ask: bool,
    /// The machine stays on.
    pub(crate) stay: bool,
    /// Where it does not go on, somebody at a console says how.
    pub(crate) consoles: bool,
}

/// How it ended; the log was told all of it.
pub(crate) enum Ended {
    /// Nothing was to be done but this.
    Planned(Box<Plan>),
    /// All of it is there.
    Installed,
    /// It is not.
    Failed,
    /// Nobody said yet what shall be done: it is asked at each console.
    Asking,
}

/// Runs it, and where it does not go on, asks at each console if it may.
pub(crate) fn run(options: &Options, log: &mut Log) -> Ended {
    let ended = run_once(options, log);
    if options.consoles && matches!(ended, Ended::Failed | Ended::Asking) {
        consoles::ask_at_each(log);
    }
    ended
}

fn run_once(options: &Options, log: &mut Log) -> Ended {
    let mut begun = match begin(options, log) {
        Ok(begun) => begun,
        Err(error) if options.consoles && error.is::<NoKickstart>() => {
            log.say("there is no kickstart: what shall be done is asked at each console");
            return Ended::Asking;
        }
        Err(error) => return failed(&error, None, "nothing was changed", log),
    };
    let (plan, held) = match ready(&mut begun, options, log) {
        Ok((plan, None)) => return Ended::Planned(Box::new(plan)),
        Ok((plan, Some(held))) => (plan, held),
        Err(error) => {
            let parsed = (!options.dry_run).then_some(&begun.parsed);
            let left = match begun.ran_pre {
                true => "nothing was changed but by the scripts of `%pre`",
                false => "nothing was changed",
            };
            return failed(&error, parsed, left, log);
        }
    };
    match carry_out(&begun.parsed, &plan, held, log) {
        Ok(()) => end::installed(&plan, options, log),
        Err(error) => {
            let left = "the installation is not whole, and its disk boots nowhere: begin it again";
            failed(&error, Some(&begun.parsed), left, log)
        }
    }
}

/// Tells why, runs the scripts of `%onerror`, and says what is left.
fn failed(error: &Error, scripts: Option<&Parsed>, left: &str, log: &mut Log) -> Ended {
    log.tell(InstallState::Failed, &format!("error: {}", basalt_explain::explain(error)));
    if let Some(parsed) = scripts {
        scripts::run_on_error(parsed, log);
    }
    log.end_with_endpoint();
    log.say(left);
    Ended::Failed
}

fn carry_out(parsed: &Parsed, plan: &Plan, held: Held, log: &mut Log) -> Result<()> {
    log.say(&plan.to_string());
    scripts::run(parsed, ScriptKind::PreInstall, log)?;
    execute::carry_out(plan, held, log)?;
    boot_entry::make(plan, &mut Efi, log);
    Ok(())
}
