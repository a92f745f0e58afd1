//! A person's file of workloads: TOML or JSON, one workload or a list under `workload`.
//!
//! Pure: the caller reads the file. Every mistake has its place, those of the shape and those that
//! only the rules of [`basalt_api::validate`] know.

pub mod schema;

use basalt_api::validate;
use basalt_api::workload::WorkloadSpec;
use basalt_document::{
    DocumentError, Mistake, Source, locate_json, locate_toml, parse_json_strictly,
    parse_toml_strictly,
};
use serde::Deserialize;

/// The key of the list.
const LIST: &str = "workload";

/// A file with a list.
#[derive(Deserialize)]
struct Listed {
    workload: Vec<WorkloadSpec>,
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Toml,
    Json,
}

/// Reads a file. What ends in `.json`, or begins with `{`, is JSON; anything else is TOML.
///
/// # Errors
/// It is too long, neither, or not of the right shape; a workload breaks a rule.
pub fn parse(name: &str, text: &str) -> Result<Vec<WorkloadSpec>, DocumentError> {
    let is_json = name.ends_with(".json") || text.trim_start().starts_with('{');
    let form = if is_json { Form::Json } else { Form::Toml };
    let is_list = is_list(form, text);
    let specs = if is_list {
        read::<Listed>(form, name, text)?.workload
    } else {
        vec![read::<WorkloadSpec>(form, name, text)?]
    };
    let mut mistakes = Vec::new();
    for (number, spec) in specs.iter().enumerate() {
        let prefix = if is_list { format!("{LIST}.{number}.") } else { String::new() };
        mistakes.extend(rules(form, Source { name, text }, spec, &prefix));
        if specs[..number].iter().any(|earlier| earlier.name == spec.name) {
            let path = format!("{prefix}name");
            let message = format!("there is another workload named `{}`", spec.name);
            mistakes.push(at(form, Source { name, text }, &path, &message, ""));
        }
    }
    mistakes.sort_by_key(|mistake| mistake.place.as_ref().map(|place| (place.line, place.column)));
    if mistakes.is_empty() { Ok(specs) } else { Err(DocumentError { mistakes }) }
}

fn read<T: serde::de::DeserializeOwned>(
    form: Form,
    name: &str,
    text: &str,
) -> Result<T, DocumentError> {
    match form {
        Form::Toml => parse_toml_strictly(name, text),
        Form::Json => parse_json_strictly(name, text),
    }
}

/// Whether it begins like a list; `workloads` is a list with a typing mistake.
fn is_list(form: Form, text: &str) -> bool {
    let is_key = |key: &str| key.starts_with(LIST);
    if text.len() > basalt_document::MAX_BYTES {
        return false;
    }
    match form {
        Form::Toml => toml::from_str::<toml::Table>(text)
            .is_ok_and(|table| table.keys().any(|key| is_key(key))),
        Form::Json => serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text)
            .is_ok_and(|map| map.keys().any(|key| is_key(key))),
    }
}

fn rules(form: Form, source: Source, spec: &WorkloadSpec, prefix: &str) -> Vec<Mistake> {
    let mistakes = validate::mistakes(spec).into_iter();
    let shown = mistakes.map(|mistake| {
        let path = format!("{prefix}{}", mistake.path);
        at(form, source, &path, &format!("`{}`: {}", mistake.path, mistake.message), &mistake.hint)
    });
    shown.collect()
}

fn at(form: Form, source: Source, path: &str, message: &str, hint: &str) -> Mistake {
    let span = match form {
        Form::Toml => locate_toml(source.text, path),
        Form::Json => locate_json(source.text, path),
    };
    source.mistake(span.unwrap_or(0..0), message, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, text: &str, expected: &str) {
        let found = match parse(name, text) {
            Ok(specs) => specs.iter().map(|spec| spec.name.as_str()).collect::<Vec<_>>().join(" "),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected);
    }

    const ONE: &str = "name = 'a'\nkind = 'container'\n[container]\nimage = 'x'\n";

    #[test]
    fn a_file_holds_one_or_a_list() {
        check("a.toml", ONE, "a");
        let listed = "[[workload]]\nname = 'a'\nkind = 'container'\ncontainer.image = 'x'\n\
                      [[workload]]\nname = 'b'\nkind = 'container'\ncontainer.image = 'x'\n";
        check("a.toml", listed, "a b");
        let json = include_str!("../../api/examples/workload-vm.json");
        let name = parse("vm", json).unwrap()[0].name.clone();
        check("a.json", &format!("{{\"workload\": [{json}]}}"), name.as_str());
    }

    #[test]
    fn a_key_that_the_wire_would_ignore_is_a_mistake_here() {
        check(
            "a.toml",
            &ONE.replace("image", "imagee"),
            "a.toml:4:1: unknown key `imagee`\n 4 | imagee = 'x'\n   | ^^^^^^\nhint: did you mean `image`?",
        );
        check(
            "a.toml",
            "[[workloads]]\nname = 'a'",
            "a.toml:1:3: unknown key `workloads`\n 1 | [[workloads]]\n   |   ^^^^^^^^^\nhint: did you mean `workload`?",
        );
    }

    #[test]
    fn a_broken_rule_is_shown_at_its_place() {
        let text = format!("{ONE}[[container.ports]]\nhost = 0\ncontainer = 1\n");
        check(
            "a.toml",
            &text,
            "a.toml:5:1: `container.ports.0`: a port is 1 to 65535\n 5 | [[container.ports]]\n   | ^^^^^^^^^^^^^^^^^^^",
        );
        check(
            "a.json",
            r#"{"name": "a", "kind": "container", "container": {"image": "-x"}}"#,
            "a.json:1:59: `container.image`: this is no image\n 1 | {\"name\": \"a\", \"kind\": \"container\", \"container\": {\"image\": \"-x\"}}\n   |                                                           ^^^^\nhint: as `registry.example:5000/web:3` or `…/web@sha256:…`",
        );
    }

    #[test]
    fn two_of_one_name_are_a_mistake() {
        let one = "[[workload]]\nname = 'a'\nkind = 'container'\ncontainer.image = 'x'\n";
        let error = parse("a.toml", &one.repeat(2)).unwrap_err().to_string();
        assert!(error.starts_with("a.toml:6:8: there is another workload named `a`"), "{error}");
    }

    #[test]
    fn fuzz_a_file_of_workloads() {
        let toml = include_str!("../../../examples/shop.toml");
        let machine = include_str!("../../../examples/machine.toml");
        basalt_fuzz::run_on_text!(&[toml, machine, ONE], |text| {
            // A mistake is printed with its place, whatever stands there.
            parse("a.toml", text).map_err(|error| error.to_string())
        });
    }

    #[test]
    fn fuzz_a_file_of_workloads_in_json() {
        let json = include_str!("../../../examples/web.json");
        basalt_fuzz::run_on_text!(&[json, &format!("{{\"workload\":[{json}]}}")], |text| {
            parse("a.json", text).map_err(|error| error.to_string())
        });
    }
}
