//! Text as XML takes it.

use std::borrow::Cow;

/// The text as an attribute's value or an element's content. Control characters, which XML 1.0
/// cannot say at all, become `?`.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| !matches!(c, '&' | '<' | '>' | '\'' | '"') && !c.is_control();
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&apos;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push('?'),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text_stays_inside_its_attribute(text in "\\PC{0,40}") {
            let document = format!("<a b='{}'/>", escape(&text));
            let read = roxmltree::Document::parse(&document).unwrap();
            prop_assert_eq!(read.root_element().attribute("b"), Some(text.as_str()));
        }
    }

    #[test]
    fn what_xml_cannot_say_is_replaced() {
        assert_eq!(escape("a\u{1}\n<b>"), "a??&lt;b&gt;");
    }
}
