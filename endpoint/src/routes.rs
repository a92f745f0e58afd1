//! The API in one table: what is asked how, who may, and what comes back.
//!
//! The router, the check of who asks, and the description in OpenAPI are made from it, so none can
//! tell another story.

mod body;
mod guard;
pub mod openapi;
mod table;

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};
use basalt_api::checkin::MAX_REQUEST_BYTES;
use basalt_api::enrol::MAX_BODY_BYTES;
use basalt_api::fault::FaultKind;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use std::sync::Arc;

use crate::app::Shared;
use crate::refusal::Refusal;

pub use body::{Bytes, In, JsonBody, QueryOf, StrictBody};
pub use guard::{HostCaller, Peer};
pub use table::table;

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Anyone.
    Anyone,
    /// A host, by its certificate.
    Host,
    /// The operator, by the token.
    Operator,
}

/// What a request or an answer has in its body.
#[derive(Clone, Copy)]
pub enum Body {
    /// Nothing.
    Nothing,
    /// JSON of this shape.
    Json(fn(&mut SchemaGenerator) -> Schema),
    /// Something else, of this media type.
    Other(&'static str),
}

/// One thing that can be asked.
pub struct Route {
    /// How.
    pub method: Method,
    /// Where; `{…}` stands for a part that varies.
    pub path: &'static str,
    /// Who may.
    pub who: Who,
    /// What it is for, in a line.
    pub summary: &'static str,
    /// What comes with it.
    pub takes: Body,
    /// What may stand after the `?`.
    pub query: Option<fn(&mut SchemaGenerator) -> Schema>,
    /// What comes back.
    pub gives: Body,
    /// Bytes that its body may have.
    pub max_body: usize,
    handler: MethodRouter<Shared>,
}

impl Route {
    fn new<H, T>(method: Method, path: &'static str, who: Who, handler: H) -> Self
    where
        H: Handler<T, Shared>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(method.clone()).unwrap_or(MethodFilter::GET);
        Self {
            method,
            path,
            who,
            summary: "",
            takes: Body::Nothing,
            query: None,
            gives: Body::Nothing,
            max_body: match who {
                Who::Anyone => MAX_BODY_BYTES,
                Who::Host | Who::Operator => MAX_REQUEST_BYTES,
            },
            handler: on(filter, handler),
        }
    }

    fn summary(mut self, summary: &'static str) -> Self {
        self.summary = summary;
        self
    }

    fn takes<T: JsonSchema>(mut self) -> Self {
        self.takes = Body::Json(SchemaGenerator::subschema_for::<T>);
        self
    }

    fn takes_other(mut self, media_type: &'static str) -> Self {
        self.takes = Body::Other(media_type);
        self
    }

    fn up_to(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    fn query<T: JsonSchema>(mut self) -> Self {
        self.query = Some(SchemaGenerator::root_schema_for::<T>);
        self
    }

    fn gives<T: JsonSchema>(mut self) -> Self {
        self.gives = Body::Json(SchemaGenerator::subschema_for::<T>);
        self
    }

    fn gives_other(mut self, media_type: &'static str) -> Self {
        self.gives = Body::Other(media_type);
        self
    }
}

/// The router of the whole table.
pub fn router(app: &Shared) -> Router {
    let mut router = Router::new();
    for route in table() {
        let guard = guard::Guard {
            app: Arc::clone(app),
            who: route.who,
            path: route.path,
            max_body: route.max_body,
            is_write: route.method != Method::GET,
        };
        let guarded = route.handler.route_layer(from_fn_with_state(Arc::new(guard), guard::guard));
        router = router.route(route.path, guarded);
    }
    router
        .fallback(async || Refusal::from(FaultKind::NotFound.with("there is no such path")))
        .method_not_allowed_fallback(async || Refusal::from(FaultKind::MethodNotAllowed.with("")))
        .with_state(Arc::clone(app))
}
