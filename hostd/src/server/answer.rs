//! Answers as HTTP has them.

use std::convert::Infallible;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, BodyStream, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

pub(super) fn json<T: Serialize>(value: &T) -> Response<Body> {
    let body = serde_json::to_vec(value).unwrap_or_default();
    response(StatusCode::OK, "application/json", body)
}

pub(super) fn text(kind: &'static str, text: String) -> Response<Body> {
    response(StatusCode::OK, kind, text.into_bytes())
}

/// An error as RFC 9457 has it; what follows `hint: ` in the text becomes the hint.
pub(super) fn problem(code: StatusCode, text: &str) -> Response<Body> {
    let title = code.canonical_reason().unwrap_or_default();
    let (detail, hint) = match text.split_once("\nhint: ") {
        Some((detail, hint)) => (detail, Some(hint)),
        None => (text, None),
    };
    let body = serde_json::json!({
        "title": title, "status": code.as_u16(), "detail": detail, "hint": hint,
    });
    response(code, "application/problem+json", body.to_string().into_bytes())
}

/// What comes out of a channel, until it ends.
pub(super) fn stream(kind: &'static str, bytes: mpsc::Receiver<Bytes>) -> Response<Body> {
    let frames = ReceiverStream::new(bytes).map(|bytes| Ok(Frame::data(bytes)));
    with_kind(Response::new(StreamBody::new(frames).boxed_unsync()), kind)
}

/// The same answer; `kept` is dropped with its body, once it was sent or nobody reads it any more.
pub(super) fn holding<T: Send + 'static>(answer: Response<Body>, kept: T) -> Response<Body> {
    answer.map(|body| {
        let frames = BodyStream::new(body).map(move |frame| {
            let _kept = &kept;
            frame
        });
        StreamBody::new(frames).boxed_unsync()
    })
}

fn response(code: StatusCode, kind: &'static str, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(body)).boxed_unsync());
    *response.status_mut() = code;
    with_kind(response, kind)
}

fn with_kind(mut response: Response<Body>, kind: &'static str) -> Response<Body> {
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
