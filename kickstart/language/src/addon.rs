//! `%addon basalt`: how the host enrols at its endpoint. Its body has lines `key = value`, as
//! those of Anaconda's own addons have (`%addon com_redhat_oscap`), and a certificate in PEM may
//! stand in it:
//!
//! ```text
//! %addon basalt
//! endpoint = https://endpoint.example:8443
//! ca-sha256 = 2f0c…                  # or `ca = /path`, or the PEM itself
//! token-file = /run/install/token    # or `token = basalt1-secret.…`
//! label = rack=4
//! %end
//! ```
//!
//! `endpoint` and `label` may stand several times. `join-file` or `join` has a join string, which
//! says endpoint and CA, too. Paths are those of the installer.

use basalt_api::enrol::Left;
use basalt_api::validate::is_label;
use basalt_document::{is_like, nearest};

use crate::diagnostic::Log;
use crate::hide;
use crate::lex::{Hash, Word, words};
use crate::lines::Line;
use crate::model::{At, Authority, Basalt, Join, Kickstart};
use crate::read::Body;
use crate::secret::Secret;
use crate::source::Span;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";
const KEYS: [&str; 9] =
    ["endpoint", "ca", "ca-sha256", "join", "join-file", "token", "token-file", "label", "labels"];
const PUBLIC: [&str; 7] =
    ["endpoint", "ca", "ca-sha256", "join-file", "token-file", "label", "labels"];

/// What stands behind keys that are not public, nor meant as one that is.
pub(crate) fn secrets(body: &Body) -> Vec<Span> {
    let mut found = Vec::new();
    for (key, value) in body.lines.iter().filter_map(entry) {
        match is_public(&key.text) {
            true => found.extend(hide::user_of_url(&value)),
            false => found.push(value.span),
        }
    }
    found
}

/// Whether a key is known to be public, or is like one that is and like none that is secret.
fn is_public(key: &str) -> bool {
    let secret = KEYS.iter().filter(|known| !PUBLIC.contains(known));
    PUBLIC.contains(&key)
        || PUBLIC.iter().any(|known| is_like(key, known))
            && !secret.into_iter().any(|known| is_like(key, known))
}

/// Reads the section; `words` are those of its first line.
pub(crate) fn read(
    header_words: &[Word],
    header: Span,
    body: &Body,
    kickstart: &mut Kickstart,
    log: &mut Log,
) {
    let Some(name) = header_words.get(1) else {
        return log.error(header, "`%addon` needs a name", "`%addon basalt`");
    };
    match name.text.as_str() {
        "basalt" => (),
        "com_redhat_kdump" | "org_fedora_kdump" => {
            let message = "this addon has no effect: a panic is kept in the firmware's storage";
            return log.warning(header, message, "leave it away");
        }
        other => {
            let message = format!("there is no addon `{other}` here");
            return log.error(name.span, message, &nearest(other, &["basalt"]));
        }
    }
    if let Some(extra) = header_words.get(2) {
        log.error(extra.span, "this addon takes no options", "lines `key = value` say it");
    }
    if kickstart.basalt.is_some() {
        return log.error(
            header,
            "`%addon basalt` stands here for the second time",
            "write one of both",
        );
    }
    let mut addon = Addon { value: Basalt::default(), endpoint: None, log };
    addon.body(body);
    addon.check();
    kickstart.basalt = Some(At { value: addon.value, span: header });
}

/// `key = value`, without a comment behind it.
fn entry(line: &Line) -> Option<(Word, Word)> {
    let text = line.text();
    let at = text.find('=').filter(|_| !text.trim_start().starts_with(['#', '-']))?;
    let key = words(&line.part(0..at), Hash::BeginsComment).ok()?;
    let value = words(&line.part(at + 1..text.len()), Hash::BeginsComment).ok()?;
    match (key.as_slice(), value.as_slice()) {
        ([key], [value]) => Some((key.clone(), value.clone())),
        // With blanks in it, as `rack=4, room=b`: as it stands.
        ([key], [first, .., last]) => Some((key.clone(), line.word(first.span.to(last.span)))),
        _ => None,
    }
}

struct Addon<'a> {
    value: Basalt,
    /// The first one, also one that is no URL.
    endpoint: Option<Span>,
    log: &'a mut Log,
}

