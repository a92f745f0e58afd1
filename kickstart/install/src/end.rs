//! What comes once all of it is there: the machine ends as the kickstart says.

use anyhow::{Context, Result};
use basalt_api::install::InstallState;
use basalt_kickstart::model::EndAction;

use crate::execute;
use crate::log::Log;
use crate::plan::Plan;
use crate::run::{Ended, Options};

/// Says that it is installed, and ends the machine unless it shall stay on.
pub(crate) fn installed(plan: &Plan, options: &Options, log: &mut Log) -> Ended {
    log.tell(InstallState::Installed, &format!("{} is installed", plan.image.title));
    log.end_with_endpoint();
    let Some(end) = plan.end.filter(|_| !options.stay) else {
        log.say(
            "this machine stays on: take the medium away, and `reboot` starts what was installed",
        );
        return Ended::Installed;
    };
    if let Err(error) = end_the_machine(end.action) {
        log.say(&format!("warning: {}", basalt_explain::explain(&error)));
    }
    Ended::Installed
}

fn end_the_machine(action: EndAction) -> Result<()> {
    let verb = match action {
        EndAction::Reboot => "reboot",
        EndAction::PowerOff => "poweroff",
        EndAction::Halt => "halt",
    };
    let systemctl = execute::tool("systemctl").args(["--no-block", verb]);
    systemctl.run().map(drop).with_context(|| format!("cannot {verb} the machine"))
}
