//! Where in a document something stands that is known by its path, as `container.ports.0.host`.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::json::token_len;

/// The bytes of a TOML text at which a value stands, or the nearest table that is there. A value
/// that fills lines is shown by its key.
#[must_use]
pub fn locate_toml(text: &str, path: &str) -> Option<Range<usize>> {
    let table = DeTable::parse(text).ok()?;
    let parts: Vec<&str> = path.split('.').collect();
    in_table(table.get_ref(), &parts)
}

fn in_table(table: &DeTable, parts: &[&str]) -> Option<Range<usize>> {
    // A key may have dots itself, as those of labels have.
    (1..=parts.len()).find_map(|length| {
        let (key, rest) = (parts[..length].join("."), &parts[length..]);
        let (found, value) = table.iter().find(|(found, _)| *found.get_ref() == key)?;
        Some(in_value(found.span(), value, rest))
    })
}

fn in_value(key: Range<usize>, value: &Spanned<DeValue>, rest: &[&str]) -> Range<usize> {
    match value.get_ref() {
        DeValue::Table(table) => in_table(table, rest).unwrap_or(key),
        DeValue::Array(values) => {
            let number = rest.first().and_then(|part| part.parse::<usize>().ok());
            let Some(element) = number.and_then(|number| values.get(number)) else { return key };
            // Elements of `[[…]]` span their whole table: its head is meant.
            in_value(element.span(), element, &rest[1..])
        }
        _ => value.span(),
    }
}

/// The same for a JSON text.
#[must_use]
pub fn locate_json(text: &str, path: &str) -> Option<Range<usize>> {
    // Only what the parser takes is walked: no nesting beyond its limit, nothing cut off.
    serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
    let parts: Vec<&str> = path.split('.').collect();
    let mut walk = Walk { text, at: 0 };
    let whole = walk.peek()?;
    Some(walk.value(whole, &parts).1)
}

/// Walks the tokens of a text that is good JSON.
struct Walk<'a> {
    text: &'a str,
    at: usize,
}

impl Walk<'_> {
    /// The next token that is no blank.
    fn peek(&mut self) -> Option<Range<usize>> {
        while self.text[self.at..].starts_with([' ', '\t', '\r', '\n']) {
            self.at += 1;
        }
        let length = token_len(self.text.get(self.at..).filter(|rest| !rest.is_empty())?);
        Some(self.at..self.at + length)
    }

    fn next(&mut self) -> Option<Range<usize>> {
        let token = self.peek()?;
        self.at = token.end;
        Some(token)
    }

    /// Walks over a value. Returns how many parts of the path it had, and the place of the last.
    fn value(&mut self, key: Range<usize>, parts: &[&str]) -> (usize, Range<usize>) {
        let Some(first) = self.next() else { return (0, key) };
        match &self.text[first.clone()] {
            "{" => self.members(key, parts),
            "[" => self.elements(key, parts),
            _ => (0, first),
        }
    }

    fn members(&mut self, key: Range<usize>, parts: &[&str]) -> (usize, Range<usize>) {
        let mut best = (0, key);
        while let Some(token) = self.next() {
            match &self.text[token.clone()] {
                "}" => break,
                "," => (),
                name => {
                    let name = serde_json::from_str::<String>(name).unwrap_or_default();
                    let length =
                        (1..=parts.len()).find(|length| parts[..*length].join(".") == name);
                    self.next();
                    let rest = length.map_or(&[][..], |length| &parts[length..]);
                    let found = self.value(token, rest);
                    if let Some(length) = length
                        && best.0 == 0
                    {
                        best = (length + found.0, found.1);
                    }
                }
            }
        }
        best
    }

    fn elements(&mut self, key: Range<usize>, parts: &[&str]) -> (usize, Range<usize>) {
        let wanted = parts.first().and_then(|part| part.parse::<usize>().ok());
        let mut best = (0, key);
        let mut number = 0;
        while let Some(token) = self.peek() {
            match &self.text[token.clone()] {
                "]" => {
                    self.at = token.end;
                    break;
                }
                "," => {
                    self.at = token.end;
                    number += 1;
                }
                _ if wanted == Some(number) => {
                    let found = self.value(token, &parts[1..]);
                    best = (1 + found.0, found.1);
                }
                _ => {
                    self.value(token, &[]);
                }
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(toml: &str, json: &str, path: &str, [in_toml, in_json]: [&str; 2]) {
        assert_eq!(&toml[locate_toml(toml, path).unwrap()], in_toml, "{path}");
        assert_eq!(&json[locate_json(json, path).unwrap()], in_json, "{path}");
    }

    const TOML: &str = "name = 'x'\nports = [{ host = 1 }, { host = 2 }]\n[labels]\n\"a.b\" = 'c'\n\
                        [[list]]\nsize = 1\n[[list]]\nsize = 2\n";
    const JSON: &str = r#"{ "name": "x", "ports": [{"host": 1}, {"host": 2, "x": [{}]}],
        "labels": {"a.b": "c"}, "list": [{"size": 1}, {"size": 2}] }"#;

    #[test]
    fn a_path_leads_to_the_value() {
        check(TOML, JSON, "name", ["'x'", "\"x\""]);
        check(TOML, JSON, "ports.1.host", ["2", "2"]);
        check(TOML, JSON, "labels.a.b", ["'c'", "\"c\""]);
        check(TOML, JSON, "list.1.size", ["2", "2"]);
    }

    #[test]
    fn what_is_missing_leads_to_what_it_is_missing_in() {
        check(TOML, JSON, "labels.zzz", ["labels", "\"labels\""]);
        check(TOML, JSON, "ports", ["ports", "\"ports\""]);
        assert_eq!(locate_toml(TOML, "nothing"), None);
        assert_eq!(&JSON[locate_json(JSON, "nothing").unwrap()], "{");
    }

    proptest! {
        #[test]
        fn no_text_and_no_path_make_it_panic(
            text in "[\\[\\]{}\",:0-9a-c\\\\ \n=.ä]{0,40}",
            path in "[a-c0-9.]{0,8}",
        ) {
            let _ = locate_toml(&text, &path);
            let _ = locate_json(&text, &path);
        }

        #[test]
        fn in_good_json_every_path_leads_inside_it(
            numbers in proptest::collection::vec(0_u8..9, 0..5),
            path in "[a-c0-4.]{0,8}",
        ) {
            let value = serde_json::json!({ "a": numbers, "b": { "c": [numbers, { "a": "ä\"" }] } });
            let text = serde_json::to_string_pretty(&value).unwrap();
            let found = locate_json(&text, &path).unwrap();
            prop_assert!(text.get(found).is_some());
        }
    }
}
