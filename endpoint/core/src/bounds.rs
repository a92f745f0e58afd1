//! Texts of others are kept up to a length.

/// Cuts a text to so many bytes, between two characters.
pub(crate) fn cut(text: &mut String, bytes: usize) {
    if text.len() > bytes {
        let end = (0..=bytes).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, bytes: usize, expected: &str) {
        let mut text = text.to_owned();
        cut(&mut text, bytes);
        assert_eq!(text, expected);
    }

    #[test]
    fn no_character_is_cut_in_two() {
        check("aüb", 9, "aüb");
        check("aüb", 3, "aü");
        check("aüb", 2, "a");
        check("ü", 1, "");
    }
}
