//! `basalt-install`: carries a kickstart out on the machine that it runs on.
//!
//! The facts of the machine and the kickstart become a plan, or all that speaks against it; the
//! plan is printed or carried out as it is. In reading order:

mod ask;
pub mod cli;
mod run;

mod prepare;

mod source;

mod before_pre;

pub mod plan;
pub mod settings;

pub mod edge;
pub mod facts;
pub mod image;
pub mod problems;

mod boot_entry;
mod consoles;
mod end;
mod execute;
mod log;
mod reporter;
mod scripts;
