//! The file that `apply` reads: one workload, or several under `workload`, as TOML or JSON.
//!
//! A name that ends with `.json` is JSON, everything else TOML. Unknown keys are mistakes here,
//! although the same types ignore them on the wire.

use basalt_api::validate;
use basalt_api::workload::WorkloadSpec;
use basalt_document::{DocumentError, Mistake, Source, parse_json_strictly, parse_toml_strictly};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Workloads that a file may hold.
pub const MAX_WORKLOADS: usize = 1000;

#[derive(Deserialize)]
struct Several {
    workload: Vec<WorkloadSpec>,
}

/// Only looks whether there are several.
#[derive(Deserialize)]
struct Look {
    workload: Option<serde::de::IgnoredAny>,
}

/// Reads a file. `name` is its name as the person gave it.
///
/// # Errors
/// Everything that is wrong with it, each with its place.
pub fn parse(name: &str, text: &str) -> Result<Vec<WorkloadSpec>, DocumentError> {
    let source = Source { name, text };
    let look: Result<Look, _> = if is_json(name) {
        serde_json::from_str(text).map_err(|_| ())
    } else {
        toml::from_str(text).map_err(|_| ())
    };
    let has_several = look.is_ok_and(|look| look.workload.is_some());
    let workloads = if has_several {
        read::<Several>(name, text)?.workload
    } else {
        vec![read::<WorkloadSpec>(name, text)?]
    };
    let mistakes = mistakes(source, &workloads, has_several);
    if mistakes.is_empty() { Ok(workloads) } else { Err(DocumentError { mistakes }) }
}

fn is_json(name: &str) -> bool {
    name.ends_with(".json")
}

fn read<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, DocumentError> {
    if is_json(name) { parse_json_strictly(name, text) } else { parse_toml_strictly(name, text) }
}

fn mistakes(source: Source<'_>, workloads: &[WorkloadSpec], has_several: bool) -> Vec<Mistake> {
    if workloads.len() > MAX_WORKLOADS {
        let message = format!("at most {MAX_WORKLOADS} workloads in one file");
        return vec![source.mistake_at("workload", &message, "")];
    }
    let mut found = Vec::new();
    for (number, spec) in workloads.iter().enumerate() {
        let path = |path: &str| {
            if has_several { format!("workload.{number}.{path}") } else { path.to_owned() }
        };
        for mistake in validate::mistakes(spec) {
            found.push(source.mistake_at(&path(&mistake.path), &mistake.message, &mistake.hint));
        }
        if workloads[..number].iter().any(|other| other.name == spec.name) {
            let message = format!("another workload of this file is called `{}`", spec.name);
            found.push(source.mistake_at(&path("name"), &message, ""));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, text: &str, expected: &str) {
        let told = parse(name, text).unwrap_err().to_string();
        assert!(told.contains(expected), "{told}");
    }

    const ONE: &str = "name = \"web\"\nkind = \"container\"\n[container]\nimage = \"a\"\n";

    #[test]
    fn a_file_holds_one_workload_or_several() {
        assert_eq!(parse("a.toml", ONE).unwrap().len(), 1);
        let two = "[[workload]]\nname = \"a\"\nkind = \"container\"\ncontainer = { image = \"x\" }\n\
                   [[workload]]\nname = \"b\"\nkind = \"container\"\ncontainer = { image = \"x\" }\n";
        assert_eq!(parse("a.toml", two).unwrap().len(), 2);
        check(
            "a.toml",
            &two.replace("\"b\"", "\"a\""),
            "another workload of this file is called `a`",
        );
        let json = include_str!("../../api/examples/workload-container.json");
        assert_eq!(parse("a.json", json).unwrap()[0].name.as_str(), "web");
    }

    #[test]
    fn an_unknown_key_is_a_mistake_with_its_place() {
        let text = ONE.replace("image", "imgae");
        check("a.toml", &text, "a.toml:4:1: unknown key `imgae`");
        check("a.toml", &text, "did you mean `image`?");
    }

    #[test]
    fn a_mistake_of_the_rules_has_the_place_of_its_path() {
        let text = format!("{ONE}ports = [{{ host = 80, container = 0 }}]\n");
        check("a.toml", &text, "a.toml:5:10: a port is 1 to 65535 (`container.ports.0`)");
        check("a.json", r#"{"name":"a","kind":"vm"}"#, "a.json: vm: the table is missing");
    }
}
