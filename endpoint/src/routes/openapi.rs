//! The table as a description in OpenAPI 3.1.

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::{Body, Route, Who, table};

/// The description. The same table gives the same text.
#[must_use]
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12();
    let settings =
        settings.with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut schemas = settings.into_generator();
    let fault = schemas.subschema_for::<basalt_api::fault::Fault>();
    let mut paths = Map::new();
    for route in table() {
        let operation = operation(&route, &mut schemas, &fault);
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.as_str().to_lowercase()] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Basalt endpoint",
            "version": "1",
            "description": "What hosts and operators ask of a Basalt endpoint. A field that is not known is ignored in what hosts send, and refused in what operators send.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "securitySchemes": {
                "host": { "type": "mutualTLS", "description": "A host's certificate" },
                "operator": { "type": "http", "scheme": "bearer", "description": "The operator's token" },
            },
        },
    })
}

/// The description as it is served and checked in.
#[must_use]
pub fn text() -> String {
    let sorted = sorted(document());
    serde_json::to_string_pretty(&sorted).unwrap_or_default() + "\n"
}

/// Keys in the order of their names, whatever features of `serde_json` others switch on.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let sorted: std::collections::BTreeMap<String, Value> =
                map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            sorted.into_iter().collect()
        }
        Value::Array(values) => values.into_iter().map(sorted).collect(),
        plain => plain,
    }
}

fn operation(route: &Route, schemas: &mut SchemaGenerator, fault: &Schema) -> Value {
    let success = match route.gives {
        Body::Nothing => json!({ "description": "Done" }),
        body => json!({ "description": "Done", "content": content(body, schemas) }),
    };
    let problem = json!({
        "description": "Not done, and why",
        "content": { basalt_api::fault::MEDIA_TYPE: { "schema": fault } },
    });
    let success_status = if matches!(route.gives, Body::Nothing) { "204" } else { "200" };
    let mut operation = json!({
        "summary": route.summary,
        "operationId": operation_id(route),
        "responses": { success_status: success, "default": problem },
    });
    if !matches!(route.takes, Body::Nothing) {
        let content = content(route.takes, schemas);
        operation["requestBody"] = json!({ "required": true, "content": content });
    }
    let parameters: Vec<Value> = in_path(route).chain(in_query(route, schemas)).collect();
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    operation["security"] = match route.who {
        Who::Anyone => json!([]),
        Who::Host => json!([{ "host": [] }]),
        Who::Operator => json!([{ "operator": [] }]),
    };
    operation
}

fn content(body: Body, schemas: &mut SchemaGenerator) -> Value {
    match body {
        Body::Nothing => json!({}),
        Body::Json(schema) => json!({ "application/json": { "schema": schema(schemas) } }),
        Body::Other(media_type) => json!({ media_type: {} }),
    }
}

fn in_path(route: &Route) -> impl Iterator<Item = Value> {
    let names = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names.map(|name| {
        let schema = if name == "version" {
            json!({ "type": "integer" })
        } else {
            json!({ "type": "string" })
        };
        json!({ "name": name, "in": "path", "required": true, "schema": schema })
    })
}

fn in_query(route: &Route, schemas: &mut SchemaGenerator) -> Vec<Value> {
    let Some(query) = route.query else { return Vec::new() };
    let schema = query(schemas);
    let properties = schema.get("properties").and_then(Value::as_object).cloned();
    let parameters = properties.unwrap_or_default().into_iter();
    parameters
        .map(|(name, schema)| json!({ "name": name, "in": "query", "required": false, "schema": schema }))
        .collect()
}

/// As `post_hosts_self_checkin`.
fn operation_id(route: &Route) -> String {
    let parts = route.path.split(['/', '.']).filter(|part| !part.is_empty() && *part != "v1");
    let parts: Vec<&str> = parts.map(|part| part.trim_matches(['{', '}'])).collect();
    format!("{}_{}", route.method.as_str().to_lowercase(), parts.join("_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `UPDATE_GOLDEN=1 cargo nextest run --release -p basalt-endpoint openapi` writes it anew.
    #[test]
    fn the_description_that_is_checked_in_is_the_one_that_is_served() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, text()).unwrap();
        }
        assert!(std::fs::read_to_string(path).unwrap() == text(), "openapi.json is out of date");
    }

    #[test]
    fn every_reference_leads_somewhere_and_no_two_operations_share_an_id() {
        let document = document();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for reference in text().split("\"$ref\": \"").skip(1) {
            let name = reference.split('"').next().unwrap().strip_prefix("#/components/schemas/");
            assert!(schemas.contains_key(name.unwrap()), "{name:?}");
        }
        let ids: std::collections::HashSet<String> = table().iter().map(operation_id).collect();
        assert_eq!(ids.len(), table().len());
    }

    #[test]
    fn every_route_has_a_summary() {
        assert!(table().iter().all(|route| !route.summary.is_empty()));
    }
}
