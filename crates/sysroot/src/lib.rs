//! What a disk of a Basalt host holds: partitions, boot entries, trial counters, slots.
//!
//! Pure: it names, parses, prints and decides. It opens no file and asks no clock, so that the
//! builder, the installer, the updater and the health gate agree on every name without sharing
//! anything else.

pub mod boot_file;
pub mod entry;
pub mod kargs;
pub mod loader;
pub mod partition;
pub mod slot;
pub mod update;

#[cfg(test)]
mod fuzz;
