//! Messages as bytes: a length of four bytes, big-endian, then so many bytes of JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes that a request may have: far beyond any machine with its user-data.
pub const MAX_REQUEST: usize = 1 << 20;
/// Bytes that a message of `hostd-virt` may have: what 10 000 observed machines take.
pub const MAX_MESSAGE: usize = 4 << 20;
/// Bytes before each message.
const HEAD: usize = 4;

/// Why bytes are no message. The stream cannot be read on after it.
#[derive(Debug, thiserror::Error)]
pub enum BadFrame {
    /// It is longer than any message.
    #[error("a message of {0} bytes, and {1} is the most")]
    TooLong(usize, usize),
    /// It is no JSON of the kind that belongs here.
    #[error("a message that cannot be read")]
    Unreadable(#[source] serde_json::Error),
}

/// A message of at most `max` bytes with its length before it.
///
/// # Errors
/// It is too long.
pub fn frame<T: Serialize>(message: &T, max: usize) -> Result<Vec<u8>, BadFrame> {
    let mut bytes = vec![0; HEAD];
    serde_json::to_writer(&mut bytes, message).map_err(BadFrame::Unreadable)?;
    let length = bytes.len() - HEAD;
    let head = u32::try_from(length).ok().filter(|_| length <= max);
    let head = head.ok_or(BadFrame::TooLong(length, max))?;
    bytes[..HEAD].copy_from_slice(&head.to_be_bytes());
    Ok(bytes)
}

/// Takes bytes as they come and gives messages. It holds one message at most, and what came with
/// its last byte.
#[derive(Debug)]
pub struct Frames {
    bytes: Vec<u8>,
    max: usize,
}

impl Frames {
    /// A reader of messages of at most `max` bytes.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { bytes: Vec::new(), max }
    }

    /// More bytes came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message; none where more bytes are needed.
    ///
    /// # Errors
    /// What comes is no message.
    pub fn take<T: DeserializeOwned>(&mut self) -> Result<Option<T>, BadFrame> {
        let Some((head, rest)) = self.bytes.split_first_chunk::<HEAD>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*head)).unwrap_or(usize::MAX);
        if length > self.max {
            return Err(BadFrame::TooLong(length, self.max));
        }
        let Some(text) = rest.get(..length) else { return Ok(None) };
        let message = serde_json::from_slice(text).map_err(BadFrame::Unreadable)?;
        self.bytes.drain(..HEAD + length);
        if self.bytes.is_empty() {
            // A long message must not hold its memory for ever.
            self.bytes = Vec::new();
        }
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Ask, Message, Request};
    use super::*;

    fn request(id: u64) -> Request {
        Request { id, ask: Ask::Observe }
    }

    #[test]
    fn a_message_too_long_is_refused_before_it_is_there() {
        let mut frames = Frames::new(MAX_REQUEST);
        frames.push(&u32::MAX.to_be_bytes());
        assert!(matches!(frames.take::<Request>(), Err(BadFrame::TooLong(..))));
        assert!(matches!(frame(&"x".repeat(MAX_REQUEST), MAX_REQUEST), Err(BadFrame::TooLong(..))));
    }

    proptest! {
        #[test]
        fn messages_arrive_whole_however_they_are_cut(
            ids in prop::collection::vec(any::<u64>(), 1..8),
            cut in 1_usize..40,
        ) {
            let sent: Vec<Request> = ids.into_iter().map(request).collect();
            let bytes: Vec<u8> = sent.iter().flat_map(|one| frame(one, MAX_REQUEST).unwrap()).collect();
            let (mut frames, mut came) = (Frames::new(MAX_REQUEST), Vec::new());
            for piece in bytes.chunks(cut) {
                frames.push(piece);
                while let Some(one) = frames.take::<Request>().unwrap() {
                    came.push(one);
                }
            }
            prop_assert_eq!(came, sent);
        }

        #[test]
        fn no_bytes_make_the_frame_reader_panic(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..8),
            length in 0_u32..80,
            honest in any::<bool>(),
        ) {
            let mut frames = Frames::new(MAX_REQUEST);
            if honest {
                // A head that promises what follows leads further in.
                frames.push(&length.to_be_bytes());
            }
            for piece in pieces {
                frames.push(&piece);
                while let Ok(Some(_)) = frames.take::<Message>() {}
            }
        }
    }
}
