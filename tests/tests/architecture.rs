//! Holds ARCHITECTURE.md to its word: the tests and the folders that it names are there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What the text puts between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The names of tests among what is quoted: a sentence of three words at least.
fn named_tests(text: &str) -> BTreeSet<&str> {
    let is_sentence = |name: &&str| {
        name.matches('_').count() >= 2
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    quoted(text).filter(is_sentence).collect()
}

/// The folders in the first column of the code map.
fn mapped_folders(text: &str) -> BTreeSet<&str> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split('`').next()).collect()
}

/// Which of the tests nobody defines, as a function or by its name alone.
fn missing<'a>(named: &BTreeSet<&'a str>, sources: &[String]) -> Vec<&'a str> {
    let is_defined = |name: &str| {
        let (function, trial) = (format!("fn {name}("), format!("\"{name}\""));
        sources.iter().any(|source| source.contains(&function) || source.contains(&trial))
    };
    named.iter().copied().filter(|name| !is_defined(name)).collect()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the workspace").map_while(Result::ok) {
        let path = entry.path();
        let name = entry.file_name();
        // What cargo makes; a module may be called so, too.
        let is_made = path.join("CACHEDIR.TAG").exists();
        if path.is_dir() && !is_made && name != "out" && name != ".git" {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_test_and_folder_that_architecture_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    let sources: Vec<String> = files.iter().flat_map(fs::read_to_string).collect();
    let tests = named_tests(&text);
    assert!(tests.len() >= 15, "each invariant names its test");
    assert_eq!(missing(&tests, &sources), Vec::<&str>::new());
    let folders = mapped_folders(&text);
    let gone: Vec<_> = folders.iter().filter(|folder| !root.join(folder).is_dir()).collect();
    assert!(folders.len() >= 8 && gone.is_empty(), "{gone:?} of {folders:?}");
}

#[test]
fn a_test_that_nobody_wrote_is_seen() {
    let text = "1. It holds. `a_test_that_is_there`, `a_test_that_is_not` and `too_short`";
    let sources = ["fn a_test_that_is_there() {}".to_owned(), "fn too_short()".to_owned()];
    assert_eq!(missing(&named_tests(text), &sources), ["a_test_that_is_not"]);
}
