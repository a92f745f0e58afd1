//! What comes once all of it is there: the machine ends as the kickstart says.

use std::io;

use anyhow::{Context, Result};
use basalt_api::install::InstallState;
use basalt_kickstart::model::EndAction;

use crate::execute;
use crate::facts::look;
use crate::log::Log;
use crate::plan::Plan;
use crate::run::{Ended, Options};
use crate::source;

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
    if end.eject {
        log.say(&words(eject()));
    }
    if let Err(error) = end_the_machine(end.action) {
        log.say(&format!("warning: {}", basalt_explain::explain(&error)));
    }
    Ended::Installed
}

/// The medium that the installer was started from, and whether it may be taken out now.
type Gone = (String, io::Result<bool>);

fn eject() -> Result<Option<Gone>> {
    source::leave();
    let medium = look::medium()?;
    Ok(medium.map(|medium| (medium.name.clone(), basalt_disk::let_go(&medium))))
}

/// What became of it. Pure.
fn words(gone: Result<Option<Gone>>) -> String {
    match gone {
        Ok(Some((name, Ok(true)))) => format!("`{name}` is ejected"),
        Ok(Some((name, Ok(false)))) => {
            format!("warning: `{name}` is not ejected: it is built in")
        }
        Ok(Some((name, Err(error)))) => format!("warning: `{name}` is not ejected: {error}"),
        Ok(None) => "nothing is ejected: this machine was started from no medium".to_owned(),
        Err(error) => format!("warning: nothing is ejected: {error:#}"),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_what_became_of_the_medium_and_no_failure_ends_anything() {
        let of = |gone| words(Ok(Some(("sr0".to_owned(), gone))));
        assert_eq!(of(Ok(true)), "`sr0` is ejected");
        assert!(of(Ok(false)).starts_with("warning: `sr0` is not ejected: "));
        let busy = io::Error::from(io::ErrorKind::ResourceBusy);
        assert_eq!(of(Err(busy)), "warning: `sr0` is not ejected: resource busy");
        assert!(words(Ok(None)).starts_with("nothing is ejected: "));
        let gone = Err(anyhow::anyhow!("there is no `sr0` any more"));
        assert_eq!(words(gone), "warning: nothing is ejected: there is no `sr0` any more");
    }
}
