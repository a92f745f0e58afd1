//! The options of a command: a table says which there are, and this reads a line by it, as Python's
//! `argparse` does for pykickstart: `--name VALUE`, `--name=VALUE`, beginnings of a name that only
//! one option has, the last word's meaning where an option wants one.

use std::ops::RangeInclusive;

use basalt_document::nearest;

use crate::diagnostic::Log;
use crate::lex::Word;
use crate::source::Span;

/// An option that is taken. None is ignored in silence: it is used, or it is said why it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// The first name of its command, or of its section, as `%post`.
    pub command: &'static str,
    /// Its first name.
    pub option: &'static str,
    /// Whether a value goes with it.
    pub takes_value: bool,
    /// What becomes of it.
    pub fate: Fate,
}

/// What becomes of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// An installer reads it; where it still has no effect beside others, that is told.
    Used,
    /// What it asks for is so on every host, for this reason; a value that asks for more is told.
    Anyway(&'static str),
    /// It has no effect, for this reason, which is told.
    Moot(&'static str),
    /// It cannot be, for this reason, which is told.
    Refused(&'static str),
}

/// What a command takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Syntax {
    /// How many words beside options.
    words: (usize, usize),
    options: &'static [Opt],
    /// Those that several commands have.
    shared: &'static [Opt],
}

impl Syntax {
    /// Of a command that takes so many words beside its options, at least and at most.
    pub(crate) const fn new(words: (usize, usize), options: &'static [Opt]) -> Self {
        Self { words, options, shared: &[] }
    }

    pub(crate) const fn with(self, shared: &'static [Opt]) -> Self {
        Self { shared, ..self }
    }

    fn options(&self) -> impl Iterator<Item = &'static Opt> {
        self.options.iter().chain(self.shared)
    }

    /// All of its options, and what becomes of them.
    pub(crate) fn accepted(&self, command: &'static str) -> impl Iterator<Item = Accepted> {
        self.options().map(move |option| Accepted {
            command,
            option: option.names[0],
            takes_value: option.takes_value,
            fate: option.stance.fate(),
        })
    }
}

/// An option.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opt {
    /// The first one is its name in code; the others mean the same.
    pub(crate) names: &'static [&'static str],
    takes_value: bool,
    required: bool,
    /// Whether it may be given several times.
    repeated: bool,
    stance: Stance,
}

/// What an option is here.
#[derive(Debug, Clone, Copy)]
enum Stance {
    Used,
    /// Is so without it, too, for this reason.
    Anyway(&'static str),
    /// Has no effect, for this reason; and what to do.
    Moot(&'static str, &'static str),
    /// Cannot be, for this reason; and what to do.
    Refused(&'static str, &'static str),
}

impl Stance {
    fn fate(self) -> Fate {
        match self {
            Self::Used => Fate::Used,
            Self::Anyway(why) => Fate::Anyway(why),
            Self::Moot(why, _) => Fate::Moot(why),
            Self::Refused(why, _) => Fate::Refused(why),
        }
    }
}

pub(crate) const fn flag(names: &'static [&'static str]) -> Opt {
    Opt { names, takes_value: false, required: false, repeated: false, stance: Stance::Used }
}

pub(crate) const fn value(names: &'static [&'static str]) -> Opt {
    Opt { takes_value: true, ..flag(names) }
}

impl Opt {
    pub(crate) const fn repeated(self) -> Self {
        Self { repeated: true, ..self }
    }

    pub(crate) const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    pub(crate) const fn anyway(self, why: &'static str) -> Self {
        Self { stance: Stance::Anyway(why), ..self }
    }

    pub(crate) const fn moot(self, why: &'static str, instead: &'static str) -> Self {
        Self { stance: Stance::Moot(why, instead), ..self }
    }

    pub(crate) const fn refused(self, why: &'static str, instead: &'static str) -> Self {
        Self { stance: Stance::Refused(why, instead), ..self }
    }
}

