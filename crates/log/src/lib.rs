//! What a program tells on its standard error while it works, and which of it is shown.

use std::io;

use tracing_subscriber::EnvFilter;

/// What a filter that cannot be read should have been.
pub const HINT: &str = "use `error`, `warn`, `info`, `debug` or `trace`, or one for each part";

/// Which of the log is shown: a level, or `part=level` for parts of the program, as
/// `warn,hostd::endpoint=debug` (the form of `tracing_subscriber::EnvFilter`).
#[derive(Debug)]
pub struct Filter(EnvFilter);

/// Why a text is no filter.
#[derive(Debug, thiserror::Error)]
pub enum NoFilter {
    /// Parts are named as the code is.
    #[error("no log filter: a part's name is ASCII only")]
    NotAscii,
    /// The parser's words.
    #[error("no log filter: {0}")]
    Unreadable(String),
}

impl Filter {
    /// Reads a filter; blanks around a part and its level are left out.
    ///
    /// # Errors
    /// [`NoFilter`].
    pub fn parse(text: &str) -> Result<Self, NoFilter> {
        // The parser counts from the first character that is no blank and cuts at that place of
        // the whole text: blanks shift the name of a part, and it panics within a character.
        if !text.is_ascii() {
            return Err(NoFilter::NotAscii);
        }
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        let filter = EnvFilter::builder().parse(parts.join(","));
        filter.map(Self).map_err(|error| NoFilter::Unreadable(error.to_string()))
    }
}

/// Begins to log on the standard error: without the time, which a journal has, and without colours,
/// for it is no terminal there.
pub fn begin(filter: Filter) {
    let log = tracing_subscriber::fmt().with_env_filter(filter.0).without_time();
    log.with_target(false).with_ansi(false).with_writer(io::stderr).init();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let read = match Filter::parse(text) {
            Ok(filter) => filter.0.to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(read, expected, "{text}");
    }

    #[test]
    fn a_level_and_one_for_each_part_are_read() {
        check("warn", "warn");
        check("warn,hostd::endpoint=debug", "hostd::endpoint=debug,warn");
        check(" warn,\thostd=debug ,", "hostd=debug,warn");
    }

    #[test]
    fn what_is_no_filter_is_told_and_never_a_panic() {
        // The parser's own words follow.
        let loud = Filter::parse("hostd=loud").unwrap_err().to_string();
        assert!(loud.starts_with("no log filter: ") && loud.contains("level"), "{loud}");
        check("\tᗎᗎ=warn", "no log filter: a part's name is ASCII only");
    }

    #[test]
    fn fuzz_log_filter() {
        basalt_fuzz::run_on_text!(&["warn,hostd::endpoint=debug", "\tᗎᗎe=info"], |text| {
            Filter::parse(text).map(drop)
        });
    }
}
