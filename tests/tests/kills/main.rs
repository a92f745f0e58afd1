//! kill -9 at random moments: of `hostd`, of the endpoint, of the engine, of libvirtd and of
//! `hostd-virt`, while operators write.
//!
//! After each kill everything is as the acknowledged writes say: nothing is lost, nothing is there
//! twice, what nobody wrote about goes on as the same process, and what is not ours is untouched.
//! A run is its seed: the same seed gives the same operations, victims and pauses.
//! `BASALT_KILLS` and `BASALT_SEED` set how many and which; `BASALT_KILLS_REPORT` names a file that
//! a line of JSON about a good run is added to, as `cargo xtask proof kills` does.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod containers;
mod machines;
mod run;
mod wanted;
