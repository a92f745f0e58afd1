//! Where an archive lies: in a folder here, or on another machine.

use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use url::Url;

/// What `--to` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A folder of this machine.
    Folder(PathBuf),
    /// A folder of another one.
    Remote(Remote),
}

/// An archive on another machine, as rsync reaches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// As it was typed.
    pub url: String,
    /// As rsync writes it, with a slash at its end.
    pub(super) place: String,
    /// Of its ssh server, where it is not 22 or what ssh's own configuration says.
    pub(super) port: Option<u16>,
    /// Whether ssh leads there.
    pub(super) is_ssh: bool,
}

/// Why a text is no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no place for an archive: {why}\nhint: a folder, `ssh://USER@HOST/FOLDER` or \
         `rsync://HOST/MODULE/FOLDER`"
)]
pub struct NoTarget {
    text: String,
    why: &'static str,
}

impl FromStr for Target {
    type Err = NoTarget;

    fn from_str(text: &str) -> Result<Self, NoTarget> {
        let no = |why| NoTarget { text: without_password(text), why };
        let Some((scheme, _)) = text.split_once("://") else {
            return if text.is_empty() {
                Err(no("it is empty"))
            } else {
                Ok(Self::Folder(text.into()))
            };
        };
        if !matches!(scheme, "ssh" | "rsync" | "file") {
            return Err(no("nothing is known of such addresses"));
        }
        let url = Url::parse(text).map_err(|_| no("it is no URL"))?;
        if url.password().is_some() {
            return Err(no("others of this machine would see its password"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(no("it has more than a host and a folder"));
        }
        let path = percent_decode_str(url.path()).decode_utf8();
        let path = path.map_err(|_| no("its folder is no text"))?;
        if scheme == "file" {
            return Ok(Self::Folder(path.into_owned().into()));
        }
        remote(&url, text, &path).map(Self::Remote).map_err(no)
    }
}

fn remote(url: &Url, text: &str, path: &str) -> Result<Remote, &'static str> {
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or("it names no host")?;
    let folder = path.trim_matches('/');
    if folder.is_empty() {
        return Err("it names no folder");
    }
    // ssh and rsync take a word that begins so for a flag.
    let is_plain = |word: &str| {
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte);
        !word.starts_with('-') && word.bytes().all(is_good)
    };
    if !is_plain(host) || !is_plain(url.username()) {
        return Err("its host or user has characters that none has");
    }
    if path.chars().any(char::is_control) {
        return Err("its folder has characters that no folder should have");
    }
    let user =
        if url.username().is_empty() { String::new() } else { format!("{}@", url.username()) };
    let is_ssh = url.scheme() == "ssh";
    let place = if is_ssh {
        format!("{user}{host}:/{folder}/")
    } else {
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("rsync://{user}{host}{port}/{folder}/")
    };
    let port = url.port().filter(|_| is_ssh);
    Ok(Remote { url: text.to_owned(), place, port, is_ssh })
}

/// For a message: what stands between the user's colon and the host.
fn without_password(text: &str) -> String {
    match Url::parse(text) {
        Ok(mut url) if url.password().is_some() => {
            // It has a password, so that it can have another one.
            let _ = url.set_password(Some("***"));
            url.to_string()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(text: &str) -> (String, Option<u16>) {
        match text.parse() {
            Ok(Target::Remote(remote)) => (remote.place, remote.port),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_folder_is_a_folder_and_a_url_leads_to_another_machine() {
        assert_eq!("site".parse(), Ok(Target::Folder("site".into())));
        assert_eq!("a b/c:d".parse(), Ok(Target::Folder("a b/c:d".into())));
        assert_eq!("file:///srv/my%20site".parse(), Ok(Target::Folder("/srv/my site".into())));
        assert_eq!(remote("ssh://web/srv/site"), ("web:/srv/site/".to_owned(), None));
        assert_eq!(
            remote("ssh://ann@web.example:2222/srv/site/"),
            ("ann@web.example:/srv/site/".to_owned(), Some(2222))
        );
        assert_eq!(remote("ssh://[::1]/srv"), ("[::1]:/srv/".to_owned(), None));
        assert_eq!(remote("ssh://web/a%20b"), ("web:/a b/".to_owned(), None));
        assert_eq!(
            remote("rsync://web:8873/module/site"),
            ("rsync://web:8873/module/site/".to_owned(), None)
        );
    }

    #[test]
    fn what_is_no_place_says_which_there_are() {
        let cases = [
            ("", "it is empty"),
            ("s3://bucket/site", "nothing is known of such addresses"),
            ("https://web/site", "nothing is known of such addresses"),
            ("ssh://web", "it names no folder"),
            ("ssh:///srv", "it names no host"),
            ("rsync://web/", "it names no folder"),
            ("ssh://-oProxyCommand=x/srv", "its host or user has characters that none has"),
            ("ssh://-x@web/srv", "its host or user has characters that none has"),
            ("ssh://web/a%0Ab", "its folder has characters that no folder should have"),
            ("ssh://web/a%ff", "its folder is no text"),
            ("ssh://web/a?b", "it has more than a host and a folder"),
        ];
        for (text, why) in cases {
            let said = text.parse::<Target>().unwrap_err();
            assert!(said.to_string().contains(why), "{text}: {said}");
            assert!(said.to_string().contains("hint: "), "{said}");
        }
        let said = "ssh://ann:s3cret@web/srv".parse::<Target>().unwrap_err().to_string();
        assert!(said.contains("password") && !said.contains("s3cret"), "{said}");
    }

    #[test]
    fn fuzz_target_of_a_publication() {
        let seeds = &["ssh://ann@web:22/srv/a%20b", "rsync://[::1]:873/m/x", "file:///a", "a/b"];
        basalt_fuzz::run_on_text!(seeds, |text| match text.parse::<Target>() {
            Ok(Target::Remote(remote)) => assert!(!remote.place.starts_with('-')),
            Ok(Target::Folder(_)) | Err(_) => (),
        });
    }
}