/// A command with what was given to it.
#[derive(Debug)]
pub(crate) struct Args {
    pub(crate) command: Word,
    /// All of the command.
    pub(crate) span: Span,
    pub(crate) words: Vec<Word>,
    given: Vec<Given>,
}

#[derive(Debug)]
struct Given {
    option: &'static Opt,
    at: Span,
    value: Option<Word>,
}

impl Args {
    fn last(&self, name: &str) -> Option<&Given> {
        self.given.iter().rev().find(|given| given.option.names.contains(&name))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.last(name).is_some()
    }

    /// Whether no option is there.
    pub(crate) fn has_none(&self) -> bool {
        self.given.is_empty()
    }

    /// Whether no other option is there.
    pub(crate) fn has_only(&self, name: &str) -> bool {
        self.given.iter().all(|given| given.option.names.contains(&name))
    }

    /// Where an option stands, with its value.
    pub(crate) fn at(&self, name: &str) -> Span {
        let given = self.last(name);
        given.map_or(self.command.span, |it| it.value.as_ref().map_or(it.at, |v| it.at.to(v.span)))
    }

    /// The last value of an option.
    pub(crate) fn value(&self, name: &str) -> Option<&Word> {
        self.last(name).and_then(|given| given.value.as_ref())
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.value(name).map(|word| word.text.clone())
    }

    /// All values of an option.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &Word> {
        let given = self.given.iter().filter(move |given| given.option.names.contains(&name));
        given.filter_map(|given| given.value.as_ref())
    }

    /// The last value, between commas.
    pub(crate) fn list(&self, name: &str) -> Vec<Word> {
        self.value(name).map(Word::list).unwrap_or_default()
    }

    /// A number of those; what is none is told.
    pub(crate) fn number(
        &self,
        name: &str,
        range: RangeInclusive<u64>,
        log: &mut Log,
    ) -> Option<u64> {
        let word = self.value(name)?;
        let number = word.text.trim().parse::<u64>().ok().filter(|number| range.contains(number));
        if number.is_none() {
            let message =
                format!("`{name}` takes a number from {} to {}", range.start(), range.end());
            log.error(word.span, message, "a whole number, without a sign, a fraction and a unit");
        }
        number
    }

    pub(crate) fn small(
        &self,
        name: &str,
        range: RangeInclusive<u32>,
        log: &mut Log,
    ) -> Option<u32> {
        let range = u64::from(*range.start())..=u64::from(*range.end());
        self.number(name, range, log).and_then(|number| u32::try_from(number).ok())
    }

    /// Tells of options that contradict each other, at the second of those that are there.
    pub(crate) fn only_one(&self, names: &[&str], log: &mut Log) {
        let mut there: Vec<_> = names.iter().filter(|name| self.has(name)).collect();
        there.sort_by_key(|name| self.at(name));
        if let [first, second, ..] = there[..] {
            let message = format!("`{first}` and `{second}` contradict each other");
            log.error(self.at(second), message, "leave one of them away");
        }
    }
}

/// Reads the words of a command. What is wrong is told; what is right is kept all the same.
pub(crate) fn read(words: Vec<Word>, syntax: &Syntax, log: &mut Log) -> Option<Args> {
    let mut words = words.into_iter();
    let command = words.next()?;
    let mut args = Args { span: command.span, command, words: Vec::new(), given: Vec::new() };
    let mut only_words = false;
    let mut all_known = true;
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        args.span = args.span.to(word.span);
        if only_words || !looks_like_option(&word.text) {
            args.words.push(word);
            continue;
        }
        if word.text == "--" {
            if words.peek().is_none() {
                log.error(word.span, "`--` with nothing behind it", "leave it away");
            }
            only_words = true;
            continue;
        }
        let (name, attached) = cut(&word);
        let Some(option) = find(&name, syntax, log) else {
            all_known = false;
            continue;
        };
        let value = match attached {
            None if option.takes_value => words.next_if(|next| !looks_like_option(&next.text)),
            attached => attached,
        };
        args.span = value.as_ref().map_or(args.span, |value| args.span.to(value.span));
        args.given.push(Given { option, at: name.span, value });
    }
    check_given(&args, log);
    if all_known {
        check_required(&args, syntax, log);
        check_count(&args, syntax, log);
    }
    Some(args)
}

