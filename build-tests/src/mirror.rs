//! A Debian mirror on this machine that has exactly the locked packages, out of a cache.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde::Deserialize;

/// Longer than any test looks on.
const FOREVER: Duration = Duration::from_secs(600);

#[derive(Deserialize)]
struct Lock {
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    sha256: String,
    path: String,
}

/// A mirror that runs until the test ends.
#[derive(Debug)]
pub struct Mirror {
    address: String,
    left: Arc<AtomicUsize>,
}

impl Mirror {
    /// One that gives `packages` of them and stalls in the middle of the next.
    ///
    /// # Panics
    /// The lock cannot be read.
    #[must_use]
    pub fn of(lock: &Path, packages: usize, folder: &Path) -> Self {
        let text = fs::read_to_string(lock).expect("the lock can be read");
        let lock: Lock = toml::from_str(&text).expect("the lock is TOML");
        let file = |sha256: &str| folder.join(format!("{sha256}.deb"));
        let files: BTreeMap<String, PathBuf> =
            lock.package.into_iter().map(|p| (p.path, file(&p.sha256))).collect();
        let (files, left) = (Arc::new(files), Arc::new(AtomicUsize::new(packages)));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it has one").to_string();
        let served = Arc::clone(&left);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (files, left) = (Arc::clone(&files), Arc::clone(&served));
                thread::spawn(move || serve(&stream, &files, &left));
            }
        });
        Self { address, left }
    }

    /// It gives everything from now on.
    pub fn recover(&self) {
        self.left.store(usize::MAX, Ordering::SeqCst);
    }

    /// Makes a definition fetch from it.
    ///
    /// # Panics
    /// The definition names other mirrors than it did, or cannot be written.
    pub fn take_over(&self, definition: &Path) {
        let mut text = fs::read_to_string(definition).expect("a definition");
        for mirror in ["http://deb.debian.org", "http://snapshot.debian.org"] {
            assert!(text.contains(mirror), "{mirror} is not in the definition");
            text = text.replace(mirror, &format!("http://{}", self.address));
        }
        fs::write(definition, text).expect("the definition can be written");
    }
}

fn serve(
    mut stream: &TcpStream,
    files: &BTreeMap<String, PathBuf>,
    left: &AtomicUsize,
) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    while let Some(request) = lines.next() {
        let request = request?;
        lines.by_ref().map_while(Result::ok).find(String::is_empty);
        let path = request.split(' ').nth(1).unwrap_or_default().replace("%2b", "+");
        let path = path.replace("%7e", "~");
        let Some(file) = path.find("/pool/").and_then(|at| files.get(&path[at + 1..])) else {
            // Package lists, for one: a stalled mirror does not say that it has none.
            thread::sleep(FOREVER);
            return Ok(());
        };
        let mut file = File::open(file)?;
        let length = file.metadata()?.len();
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n")?;
        let enough = |left: usize| left.checked_sub(1);
        if left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, enough).is_err() {
            io::copy(&mut io::Read::take(&mut file, length / 2), &mut stream)?;
            thread::sleep(FOREVER);
            return Ok(());
        }
        io::copy(&mut file, &mut stream)?;
    }
    Ok(())
}
