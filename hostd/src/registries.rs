//! Registries that need something said about them: `[registries."HOST:PORT"]` in `hostd.toml`.
//!
//! Others are asked without credentials and trusted as the system trusts. Passwords stay in files
//! of the operator's and are read when they are used.

mod trust;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use basalt_document::{Mistake, Source};
use serde::Deserialize;
use toml::Spanned;

pub use trust::trust;

/// Bytes that a file with a password or a certificate may have.
const MAX_FILE: u64 = 256 << 10;

/// What is known of registries, by `HOST` or `HOST:PORT`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registries(BTreeMap<String, Registry>);

/// What is known of one registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registry {
    /// A file of certificates in PEM that its own must lead to; the system's where there is none.
    pub ca: Option<PathBuf>,
    /// Who we are there.
    pub login: Option<Login>,
}

/// Who we are at a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub username: String,
    /// The file with the password; a newline at its end is not part of it.
    pub password_file: PathBuf,
}

/// A file that the configuration names and that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}`, which `[registries]` names, {what}")]
pub struct FileError {
    path: String,
    what: String,
}

/// The table as a person writes it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Written(BTreeMap<Spanned<String>, WrittenRegistry>);

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRegistry {
    ca: Option<Spanned<PathBuf>>,
    username: Option<Spanned<String>>,
    password_file: Option<Spanned<PathBuf>>,
}

impl Written {
    /// Everything that is wrong with it.
    #[must_use]
    pub fn mistakes(&self, source: Source<'_>) -> Vec<Mistake> {
        let mut found = Vec::new();
        for (host, registry) in &self.0 {
            let mut add = |span, message: &str, hint: &str| {
                found.push(source.mistake(span, message, hint));
            };
            if !is_host(host.get_ref()) {
                let hint = "as `registry.example` or `registry.example:5000`, without `https://`";
                add(host.span(), "this is not the name of a registry", hint);
            }
            let paths = [&registry.ca, &registry.password_file];
            for path in paths.into_iter().flatten().filter(|path| !path.get_ref().is_absolute()) {
                add(path.span(), "this is no absolute path", "");
            }
            match (&registry.username, &registry.password_file) {
                (Some(name), None) => {
                    add(name.span(), "a user has a password", "`password_file` names its file");
                }
                (None, Some(file)) => {
                    add(file.span(), "the password of whom?", "`username` says it");
                }
                _ => (),
            }
        }
        found
    }
}

impl Registries {
    /// Takes what was written, in place of what was there for the same registry.
    pub fn lay_over(&mut self, written: Written) {
        self.0.extend(written.0.into_iter().map(|(host, registry)| {
            let file = registry.password_file.map(Spanned::into_inner);
            let login = registry.username.map(Spanned::into_inner).zip(file);
            let login = login.map(|(username, password_file)| Login { username, password_file });
            (host.into_inner(), Registry { ca: registry.ca.map(Spanned::into_inner), login })
        }));
    }

    /// What is known of the registry with this name.
    #[must_use]
    pub fn get(&self, host: &str) -> Option<&Registry> {
        self.0.get(host)
    }

    /// Says something about a registry, in place of what was said.
    pub fn insert(&mut self, host: &str, registry: Registry) {
        self.0.insert(host.to_owned(), registry);
    }

    /// Registries and the files of the certificates that theirs must lead to.
    fn certificates(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.0.iter().filter_map(|(host, registry)| Some((host.as_str(), registry.ca.as_deref()?)))
    }
}

impl Login {
    /// The password, as it stands in its file.
    ///
    /// # Errors
    /// The file cannot be read, or holds no password.
    pub fn password(&self) -> Result<String, FileError> {
        let error = |what: &str| FileError::new(&self.password_file, what);
        let bytes = read(&self.password_file)?;
        let text = String::from_utf8(bytes).map_err(|_| error("is no text"))?;
        let password = text.strip_suffix('\n').unwrap_or(&text);
        if password.is_empty() { Err(error("is empty")) } else { Ok(password.to_owned()) }
    }
}

impl FileError {
    fn new(path: &Path, what: impl Into<String>) -> Self {
        Self { path: path.display().to_string(), what: what.into() }
    }
}

/// The whole of a small file.
fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    let file = File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes));
    match file {
        Ok(length) if length as u64 > MAX_FILE => {
            Err(FileError::new(path, format!("has over {MAX_FILE} bytes")))
        }
        Ok(_) => Ok(bytes),
        Err(error) => Err(FileError::new(path, format!("cannot be read: {error}"))),
    }
}

/// Whether it is what stands before the first slash of an image (distribution/reference), and so a
/// name that is safe in a path.
fn is_host(text: &str) -> bool {
    let is_good = |c: u8| c.is_ascii_alphanumeric() || b".-".contains(&c);
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    };
    (1..=253).contains(&name.len())
        && name.bytes().all(is_good)
        && name.bytes().next().is_some_and(|c| c.is_ascii_alphanumeric())
        && !name.contains("..")
        && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Document {
        registries: Written,
    }

    fn parse(text: &str) -> Result<Registries, String> {
        let source = Source { name: "hostd.toml", text };
        let document: Document =
            basalt_document::parse_toml(source.name, text).map_err(|error| error.to_string())?;
        let mistakes = document.registries.mistakes(source);
        if let Some(mistake) = mistakes.first() {
            return Err(mistake.to_string());
        }
        let mut registries = Registries::default();
        registries.lay_over(document.registries);
        Ok(registries)
    }

    fn check(text: &str, expected: &str) {
        let error = parse(text).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn a_registry_has_a_certificate_and_a_login() {
        let registries = parse(
            "[registries.\"r.example:5000\"]\nca = \"/etc/ca.pem\"\nusername = \"u\"\n\
             password_file = \"/etc/password\"\n[registries.\"docker.io\"]\n",
        );
        let registries = registries.unwrap();
        let registry = registries.get("r.example:5000").unwrap();
        assert_eq!(registry.ca.as_deref(), Some(Path::new("/etc/ca.pem")));
        assert_eq!(registry.login.as_ref().unwrap().username, "u");
        assert_eq!(registries.get("docker.io"), Some(&Registry::default()));
        assert_eq!(registries.get("r.example"), None);
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        check("[registries.\"https://r\"]", "hostd.toml:1:13: this is not the name of a registry");
        check("[registries.\"..\"]", "not the name of a registry");
        check("[registries.\"r:0\"]", "not the name of a registry");
        check("[registries.r]\nca = \"ca.pem\"", "hostd.toml:2:6: this is no absolute path");
        check("[registries.r]\nusername = \"u\"", "a user has a password");
        check("[registries.r]\npassword_file = \"/p\"", "the password of whom?");
        check("[registries.r]\npassword = \"x\"", "password_file");
    }

    #[test]
    fn a_password_is_what_stands_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let login =
            Login { username: "u".to_owned(), password_file: folder.path().join("password") };
        assert!(login.password().unwrap_err().to_string().contains("cannot be read"));
        for (text, expected) in [("a b\n", Some("a b")), ("a", Some("a")), ("\n", None)] {
            std::fs::write(&login.password_file, text).unwrap();
            assert_eq!(login.password().ok().as_deref(), expected);
        }
    }
}
