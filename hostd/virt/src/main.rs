//! `hostd-virt`: runs virtual machines through libvirt for `hostd`, which starts it with a socket
//! as its stdin when the first machine is needed. It ends when the socket closes; machines go on.

mod accel;
mod domain;
mod mark;
mod xml;

fn main() {}
