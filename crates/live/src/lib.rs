//! What a live system is: a kernel, an initrd, and the one rootfs that this initrd belongs to.
//!
//! Here is what its builder, its initrd and whoever serves it must mean alike: kernel arguments,
//! which rootfs it is, and how memory is shared out. Pure: files and the network are the caller's.

pub mod arguments;
pub mod room;
pub mod rootfs;
pub mod share;
pub mod volume;

pub use arguments::{Asked, Mode, NotAsked, Source, arguments};
pub use room::{NoRoom, Room};
pub use rootfs::{BadRootfs, Rootfs};
pub use share::{BadShare, Share};
pub use volume::{NotOnVolume, OnVolume};
