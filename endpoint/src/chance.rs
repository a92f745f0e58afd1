//! Randomness from the kernel.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustix::rand::{GetRandomFlags, getrandom};

/// Bytes of a token: nobody guesses them.
const TOKEN_BYTES: usize = 32;

/// Random bytes.
///
/// # Errors
/// The kernel has none.
pub fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        filled += getrandom(&mut bytes[filled..], GetRandomFlags::empty())?;
    }
    Ok(bytes)
}

/// A new token, as text.
///
/// # Errors
/// The kernel has no randomness.
pub fn token() -> io::Result<String> {
    Ok(URL_SAFE_NO_PAD.encode(bytes::<TOKEN_BYTES>()?))
}

/// A number from 0 to 1, for spreading; without randomness it is the middle.
#[must_use]
pub fn fraction() -> f64 {
    bytes::<4>().map_or(0.5, |bytes| f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
}
