//! `hostd`'s runtime of containers on the real engines: the same tests on podman and on dockerd.
//!
//! Each test has an engine, a network and a store of its own. What a field does is looked at from
//! outside: in `/proc`, in cgroups, over a socket.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod away;
mod changes;
mod cuts;
mod ends;
mod engine_gone;
mod foreign;
mod images;
mod life;
mod limits;
mod logs;
mod mistakes;
mod network;
mod process;
mod secrets;
mod stage;
mod volumes;

/// Runs each test on both engines.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod podman {
            $(#[tokio::test]
            async fn $name() {
                super::$name(basalt_tests::engine::Kind::Podman).await;
            })*
        }
        mod dockerd {
            $(#[tokio::test]
            async fn $name() {
                super::$name(basalt_tests::engine::Kind::Docker).await;
            })*
        }
    };
}
use on_both;
