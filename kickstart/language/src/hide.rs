//! Finds what is secret in a line, so that no error shows it: better too much than too little.

use basalt_document::is_like;

use crate::lex::Word;
use crate::lines::Line;
use crate::source::Span;

/// Options whose values are secret.
const SECRET: [&str; 8] = [
    "--password",
    "--passphrase",
    "--md5pass",
    "--wepkey",
    "--wpakey",
    "--reverse-password",
    "--activation-key",
    "--token",
];
/// Options of commands that are about passwords, which are not.
const PUBLIC: [&str; 2] = ["--username", "--name"];
/// Options that are called as if theirs were, and only say how a password is kept.
const OF_A_KIND: [&str; 2] = ["--passalgo", "--backuppassphrase"];

/// What is secret among the words of a command.
pub(crate) fn secrets(words: &[Word]) -> Vec<Span> {
    let Some((command, rest)) = words.split_first() else { return Vec::new() };
    let of_passwords = is_about_passwords(&command.text);
    let mut found = Vec::new();
    let mut next_is_secret = false;
    for word in rest {
        let is_option = word.text.starts_with("--");
        let cut = word.text.find('=').filter(|_| is_option);
        let name = &word.text[..cut.unwrap_or(word.text.len())];
        let is_secret = is_option && is_secret_option(name)
            || of_passwords && is_option && !PUBLIC.contains(&name);
        match cut {
            Some(at) if is_secret => found.push(word.part(at + 1..word.text.len()).span),
            None if !is_option && (next_is_secret || of_passwords) => found.push(word.span),
            _ => found.extend(user_of_url(word)),
        }
        if word.text.contains("basalt.join") {
            found.push(word.span);
        }
        next_is_secret = is_secret && cut.is_none();
    }
    found
}

/// What is secret in a line that is no words.
pub(crate) fn secrets_of_line(line: &Line) -> Option<Span> {
    let text = line.text();
    let lower = text.to_lowercase();
    let is_secret = ["pass", "pw", "key", "token"].iter().any(|word| lower.contains(word));
    let name = text.trim_start();
    let start = text.len() - name.len() + name.find(char::is_whitespace)?;
    is_secret.then(|| line.span_of(start + 1..text.len()))
}

fn is_about_passwords(command: &str) -> bool {
    command.contains("pw") || command.contains("pass")
}

/// Also beginnings of their names, and what is only nearly one.
fn is_secret_option(name: &str) -> bool {
    if OF_A_KIND.contains(&name) {
        return false;
    }
    let bare = name.trim_start_matches('-');
    let is_nearly = |known: &str| {
        name.len() > 2 && known.starts_with(name) || is_like(bare, known.trim_start_matches('-'))
    };
    name.contains("pass") || SECRET.iter().any(|known| is_nearly(known))
}

/// The `user:password` of a URL.
pub(crate) fn user_of_url(word: &Word) -> Option<Span> {
    let start = word.text.find("://")? + 3;
    let authority = word.text[start..].split(['/', '?', '#']).next()?;
    let at = authority.rfind('@')?;
    Some(word.part(start..start + at).span)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lex::{Hash, words};

    fn check(text: &str, expected: &[&str]) {
        let words = words(&Line::of_text(text), Hash::BeginsComment).unwrap();
        let found: Vec<_> = secrets(&words).iter().map(|at| &text[at.start..at.end]).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn what_is_secret_is_found_also_where_it_is_misspelt() {
        check("rootpw --plaintext hunter2", &["hunter2"]);
        check("rootpw --plaintex=hunter2 more", &["hunter2", "more"]);
        check("rootpasswd hunter2", &["hunter2"]);
        check("sshpw --username=root 'a b'", &["'a b'"]);
        check("user --name=a --password=hunter2", &["hunter2"]);
        check("user --name=a --passwd hunter2", &["hunter2"]);
        check("user --name=a --pa hunter2 --lock", &["hunter2"]);
        check("user --name=a --pasword=hunter2", &["hunter2"]);
        check("part / --size=1 --passphrase='a b'", &["a b"]);
        check("network --wpakey=hunter2 --device=x", &["hunter2"]);
        check("url --url=https://me:hunter2@x/y", &["me:hunter2"]);
        check("timezone UTC --utc", &[]);
        check("auth --passalgo=sha512 --enableshadow", &[]);
        check("auth --passalog=hunter2", &["hunter2"]);
        check("logging --host=a --port=b", &[]);
        check("part / --size=1 --ondisk=a --label b --fstype=c", &[]);
        check("network --device=a --gateway=b --netmask c --activate", &[]);
        check("user --name=a --plaintext --gecos=b", &[]);
    }

    #[test]
    fn a_line_that_is_no_words_shows_no_password() {
        let line = Line::of_text("rootpw don't");
        let at = secrets_of_line(&line).unwrap();
        assert_eq!(&line.text()[at.start..at.end], "don't");
    }
}
