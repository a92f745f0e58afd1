//! Why a download brings nothing.

use ureq::http::StatusCode;
use url::Url;

/// Why there is no download.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The server does not give the file.
    #[error("cannot read `{url}`")]
    Refused {
        /// The file.
        url: Url,
        /// Why.
        #[source]
        why: Refused,
    },
    /// Nobody whom a server could be known by.
    #[error("there is no certificate among the authorities")]
    NoAuthority,
}

/// Why a request brought nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such file. Stores that list nothing to strangers forbid it instead.
    #[error("the server answered {0}")]
    Gone(StatusCode),
    /// Asking again is no use.
    #[error("{0}")]
    ForGood(String),
    /// It may be another time.
    #[error("{0}")]
    ForNow(String),
}

impl Refused {
    pub(crate) fn of(status: StatusCode) -> Self {
        let said = format!("the server answered {status}");
        match status {
            StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::FORBIDDEN => Self::Gone(status),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Self::ForNow(said),
            _ if status.is_server_error() => Self::ForNow(said),
            _ => Self::ForGood(said),
        }
    }
}
