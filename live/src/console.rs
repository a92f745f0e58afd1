//! Says something on every console, and in the journal.

/// Says one line.
pub fn say(line: &str) {
    eprintln!("{line}");
    for console in basalt_consoles::active() {
        // A console that is not there keeps the others from nothing.
        let _ = basalt_consoles::show(&console, &format!("basalt: {line}"));
    }
}
