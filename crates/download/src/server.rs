//! What a server says of the file that it has.

use ureq::http::HeaderMap;

use crate::Refused;

/// What tells one state of a file on a server from another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FileOnServer {
    pub(crate) size: Option<u64>,
    /// A strong `ETag`, or `Last-Modified`.
    pub(crate) validator: Option<String>,
}

impl FileOnServer {
    pub(crate) fn whole(headers: &HeaderMap) -> Self {
        let size = text(headers, "content-length").and_then(|size| size.parse().ok());
        Self { size, validator: validator(headers) }
    }

    /// A part that begins at `position`, as it was asked for.
    pub(crate) fn part(headers: &HeaderMap, position: u64) -> Result<Self, Refused> {
        let range = text(headers, "content-range").unwrap_or_default();
        let parts = range.strip_prefix("bytes ").and_then(|range| range.split_once('/'));
        let start = parts.and_then(|(part, _)| part.split_once('-')?.0.parse().ok());
        if start != Some(position) {
            let said = format!("the server sent another part than byte {position} on: `{range}`");
            return Err(Refused::ForGood(said));
        }
        let size = parts.and_then(|(_, size)| size.parse().ok());
        Ok(Self { size, validator: validator(headers) })
    }

    /// Whether a later answer is of the same file. Without a validator nobody knows.
    pub(crate) fn is_still(&self, later: &Self) -> bool {
        let same_size = later.size.is_none() || self.size.is_none() || later.size == self.size;
        self.validator.is_some() && later.validator == self.validator && same_size
    }
}

fn validator(headers: &HeaderMap) -> Option<String> {
    // A weak one stands for more than one content (RFC 9110, 8.8.3).
    let strong = text(headers, "etag").filter(|etag| !etag.starts_with("W/"));
    strong.or_else(|| text(headers, "last-modified")).map(str::to_owned)
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &str) -> HeaderMap {
        let pair = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.parse::<ureq::http::HeaderName>().unwrap(), value.parse().unwrap())
        };
        lines.lines().map(pair).collect()
    }

    #[test]
    fn a_file_is_the_same_only_by_a_strong_validator_and_its_size() {
        let check = |first: &str, later: &str, same: bool| {
            let (first, later) =
                (FileOnServer::whole(&headers(first)), FileOnServer::whole(&headers(later)));
            assert_eq!(first.is_still(&later), same, "{first:?} {later:?}");
        };
        let one = "etag: \"one\"\ncontent-length: 7";
        check(one, one, true);
        check(one, "etag: \"one\"", true);
        check(one, "etag: \"one\"\ncontent-length: 8", false);
        check(one, "etag: \"two\"\ncontent-length: 7", false);
        check("content-length: 7", "content-length: 7", false);
        check("etag: W/\"one\"", "etag: W/\"one\"", false);
        let date = "last-modified: Mon, 30 Nov 2026 01:00:00 GMT";
        check(date, date, true);
    }

    #[test]
    fn fuzz_headers_of_a_server() {
        let seeds = ["etag: \"one\"\ncontent-length: 7", "content-range: bytes 7-9/10"];
        basalt_fuzz::run_on_text!(&seeds, |text| {
            let pairs = text.lines().filter_map(|line| line.split_once(": "));
            let headers: HeaderMap = pairs
                .filter_map(|(name, value)| {
                    let name = name.parse::<ureq::http::HeaderName>().ok()?;
                    Some((name, value.parse().ok()?))
                })
                .collect();
            let (whole, part) = (FileOnServer::whole(&headers), FileOnServer::part(&headers, 7));
            part.map(|part| whole.is_still(&part))
        });
    }

    #[test]
    fn a_part_begins_where_it_was_asked_for() {
        let part = |range: &str| FileOnServer::part(&headers(range), 7);
        assert_eq!(part("content-range: bytes 7-9/10").unwrap().size, Some(10));
        assert_eq!(part("content-range: bytes 7-9/*").unwrap().size, None);
        for wrong in ["bytes 0-9/10", "bytes 7", "7-9/10", ""] {
            let refused = part(&format!("content-range: {wrong}"));
            assert!(matches!(refused, Err(Refused::ForGood(_))), "{wrong}");
        }
    }
}
