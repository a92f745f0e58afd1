//! The text of a boot entry: the Boot Loader Specification's type 1, as Basalt writes it.
//!
//! `linux` is the last line on purpose: of a file that was cut off by a power failure the loader
//! finds no kernel and leaves the entry out, instead of booting it with half its arguments.

use super::SORT_KEY;

/// A boot entry's content. No value may hold a line break, nor begin or end with a blank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootEntry {
    /// What the loader's menu shows.
    pub title: String,
    /// The boot serial, in the entry's `version`; never the version of the OS, because the loader
    /// picks the highest and a downgrade must be able to come first.
    pub serial: u64,
    /// The kernel, as an absolute path on the ESP with forward slashes.
    pub linux: String,
    /// The initramfs, likewise.
    pub initrd: String,
    /// The kernel's arguments, separated by blanks.
    pub options: String,
}

/// Why a text is no boot entry of Basalt's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEntry {
    /// A value would not read back as it is.
    #[error("the boot entry's `{key}` must be one line without blanks at its ends, not {value:?}")]
    Value {
        /// The entry's key.
        key: &'static str,
        /// What it was to be.
        value: String,
    },
    /// The last line has no end.
    #[error("the boot entry is cut off")]
    CutOff,
    /// A key is missing.
    #[error("the boot entry has no `{key}`")]
    Missing {
        /// The missing key.
        key: &'static str,
    },
    /// A key occurs twice, or is none that Basalt writes.
    #[error("the boot entry has an unexpected line {line:?}")]
    Unexpected {
        /// The line.
        line: String,
    },
    /// The sort key is not Basalt's.
    #[error("the boot entry's sort key is `{found}`, not `{expected}`")]
    ForeignSortKey {
        /// What it is instead.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The version is no boot serial.
    #[error("the boot entry's version `{found}` is no boot serial")]
    NoSerial {
        /// What it is instead.
        found: String,
    },
}

impl BootEntry {
    /// The entry as text, ready to be written in one go.
    ///
    /// # Errors
    /// A value is empty, has blanks at its ends or holds a control character.
    pub fn render(&self) -> Result<String, InvalidEntry> {
        self.render_under(SORT_KEY)
    }

    /// As text with another sort key.
    pub(super) fn render_under(&self, sort_key: &str) -> Result<String, InvalidEntry> {
        let serial = self.serial.to_string();
        let mut text = String::new();
        for (key, value) in [
            ("title", self.title.as_str()),
            ("sort-key", sort_key),
            ("version", &serial),
            ("options", &self.options),
            ("initrd", &self.initrd),
            ("linux", &self.linux),
        ] {
            if value.is_empty() || value.trim() != value || value.contains(char::is_control) {
                return Err(InvalidEntry::Value { key, value: value.to_owned() });
            }
            text.push_str(&format!("{key} {value}\n"));
        }
        Ok(text)
    }

    /// Reads an entry that Basalt wrote. Empty lines and `#` comments are passed over.
    ///
    /// # Errors
    /// The text is cut off, lacks a key, has a foreign one, or one twice.
    pub fn parse(text: &str) -> Result<Self, InvalidEntry> {
        Self::parse_under(text, SORT_KEY)
    }

    /// Reads one with another sort key.
    pub(super) fn parse_under(text: &str, sort_key: &'static str) -> Result<Self, InvalidEntry> {
        if !text.ends_with('\n') {
            return Err(InvalidEntry::CutOff);
        }
        let mut found = Found::default();
        for line in text.lines().map(str::trim) {
            if !line.is_empty() && !line.starts_with('#') {
                found.take(line)?;
            }
        }
        found.finish(sort_key)
    }
}

#[derive(Default)]
struct Found<'a> {
    title: Option<&'a str>,
    sort_key: Option<&'a str>,
    version: Option<&'a str>,
    options: Option<&'a str>,
    initrd: Option<&'a str>,
    linux: Option<&'a str>,
}

