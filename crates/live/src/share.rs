//! How much memory something may take: `192M`, `1G`, or a part of it, `25%`.

use std::str::FromStr;

/// A part of memory, or a number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// So many bytes, more than none.
    Bytes(u64),
    /// So many of a hundred parts, 1 to 100.
    Percent(u8),
}

/// A text that says no share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no amount of memory, as `192M`, `1G` or `25%` are")]
pub struct BadShare(pub String);

impl Share {
    /// How many bytes it is of this many.
    #[must_use]
    pub fn of(self, memory: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => memory / 100 * u64::from(percent),
        }
    }
}

impl FromStr for Share {
    type Err = BadShare;

    /// Digits and, behind them, `K`, `M`, `G` (powers of 1024, in small letters too) or `%`.
    fn from_str(text: &str) -> Result<Self, BadShare> {
        let bad = || BadShare(text.to_owned());
        if let Some(percent) = text.strip_suffix('%') {
            let percent = number(percent).and_then(|percent| u8::try_from(percent).ok());
            let percent = percent.filter(|percent| (1..=100).contains(percent));
            return percent.map(Self::Percent).ok_or_else(bad);
        }
        let (digits, shift) = match text.char_indices().last() {
            Some((at, 'k' | 'K')) => (&text[..at], 10),
            Some((at, 'm' | 'M')) => (&text[..at], 20),
            Some((at, 'g' | 'G')) => (&text[..at], 30),
            _ => (text, 0),
        };
        let bytes = number(digits).and_then(|number| number.checked_mul(1 << shift));
        bytes.filter(|bytes| *bytes > 0).map(Self::Bytes).ok_or_else(bad)
    }
}

/// Digits alone: the standard library also takes a sign.
fn number(digits: &str) -> Option<u64> {
    let only_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    only_digits.then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<Share>) {
        assert_eq!(text.parse().ok(), expected, "{text}");
    }

    #[test]
    fn a_share_is_bytes_or_a_part() {
        check("192M", Some(Share::Bytes(192 << 20)));
        check("1g", Some(Share::Bytes(1 << 30)));
        check("4096", Some(Share::Bytes(4096)));
        check("25%", Some(Share::Percent(25)));
        for none in ["", "M", "0", "0%", "101%", "1T", "+1M", "-1", "1.5G", "99999999999G", "ä"] {
            check(none, None);
        }
        assert_eq!(Share::Percent(25).of(1000), 250);
        assert_eq!(Share::Bytes(7).of(1000), 7);
    }

    #[test]
    fn fuzz_share() {
        basalt_fuzz::run_on_text!(&["192M", "25%"], |text| {
            text.parse::<Share>().map(|share| assert!(share.of(u64::MAX) > 0))
        });
    }
}
