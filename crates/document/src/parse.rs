//! From text to type, and from the parsers' errors to ours.

use std::ops::Range;

use serde::de::DeserializeOwned;

use crate::nearest::nearest;
use crate::place::Place;
use crate::strict::Strict;
use crate::{DocumentError, MAX_BYTES, Mistake, Source, json};

/// Reads TOML. `name` is the file as the person named it.
///
/// # Errors
/// The text is too long, no TOML, or not of the type's shape.
pub fn parse_toml<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, DocumentError> {
    check_size(name, text)?;
    toml::from_str(text).map_err(|error| toml_mistake(name, text, &error))
}

/// Reads TOML, and refuses keys that the type does not know even where it would ignore them.
///
/// # Errors
/// As [`parse_toml`], or there is an unknown key.
pub fn parse_toml_strictly<T: DeserializeOwned>(
    name: &str,
    text: &str,
) -> Result<T, DocumentError> {
    check_size(name, text)?;
    let parsed = toml::Deserializer::parse(text).and_then(|inner| T::deserialize(Strict(inner)));
    parsed.map_err(|error| toml_mistake(name, text, &error))
}

/// Reads JSON. `name` is the file as the person named it.
///
/// # Errors
/// The text is too long, no JSON, or not of the type's shape.
pub fn parse_json<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, DocumentError> {
    check_size(name, text)?;
    serde_json::from_str(text).map_err(|error| json_mistake(name, text, &error))
}

/// Reads JSON, and refuses keys that the type does not know even where it would ignore them.
///
/// # Errors
/// As [`parse_json`], or there is an unknown key.
pub fn parse_json_strictly<T: DeserializeOwned>(
    name: &str,
    text: &str,
) -> Result<T, DocumentError> {
    check_size(name, text)?;
    let mut inner = serde_json::Deserializer::from_str(text);
    let parsed = T::deserialize(Strict(&mut inner)).and_then(|value| inner.end().map(|()| value));
    parsed.map_err(|error| json_mistake(name, text, &error))
}

fn toml_mistake(name: &str, text: &str, error: &toml::de::Error) -> DocumentError {
    let (message, hint) = improve(error.message());
    let place = error.span().map(|span| Place::of(text, key_at(text, span)));
    Mistake { name: name.to_owned(), place, message, hint }.into()
}

fn json_mistake(name: &str, text: &str, error: &serde_json::Error) -> DocumentError {
    let (message, hint) = improve(&json::message(error));
    let place = Some(Place::of(text, json::span(text, error)));
    Mistake { name: name.to_owned(), place, message, hint }.into()
}

fn check_size(name: &str, text: &str) -> Result<(), DocumentError> {
    if text.len() <= MAX_BYTES {
        return Ok(());
    }
    let message = format!("{} bytes are too many; at most {MAX_BYTES} are read", text.len());
    Err(Source { name, text }.mistake(0..0, &message, "").into())
}

/// The parser points at the whole table for a missing key; its first line says enough.
fn key_at(text: &str, span: Range<usize>) -> Range<usize> {
    let line_end = text[span.start.min(text.len())..].find('\n').map(|at| span.start + at);
    span.start..line_end.map_or(span.end, |end| end.min(span.end)).max(span.start)
}

/// Says an unknown key or value our way, with the one that was probably meant.
fn improve(message: &str) -> (String, Option<String>) {
    for (kind, word) in [("field", "key"), ("variant", "value")] {
        let start = format!("unknown {kind} `");
        let Some(rest) = message.strip_prefix(&start) else { continue };
        let Some((found, rest)) = rest.split_once('`') else { continue };
        let known: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
        return (
            format!("unknown {word} `{found}`"),
            Some(nearest(found, &known)).filter(|hint| !hint.is_empty()),
        );
    }
    match message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        Some(key) => (format!("the key `{key}` is missing"), None),
        None => (message.trim().to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Shape {
        name: String,
        #[serde(default)]
        packages: Vec<String>,
        mode: Option<Mode>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        Fast,
        Slow,
    }

    fn check(text: &str, expected: &str) {
        let error = parse_toml::<Shape>("a.toml", text).unwrap_err().to_string();
        assert_eq!(error, expected);
    }

    #[test]
    fn an_unknown_key_shows_its_place_and_the_nearest_one() {
        check(
            "name = \"x\"\n  packges = []\n",
            "a.toml:2:3: unknown key `packges`\n 2 |   packges = []\n   |   ^^^^^^^\nhint: did you mean `packages`?",
        );
    }

    #[test]
    fn a_key_like_no_other_lists_the_known_ones() {
        check(
            "name = \"x\"\nqqq = 1",
            "a.toml:2:1: unknown key `qqq`\n 2 | qqq = 1\n   | ^^^\nhint: known are `name`, `packages`, `mode`",
        );
    }

    #[test]
    fn a_wrong_value_shows_the_value() {
        check(
            "name = \"x\"\nmode = \"fst\"",
            "a.toml:2:8: unknown value `fst`\n 2 | mode = \"fst\"\n   |        ^^^^^\nhint: did you mean `fast`?",
        );
    }

    #[test]
    fn columns_count_characters_and_controls_are_not_printed() {
        let error = parse_toml::<Shape>("a", "name = 'äö' \u{1}x").unwrap_err();
        let place = error.mistakes[0].place.clone().unwrap();
        assert_eq!((place.line, place.column), (1, 13));
        assert!(!error.to_string().contains('\u{1}'));
    }

    #[test]
    fn json_mistakes_have_a_place_too() {
        let error = parse_json::<Shape>("a.json", "{\n \"nam\": 1}").unwrap_err().to_string();
        assert!(
            error.starts_with("a.json:2:") && error.contains("did you mean `name`?"),
            "{error}"
        );
    }

    #[test]
    fn a_json_mistake_marks_the_whole_token() {
        let check = |text: &str, expected: &str| {
            let error = parse_json::<Shape>("a.json", text).unwrap_err().to_string();
            assert_eq!(error, expected);
        };
        check(
            "{\n \"packges\": []}",
            "a.json:2:2: unknown key `packges`\n 2 |  \"packges\": []}\n   |  ^^^^^^^^^\nhint: did you mean `packages`?",
        );
        check(
            "{\"name\": \"a at line 1\", \"mode\": \"fst\"}",
            "a.json:1:33: unknown value `fst`\n 1 | {\"name\": \"a at line 1\", \"mode\": \"fst\"}\n   |                                 ^^^^^\nhint: did you mean `fast`?",
        );
    }

    #[test]
    fn a_message_that_quotes_a_long_value_is_cut() {
        let text = format!("mode = \"{}\"", "x".repeat(10_000));
        let error = parse_toml::<Shape>("a", &text).unwrap_err().to_string();
        assert!(error.len() < 1000, "{error}");
    }

    #[test]
    fn a_document_without_end_is_refused_before_it_is_parsed() {
        let text = "#".repeat(MAX_BYTES + 1);
        assert!(parse_toml::<Shape>("a", &text).unwrap_err().to_string().contains("too many"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parsers_panic(text in "\\PC*|[a-z=\\[\\]\"'\n{}:, äß\u{0}]*") {
            let _ = parse_toml::<Shape>("a", &text).map_err(|error| error.to_string());
            let _ = parse_json::<Shape>("a", &text).map_err(|error| error.to_string());
        }
    }
}
