//! Inputs that searches found: `corpus/` has a file for each source file with targets, and each
//! line of it is an input, written as a Rust byte string is.
//!
//! All targets of a source file try all of its inputs: what one takes is foreign to the other.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus");

/// The inputs for the targets of a source file; none where nothing was kept.
///
/// # Panics
/// The file cannot be read, or a line is no input.
pub(crate) fn read(source: &str) -> Vec<Vec<u8>> {
    let path = Path::new(FOLDER).join(name(source));
    match fs::read_to_string(&path) {
        Ok(text) => parse(&text).unwrap_or_else(|line| panic!("{}:{line}", path.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

/// The name of the file for a source file: `hostd/src/units.rs` has `hostd.src.units.txt`.
pub(crate) fn name(source: &str) -> PathBuf {
    source.replace(['/', '\\'], ".").replace(".rs", ".txt").into()
}

/// Reads inputs, one a line.
///
/// # Errors
/// The line that is none, counted from 1, and why.
fn parse(text: &str) -> Result<Vec<Vec<u8>>, String> {
    let lines = text.lines().enumerate();
    let number = |(index, line)| {
        unescape(line).map_err(|what| format!("{}: {what} is no escaped byte", index + 1))
    };
    lines.map(number).collect()
}

/// Undoes `escape_ascii`.
fn unescape(line: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = line;
    while let Some((before, escape)) = rest.split_once('\\') {
        bytes.extend(before.as_bytes());
        let taken = if escape.starts_with('x') { 3 } else { 1 };
        let (escape, after) = escape.split_at_checked(taken).ok_or_else(|| escape.to_owned())?;
        bytes.push(byte(escape).ok_or_else(|| escape.to_owned())?);
        rest = after;
    }
    bytes.extend(rest.as_bytes());
    Ok(bytes)
}

fn byte(escape: &str) -> Option<u8> {
    match escape {
        "n" => Some(b'\n'),
        "r" => Some(b'\r'),
        "t" => Some(b'\t'),
        "\\" | "'" | "\"" => Some(escape.as_bytes()[0]),
        hex => u8::from_str_radix(hex.strip_prefix('x')?, 16).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_read_back_as_it_was_written() {
        let all: Vec<u8> = (0..=255).collect();
        let text = format!("{}\n\n{}\n", all.escape_ascii(), b"\\n\n".escape_ascii());
        assert_eq!(parse(&text).unwrap(), [all, Vec::new(), b"\\n\n".to_vec()]);
    }

    #[test]
    fn a_line_that_is_no_input_is_named() {
        assert_eq!(parse("a\n\\q").unwrap_err(), "2: q is no escaped byte");
        assert_eq!(parse("\\x1").unwrap_err(), "1: x1 is no escaped byte");
        assert_eq!(parse("\\xzz").unwrap_err(), "1: xzz is no escaped byte");
    }

    #[test]
    fn every_file_of_the_corpus_is_of_a_source_file_with_targets() {
        let Ok(files) = fs::read_dir(FOLDER) else { return };
        for file in files {
            let name = file.unwrap().file_name().into_string().unwrap();
            let stem = name.strip_suffix(".txt").expect("a text file");
            let source =
                format!("{}/../../{}.rs", env!("CARGO_MANIFEST_DIR"), stem.replace('.', "/"));
            let source = fs::read_to_string(&source).expect("its source file is there");
            assert!(source.contains("fn fuzz_"), "{name}");
        }
    }
}
