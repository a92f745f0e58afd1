//! Tests that boot the built image. A story is one machine and the steps that it goes through;
//! each step is a test. In reading order:

pub mod disk;
pub mod fleet;
pub mod fresh;
pub mod host;
pub mod image;
pub mod install;
pub mod live;
pub mod recording;
pub mod releases;
pub mod reset;
pub mod story;
