//! What comes with a request: read within a limit and a time, refused as a fault.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use basalt_api::checkin::MAX_REQUEST_BYTES;
use basalt_api::fault::{Fault, FaultKind};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use schemars::{JsonSchema, SchemaGenerator};
use serde::de::DeserializeOwned;

use crate::refusal::{Answer, Refusal};

/// How long a body may take.
const BODY_TIME: Duration = Duration::from_secs(30);

/// Characters of a field's path that are shown.
const MAX_SHOWN: usize = 200;

/// Bytes that the body of this request may have, as its route says.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyLimit(pub(super) usize);

/// The bytes of a body.
#[derive(Debug)]
pub struct Bytes(pub Vec<u8>);

/// A body in JSON.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

/// A body in JSON that a person's program wrote: a field that is not known was meant, and is not
/// left out.
#[derive(Debug)]
pub struct StrictBody<T>(pub T);

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
        let bytes = json(request, state).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| shapeless(&error).into())
    }
}

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for StrictBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Answer<Self> {
        let bytes = json(request, state).await?;
        let mut unknown = None;
        let note = |path: serde_ignored::Path<'_>| {
            // It has a question mark for each field that may be absent.
            unknown.get_or_insert(path.to_string().replace(".?", ""));
        };
        let mut inner = serde_json::Deserializer::from_slice(&bytes);
        let read = serde_ignored::deserialize(&mut inner, note);
        let read = read.and_then(|body| inner.end().map(|()| body));
        let body = read.map_err(|error| shapeless(&error))?;
        match unknown {
            None => Ok(Self(body)),
            Some(path) => Err(unknown_field::<T>(&path, &bytes).into()),
        }
    }
}

async fn json<S: Sync>(request: Request, state: &S) -> Answer<Vec<u8>> {
    let kind = request.headers().get(CONTENT_TYPE).map(|kind| kind.as_bytes());
    if !kind.is_some_and(|kind| kind.starts_with(b"application/json")) {
        let fault = FaultKind::WrongType.with("the body must be `application/json`");
        return Err(fault.into());
    }
    let Bytes(bytes) = Bytes::from_request(request, state).await?;
    Ok(bytes)
}

/// What was sent is not repeated: it may hold a secret.
fn shapeless(error: &serde_json::Error) -> Fault {
    let (line, column) = (error.line(), error.column());
    let what = match error.classify() {
        serde_json::error::Category::Data => "is not of the shape that is wanted",
        _ => "is no JSON",
    };
    FaultKind::Malformed.with(format!("the body {what}, at line {line}, column {column}"))
}

/// Names it, which is no value, with its place and the one that was probably meant.
fn unknown_field<T: DeserializeOwned>(path: &str, bytes: &[u8]) -> Fault {
    let path: String = path.chars().take(MAX_SHOWN).collect();
    let mut detail = format!("the body has a field that is not known here: `{path}`");
    let text = String::from_utf8_lossy(bytes);
    let found = basalt_document::parse_json_strictly::<T>("", &text).err();
    // Of the kinds of mistakes that it finds, there is only this one here.
    let mistake = found.and_then(|error| error.mistakes.into_iter().next());
    if let Some(place) = mistake.as_ref().and_then(|mistake| mistake.place.as_ref()) {
        detail = format!("{detail}, at line {}, column {}", place.line, place.column);
    }
    let fault = FaultKind::Malformed.with(detail);
    match mistake.and_then(|mistake| mistake.hint) {
        Some(hint) => fault.hint(hint),
        None => fault.hint("this endpoint may be older than what asks it"),
    }
}

impl<S: Sync, T: DeserializeOwned + JsonSchema> FromRequestParts<S> for QueryOf<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        let query = Query::<T>::try_from_uri(&parts.uri);
        let query = query.map_err(|error| FaultKind::Malformed.with(error.body_text()))?;
        let keys = Query::<BTreeMap<String, String>>::try_from_uri(&parts.uri);
        let keys = keys.map_err(|error| FaultKind::Malformed.with(error.body_text()))?;
        unknown_key::<T>(keys.0.keys()).map_or(Ok(Self(query.0)), |fault| Err(fault.into()))
    }
}

/// Only operators' routes have queries: a key that is not known was meant.
fn unknown_key<'a, T: JsonSchema>(keys: impl IntoIterator<Item = &'a String>) -> Option<Fault> {
    let schema = SchemaGenerator::default().into_root_schema_for::<T>();
    let known = schema.get("properties").and_then(serde_json::Value::as_object);
    let known: Vec<&String> = known.into_iter().flat_map(serde_json::Map::keys).collect();
    let unknown = keys.into_iter().find(|key| !known.contains(key))?;
    let shown: String = unknown.chars().take(MAX_SHOWN).collect();
    let known: Vec<String> = known.iter().map(|key| format!("`{key}`")).collect();
    let detail = format!("what follows the `?` has a key that is not known here: `{shown}`");
    Some(FaultKind::Malformed.with(detail).hint(format!("known are {}", known.join(", "))))
}

impl<S: Sync + Send, T: DeserializeOwned + Send> FromRequestParts<S> for In<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        let path = path.map_err(|error| FaultKind::Malformed.with(error.body_text()))?;
        Ok(Self(path.0))
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;

    use axum::body::Body;
    use basalt_api::operator::{Apply, PageQuery};
    use tokio::runtime::Builder;

    use super::*;

    fn now<T>(asked: impl Future<Output = T>) -> T {
        Builder::new_current_thread().enable_time().build().unwrap().block_on(asked)
    }

    fn strict(body: &[u8]) -> Answer<StrictBody<Apply>> {
        let request = Request::builder().header(CONTENT_TYPE, "application/json");
        let request = request.body(Body::from(body.to_vec())).unwrap();
        now(StrictBody::from_request(request, &()))
    }

    fn query(query: &str) -> Option<Answer<QueryOf<PageQuery>>> {
        let request = Request::builder().uri(format!("/?{query}")).body(()).ok()?;
        Some(now(QueryOf::from_request_parts(&mut request.into_parts().0, &())))
    }

    #[test]
    fn fuzz_body_with_fields_that_are_not_known() {
        let spec = r#"{"name":"web","kind":"container","image":"example.test/web:1"}"#;
        let good = format!(r#"{{"workloads":[{spec}]}}"#);
        let deep = good.replace("image", "imgae");
        let after = format!(
            "{good}
,"
        );
        let seeds: [&[u8]; 4] = [
            good.as_bytes(),
            deep.as_bytes(),
            after.as_bytes(),
            br#"{"workloads":[],"dry-run":1}"#,
        ];
        basalt_fuzz::run(&seeds, |body| {
            let read = strict(body);
            let is_strict = serde_json::from_slice::<Apply>(body).is_ok();
            assert!(read.is_err() || is_strict, "what is no such body was read");
        });
    }

    #[test]
    fn fuzz_keys_of_a_query() {
        assert!(query("limit=5").unwrap().is_ok());
        let seeds = &["limit=5&after=a", "limt=5", "limit=%35&limit=6", "a%ff=%zz"];
        basalt_fuzz::run_on_text!(seeds, |text| query(text));
    }
}