impl<'a> Found<'a> {
    fn take(&mut self, line: &'a str) -> Result<(), InvalidEntry> {
        let unexpected = || InvalidEntry::Unexpected { line: line.to_owned() };
        let (key, value) = line.split_once([' ', '\t']).ok_or_else(unexpected)?;
        // What `render` does not write, Basalt did not.
        if value.contains(char::is_control) {
            return Err(unexpected());
        }
        let place = match key {
            "title" => &mut self.title,
            "sort-key" => &mut self.sort_key,
            "version" => &mut self.version,
            "options" => &mut self.options,
            "initrd" => &mut self.initrd,
            "linux" => &mut self.linux,
            _ => return Err(unexpected()),
        };
        match place.replace(value.trim()) {
            None => Ok(()),
            Some(_) => Err(unexpected()),
        }
    }

    fn finish(self, expected: &'static str) -> Result<BootEntry, InvalidEntry> {
        let need = |key, value: Option<&'a str>| value.ok_or(InvalidEntry::Missing { key });
        let sort_key = need("sort-key", self.sort_key)?;
        if sort_key != expected {
            return Err(InvalidEntry::ForeignSortKey { found: sort_key.to_owned(), expected });
        }
        let version = need("version", self.version)?;
        let no_serial = |_| InvalidEntry::NoSerial { found: version.to_owned() };
        Ok(BootEntry {
            title: need("title", self.title)?.to_owned(),
            serial: version.parse().map_err(no_serial)?,
            options: need("options", self.options)?.to_owned(),
            initrd: need("initrd", self.initrd)?.to_owned(),
            linux: need("linux", self.linux)?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry() -> BootEntry {
        BootEntry {
            title: "Basalt 3 (base)".to_owned(),
            serial: 7,
            linux: "/basalt/0123/linux".to_owned(),
            initrd: "/basalt/4567/initrd".to_owned(),
            options: "root=/dev/gpt-auto-root rw".to_owned(),
        }
    }

    #[test]
    fn the_text_names_the_kernel_last() {
        let expected = "title Basalt 3 (base)\nsort-key basalt\nversion 7\n\
            options root=/dev/gpt-auto-root rw\ninitrd /basalt/4567/initrd\n\
            linux /basalt/0123/linux\n";
        assert_eq!(entry().render().unwrap(), expected);
    }

    #[test]
    fn no_beginning_of_an_entry_parses() {
        let text = entry().render().unwrap();
        for cut in 0..text.len() {
            assert!(BootEntry::parse(&text[..cut]).is_err(), "cut at {cut}");
        }
        assert_eq!(BootEntry::parse(&text), Ok(entry()));
    }

    #[test]
    fn foreign_texts_are_refused_with_their_reason() {
        let check = |from: &str, to: &str, expected: &str| {
            let text = entry().render().unwrap().replace(from, to);
            assert_eq!(BootEntry::parse(&text).unwrap_err().to_string(), expected);
        };
        check("initrd /basalt/4567/initrd\n", "", "the boot entry has no `initrd`");
        check("version 7", "version 6.12", "the boot entry's version `6.12` is no boot serial");
        check("key basalt", "key debian", "the boot entry's sort key is `debian`, not `basalt`");
        check("title", "efi", r#"the boot entry has an unexpected line "efi Basalt 3 (base)""#);
        check(
            "version 7",
            "linux /x",
            r#"the boot entry has an unexpected line "linux /basalt/0123/linux""#,
        );
        check(
            "root=",
            "root\u{c}=",
            r#"the boot entry has an unexpected line "options root\u{c}=/dev/gpt-auto-root rw""#,
        );
        check("title ", "title", r#"the boot entry has an unexpected line "titleBasalt 3 (base)""#);
    }

    #[test]
    fn a_value_cannot_smuggle_in_a_line() {
        let title = "x\nlinux /evil".to_owned();
        let error = BootEntry { title, ..entry() }.render().unwrap_err();
        assert!(matches!(error, InvalidEntry::Value { key: "title", .. }));
        assert!(BootEntry { options: String::new(), ..entry() }.render().is_err());
    }

    proptest! {
        #[test]
        fn a_rendered_entry_parses_to_itself(title in "\\PC{0,20}", serial: u64, options in "\\PC{0,40}") {
            let entry = BootEntry { title, serial, options, ..entry() };
            if let Ok(text) = entry.render() {
                prop_assert_eq!(BootEntry::parse(&text), Ok(entry));
            }
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[a-z#\\-\\s]*(title|linux|version) ?\\PC*\n?") {
            let _ = BootEntry::parse(&text);
        }
    }
}
