//! What `host.toml` may say.

use basalt_document::{DocumentError, Mistake, Source, parse_toml};
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
pub(super) struct HostToml {
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
    /// Reads and checks it.
    pub(super) fn parse(name: &str, text: &str) -> Result<Self, DocumentError> {
        let host: Self = parse_toml(name, text)?;
        let mistakes = host.mistakes(Source { name, text });
        if mistakes.is_empty() { Ok(host) } else { Err(DocumentError { mistakes }) }
    }

    pub(super) fn hostname(&self) -> Option<&str> {
        self.hostname.as_ref().map(|name| name.get_ref().as_str())
    }

    pub(super) fn authorized_keys(&self) -> Vec<&str> {
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

/// Whether the kernel and a resolver take it (hostname(7)).
fn is_hostname(name: &str) -> bool {
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
fn is_key(key: &str) -> bool {
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
    fn fuzz_host_toml() {
        let seed =
            "hostname = \"rack4-17\"\n[ssh]\nauthorized_keys = [\"ssh-ed25519 AAAAC3 a@b\"]\n";
        basalt_fuzz::run_on_text!(&[seed], |text| {
            HostToml::parse("host.toml", text).map_err(|error| error.to_string())
        });
    }
}
