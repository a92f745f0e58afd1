//! The digest of a disk image: of what is in it, whatever of that a file keeps as holes.
//!
//! An image is mostly zeros, and hashing all of them would take longer than writing the rest. So
//! only pieces with something in them are hashed, and the digest is the hash of their hashes:
//!
//! `SHA-256("basalt image 1\n", size, (index, SHA-256(piece)) …)`
//!
//! where a piece has a MiB, the last one what is left, indexes count pieces from 0, pieces of zeros
//! are left out, and size and indexes are 64 bits, little-endian. The same image has the same digest
//! in any file, compressed or not.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

/// Bytes of a piece.
pub const PIECE: u64 = 1 << 20;
/// What the digest begins with, so that it is of nothing else.
const BEGINNING: &[u8] = b"basalt image 1\n";

/// A piece's SHA-256.
pub type PieceHash = [u8; 32];

/// A digest under construction.
#[derive(Debug, Clone)]
pub struct ImageDigest(Sha256);

impl ImageDigest {
    /// The digest of an image of `size` bytes, all of them zeros so far.
    #[must_use]
    pub fn new(size: u64) -> Self {
        Self(Sha256::new().chain_update(BEGINNING).chain_update(size.to_le_bytes()))
    }

    /// Adds the next piece that is not all zeros.
    pub fn add(&mut self, index: u64, hash: &PieceHash) {
        self.0.update(index.to_le_bytes());
        self.0.update(hash);
    }

    /// The digest, 64 hex digits.
    #[must_use]
    pub fn finish(self) -> String {
        hex::encode(self.0.finalize())
    }
}

/// The hash of a piece; `None` where it is all zeros.
#[must_use]
pub fn piece_hash(piece: &[u8]) -> Option<PieceHash> {
    (!is_zero(piece)).then(|| Sha256::digest(piece).into())
}

/// Whether there is nothing but zeros.
#[must_use]
pub fn is_zero(bytes: &[u8]) -> bool {
    // Compared in pieces of what is known to be zero, which is `memcmp`.
    const ZEROS: [u8; 4096] = [0; 4096];
    bytes.chunks(ZEROS.len()).all(|chunk| chunk == &ZEROS[..chunk.len()])
}

/// The digest of the image in a file.
///
/// # Errors
/// It cannot be read.
pub fn digest_of_file(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut digest = ImageDigest::new(size);
    let mut piece = vec![0; PIECE as usize];
    let mut position = 0;
    while let Some(index) = next_data(&file, position)?.map(|at| at / PIECE) {
        let start = index * PIECE;
        let length = PIECE.min(size - start);
        let piece = &mut piece[..length as usize];
        file.read_exact_at(piece, start)?;
        if let Some(hash) = piece_hash(piece) {
            digest.add(index, &hash);
        }
        position = start + length;
    }
    Ok(digest.finish())
}

/// The first byte from `position` on that does not lie in a hole; `None` where only holes follow.
///
/// # Errors
/// The file cannot be looked into.
pub fn next_data(file: &File, position: u64) -> io::Result<Option<u64>> {
    match seek(file, SeekFrom::Data(position)) {
        Ok(at) => Ok(Some(at)),
        // So the system says that there is none.
        Err(Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn holes_and_zeros_have_the_same_digest() {
        let folder = tempfile::tempdir().unwrap();
        let (full, sparse) = (folder.path().join("full"), folder.path().join("sparse"));
        let mut content = vec![0; 5 * MIB as usize + 512];
        content[3 * MIB as usize + 7] = 1;
        content[5 * MIB as usize + 511] = 2;
        std::fs::write(&full, &content).unwrap();
        let file = File::create(&sparse).unwrap();
        file.set_len(content.len() as u64).unwrap();
        file.write_all_at(&[1], 3 * MIB + 7).unwrap();
        file.write_all_at(&[2], 5 * MIB + 511).unwrap();
        let digest = digest_of_file(&full).unwrap();
        assert_eq!(digest_of_file(&sparse).unwrap(), digest);
        let by_definition = Sha256::new()
            .chain_update(b"basalt image 1\n")
            .chain_update((5 * MIB + 512).to_le_bytes())
            .chain_update(3u64.to_le_bytes())
            .chain_update(Sha256::digest(&content[3 * MIB as usize..4 * MIB as usize]))
            .chain_update(5u64.to_le_bytes())
            .chain_update(Sha256::digest(&content[5 * MIB as usize..]));
        assert_eq!(digest, hex::encode(by_definition.finalize()));
    }

    #[test]
    fn another_byte_place_or_size_is_another_digest() {
        let folder = tempfile::tempdir().unwrap();
        let digest = |at: u64, byte: u8, size: u64| {
            let path = folder.path().join("image");
            let file = File::create(&path).unwrap();
            file.set_len(size).unwrap();
            file.write_all_at(&[byte], at).unwrap();
            digest_of_file(&path).unwrap()
        };
        let all = [
            digest(0, 1, 4 * MIB),
            digest(0, 2, 4 * MIB),
            digest(1, 1, 4 * MIB),
            digest(MIB, 1, 4 * MIB),
            digest(0, 1, 5 * MIB),
            digest(0, 0, 4 * MIB),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
    }
}
