//! Boots an image under QEMU: the machine, its serial console, its power switch and a root shell.
//!
//! Nothing here knows what the image does, and nothing is put into the image: what a boot needs
//! beside it (units, kernel arguments) travels as SMBIOS strings. In reading order:

pub mod accel;
pub mod console;
pub mod disk;
pub mod error;
pub mod firmware;
pub mod foreground;
pub mod machine;
pub mod processor;
pub mod qmp;
pub mod shell;
pub mod vm;

mod arguments;
mod deadline;
mod smbios;
mod socket;
mod start;

pub use accel::Accel;
pub use disk::{Bus, Disk};
pub use error::VmError;
pub use firmware::Firmware;
pub use foreground::Foreground;
pub use machine::Machine;
pub use processor::Processor;
pub use qmp::Qmp;
pub use shell::{Answer, Shell};
pub use vm::{Patience, Vm};

/// The program that runs a machine, of package `qemu-system-x86`.
pub(crate) const QEMU: &str = "qemu-system-x86_64";
