//! What tests of real programs stand on: engines of containers, images and registries that live in
//! namespaces of one test's own and end with it.
//!
//! In reading order: [`ground`] makes the place, [`engine`] runs podman's service or dockerd in it,
//! [`image`] and [`registry`] fill it, [`http`] and [`process`] look at what happens from outside;
//! [`libvirt`] runs a libvirtd, [`fleet`] the endpoint and its hosts, [`cut`] kills one of them at
//! a moment that is chosen, [`away`] is a file system that hangs.

pub mod away;
pub mod cut;
pub mod engine;
pub mod fleet;
pub mod ground;
pub mod http;
pub mod image;
pub mod libvirt;
pub mod process;
pub mod registry;
pub mod until;
