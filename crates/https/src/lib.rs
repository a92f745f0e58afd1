//! An HTTPS client for one server, which it knows by a CA's certificate or by its fingerprint; and
//! how our servers take a client.
//!
//! The Web's CAs are never asked: an endpoint has a CA of its own. One connection is kept between
//! requests. Everything is bounded: the time for a connection, for an answer, the bytes of it.

mod accept;
mod client;
mod error;
mod trust;

pub use accept::accept;
pub use client::{Answer, Client, Limits, place};
pub use error::HttpsError;
pub use hyper::Method;
pub use trust::{BadMaterial, Fingerprint, Identity, Trust};
