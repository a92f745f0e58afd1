//! How an image is compressed, told by its first bytes, and what is in it.
//!
//! The decoders are in Rust, for they read foreign bytes as root. None takes more memory than
//! [`WINDOW`] and what it needs itself, whatever a stream asks for.

use std::error::Error;
use std::io::{self, BufRead, BufReader, Read};

use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// What names of compressed files end with.
pub(super) const SUFFIXES: [&str; 4] = [".zst", ".xz", ".gz", ".zstd"];
/// Bytes that a stream may look back: what `zstd --long` and `xz -9` ask for at most.
const WINDOW: u64 = 128 << 20;
/// Bytes that are decoded at a time.
const STEP: usize = 256 << 10;
/// Bytes by which a compression is told.
const MAGIC: usize = 6;

/// A compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    None,
    Zstd,
    Xz,
    Gzip,
}

impl Packing {
    /// Reads the first bytes and tells by them; they are returned.
    pub(super) fn find(from: &mut impl Read) -> io::Result<(Self, Vec<u8>)> {
        let mut first = Vec::new();
        from.take(MAGIC as u64).read_to_end(&mut first)?;
        Ok((Self::of(&first), first))
    }

    fn of(first: &[u8]) -> Self {
        match first {
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            // A frame that is skipped may come first, as `pzstd` writes it.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x1f, 0x8b, 8, ..] => Self::Gzip,
            _ => Self::None,
        }
    }

    /// What is in the stream.
    pub(super) fn unpack(self, stream: Box<dyn Read + Send>) -> Box<dyn Read + Send> {
        let stream = BufReader::with_capacity(STEP, stream);
        match self {
            Self::None => Box::new(stream),
            Self::Zstd => Box::new(Zstd { stream, decoder: FrameDecoder::new(), begun: false }),
            Self::Xz => {
                Box::new(XzReader::new_mem_limit(stream, true, ((2 * WINDOW) >> 10) as u32))
            }
            Self::Gzip => Box::new(MultiGzDecoder::new(stream)),
        }
    }
}

/// One frame after the other; each one's checksum is compared.
struct Zstd<R> {
    stream: BufReader<R>,
    decoder: FrameDecoder,
    /// Whether a frame was begun.
    begun: bool,
}

impl<R: Read> Zstd<R> {
    /// `false` where the stream ends instead.
    fn begin_frame(&mut self) -> io::Result<bool> {
        loop {
            if self.stream.fill_buf()?.is_empty() {
                return Ok(false);
            }
            self.decoder.set_max_window_size(WINDOW);
            match self.decoder.reset(&mut self.stream) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => self.skip(length.into())?,
                Err(error) => return Err(plain(error)),
            }
        }
    }

    fn skip(&mut self, length: u64) -> io::Result<()> {
        let skipped = io::copy(&mut (&mut self.stream).take(length), &mut io::sink())?;
        if skipped == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn check_frame(&self) -> io::Result<()> {
        match self.decoder.get_checksum_from_data() {
            Some(said) if self.decoder.get_calculated_checksum() != Some(said) => {
                let what = "the compressed image is damaged: its checksum is another one";
                Err(io::Error::new(io::ErrorKind::InvalidData, what))
            }
            _ => Ok(()),
        }
    }
}

impl<R: Read> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.decoder.can_collect() > 0 {
                return self.decoder.read(buffer);
            }
            if !self.begun || self.decoder.is_finished() {
                if self.begun {
                    self.check_frame()?;
                }
                self.begun = self.begin_frame()?;
                if !self.begun {
                    return Ok(0);
                }
            }
            let strategy = BlockDecodingStrategy::UptoBytes(STEP);
            self.decoder.decode_blocks(&mut self.stream, strategy).map_err(plain)?;
        }
    }
}

/// What stopped the decoder: where that was the stream, what the stream said and nothing else.
fn plain(error: FrameDecoderError) -> io::Error {
    let mut cause: Option<&dyn Error> = Some(&error);
    while let Some(one) = cause {
        if let Some(stream) = one.downcast_ref::<io::Error>() {
            return io::Error::new(stream.kind(), stream.to_string());
        }
        cause = one.source();
    }
    io::Error::other(error)
}

