//! The examples are good, and nothing in them is without effect.

use std::fs;

use basalt_kickstart::{NotRead, parse};

#[test]
fn every_example_is_good_and_nothing_in_it_is_moot() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");
    let mut count = 0;
    for entry in fs::read_dir(folder).expect("the examples") {
        let path = entry.expect("a file").path();
        let name = path.display().to_string();
        let text = fs::read_to_string(&path).expect("a text");
        let parsed = parse(&name, &text, &mut |_| Err(NotRead::Missing("alone".to_owned())));
        let said: Vec<_> = parsed.diagnostics.iter().map(|it| &it.message).collect();
        assert!(said.is_empty(), "{name}: {said:?}");
        count += 1;
    }
    assert!(count >= 5);
}
