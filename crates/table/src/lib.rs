//! Tables, times and lists for people. What comes from workloads, registries and hosts does not
//! move the cursor of who reads it.

use jiff::Timestamp;

/// Characters of a long cell that [`shortened`] leaves.
const SHORT: usize = 60;

/// A table with a head, columns aligned. An empty cell is a dash, so that a line has as many words
/// as it seems to.
#[must_use]
pub fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let head = head.map(str::to_uppercase);
    let rows: Vec<[String; N]> = std::iter::once(head)
        .chain(rows.iter().map(|row| row.each_ref().map(|cell| shown(cell))))
        .collect();
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell}{}", " ".repeat(width - cell.chars().count())));
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

/// Lines of names and values, values aligned; empty ones are left out.
#[must_use]
pub fn facts(facts: &[(&str, String)]) -> String {
    let shown = facts.iter().filter(|(_, value)| !value.is_empty());
    let width = shown.clone().map(|(name, _)| name.len()).max().unwrap_or(0);
    shown.map(|(name, value)| format!("{name:width$}  {}\n", one_line(value))).collect()
}

/// A time, to the second.
#[must_use]
pub fn time(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

/// `a=b, c=d`
#[must_use]
pub fn labels<'a>(labels: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    let labels: Vec<String> =
        labels.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    labels.join(", ")
}

/// The beginning of a long text, for a table.
#[must_use]
pub fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHORT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn shown(cell: &str) -> String {
    if cell.is_empty() { "-".to_owned() } else { one_line(cell) }
}

/// Without what moves a cursor.
#[must_use]
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_moves_the_cursor() {
        let rows =
            [["web".to_owned(), "ok\u{1b}[2J".to_owned()], ["längere".to_owned(), String::new()]];
        let expected = "NAME     STATE\nweb      ok [2J\nlängere  -\n";
        assert_eq!(table(["name", "state"], &rows), expected);
    }

    #[test]
    fn only_a_long_text_is_shortened() {
        assert_eq!(shortened("ä"), "ä");
        assert_eq!(shortened(&"ä".repeat(61)), format!("{}…", "ä".repeat(60)));
    }

    #[test]
    fn facts_that_are_not_there_are_left_out() {
        let shown =
            facts(&[("name", "a".to_owned()), ("reason", String::new()), ("host", "b".to_owned())]);
        assert_eq!(shown, "name  a\nhost  b\n");
    }

    #[test]
    fn a_time_is_shown_in_utc() {
        assert_eq!(time(1_800_000_000), "2027-01-15T08:00:00Z");
    }
}
