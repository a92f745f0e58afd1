//! Spans of time as people write them: `90s`, `30m`, `12h`, `7d`.

use basalt_endpoint_core::Seconds;

/// Seconds of `text`.
///
/// # Errors
/// It is no positive number with a unit, or too many.
pub fn parse(text: &str) -> Result<Seconds, String> {
    let bad = || format!("`{text}` is no span of time, as `90s`, `30m`, `12h` or `7d`");
    let end = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
    let (number, unit) = text.split_at(end);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err(bad()),
    };
    let number: Seconds = number.parse().map_err(|_| bad())?;
    // A century is as good as forever, and overflows nothing.
    let span =
        number.checked_mul(seconds).filter(|span| (1..=100 * 366 * 24 * 3600).contains(span));
    span.ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_span_is_a_number_and_a_unit() {
        for (text, expected) in [("2s", 2), ("30m", 1800), ("12h", 43_200), ("30d", 2_592_000)] {
            assert_eq!(super::parse(text), Ok(expected));
        }
        for bad in ["", "5", "0s", "s", "-1s", "1.5h", "1w", "99999999999d", "9223372036854775807s"]
        {
            assert!(super::parse(bad).is_err(), "{bad}");
        }
    }
}
