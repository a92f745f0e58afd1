//! `host.toml`: what somebody who writes a stick tells one host. Whoever writes it and the host that
//! takes it read it by the same rules.
//!
//! Pure: the caller has the bytes.

use basalt_document::{DocumentError, MAX_BYTES, Mistake, Source, parse_toml};
use serde::Deserialize;
use toml::Spanned;

/// Kinds of keys that sshd of this release takes (sshd(8), AUTHORIZED_KEYS FILE FORMAT).
const KEY_KINDS: [&str; 7] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// The document.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostToml {
    hostname: Option<Spanned<String>>,
    #[serde(default)]
    ssh: Ssh,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ssh {
    #[serde(default)]
    authorized_keys: Vec<Spanned<String>>,
}

impl HostToml {
    /// Reads and checks it. `name` is the file as the person named it.
    ///
    /// # Errors
    /// All mistakes in it.
    pub fn parse(name: &str, text: &str) -> Result<Self, DocumentError> {
        let host: Self = parse_toml(name, text)?;
        let mistakes = host.mistakes(Source { name, text });
        if mistakes.is_empty() { Ok(host) } else { Err(DocumentError { mistakes }) }
    }

    /// The host's name, where it says one.
    #[must_use]
    pub fn hostname(&self) -> Option<&str> {
        self.hostname.as_ref().map(|name| name.get_ref().as_str())
    }

    /// Lines of root's `authorized_keys`.
    #[must_use]
    pub fn authorized_keys(&self) -> Vec<&str> {
        self.ssh.authorized_keys.iter().map(|key| key.get_ref().trim()).collect()
    }

    fn mistakes(&self, source: Source<'_>) -> Vec<Mistake> {
        let mut found = Vec::new();
        if let Some(name) = self.hostname.as_ref().filter(|name| !is_hostname(name.get_ref())) {
            let hint =
                "labels of letters, digits and dashes with dots between, at most 64 characters";
            found.push(source.mistake(name.span(), "this is not a host's name", hint));
        }
        for key in self.ssh.authorized_keys.iter().filter(|key| !is_key(key.get_ref())) {
            let hint = "it is one line of a `.pub` file, as `ssh-ed25519 AAAA… name`";
            found.push(source.mistake(key.span(), "this is not a public key of SSH", hint));
        }
        found
    }
}

/// The text in the bytes of such a file, without the byte order mark that Notepad begins one with.
///
/// # Errors
/// There are too many, or they are no UTF-8.
pub fn text(name: &str, bytes: Vec<u8>) -> Result<String, DocumentError> {
    let mistake =
        |message: String| Mistake { name: name.to_owned(), place: None, message, hint: None };
    if bytes.len() > MAX_BYTES {
        return Err(mistake(format!("it is too long; at most {MAX_BYTES} bytes are read")).into());
    }
    let text = String::from_utf8(bytes);
    let text = text.map_err(|error| mistake(format!("it is no UTF-8 text: {error}")))?;
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}

/// Whether the kernel and a resolver take it (hostname(7)).
#[must_use]
pub fn is_hostname(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    name.len() <= 64 && name.split('.').all(is_label)
}

/// Whether it is one line with a kind and a key in base64. Options before it are not taken.
#[must_use]
pub fn is_key(key: &str) -> bool {
    let mut words = key.split_ascii_whitespace();
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    let kind = words.next().is_some_and(|kind| KEY_KINDS.contains(&kind));
    let body =
        words.next().is_some_and(|body| body.starts_with("AAAA") && body.chars().all(is_base64));
    kind && body && !key.trim().contains(|c: char| c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let error = HostToml::parse("host.toml", text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn a_secret_key_is_no_public_one() {
        let text = "[ssh]\nauthorized_keys = [\"-----BEGIN OPENSSH PRIVATE KEY-----\"]";
        check(text, "host.toml:2:20: this is not a public key");
    }

    #[test]
    fn a_key_cannot_bring_a_second_line() {
        let text = "[ssh]\nauthorized_keys = [\"ssh-rsa AAAA x\\nssh-rsa AAAA y\"]";
        check(text, "this is not a public key");
    }

    #[test]
    fn what_no_resolver_takes_is_no_hostname() {
        for name in ["", "a b", "-a", "a..b", "rack_4"] {
            check(&format!("hostname = \"{name}\""), "this is not a host's name");
        }
        assert!(HostToml::parse("host.toml", "hostname = \"rack4-17.example.org\"").is_ok());
    }

    #[test]
    fn what_is_no_text_says_so_and_a_byte_order_mark_is_no_mistake() {
        assert_eq!(text("a", b"\xef\xbb\xbfhostname".to_vec()).unwrap(), "hostname");
        let said = |bytes| text("a", bytes).unwrap_err().to_string();
        assert!(said(vec![0xff]).starts_with("a: it is no UTF-8 text"), "{}", said(vec![0xff]));
        assert!(said(vec![b' '; MAX_BYTES + 1]).contains("too long"));
    }

    #[test]
    fn fuzz_host_toml() {
        let seed =
            "hostname = \"rack4-17\"\n[ssh]\nauthorized_keys = [\"ssh-ed25519 AAAAC3 a@b\"]\n";
        basalt_fuzz::run_on_text!(&[seed], |text| {
            HostToml::parse("host.toml", text).map_err(|error| error.to_string())
        });
    }
}
