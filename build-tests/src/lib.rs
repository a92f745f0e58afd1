//! Tests of `basalt build` as its user runs it: killed, hindered, and by somebody else. They need
//! an image that was built before, and take its cache as their own's beginning.

pub mod ground;
pub mod hindrance;
pub mod mirror;
