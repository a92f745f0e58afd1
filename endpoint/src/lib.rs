//! The management endpoint: tells hosts what to run, hears how they are, and serves `basaltctl`.
//! In reading order:

pub mod chance;
pub mod clock;
pub mod duration;
pub mod names;

pub mod ca;
pub mod data;
pub mod operator_token;
pub mod store;
pub mod vault;

pub mod app;
pub mod logs;
pub mod metrics;
pub mod presence;
pub mod refusal;
pub mod standing;

pub mod routes;
pub mod serve;

pub mod backup;
pub mod restore;

pub mod daemon;
pub mod files_limit;
pub mod patrol;
pub mod places;
pub mod server;
pub mod tls;

pub mod client;
pub mod ctl;