/// As `argparse` tells options from words.
pub(crate) fn looks_like_option(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('-') else { return false };
    let is_number = !rest.is_empty()
        && rest.bytes().all(|c| c.is_ascii_digit() || c == b'.')
        && rest.bytes().filter(|c| *c == b'.').count() <= 1
        && rest.ends_with(|c: char| c.is_ascii_digit());
    let is_long = text.starts_with("--");
    // `--append="a b"` is an option, and `-a b` a word.
    let has_blank = rest.split('=').next().is_some_and(|name| name.contains(' '));
    let is_word = has_blank || !is_long && rest.contains(' ');
    !rest.is_empty() && !is_number && !is_word
}

/// An option's name, and the value behind its `=`.
fn cut(word: &Word) -> (Word, Option<Word>) {
    match word.text.find('=') {
        Some(at) => (word.part(0..at), Some(word.part(at + 1..word.text.len()))),
        None => (word.clone(), None),
    }
}

fn find(name: &Word, syntax: &Syntax, log: &mut Log) -> Option<&'static Opt> {
    let has = |option: &&Opt, is: &dyn Fn(&str) -> bool| option.names.iter().any(|name| is(name));
    let exact = syntax.options().find(|option| has(option, &|known| known == name.text));
    if exact.is_some() {
        return exact;
    }
    let begin = |known: &str| name.text.starts_with("--") && known.starts_with(&name.text);
    let mut alike = syntax.options().filter(|option| has(option, &begin));
    match (alike.next(), alike.next()) {
        (Some(option), None) => return Some(option),
        (Some(one), Some(other)) => {
            let hint = format!("`{}` or `{}`", one.names[0], other.names[0]);
            log.error(name.span, format!("`{}` begins several options", name.text), &hint);
        }
        _ => {
            let known: Vec<&str> =
                syntax.options().flat_map(|option| option.names).copied().collect();
            let hint = nearest(&name.text, &known);
            log.error(name.span, format!("unknown option `{}`", name.text), &hint);
        }
    }
    None
}

fn check_given(args: &Args, log: &mut Log) {
    for (index, given) in args.given.iter().enumerate() {
        let name = given.option.names[0];
        let whole = given.value.as_ref().map_or(given.at, |value| given.at.to(value.span));
        match (given.option.takes_value, &given.value) {
            (true, None) => {
                let hint = format!("as `{name}=VALUE`; or leave it away");
                log.error(given.at, format!("`{name}` needs a value"), &hint);
            }
            (false, Some(_)) => {
                let hint = format!("`{name}` alone says it");
                log.error(whole, format!("`{name}` takes no value"), &hint);
            }
            _ => (),
        }
        let same = |other: &Given| std::ptr::eq(other.option, given.option);
        let again = args.given[..index].iter().any(same);
        if again && given.option.takes_value && !given.option.repeated {
            log.error(whole, format!("`{name}` is given twice"), "leave one of them away");
            continue;
        }
        match given.option.stance {
            Stance::Refused(why, instead) => log.error(whole, format!("`{name}`: {why}"), instead),
            Stance::Moot(why, instead) => {
                log.warning(whole, format!("`{name}` has no effect: {why}"), instead);
            }
            _ => (),
        }
    }
}

fn check_required(args: &Args, syntax: &Syntax, log: &mut Log) {
    let required = syntax.options().filter(|option| option.required);
    for option in required.filter(|option| !args.has(option.names[0])) {
        let (command, name) = (&args.command.text, option.names[0]);
        let hint = format!("as `{command} {name}=VALUE`");
        log.error(args.span, format!("`{command}` needs `{name}=`"), &hint);
    }
}

