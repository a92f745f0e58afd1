//! The steps that turn a definition into a disk, each made again only when its inputs change.
//!
//! A stage does its work in a folder below the cache's `tmp/` and then puts the result in its
//! place in one move; it knows its inputs, and nothing of what comes after it.

pub mod accounts;
pub mod commit;
pub mod compose;
pub mod device_nodes;
pub mod disk;
pub mod form;
pub mod initramfs;
pub mod iso;
pub mod lint;
pub mod live;
pub mod qcow2;
pub mod release;
pub mod sandbox;
mod sysroot;
pub mod tree;
pub mod units;
mod whole;
