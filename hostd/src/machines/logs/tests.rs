//! Real files, a real watch.

use std::fs;
use std::io::Write;
use std::time::Duration;

use tempfile::TempDir;

use super::*;

const DEADLINE: Duration = Duration::from_secs(30);

/// A machine's folder with these pieces of its log, the oldest first and the newest last.
struct Folder {
    root: TempDir,
}

impl Folder {
    fn new(pieces: &[&str]) -> Self {
        let folder = Self { root: tempfile::tempdir().unwrap() };
        let paths = folder.paths();
        for (path, piece) in paths[paths.len() - pieces.len()..].iter().zip(pieces) {
            fs::write(path, piece).unwrap();
        }
        folder
    }

    fn machine(&self) -> PathBuf {
        self.root.path().join("m")
    }

    fn paths(&self) -> Vec<PathBuf> {
        fs::create_dir_all(self.machine()).unwrap();
        ["log.1", "log.0", "log"].map(|name| self.machine().join(name)).to_vec()
    }

    fn read(&self, tail: Option<u32>, follow: bool) -> mpsc::Receiver<Bytes> {
        read(&self.machine(), self.paths(), LogsWanted { tail, follow }).unwrap()
    }

    fn append(&self, text: &str) {
        let path = self.machine().join("log");
        let mut file = File::options().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
}

/// Reads until the end.
async fn all(mut from: mpsc::Receiver<Bytes>) -> String {
    let mut text = String::new();
    while let Some(bytes) = tokio::time::timeout(DEADLINE, from.recv()).await.expect("it ends") {
        text.push_str(&String::from_utf8_lossy(&bytes));
    }
    text
}

/// Reads until this has come.
async fn until(from: &mut mpsc::Receiver<Bytes>, expected: &str) {
    let mut text = String::new();
    while text != expected {
        let bytes = tokio::time::timeout(DEADLINE, from.recv()).await;
        let bytes = bytes.unwrap_or_else(|_| panic!("only {text:?} came")).expect("it goes on");
        text.push_str(&String::from_utf8_lossy(&bytes));
        assert!(expected.starts_with(&text), "{text:?} came, and {expected:?} should");
    }
}

async fn check(pieces: &[&str], tail: u32, expected: &str) {
    assert_eq!(all(Folder::new(pieces).read(Some(tail), false)).await, expected, "{tail}");
}

#[tokio::test]
async fn the_last_lines_may_lie_in_several_pieces() {
    let pieces = ["a\nb\n", "c\n", "d\ne"];
    check(&pieces, 0, "").await;
    check(&pieces, 1, "e").await;
    check(&pieces, 2, "d\ne").await;
    check(&pieces, 3, "c\nd\ne").await;
    check(&pieces, 4, "b\nc\nd\ne").await;
    check(&pieces, 99, "a\nb\nc\nd\ne").await;
    check(&["a\nb\n"], 1, "b\n").await;
    check(&[], 1, "").await;
}

#[tokio::test]
async fn a_long_log_comes_whole() {
    let text = "0123456789abcde\n".repeat(20_000);
    let folder = Folder::new(&[&text]);
    assert!(all(folder.read(None, false)).await == text);
    let tail = all(folder.read(Some(9_999), false)).await;
    assert_eq!(tail.len(), 9_999 * 16);
}

#[tokio::test]
async fn a_follower_hears_what_is_written_and_is_not_lost_when_the_log_is_moved() {
    let folder = Folder::new(&["old\n"]);
    let mut from = folder.read(Some(0), true);
    folder.append("one\n");
    until(&mut from, "one\n").await;
    fs::rename(folder.machine().join("log"), folder.machine().join("log.0")).unwrap();
    folder.append("two\n");
    until(&mut from, "two\n").await;
    fs::remove_dir_all(folder.machine()).unwrap();
    assert_eq!(all(from).await, "");
}

#[tokio::test]
async fn a_follower_of_a_machine_that_never_ran_waits_for_its_first_word() {
    let folder = Folder::new(&[]);
    let mut from = folder.read(None, true);
    folder.append("hello\n");
    until(&mut from, "hello\n").await;
}

#[tokio::test]
async fn a_machine_that_is_not_there_has_no_log() {
    let folder = Folder::new(&[]);
    let nowhere = folder.root.path().join("nowhere");
    let error = read(&nowhere, folder.paths(), LogsWanted { tail: None, follow: true });
    assert_eq!(error.unwrap_err().kind(), io::ErrorKind::NotFound);
}
