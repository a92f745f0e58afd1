//! From an error to the answer that tells of it.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use basalt_api::fault::{self, Fault, FaultKind};

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
        tracing::error!("{}", basalt_explain::explain(&error));
        FaultKind::Internal.with("").hint("the endpoint's log tells more").into()
    }
}

impl Refusal {
    /// The endpoint is busy; the caller shall come again.
    #[must_use]
    pub fn come_again(detail: &str, after_s: u64) -> Self {
        Self { fault: FaultKind::Unavailable.with(detail), retry_after_s: Some(after_s) }
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
