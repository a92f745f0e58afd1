//! The program of a live system's initrd. In reading order:
//!
//! `root` runs before the root is mounted: it waits for the network or for a medium, brings the
//! rootfs that the initrd names into memory and gives it out only if it is that one to the byte. systemd mounts
//! it, with a file system in memory over it, and libostree finds the deployment. `etc` then says
//! in the `/etc` of that deployment, which is in memory too, what is otherwise on a live system.
//! It decides where `/var` is. Nothing here writes to a disk.

pub mod etc;
pub mod root;

pub mod console;
pub mod facts;
pub mod fetch;
pub mod fstab;
pub mod memory;
pub mod network;
pub mod udev;
