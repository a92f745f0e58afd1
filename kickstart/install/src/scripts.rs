//! Scripts of a kickstart that run in the installer: before the plan, before the first write, and
//! where it failed. Those of `%post` are steps of the plan.

use anyhow::Result;
use basalt_kickstart::Parsed;
use basalt_kickstart::model::{Script, ScriptKind};

use crate::execute::run_script;
use crate::log::Log;

/// Those of a kind, in their order.
pub(crate) fn of(parsed: &Parsed, kind: ScriptKind) -> impl Iterator<Item = &Script> {
    parsed.kickstart.scripts.iter().map(|it| &it.value).filter(move |it| it.kind == kind)
}

/// Runs those of a kind.
///
/// # Errors
/// One failed and says that this ends the installation, or cannot be run.
pub(crate) fn run(parsed: &Parsed, kind: ScriptKind, log: &mut Log) -> Result<()> {
    for script in of(parsed, kind) {
        log.say("running a script of the kickstart");
        run_script(script, log)?;
    }
    Ok(())
}

/// Runs each of `%onerror`: the installation has failed, and another failure ends nothing.
pub(crate) fn run_on_error(parsed: &Parsed, log: &mut Log) {
    for script in of(parsed, ScriptKind::OnError) {
        log.say("running a script of the kickstart, for the installation failed");
        if let Err(error) = run_script(script, log) {
            log.say(&format!("warning: {error:#}"));
        }
    }
}
