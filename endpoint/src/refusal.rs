//! From an error to the answer that tells of it.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use basalt_api::fault::{self, Fault, FaultKind};

use crate::store::trouble::{self, Trouble};

/// Seconds after which to come again when the database was busy for as long as a request waits.
const BUSY_S: u64 = 5;
/// The same when its disk is full, which somebody has to mend.
const FULL_S: u64 = 30;

/// Why a request is not answered as asked.
#[derive(Debug)]
pub struct Refusal {
    fault: Fault,
    retry_after_s: Option<u64>,
}

/// What a handler returns.
pub type Answer<T> = Result<T, Refusal>;

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self { fault, retry_after_s: None }
    }
}

/// A fault somewhere in the chain is the answer; anything else is ours, and only the log tells it.
impl From<anyhow::Error> for Refusal {
    fn from(error: anyhow::Error) -> Self {
        if let Some(fault) = error.downcast_ref::<Fault>() {
            return fault.clone().into();
        }
        let trouble = trouble::of(&error);
        if trouble == Some(Trouble::Busy) {
            tracing::warn!("{}", basalt_explain::explain(&error));
            return Self::come_again("the database is busy", BUSY_S);
        }
        tracing::error!("{}", basalt_explain::explain(&error));
        if trouble == Some(Trouble::Full) {
            return Self::full();
        }
        FaultKind::Internal.with("").hint("the endpoint's log tells more").into()
    }
}

impl Refusal {
    /// The endpoint is busy; the caller shall come again.
    #[must_use]
    pub fn come_again(detail: &str, after_s: u64) -> Self {
        Self { fault: FaultKind::Unavailable.with(detail), retry_after_s: Some(after_s) }
    }

    /// There is no room for what was asked; somebody has to make some.
    fn full() -> Self {
        let fault = FaultKind::StorageFull.with("the disk of the endpoint's folder is full").hint(
            "make room there; what was answered before is kept, and the endpoint goes on by itself",
        );
        Self { fault, retry_after_s: Some(FULL_S) }
    }

    /// Whether a host's certificate is worth nothing, or no longer.
    #[must_use]
    pub fn is_of_certificate(&self) -> bool {
        [FaultKind::Revoked, FaultKind::CertificateExpired].iter().any(|kind| self.fault.is(*kind))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.fault).unwrap_or_default();
        let mut response = (
            StatusCode::from_u16(self.fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            [(header::CONTENT_TYPE, fault::MEDIA_TYPE)],
            body,
        )
            .into_response();
        if let Some(after_s) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(after_s));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(error: anyhow::Error, expected: (u16, Option<&str>)) {
        let response = Refusal::from(error).into_response();
        let retry_after = response.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after.map(|value| value.to_str().unwrap());
        assert_eq!((response.status().as_u16(), retry_after), expected);
        assert_eq!(response.headers()[header::CONTENT_TYPE], fault::MEDIA_TYPE);
    }

    #[test]
    fn a_database_that_is_busy_is_asked_again_and_one_that_is_broken_is_not() {
        let busy = anyhow::Error::from(sqlx::Error::PoolTimedOut).context("cannot write");
        check(busy, (503, Some("5")));
        check(anyhow::Error::from(sqlx::Error::RowNotFound), (500, None));
        check(FaultKind::NotFound.with("").into(), (404, None));
    }
}