fn check_count(args: &Args, syntax: &Syntax, log: &mut Log) {
    let command = &args.command.text;
    let (least, most) = syntax.words;
    if args.words.len() < least {
        let needs = if least == 1 { "a word".to_owned() } else { format!("{least} words") };
        let hint = "what begins with no `-`, and is no option's value";
        log.error(args.span, format!("`{command}` needs {needs} beside its options"), hint);
    }
    if let Some(first) = args.words.get(most) {
        let hint = match most {
            0 => "leave it away",
            _ => "what has blanks in it stands in quotes",
        };
        log.error(first.span, format!("`{command}` takes no such word"), hint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lex::{Hash, words};
    use crate::lines::Line;

    const SYNTAX: Syntax = Syntax::new(
        (1, 1),
        &[
            flag(&["--lock"]),
            value(&["--size"]),
            value(&["--label", "--name"]).required(),
            value(&["--trust"]).repeated(),
            flag(&["--old"]).moot("it is old", "be new"),
        ],
    )
    .with(&[flag(&["--bad"]).refused("it is bad", "be good")]);

    fn read_text(text: &str) -> (Args, Vec<String>) {
        let mut log = Log::default();
        let words = words(&Line::of_text(text), Hash::BeginsComment).unwrap();
        let args = read(words, &SYNTAX, &mut log).unwrap();
        let said = |it: &crate::Diagnostic| {
            format!("{}: {}", &text[it.span.start..it.span.end], it.message)
        };
        (args, log.said.iter().map(said).collect())
    }

    fn check(text: &str, expected: &[&str]) {
        assert_eq!(read_text(text).1, expected, "{text}");
    }

    #[test]
    fn options_are_read_as_argparse_does() {
        let (args, said) = read_text("c --si 5 word --label='a b' --lock");
        assert_eq!(said, Vec::<String>::new());
        assert_eq!(args.text("--size").as_deref(), Some("5"));
        assert_eq!(args.text("--name").as_deref(), Some("a b"));
        assert!(args.has("--lock") && args.words[0].text == "word");
        let (args, _) = read_text("c --label -- --lock");
        assert!(!args.has("--lock") && args.words[0].text == "--lock");
        let (args, _) = read_text("c w --label -5 --size='-a b'");
        assert_eq!(args.text("--label").as_deref(), Some("-5"));
        assert_eq!(args.text("--size").as_deref(), Some("-a b"));
        let (args, _) = read_text("c w --label '-a b'");
        assert_eq!(args.text("--label").as_deref(), Some("-a b"));
        let (args, said) = read_text("c w --label= --trust a --trust=b");
        assert_eq!((args.text("--label").as_deref(), said), (Some(""), Vec::new()));
        assert_eq!(args.values("--trust").count(), 2);
    }

    #[test]
    fn what_is_wrong_is_told_at_its_place_and_all_of_it() {
        check("c w --label", &["--label: `--label` needs a value"]);
        check("c w --label --lock", &["--label: `--label` needs a value"]);
        check("c w --label=a --lock=1", &["--lock=1: `--lock` takes no value"]);
        check("c w --label=a --", &["--: `--` with nothing behind it"]);
        check("c w --label=a --l", &["--l: `--l` begins several options"]);
        check(
            "c w --label=a --lok --szie=1",
            &["--lok: unknown option `--lok`", "--szie: unknown option `--szie`"],
        );
        check("c", &["c: `c` needs `--label=`", "c: `c` needs a word beside its options"]);
        check("c --label=a w x y", &["x: `c` takes no such word"]);
        check("c w --label=a --name=b", &["--name=b: `--label` is given twice"]);
        check(
            "c w --label=a --old --bad",
            &["--old: `--old` has no effect: it is old", "--bad: `--bad`: it is bad"],
        );
    }

    #[test]
    fn a_number_out_of_range_is_told() {
        let (args, _) = read_text("c w --label=a --size=-1");
        let mut log = Log::default();
        assert_eq!(args.number("--size", 0..=9, &mut log), None);
        assert!(log.said[0].message.contains("from 0 to 9"));
    }
}
