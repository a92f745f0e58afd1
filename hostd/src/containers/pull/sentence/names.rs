//! The names of an image within what an engine says of it. They are a person's, and a word in them
//! is no cause; but a short one is also a part of many a word that is. Pure.

use super::super::super::image::Reference;

/// A text without the image's references and names. Only whole ones go: what is left of a word
/// that has one inside would be another word.
pub(super) fn without(image: &Reference, text: &str) -> String {
    let Reference { registry, repository, .. } = image;
    // The longest first: of a whole reference no part must stay.
    let names = [image.full(), image.name(), registry.clone(), repository.clone()];
    names.iter().fold(text.to_owned(), |text, name| without_name(&text, &name.to_lowercase()))
}

fn without_name(text: &str, name: &str) -> String {
    let (mut left, mut from) = (String::new(), 0);
    for (at, _) in text.match_indices(name) {
        let end = at + name.len();
        if is_whole(&text[..at], &text[end..]) {
            left.push_str(&text[from..at]);
            from = end;
        }
    }
    left.push_str(&text[from..]);
    left
}

/// Whether what stands between these is a name of its own and not a part of a longer one. A slash
/// or a colon beside it parts it from its registry, its scheme or its version.
fn is_whole(before: &str, after: &str) -> bool {
    let goes_on = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    // A full stop ends a sentence, or goes on with a name.
    let mut next = after.chars();
    let ends = match next.next() {
        Some('.') => !next.next().is_some_and(goes_on),
        Some(c) => !goes_on(c),
        None => true,
    };
    ends && !before.chars().next_back().is_some_and(|c| goes_on(c) || c == '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(image: &str, text: &str, expected: &str) {
        assert_eq!(without(&Reference::parse(image), text), expected, "{image}");
    }

    #[test]
    fn whole_names_go_and_parts_of_words_stay() {
        check("r.example/a:1", "toomanyrequests for r.example/a:1: a", "toomanyrequests for : ");
        check(
            "r.example/a:1",
            "docker://r.example/a: reading a manifest",
            "docker://: reading  manifest",
        );
        check(
            "r.example/denied:1",
            "access to denied.example is denied",
            "access to denied.example is ",
        );
        check(
            "r.example/timeout:1",
            "\"timeout\". net/http: i/o-timeout",
            "\"\". net/http: i/o-timeout",
        );
    }

    #[test]
    fn letters_of_any_length_are_no_place_to_cut() {
        check("r.example/a:1", "ä a ä", "ä  ä");
        check("r.example/a:1", "", "");
    }
}
