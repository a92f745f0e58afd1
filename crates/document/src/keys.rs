//! Where a value stands that a path of keys and numbers leads to, as `container.ports.0.host`.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// The bytes of the value in a TOML text, or of the nearest table around it that is there.
pub(crate) fn span_in_toml(text: &str, path: &str) -> Range<usize> {
    let Ok(document) = DeTable::parse(text) else { return 0..0 };
    let mut span = document.span();
    let mut keys = path.split('.');
    let Some(first) = keys.next() else { return span };
    let Some((key, mut value)) = document.get_ref().get_key_value(first) else { return 0..0 };
    span.clone_from(&key.span());
    if !matches!(value.get_ref(), DeValue::Table(_) | DeValue::Array(_)) {
        span = value.span();
    }
    for key in keys {
        let next = match value.get_ref() {
            DeValue::Table(table) => table.get(key),
            DeValue::Array(array) => key.parse().ok().and_then(|at: usize| array.get(at)),
            _ => None,
        };
        let Some(next) = next else { break };
        value = next;
        span = value.span();
    }
    span
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, path: &str, expected: &str) {
        assert_eq!(&text[span_in_toml(text, path)], expected, "{path}");
    }

    #[test]
    fn a_path_leads_to_its_value_or_as_near_as_can_be() {
        let text = "a = 1\n[b]\nc = [{ d = 'x' }, { d = 'y' }]\n";
        check(text, "a", "1");
        check(text, "b.c.1.d", "'y'");
        check(text, "b.c.1.missing", "{ d = 'y' }");
        check(text, "missing", "");
    }
}
