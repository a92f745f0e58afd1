//! The management endpoint: tells hosts what to run, hears how they are, and serves `basaltctl`.
//! In reading order:

pub mod chance;
pub mod clock;
pub mod names;

pub mod ca;
pub mod data;
pub mod operator_token;
pub mod store;
pub mod vault;
