//! The steps that boot what runs with other kernel arguments.

use crate::entry::{BootEntry, EntryName, next_serial};

use super::{Found, Refusal, Step, Volume};

/// Returns the steps that give the running slot another entry, with these arguments, on trial. Its
/// entry of now stays, to fall back to; what is older than that goes.
///
/// # Errors
/// The running system is on trial, its entry is damaged, or another release waits to be tried:
/// that one would never boot.
pub fn change_arguments(found: &Found, options: &str, tries: u32) -> Result<Vec<Step>, Refusal> {
    let running = found.running;
    if !running.is_blessed() {
        return Err(Refusal::OnTrial(running));
    }
    if let Some(waits) = found.waits(found.idle()) {
        return Err(Refusal::AnotherWaits(waits));
    }
    let own = found.entries.iter().find(|it| it.name == running);
    let own = own.and_then(|it| it.content.as_ref()).ok_or(Refusal::Damaged(running))?;
    let serial = next_serial(&found.names());
    let entry = BootEntry { serial, options: options.to_owned(), ..own.clone() };
    let old = found.of(running.slot).filter(|it| it.name != running);
    let steps = old.map(|it| Step::DropEntry(it.name)).chain([
        Step::ClearChoice,
        Step::WriteEntry(EntryName::on_trial(serial, running.slot, tries), entry),
        Step::Sync(Volume::Esp),
    ]);
    Ok(steps.collect())
}
