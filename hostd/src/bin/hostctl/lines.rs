//! Lines out of a stream that comes in pieces. Pure.

/// Bytes after which a line that does not end is taken for one.
const MAX_BYTES: usize = 64 << 10;

/// What came and is no whole line yet.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// The lines that this piece completes, without their ends.
    pub(crate) fn take(&mut self, piece: &[u8]) -> Vec<Vec<u8>> {
        self.rest.extend_from_slice(piece);
        let mut lines = Vec::new();
        loop {
            let end = self.rest.iter().take(MAX_BYTES).position(|byte| *byte == b'\n');
            match end {
                Some(end) => {
                    let mut line: Vec<u8> = self.rest.drain(..=end).collect();
                    line.pop();
                    lines.push(line);
                }
                None if self.rest.len() >= MAX_BYTES => {
                    lines.push(self.rest.drain(..MAX_BYTES).collect());
                }
                None => return lines,
            }
        }
    }

    /// What is left once the stream is over.
    pub(crate) fn last(self) -> Option<Vec<u8>> {
        (!self.rest.is_empty()).then_some(self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_however_the_stream_is_cut() {
        let text = b"one\n\ntwo\nrest";
        for size in 1..=text.len() {
            let mut lines = Lines::default();
            let mut found: Vec<Vec<u8>> = Vec::new();
            for piece in text.chunks(size) {
                found.extend(lines.take(piece));
            }
            found.extend(lines.last());
            assert_eq!(found, [&b"one"[..], b"", b"two", b"rest"], "{size}");
        }
    }

    #[test]
    fn a_line_without_an_end_takes_no_more_and_more_memory() {
        let mut lines = Lines::default();
        let found = lines.take(&vec![b'x'; MAX_BYTES * 2 + 1]);
        let lengths: Vec<usize> = found.iter().map(Vec::len).collect();
        assert_eq!(lengths, [MAX_BYTES, MAX_BYTES]);
        assert_eq!(lines.last().unwrap(), b"x");
    }
}
