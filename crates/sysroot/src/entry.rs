//! Boot entries: their file names, which carry the trial counter, and their text.
//!
//! A name says everything that a choice between entries needs: the boot serial, which is highest
//! for the entry written last, the slot, and the tries that are left.

mod choice;
mod name;
mod reset;
mod text;

pub use choice::{choose, next_serial, order};
pub use name::{EntryName, InvalidName, Tries};
pub use reset::{RESET_ARGUMENT, ResetEntry, ResetName};
pub use text::{BootEntry, InvalidEntry};

/// The folder of the boot entries, seen from the root of the ESP.
pub const ENTRIES_FOLDER: &str = "loader/entries";
/// The sort key of all entries that the loader chooses from. One key for all: the version alone
/// decides.
pub const SORT_KEY: &str = "basalt";
