//! What is written: a disk image, from a file or a server, plain or compressed, piece after piece
//! and never whole in memory.

mod packed;

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
pub use basalt_download::Patience;
use basalt_download::{Download, How};
use url::Url;

use super::medium::Buffer;
use crate::disk::digest::{PIECE, is_zero, next_data};
use packed::Packing;

/// Bytes of a manifest at most.
const MANIFEST: u64 = 1 << 20;

/// Where an image lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a file.
    File(PathBuf),
    /// On a server.
    Url(Url),
}

/// An image that is being read.
pub(super) struct Source {
    stream: Stream,
    /// How many pieces were read.
    next: u64,
}

enum Stream {
    /// A plain file, whose holes need not be read.
    File { file: File, size: u64 },
    /// Anything else, uncompressed.
    Bytes(Box<dyn Read + Send>),
}

/// A piece of an image, as [digests](crate::disk::digest) count them.
pub(super) enum Piece {
    /// Nothing but zeros.
    Zeros,
    /// Bytes of which some are not.
    Data(Buffer),
}

impl Place {
    /// What was typed: an `http://` or `https://` URL, or a path.
    #[must_use]
    pub fn parse(typed: &str) -> Self {
        match Url::parse(typed) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => Self::Url(url),
            _ => Self::File(PathBuf::from(typed)),
        }
    }

    /// The name of the image's file, without what a compression adds to it.
    #[must_use]
    pub(super) fn file_name(&self) -> String {
        let name = match self {
            Self::File(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            Self::Url(url) => url.path().rsplit('/').next().unwrap_or_default().to_owned(),
        };
        let plain = packed::SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix));
        plain.map(str::to_owned).unwrap_or(name)
    }

    /// Whether the image lies in the very file that `other` is.
    #[must_use]
    pub(super) fn is(&self, other: &Path) -> bool {
        let Self::File(path) = self else { return false };
        let id = |path: &Path| path.metadata().ok().map(|found| (found.dev(), found.ino()));
        id(path).is_some_and(|own| id(other) == Some(own))
    }

    /// A small file beside the image; `None` when there is none.
    ///
    /// # Errors
    /// It is there and cannot be read, or nobody can say whether it is.
    pub(super) fn beside(&self, name: &str, patience: Patience) -> Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        match self {
            Self::File(path) => {
                let path = path.with_file_name(name);
                let doing = || format!("cannot read `{}`", path.display());
                let file = basalt_durable::open(&path).with_context(doing)?;
                let Some(file) = file else { return Ok(None) };
                file.take(MANIFEST + 1).read_to_end(&mut bytes).with_context(doing)?;
            }
            Self::Url(url) => {
                let url = url.join(name).with_context(|| format!("no place beside `{url}`"))?;
                let download = Download::begin_if_there(&url, &How { patience, ..How::default() })?;
                let Some(download) = download else { return Ok(None) };
                let doing = || format!("cannot read `{url}`");
                download.take(MANIFEST + 1).read_to_end(&mut bytes).with_context(doing)?;
            }
        }
        if bytes.len() as u64 > MANIFEST {
            bail!("`{name}` beside the image is too long to be a manifest");
        }
        Ok(Some(bytes))
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(url) => url.fmt(f),
        }
    }
}

impl Source {
    /// Begins to read the image at `place`.
    ///
    /// # Errors
    /// There is none, or the server does not give it.
    pub(super) fn open(place: &Place, patience: Patience) -> Result<Self> {
        let stream = match place {
            Place::Url(url) => {
                let mut download = Download::begin(url, &How { patience, ..How::default() })?;
                let doing = || format!("cannot read `{url}`");
                let (packing, first) = Packing::find(&mut download).with_context(doing)?;
                Stream::Bytes(packing.unpack(Box::new(io::Cursor::new(first).chain(download))))
            }
            Place::File(path) => {
                let doing = || format!("cannot read `{}`", path.display());
                let mut file = File::open(path).with_context(doing)?;
                let found = file.metadata().with_context(doing)?;
                let (packing, first) = Packing::find(&mut file).with_context(doing)?;
                match packing {
                    Packing::None if found.is_file() => Stream::File { file, size: found.len() },
                    other => {
                        Stream::Bytes(other.unpack(Box::new(io::Cursor::new(first).chain(file))))
                    }
                }
            }
        };
        Ok(Self { stream, next: 0 })
    }

    /// How many bytes the image's file has, where it is plain.
    #[must_use]
    pub(super) fn plain_size(&self) -> Option<u64> {
        match &self.stream {
            Stream::File { size, .. } => Some(*size),
            Stream::Bytes(_) => None,
        }
    }

    /// The next piece of an image of `size` bytes.
    ///
    /// # Errors
    /// It ends too early, or cannot be read.
    pub(super) fn piece(&mut self, size: u64) -> io::Result<Piece> {
        let start = self.next * PIECE;
        let length = PIECE.min(size.saturating_sub(start)) as usize;
        self.next += 1;
        match &mut self.stream {
            Stream::File { file, .. } => {
                if next_data(file, start)?.is_none_or(|at| at >= start + length as u64) {
                    return Ok(Piece::Zeros);
                }
                let mut bytes = Buffer::zeroed(length);
                file.read_exact_at(&mut bytes, start).map_err(|error| ended(error, start))?;
                Ok(Piece::of(bytes))
            }
            Stream::Bytes(stream) => {
                let mut bytes = Buffer::zeroed(length);
                stream.read_exact(&mut bytes).map_err(|error| ended(error, start))?;
                Ok(Piece::of(bytes))
            }
        }
    }

    /// Looks whether the image ends where it should; only there is known whether what was compressed
    /// was all right.
    ///
    /// # Errors
    /// It goes on, or what its end says of it is not so.
    pub(super) fn end(&mut self, size: u64) -> io::Result<()> {
        let more = match &mut self.stream {
            Stream::File { size: there, .. } => *there > size,
            Stream::Bytes(stream) => stream.read(&mut [0])? > 0,
        };
        if more {
            let said =
                format!("it goes on after the {size} bytes that its partition table tells of");
            return Err(io::Error::new(io::ErrorKind::InvalidData, said));
        }
        Ok(())
    }
}

impl Piece {
    fn of(bytes: Buffer) -> Self {
        if is_zero(&bytes) { Self::Zeros } else { Self::Data(bytes) }
    }
}

fn ended(error: io::Error, start: u64) -> io::Error {
    if error.kind() != io::ErrorKind::UnexpectedEof {
        return error;
    }
    let said = format!("it ends early, behind byte {start}: a part of it is missing");
    io::Error::new(io::ErrorKind::UnexpectedEof, said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_a_url_is_fetched() {
        let url = |typed: &str| matches!(Place::parse(typed), Place::Url(_));
        assert!(url("http://host/disk.raw") && url("https://host/a/disk.raw.zst?x=1"));
        assert!(!url("disk.raw") && !url("out/base/1/disk.raw") && !url("ftp://host/disk.raw"));
    }

    #[test]
    fn an_image_is_named_by_its_file_without_its_compression() {
        let name = |typed: &str| Place::parse(typed).file_name();
        assert_eq!(name("out/base/1/disk.raw"), "disk.raw");
        assert_eq!(name("out/base/1/disk.raw.xz"), "disk.raw");
        assert_eq!(name("https://host/a/disk.raw.zst?x=/y"), "disk.raw");
    }
}
