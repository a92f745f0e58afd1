//! Kernel arguments: the image's files in [`FOLDER`], and the whole list of a boot entry.
//!
//! What selects a slot and finds its root is Basalt's own and cannot be set by an image.

use crate::entry::RESET_ARGUMENT;
use crate::slot::Slot;

/// The folder of an image's files of kernel arguments, named like `10-image.conf` and read in the
/// order of their names.
pub const FOLDER: &str = "usr/lib/basalt/kargs.d";
/// The end of their names.
pub const SUFFIX: &str = ".conf";

/// How every entry finds its root: udev makes this link for the root partition of the disk that
/// the loader came from. It is mounted writable and libostree then protects what must be.
const ROOT: [&str; 2] = ["root=/dev/gpt-auto-root", "rw"];
/// Tells the initramfs to look for a deployment; the slot says which.
const OSTREE: &str = "ostree";
/// Arguments that only Basalt sets, by the part before `=`.
const OWN: [&str; 6] = ["root", "ro", "rw", OSTREE, "androidboot.slot_suffix", RESET_ARGUMENT];

/// A line that is no kernel argument of an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidArgument {
    /// There are several on the line.
    #[error("line {line}: {text:?} is more than one argument")]
    Several {
        /// Its number, from 1.
        line: usize,
        /// What it says.
        text: String,
    },
    /// A quote has no end.
    #[error("line {line}: {text:?} has an open quote")]
    OpenQuote {
        /// Its number, from 1.
        line: usize,
        /// What it says.
        text: String,
    },
    /// It holds a control character.
    #[error("line {line}: {text:?} has a control character")]
    Control {
        /// Its number, from 1.
        line: usize,
        /// What it says.
        text: String,
    },
    /// It is one that Basalt sets.
    #[error("line {line}: `{key}` is set by the boot entry itself")]
    Own {
        /// Its number, from 1.
        line: usize,
        /// The argument.
        key: String,
    },
}

/// Reads one file: an argument a line, blanks only between double quotes, `#` comments on lines
/// of their own.
///
/// # Errors
/// A line is no argument, or one that Basalt sets itself.
pub fn parse(text: &str) -> Result<Vec<String>, InvalidArgument> {
    let mut arguments = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let argument = line.trim();
        if !argument.is_empty() && !argument.starts_with('#') {
            check(number, argument)?;
            arguments.push(argument.to_owned());
        }
    }
    Ok(arguments)
}

/// The whole list for an entry that boots `slot`: how to find it, then the image's arguments,
/// then the host's. Of two that contradict each other the kernel takes the later.
#[must_use]
pub fn for_slot(slot: Slot, image: &[String], host: &[String]) -> Vec<String> {
    let own = ROOT.map(str::to_owned).into_iter().chain([slot.argument(), OSTREE.to_owned()]);
    own.chain(image.iter().cloned()).chain(host.iter().cloned()).collect()
}

/// The host's arguments in the list of an entry that boots `slot` with these of the image; `None`
/// where it is no such list.
#[must_use]
pub fn of_host(options: &str, slot: Slot, image: &[String]) -> Option<Vec<String>> {
    let others = for_slot(slot, image, &[]).join(" ");
    let own = options.strip_prefix(&others)?;
    if !own.is_empty() && !own.starts_with(' ') {
        return None;
    }
    let mut arguments = Vec::new();
    let mut is_quoted = false;
    for argument in own.split(|character: char| {
        is_quoted ^= character == '"';
        character.is_whitespace() && !is_quoted
    }) {
        if !argument.is_empty() {
            arguments.push(argument.to_owned());
        }
    }
    Some(arguments)
}

fn check(line: usize, argument: &str) -> Result<(), InvalidArgument> {
    let text = argument.to_owned();
    if argument.contains(char::is_control) {
        return Err(InvalidArgument::Control { line, text });
    }
    let outside_quotes = argument.split('"').step_by(2);
    if outside_quotes.clone().any(|part| part.contains(char::is_whitespace)) {
        return Err(InvalidArgument::Several { line, text });
    }
    if argument.matches('"').count() % 2 == 1 {
        return Err(InvalidArgument::OpenQuote { line, text });
    }
    let key = argument.split('=').next().unwrap_or_default().trim_matches('"');
    if OWN.contains(&key) {
        return Err(InvalidArgument::Own { line, key: key.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_file_holds_an_argument_a_line() {
        let text =
            "# watchdogs\npanic=10\n\n  console=ttyS0,115200  \r\nquiet\ndyndbg=\"file x +p\"\n";
        let expected = ["panic=10", "console=ttyS0,115200", "quiet", "dyndbg=\"file x +p\""];
        assert_eq!(parse(text).unwrap(), expected);
        assert_eq!(parse("").unwrap(), [""; 0]);
    }

    #[test]
    fn the_hosts_arguments_are_told_from_the_images() {
        let list = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let image = list(&["quiet", "panic=10"]);
        for host in [list(&[]), list(&["debug"]), list(&["a=\"x  y\"", "quiet", "b"])] {
            let options = for_slot(Slot::B, &image, &host).join(" ");
            assert_eq!(of_host(&options, Slot::B, &image), Some(host));
            assert_eq!(of_host(&options, Slot::A, &image), None);
        }
        let options = for_slot(Slot::B, &image, &[]).join(" ");
        assert_eq!(of_host(&format!("{options}0"), Slot::B, &image), None);
        assert_eq!(of_host("", Slot::B, &image), None);
    }

    #[test]
    fn lines_that_are_no_argument_of_an_image_are_named() {
        let check = |text: &str, expected: &str| {
            assert_eq!(parse(text).unwrap_err().to_string(), expected);
        };
        check("a\nquiet splash", "line 2: \"quiet splash\" is more than one argument");
        check("x=\"a b", "line 1: \"x=\\\"a b\" has an open quote");
        check("a\u{7}", "line 1: \"a\\u{7}\" has a control character");
        check("root=/dev/sda2", "line 1: `root` is set by the boot entry itself");
        check("ostree", "line 1: `ostree` is set by the boot entry itself");
        check(RESET_ARGUMENT, "line 1: `basalt.factory_reset` is set by the boot entry itself");
        check("\"root\"=x", "line 1: `root` is set by the boot entry itself");
        check(
            "androidboot.slot_suffix=_b",
            "line 1: `androidboot.slot_suffix` is set by the boot entry itself",
        );
    }

    #[test]
    fn arguments_that_only_begin_alike_are_the_images() {
        assert_eq!(parse("rootwait\nrootflags=noatime\nro.x").unwrap().len(), 3);
    }

    #[test]
    fn an_entry_says_how_to_find_its_root_and_its_slot() {
        let list = for_slot(Slot::B, &["panic=10".to_owned()], &["quiet".to_owned()]);
        let expected =
            "root=/dev/gpt-auto-root rw androidboot.slot_suffix=_b ostree panic=10 quiet";
        assert_eq!(list.join(" "), expected);
        assert_eq!(Slot::from_cmdline(&list.join(" ")), Some(Slot::B));
    }

    proptest! {
        #[test]
        fn no_image_can_change_the_slot(text in "([a-z=_\" .]|androidboot\\.slot_suffix=_b|root=|\n){0,12}") {
            if let Ok(image) = parse(&text) {
                let cmdline = for_slot(Slot::A, &image, &[]).join(" ");
                prop_assert_eq!(Slot::from_cmdline(&cmdline), Some(Slot::A));
            }
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC*") {
            let _ = parse(&text);
        }
    }
}
