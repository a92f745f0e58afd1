//! What is good in a kickstart and has no effect by this installer: it is told, and never ignored.

use basalt_kickstart::model::{Kickstart, Part};

use crate::problems::Problems;

pub(super) fn tell(asked: &Kickstart, problems: &mut Problems) {
    if let Some(loader) = asked.bootloader.as_ref().filter(|it| it.timeout_s.is_some_and(|s| s > 0))
    {
        let message = "`--timeout` has no effect: a key that is held at power-on shows the menu";
        problems.warning(loader.span, message, "leave it away");
    }
    if let Some(end) = asked.end.as_ref().filter(|end| end.eject) {
        let message = "`--eject` has no effect: a disc stays where it is";
        problems.warning(end.span, message, "leave it away");
    }
    for network in asked.network.iter().filter(|it| it.activate == Some(true)) {
        let message = "`--activate` has no effect: the installer's own network stays as it is";
        problems.warning(network.span, message, "the kernel argument `ip=` sets that up");
    }
    for part in &asked.part {
        for option in without_effect(part) {
            let message = format!("`{option}` has no effect for `{}`", mount(part));
            problems.warning(part.span, message, "leave it away");
        }
    }
}

/// The host mounts its root and its EFI partition as its image says, and knows them by their labels.
fn without_effect(part: &Part) -> Vec<&'static str> {
    let (is_esp, is_root) = (part.usage.is_esp(), part.usage.is_at("/"));
    let format = &part.format;
    let options = [
        ("--fsoptions", format.fsoptions.is_some() && (is_esp || is_root)),
        ("--label", format.label.is_some() && (is_esp || is_root)),
        ("--mkfsoptions", format.mkfsoptions.is_some() && is_esp),
    ];
    options.into_iter().filter(|(_, has)| *has).map(|(option, _)| option).collect()
}

fn mount(part: &Part) -> &'static str {
    if part.usage.is_esp() { "/boot/efi" } else { "/" }
}
