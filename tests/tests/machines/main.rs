//! Virtual machines: hostd's client, the real `hostd-virt`, libvirt's own drivers and daemon.

#![expect(clippy::unwrap_used, reason = "what cannot set up its ground has failed")]

mod daemon;
mod ground;
mod guest;
mod stage;
mod web;

mod images;
mod lifecycle;
mod real;
mod whole;
