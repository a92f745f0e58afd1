//! Why there is no answer.

use std::io;
use std::time::Duration;

use tokio_rustls::rustls::{CertificateError, Error};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpsError {
    /// What was typed is no URL of a server.
    #[error("`{0}` is no `https://` URL")]
    Url(String),
    /// Certificates or keys cannot be used.
    #[error(transparent)]
    Material(#[from] crate::BadMaterial),
    /// The server is not reached.
    #[error("cannot reach `{to}`")]
    Connect {
        /// Host and port.
        to: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// It is another server than the trusted one.
    #[error(
        "`{to}` is not the server that is trusted\n\
         hint: its CA is not the one whose fingerprint or certificate was given, or the name in the \
         URL is not in its certificate"
    )]
    Untrusted {
        /// Host and port.
        to: String,
        /// What TLS says.
        #[source]
        source: Error,
    },
    /// One of the two clocks is wrong, or a certificate has run out.
    #[error(
        "by this machine's clock the certificate of `{to}` is not good now\n\
         hint: compare the clocks of both machines"
    )]
    Clock {
        /// Host and port.
        to: String,
        /// What TLS says, with both times.
        #[source]
        source: Error,
    },
    /// It did not answer in time.
    #[error("`{to}` did not answer within {} s", .after.as_secs())]
    Silent {
        /// Host and port.
        to: String,
        /// The time it had.
        after: Duration,
    },
    /// The connection broke, or what came is no HTTP.
    #[error("the connection to `{to}` broke")]
    Broken {
        /// Host and port.
        to: String,
        /// What HTTP says.
        #[source]
        source: hyper::Error,
    },
    /// The answer is longer than it may be.
    #[error("`{to}` answers with more than {limit} bytes")]
    TooLong {
        /// Host and port.
        to: String,
        /// What it may have.
        limit: usize,
    },
}

impl HttpsError {
    /// What a failed connection or handshake means.
    pub(crate) fn of_connecting(to: &str, source: io::Error) -> Self {
        let to = to.to_owned();
        let tls = source.get_ref().and_then(|inner| inner.downcast_ref::<Error>()).cloned();
        match tls {
            Some(source) if is_about_time(&source) => Self::Clock { to, source },
            Some(source @ Error::InvalidCertificate(_)) => Self::Untrusted { to, source },
            _ => Self::Connect { to, source },
        }
    }
}

fn is_about_time(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(
            CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. }
        )
    )
}
