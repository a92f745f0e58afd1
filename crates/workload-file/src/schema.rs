//! The shape of a file as JSON Schema (draft 2020-12), for editors and other tools. Rules that go
//! over several fields are not in it: only [`crate::parse`] knows them all.

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{Schema, json_schema};
use serde_json::{Map, Value};

use basalt_api::workload::WorkloadSpec;

/// The schema, as it is checked in and printed.
#[must_use]
pub fn text() -> String {
    serde_json::to_string_pretty(&sorted(document())).unwrap_or_default() + "\n"
}

fn document() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let one = generator.subschema_for::<WorkloadSpec>();
    let definitions = generator.take_definitions(true);
    let list = json_schema!({
        "type": "object",
        "properties": {
            crate::LIST: { "type": "array", "items": one, "description": "All of them, or none" },
        },
        "required": [crate::LIST],
    });
    let mut schema = json_schema!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Basalt workloads",
        "description": "One workload, or a list of them",
        "anyOf": [one, list],
        "$defs": definitions,
    });
    // In what a person writes, an unknown key is a mistake.
    RecursiveTransform(close).transform(&mut schema);
    schema.to_value()
}

fn close(schema: &mut Schema) {
    if let Some(map) = schema.as_object_mut()
        && map.contains_key("properties")
        && !map.contains_key("additionalProperties")
    {
        map.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
}

/// Keys in the order of their names, whatever features of `serde_json` others switch on.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let sorted: std::collections::BTreeMap<String, Value> =
                map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            Value::Object(sorted.into_iter().collect::<Map<_, _>>())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(sorted).collect()),
        plain => plain,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use boon::{Compiler, SchemaIndex, Schemas};

    use super::*;

    /// The schema as another program reads it.
    struct Checked(Schemas, SchemaIndex);

    impl Checked {
        fn new() -> Self {
            let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
            compiler.add_resource("workload.schema.json", document()).unwrap();
            let index = compiler.compile("workload.schema.json", &mut schemas).unwrap();
            Self(schemas, index)
        }

        fn takes(&self, value: &Value) -> Result<(), String> {
            self.0.validate(value, self.1).map_err(|error| format!("{error:#}"))
        }
    }

    fn value(name: &str, text: &str) -> Value {
        match name.ends_with(".json") {
            true => serde_json::from_str(text).unwrap(),
            false => toml::from_str(text).unwrap(),
        }
    }

    /// `UPDATE_GOLDEN=1 cargo nextest run --release -p basalt-workload-file schema` writes it anew.
    #[test]
    fn the_schema_that_is_checked_in_is_the_one_that_is_printed() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/workload.schema.json");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(path, text()).unwrap();
        }
        let checked_in = fs::read_to_string(path).unwrap();
        assert!(checked_in == text(), "workload.schema.json is out of date");
    }

    #[test]
    fn every_example_is_taken_by_the_parser_and_by_the_schema() {
        let schema = Checked::new();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut seen = 0;
        for folder in ["examples", "crates/api/examples"] {
            for entry in fs::read_dir(root.join(folder)).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                if folder != "examples" && !name.starts_with("workload-") {
                    continue;
                }
                let text = fs::read_to_string(&path).unwrap();
                let specs = crate::parse(&name, &text).unwrap_or_else(|error| panic!("{error}"));
                assert!(!specs.is_empty(), "{name}");
                schema
                    .takes(&value(&name, &text))
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
                seen += 1;
            }
        }
        assert!(seen >= 6, "{seen} examples");
    }

    #[test]
    fn what_the_schema_refuses_the_parser_refuses() {
        let schema = Checked::new();
        let good = r#"{"name":"a","kind":"container","container":{"image":"x"}}"#;
        schema.takes(&value("a.json", good)).unwrap();
        for (from, to) in [
            ("image", "imagee"),
            ("\"x\"", "5"),
            ("\"name\":\"a\",", ""),
            ("\"a\"", "\"A b\""),
            ("\"kind\":\"container\"", "\"kind\":\"pod\""),
            ("\"name\"", "\"restart\":\"often\",\"name\""),
            ("\"name\"", "\"resources\":{\"cpus\":-1},\"name\""),
            ("\"name\"", "\"labels\":{\"a\":1},\"name\""),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good);
            assert!(schema.takes(&value("a.json", &bad)).is_err(), "the schema takes {bad}");
            assert!(crate::parse("a.json", &bad).is_err(), "the parser takes {bad}");
        }
        let list = format!("{{\"workload\":[{good}]}}");
        schema.takes(&value("a.json", &list)).unwrap();
        let typo = list.replace("workload", "workloads");
        assert!(schema.takes(&value("a.json", &typo)).is_err());
    }
}
