//! What comes with a request: read within a limit and a time, refused as a fault.

use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use basalt_api::checkin::MAX_REQUEST_BYTES;
use basalt_api::fault::FaultKind;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use crate::refusal::{Answer, Refusal};

/// How long a body may take.
const BODY_TIME: Duration = Duration::from_secs(30);

/// Bytes that the body of this request may have, where that is fewer than any other's.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyLimit(pub(super) usize);

/// The bytes of a body.
#[derive(Debug)]
pub struct Bytes(pub Vec<u8>);

/// A body in JSON.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

/// What stands after the `?`.
#[derive(Debug)]
pub struct QueryOf<T>(pub T);

/// The parts of the path that vary.
#[derive(Debug)]
pub struct In<T>(pub T);

impl<S: Sync> FromRequest<S> for Bytes {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Answer<Self> {
        let limit = request.extensions().get().map_or(MAX_REQUEST_BYTES, |BodyLimit(limit)| *limit);
        let body = Limited::new(request.into_body(), limit);
        let Ok(read) = tokio::time::timeout(BODY_TIME, body.collect()).await else {
            let detail = format!("the body took over {} s", BODY_TIME.as_secs());
            return Err(FaultKind::Slow.with(detail).into());
        };
        match read {
            Ok(whole) => Ok(Self(whole.to_bytes().to_vec())),
            Err(error) if error.is::<LengthLimitError>() => {
                let detail = format!("a body has at most {limit} bytes here");
                Err(FaultKind::TooLarge.with(detail).into())
            }
            Err(_) => Err(FaultKind::Malformed.with("the body was cut off").into()),
        }
    }
}

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Answer<Self> {
        let kind = request.headers().get(CONTENT_TYPE).map(|kind| kind.as_bytes());
        if !kind.is_some_and(|kind| kind.starts_with(b"application/json")) {
            let fault = FaultKind::WrongType.with("the body must be `application/json`");
            return Err(fault.into());
        }
        let Bytes(bytes) = Bytes::from_request(request, state).await?;
        // What was sent is not repeated: it may hold a secret.
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let what = match error.classify() {
                serde_json::error::Category::Data => "is not of the shape that is wanted",
                _ => "is no JSON",
            };
            FaultKind::Malformed
                .with(format!("the body {what}, at line {line}, column {column}"))
                .into()
        })
    }
}

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for QueryOf<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        let query = Query::<T>::try_from_uri(&parts.uri);
        let query = query.map_err(|error| FaultKind::Malformed.with(error.body_text()))?;
        Ok(Self(query.0))
    }
}

impl<S: Sync + Send, T: DeserializeOwned + Send> FromRequestParts<S> for In<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        let path = path.map_err(|error| FaultKind::Malformed.with(error.body_text()))?;
        Ok(Self(path.0))
    }
}