#[cfg(test)]
mod tests {
    use basalt_cmd::Cmd;

    use super::*;

    /// Zeros, noise that repeats far away, and zeros.
    fn content() -> Vec<u8> {
        let mut state = 1_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .take(60_000)
        .collect();
        [&vec![0; 200_000][..], &noise, &vec![0; 1_000_000], &noise, &[0; 70]].concat()
    }

    fn pack(tool: &[&str], content: &[u8]) -> Vec<u8> {
        let cmd = Cmd::new(tool[0]).args(&tool[1..]).stdin(content).output_cap(64 << 20);
        cmd.run().unwrap().stdout
    }

    fn unpack(packed: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = packed;
        let (packing, first) = Packing::find(&mut stream)?;
        let rest = stream.to_vec();
        let mut unpacked = Vec::new();
        let stream = io::Cursor::new(first).chain(io::Cursor::new(rest));
        packing.unpack(Box::new(stream)).read_to_end(&mut unpacked)?;
        Ok(unpacked)
    }

    const TOOLS: [&[&str]; 6] = [
        &["zstd", "-c"],
        &["zstd", "-c", "--ultra", "-22", "--long=27"],
        &["xz", "-c"],
        &["xz", "-c", "-9", "--check=sha256"],
        &["xz", "-c", "-T2", "--block-size=1MiB"],
        &["gzip", "-c"],
    ];

    #[test]
    fn what_the_usual_tools_wrote_is_read() {
        let content = content();
        for tool in TOOLS {
            let packed = pack(tool, &content);
            assert!(packed.len() < content.len() / 4, "{tool:?}");
            assert!(unpack(&packed).unwrap() == content, "{tool:?}");
            // Several one behind the other are one.
            assert!(unpack(&packed.repeat(2)).unwrap() == content.repeat(2), "{tool:?} twice");
        }
        assert!(unpack(&content).unwrap() == content);
    }

    #[test]
    fn what_is_cut_off_anywhere_is_an_error() {
        let content = content();
        for tool in TOOLS {
            let packed = pack(tool, &content);
            for end in
                (MAGIC + 1..packed.len()).step_by(packed.len() / 20).chain([packed.len() - 1])
            {
                assert!(unpack(&packed[..end]).is_err(), "{tool:?} up to {end}");
            }
        }
    }

    #[test]
    fn a_byte_that_changed_on_the_way_is_an_error() {
        let content = content();
        for tool in TOOLS {
            let packed = pack(tool, &content);
            for at in (packed.len() / 10..packed.len() - 40).step_by(packed.len() / 10) {
                let mut damaged = packed.clone();
                damaged[at] ^= 0x10;
                let unpacked = unpack(&damaged);
                assert!(unpacked.is_err(), "{tool:?} at {at}");
            }
        }
    }

    #[test]
    fn a_frame_that_is_to_be_skipped_is() {
        let packed = pack(&["zstd", "-c"], b"content");
        let skipped = [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3][..], &packed].concat();
        assert_eq!(unpack(&skipped).unwrap(), b"content");
    }

    #[test]
    fn who_asks_for_too_much_memory_gets_none() {
        // Frames of a window of 2 GiB: descriptor 0, window descriptor of exponent 21.
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 1, 0, 0];
        let error = unpack(&frame).unwrap_err().to_string();
        assert!(error.contains("indow"), "{error}");
        let packed = pack(&["xz", "-c", "--lzma2=dict=1GiB"], b"content");
        let error = unpack(&packed).unwrap_err();
        assert!(error.to_string().contains("memory"), "{error}");
    }

    #[test]
    fn fuzz_compressed_images() {
        let seeds: Vec<Vec<u8>> = TOOLS.iter().map(|tool| pack(tool, &[7; 3000])).collect();
        let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
        basalt_fuzz::run(&seeds, |bytes| {
            let Ok((packing, first)) = Packing::find(&mut &bytes[..]) else { return };
            let rest = bytes[first.len()..].to_vec();
            let stream = io::Cursor::new(first).chain(io::Cursor::new(rest));
            // A few bytes may stand for very many.
            let mut unpacked = packing.unpack(Box::new(stream)).take(1 << 20);
            let _ = io::copy(&mut unpacked, &mut io::sink());
        });
    }
}
