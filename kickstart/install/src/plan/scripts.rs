//! Whether there is what each script says that it is to be run by. A script that nothing can run is
//! told before the first write; that of a `%post` would else be told by a disk that boots nowhere.

use anyhow::Result;
use basalt_kickstart::model::{At, Kickstart, Script};

use crate::edge::Edge;
use crate::image::Image;
use crate::problems::Problems;

/// What people write scripts for, to name what there is.
const USUAL: [&str; 4] = ["/bin/sh", "/bin/bash", "/usr/bin/perl", "/usr/bin/python3"];

/// Checks those that run in the installer.
pub(crate) fn check_here(asked: &Kickstart, edge: &dyn Edge, problems: &mut Problems) {
    for script in asked.scripts.iter().filter(|script| !script.chroot) {
        if !edge.has_program(program(script)) {
            let there: Vec<_> = USUAL.into_iter().filter(|path| edge.has_program(path)).collect();
            tell(script, "the installer", &there, problems);
        }
    }
}

/// Checks those that run in the installed system.
///
/// # Errors
/// The image cannot be read.
pub(super) fn check_there(
    asked: &Kickstart,
    image: &dyn Image,
    problems: &mut Problems,
) -> Result<()> {
    for script in asked.scripts.iter().filter(|script| script.chroot) {
        match image.has_program(program(script)) {
            Ok(true) => (),
            Ok(false) => {
                let mut there = Vec::new();
                for path in USUAL {
                    there.extend(image.has_program(path)?.then_some(path));
                }
                tell(script, "the image", &there, problems);
            }
            // Of a system that comes from elsewhere, not every folder is here before the first write.
            Err(_) => {
                let message =
                    format!("nobody knows yet whether the image has `{}`", program(script));
                problems.warning(script.span, message, "a program of `/usr/bin` is known before");
            }
        }
    }
    Ok(())
}

/// What runs a script; arguments may stand behind it.
fn program(script: &Script) -> &str {
    script.interpreter.split_whitespace().next().unwrap_or("/bin/sh")
}

fn tell(script: &At<Script>, whose: &str, there: &[&str], problems: &mut Problems) {
    let message = format!("{whose} has no `{}`, which is to run this script", program(script));
    let there: Vec<String> = there.iter().map(|path| format!("`{path}`")).collect();
    let hint = match &there[..] {
        [] => "it has none of the usual ones".to_owned(),
        _ => format!("it has {}", there.join(", ")),
    };
    problems.error(script.span, message, &hint);
}