impl Addon<'_> {
    fn body(&mut self, body: &Body) {
        let mut pem: Option<(String, Span)> = None;
        for line in &body.lines {
            let text = line.text().trim();
            if text == BEGIN {
                pem = Some((String::new(), line.span()));
            }
            if let Some((block, span)) = &mut pem {
                block.push_str(text);
                block.push('\n');
                if text == END {
                    let (block, span) = (std::mem::take(block), *span);
                    pem = None;
                    self.authority(Authority::Pem(block), span);
                }
                continue;
            }
            if line.is_blank_or_comment() {
                continue;
            }
            match entry(line) {
                Some((key, value)) => self.entry(&key, &value, line.span()),
                None => self.log.error(line.span(), "this is no line of an addon", "`key = value`"),
            }
        }
        if let Some((_, span)) = pem {
            self.log.error(span, "the certificate does not end", END);
        }
    }

    fn entry(&mut self, key: &Word, value: &Word, line: Span) {
        match key.text.as_str() {
            "endpoint" => value.list().iter().for_each(|url| self.endpoint(url)),
            "ca" => {
                self.check_path(value);
                self.authority(Authority::File(value.text.clone()), line);
            }
            "ca-sha256" => self.fingerprint(value, line),
            "join" | "token" => self.inline(key, value, line),
            "join-file" => {
                self.check_path(value);
                self.join(Join::JoinFile(value.text.clone()), line);
            }
            "token-file" => {
                self.check_path(value);
                self.join(Join::TokenFile(value.text.clone()), line);
            }
            "label" | "labels" => value.list().iter().for_each(|label| self.label(label)),
            other => {
                let message = format!("unknown key `{other}`");
                self.log.error(key.span, message, &nearest(other, &KEYS));
            }
        }
    }

    fn endpoint(&mut self, url: &Word) {
        self.endpoint.get_or_insert(url.span);
        let host = url.text.strip_prefix("https://").unwrap_or_default();
        let is_good = |c: char| c.is_ascii_alphanumeric() || "-._~:/[]%".contains(c);
        if host.is_empty() || host.starts_with([':', '/']) || !host.chars().all(is_good) {
            let hint = "as `https://endpoint.example:8443`";
            return self.log.error(url.span, "this is no URL of an endpoint", hint);
        }
        self.value.endpoints.push(url.text.clone());
    }

    fn fingerprint(&mut self, value: &Word, line: Span) {
        let hex: String = value.text.to_lowercase().split(':').collect();
        if hex.len() != 64 || !hex.bytes().all(|c| c.is_ascii_hexdigit()) {
            let hint = "64 hex digits, as `ca.sha256` in the folder of the endpoint has them";
            return self.log.error(value.span, "this is no SHA-256 of a certificate", hint);
        }
        self.authority(Authority::Sha256(hex), line);
    }

    fn authority(&mut self, ca: Authority, line: Span) {
        if self.value.ca.is_some() {
            self.log.error(line, "the CA is said twice", "one of `ca`, `ca-sha256` and a PEM");
        }
        self.value.ca = Some(At { value: ca, span: line });
    }

    /// Quotes nothing of the value.
    fn inline(&mut self, key: &Word, value: &Word, line: Span) {
        let left = value.text.parse::<Left>();
        let fits = match (&left, key.text.as_str()) {
            (Ok(Left::Whole(_)), "join") | (Ok(Left::Secret(_)), "token") => true,
            (Ok(Left::Whole(_)), _) => {
                self.log.error(key.span, "this is a whole join string", "`join = …`");
                false
            }
            (Ok(Left::Secret(_)), _) => {
                self.log.error(key.span, "this is a secret alone", "`token = …`");
                false
            }
            (Err(error), _) => {
                self.log.error(value.span, error.to_string(), "`basaltctl token create` makes one");
                false
            }
        };
        if fits {
            let message = "the token stands in this file for whoever can read it";
            self.log.warning(value.span, message, "`token-file`, or a token with `--uses 1`");
        }
        self.join(Join::Inline(Secret::new(&value.text)), line);
    }

    fn join(&mut self, join: Join, line: Span) {
        if self.value.join.is_some() {
            let hint = "one of `join`, `join-file`, `token` and `token-file`";
            self.log.error(line, "the token is said twice", hint);
        }
        self.value.join = Some(At { value: join, span: line });
    }

    fn label(&mut self, label: &Word) {
        let (key, value) = label.text.split_once('=').unwrap_or((&label.text, ""));
        if !label.text.contains('=') || !is_label(key, value) {
            let hint = "as `rack=4`: letters, digits, `.`, `_`, `-`, `/`, at most 128";
            return self.log.error(label.span, "this is no label", hint);
        }
        if self.value.labels.insert(key.to_owned(), value.to_owned()).is_some() {
            self.log.error(
                label.span,
                format!("the label `{key}` is said twice"),
                "leave one away",
            );
        }
    }

    fn check_path(&mut self, path: &Word) {
        if !path.text.starts_with('/') {
            self.log.error(path.span, "this is no whole path", "as `/run/install/token`");
        }
    }

    /// Says what is missing, at the line that needs it.
    fn check(&mut self) {
        let Basalt { ca, join, .. } = &self.value;
        let is_whole = match join.as_deref() {
            Some(Join::JoinFile(_)) => true,
            Some(Join::Inline(secret)) => {
                matches!(secret.reveal().parse::<Left>(), Ok(Left::Whole(_)))
            }
            _ => false,
        };
        if is_whole {
            return;
        }
        let lines = [ca.as_ref().map(|ca| ca.span), join.as_ref().map(|join| join.span)];
        match (self.endpoint, lines.into_iter().flatten().min()) {
            (Some(endpoint), _) if ca.is_none() => {
                let hint =
                    "`ca-sha256 = …`, which the endpoint keeps in its `ca.sha256`, or `ca = FILE`";
                self.log.error(endpoint, "nothing says how the endpoint is known", hint);
            }
            (None, Some(line)) => {
                let hint = "`endpoint = https://…`";
                self.log.error(line, "nothing says where the endpoint is", hint);
            }
            _ => (),
        }
    }
}
