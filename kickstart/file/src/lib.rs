//! Reads kickstarts from files, and says what is wrong with them: for `basalt kickstart check` and
//! for the installer, which say the same of the same file.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use basalt_document::{DocumentError, MAX_BYTES, Mistake};
use basalt_kickstart::{
    Diagnostic, Include, Included, Kickstart, NotRead, Parsed, Severity, Sources, parse,
};
use serde::Serialize;

/// Places of `inst.ks=` and of `url` that stand without slashes.
const OF_ANACONDA: [&str; 5] = ["cdrom", "file", "hd", "nfs", "nfsiso"];

/// What is said about a kickstart, for programs. It holds no secret.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    file: &'a str,
    good: bool,
    errors: usize,
    warnings: usize,
    diagnostics: Vec<Entry<'a>>,
    /// What it asks for; none where there are errors.
    kickstart: Option<&'a Kickstart>,
}

/// One thing that is said.
#[derive(Debug, Serialize)]
struct Entry<'a> {
    severity: Severity,
    file: &'a str,
    line: usize,
    column: usize,
    /// Characters that are meant.
    length: usize,
    message: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    hint: &'a str,
}

/// Reads a kickstart, and what it includes from files here.
///
/// # Errors
/// It cannot be read, or is no text. What is wrong in it is in the result.
pub fn load(path: &Path) -> Result<Parsed> {
    let name = path.display().to_string();
    let text = read(path).with_context(|| format!("cannot read the kickstart `{name}`"))?;
    Ok(parse(&name, &text, &mut included))
}

impl<'a> Report<'a> {
    /// The report on a kickstart.
    #[must_use]
    pub fn of(parsed: &'a Parsed) -> Self {
        let count =
            |severity| parsed.diagnostics.iter().filter(|it| it.severity == severity).count();
        Self {
            file: parsed.sources.name(0),
            good: parsed.is_good(),
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
            diagnostics: parsed
                .diagnostics
                .iter()
                .map(|it| Entry::of(it, &parsed.sources))
                .collect(),
            kickstart: parsed.is_good().then_some(&parsed.kickstart),
        }
    }
}

impl<'a> Entry<'a> {
    fn of(said: &'a Diagnostic, sources: &'a Sources) -> Self {
        let place = sources.place(said.span);
        Self {
            severity: said.severity,
            file: sources.name(said.span.file),
            line: place.line,
            column: place.column,
            length: place.length,
            message: &said.message,
            hint: &said.hint,
        }
    }
}

/// The warnings, as people read them.
#[must_use]
pub fn warnings(parsed: &Parsed) -> Vec<Mistake> {
    mistakes(parsed, Severity::Warning)
}

/// # Errors
/// All errors of a kickstart, as people read them.
pub fn errors(parsed: &Parsed) -> Result<(), DocumentError> {
    let mistakes = mistakes(parsed, Severity::Error);
    if mistakes.is_empty() { Ok(()) } else { Err(DocumentError { mistakes }) }
}

/// What it does, in a few words.
#[must_use]
pub fn summary(kickstart: &Kickstart) -> String {
    let counted = [
        (kickstart.part.len(), "partition"),
        (kickstart.raid.len(), "array"),
        (kickstart.network.len(), "connection"),
        (kickstart.user.len(), "user"),
        (kickstart.scripts.len(), "script"),
    ];
    let plural = |count| if count == 1 { "" } else { "s" };
    let counted = counted.into_iter().filter(|(count, _)| *count > 0);
    let mut parts: Vec<String> =
        counted.map(|(count, what)| format!("{count} {what}{}", plural(count))).collect();
    if kickstart.autopart.is_some() {
        parts.insert(0, "the image's own layout".to_owned());
    }
    if kickstart.basalt.is_some() {
        parts.push("enrols itself".to_owned());
    }
    parts.join(", ")
}

fn mistakes(parsed: &Parsed, severity: Severity) -> Vec<Mistake> {
    let all = parsed.diagnostics.iter().filter(|it| it.severity == severity);
    all.map(|it| it.mistake(&parsed.sources)).collect()
}

/// A file that a kickstart includes: from here as Anaconda finds it, else from beside the file that includes it.
///
/// # Errors
/// It is not there, lies in a network or where nothing is read from, or is no text.
pub fn included(include: &Include<'_>) -> Result<Included, NotRead> {
    match scheme(include.what) {
        None => (),
        Some("http" | "https") => {
            return Err(NotRead::Later("nothing is fetched from a network here".to_owned()));
        }
        Some(other) => return Err(NotRead::Broken(format!("nothing is read by `{other}`"))),
    }
    let path = find(include);
    match read(&path) {
        Ok(text) => Ok(Included { name: path.display().to_string(), text }),
        Err(error) => {
            let missing = error.downcast_ref::<io::Error>();
            let is_missing = missing.is_some_and(|it| it.kind() == io::ErrorKind::NotFound);
            let why = format!("{error:#}");
            Err(if is_missing { NotRead::Missing(why) } else { NotRead::Broken(why) })
        }
    }
}

/// How it would be fetched, as `https` or `nfs`; none for a path.
fn scheme(what: &str) -> Option<&str> {
    let (scheme, rest) = what.split_once(':')?;
    (rest.starts_with("//") || OF_ANACONDA.contains(&scheme)).then_some(scheme)
}

fn find(include: &Include<'_>) -> PathBuf {
    let plain = PathBuf::from(include.what);
    let beside = Path::new(include.from).parent().map(|folder| folder.join(include.what));
    match beside.filter(|beside| !plain.exists() && beside.exists()) {
        Some(beside) => beside,
        None => plain,
    }
}

/// Reads a file, and no more of it than a kickstart may have, whatever it is.
///
/// # Errors
/// It cannot be read, is too long, or is no text.
pub fn read(path: &Path) -> Result<String> {
    let file = File::open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        bail!("it is a folder");
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    text(bytes)
}

/// The text in these bytes.
///
/// # Errors
/// They are too many, or no text.
pub fn text(bytes: Vec<u8>) -> Result<String> {
    if bytes.len() > MAX_BYTES {
        bail!("it is too long: at most {MAX_BYTES} bytes are read");
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        anyhow::anyhow!("line {line} is no text in UTF-8")
    })
}
