//! A page of a list: as many entries as were asked for, and no more bytes than a client reads.

use anyhow::Result;
use basalt_api::id::Name;
use basalt_api::operator::{MAX_PAGE, PageQuery};
use serde::Serialize;

/// Bytes after which a page ends; the entry that passes them is its last one. A client reads
/// several times as many.
const MAX_BYTES: usize = 1 << 20;

/// Bytes of rows that it takes: a page is full before, although the last row before a page is full
/// may have as many as a request.
pub(super) const BYTES: u32 = 4 << 20;

fn limit(query: &PageQuery) -> u32 {
    query.limit.unwrap_or(MAX_PAGE).clamp(1, MAX_PAGE)
}

/// Rows that it takes: one more than a page has tells that another page follows.
pub(super) fn rows(query: &PageQuery) -> u32 {
    limit(query) + 1
}

/// The page of these entries, which are [`rows`] at most, and what comes after it.
///
/// # Errors
/// An entry cannot be written as JSON.
pub(super) fn of<T: Serialize>(
    query: &PageQuery,
    entries: impl IntoIterator<Item = T>,
    name: fn(&T) -> &Name,
) -> Result<(Vec<T>, Option<Name>)> {
    let (limit, mut bytes) = (limit(query) as usize, 0);
    let mut page: Vec<T> = Vec::new();
    for entry in entries {
        if page.len() == limit || bytes > MAX_BYTES {
            let next = page.last().map(|last| name(last).clone());
            return Ok((page, next));
        }
        bytes += serde_json::to_vec(&entry)?.len();
        page.push(entry);
    }
    Ok((page, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Entry(Name, String);

    /// Entries of so many bytes each, and how many are on the first page with this limit.
    fn check(entries: usize, bytes: usize, limit: Option<u32>, expected: usize) {
        let query = PageQuery { limit, after: None };
        let name = |number: usize| format!("w{number:04}").parse().unwrap();
        let all = (0..entries).map(|number| Entry(name(number), "x".repeat(bytes)));
        let found = of(&query, all.take(rows(&query) as usize), |entry| &entry.0).unwrap();
        assert_eq!(found.0.len(), expected);
        let next = (expected < entries).then(|| name(expected - 1));
        assert_eq!(found.1, next);
    }

    #[test]
    fn a_page_has_no_more_than_was_asked_for_and_ends_before_it_is_too_long() {
        check(0, 1, None, 0);
        check(500, 1, None, 500);
        check(501, 1, None, 500);
        check(501, 1, Some(9000), 500);
        check(3, 1, Some(2), 2);
        check(3, 1, Some(0), 1);
        check(9, 400 << 10, None, 3);
        check(2, 3 << 20, None, 1);
    }
}
