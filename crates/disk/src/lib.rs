//! A disk of a Basalt host as bytes: its partition table, its EFI partition; and what the kernel
//! tells of the disks of a machine, so that none is written that somebody uses.
//!
//! The builder writes images by it and the installer disks, so that both come out alike. It knows
//! neither, and asks nobody.

mod table;

mod esp;

mod look;

mod content;
mod eject;
mod refuse;

pub use content::{LOOKED_AT, describe};
pub use eject::let_go;
pub use esp::{
    Content, EspError, EspFile, EspFiles, EspFilesError, FirstEntry, Volume, add_file, check_file,
    make, put,
};
pub use look::{Bus, DiskFacts, Number, Part, System, Use};
pub use refuse::{Refusal, refuse};
pub use table::{Ends, Entry, Table, block_size, write_protective_mbr};
