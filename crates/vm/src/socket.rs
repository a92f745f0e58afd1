//! The Unix sockets on which QEMU listens.

use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Mode, OFlags, open};

/// Connects to the socket `name` in `folder`.
///
/// The path goes over a handle of the folder: a socket's address holds 108 bytes, and folders of
/// tests are long.
pub(crate) fn connect(folder: &Path, name: &str) -> io::Result<UnixStream> {
    let handle = open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    UnixStream::connect(format!("/proc/self/fd/{}/{name}", handle.as_raw_fd()))
}

/// Whether a connection failed only because QEMU does not listen yet.
pub(crate) fn is_not_there_yet(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// Appends what comes within `time` to `received`; says whether anything came.
///
/// # Errors
/// `UnexpectedEof` when the other side closed, or what the system says.
pub(crate) fn receive(
    stream: &mut UnixStream,
    time: Duration,
    received: &mut Vec<u8>,
) -> io::Result<bool> {
    // A timeout of zero would mean none at all.
    stream.set_read_timeout(Some(time.max(Duration::from_millis(1))))?;
    let mut buffer = [0; 4096];
    match stream.read(&mut buffer) {
        Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the other side closed it")),
        Ok(count) => {
            received.extend_from_slice(buffer.get(..count).unwrap_or_default());
            Ok(true)
        }
        Err(error) if is_timeout(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_timeout(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_socket_in_a_folder_with_a_long_path_is_reached() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("long-".repeat(40));
        std::fs::create_dir(&folder).unwrap();
        assert!(is_not_there_yet(&connect(&folder, "s").unwrap_err()));
        // Made by a short name and moved: `bind` has the same limit.
        let _listener = UnixListener::bind(root.path().join("s")).unwrap();
        std::fs::rename(root.path().join("s"), folder.join("s")).unwrap();
        connect(&folder, "s").unwrap();
    }

    #[test]
    fn silence_is_no_error_and_a_closed_socket_is_one() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let mut received = Vec::new();
        assert!(!receive(&mut ours, Duration::from_millis(1), &mut received).unwrap());
        theirs.write_all(b"text").unwrap();
        assert!(receive(&mut ours, Duration::from_secs(5), &mut received).unwrap());
        assert_eq!(received, b"text");
        drop(theirs);
        let error = receive(&mut ours, Duration::from_secs(5), &mut received).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
