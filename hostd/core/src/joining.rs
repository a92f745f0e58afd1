//! How what was left on a host for its enrolment and what its kernel arguments say become one join
//! string. Kernel arguments are the same for many hosts, as PXE gives them; the secret is not, and
//! never comes that way.

use basalt_api::enrol::{JoinString, Left};

/// The kernel argument with a URL of the endpoint; may be repeated.
const URL: &str = "basalt.endpoint";
/// The one with the SHA-256 of the CA's certificate.
const CA: &str = "basalt.ca";

/// What kernel arguments say of the endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// Its URLs, in their order.
    pub urls: Vec<String>,
    /// SHA-256 of its CA's certificate, in hex.
    pub ca_sha256: Option<String>,
}

/// Reads them.
///
/// # Errors
/// One of them is no URL or hash, or two hashes are there; a sentence for a person.
pub fn named(cmdline: &str) -> Result<Named, String> {
    let mut named = Named::default();
    for word in cmdline.split_ascii_whitespace() {
        match word.trim_matches('"').split_once('=') {
            Some((URL, url)) => named.urls.push(url_of(url.trim_matches('"'))?),
            Some((CA, ca)) => {
                let ca = hash_of(ca.trim_matches('"'))?;
                let before = named.ca_sha256.replace(ca.clone());
                if let Some(before) = before.filter(|before| *before != ca) {
                    return Err(format!(
                        "the kernel arguments have both `{CA}={before}` and `{CA}={ca}`"
                    ));
                }
            }
            _ => (),
        }
    }
    Ok(named)
}

fn url_of(text: &str) -> Result<String, String> {
    let is_url = text
        .strip_prefix("https://")
        .is_some_and(|rest| !rest.starts_with(['/', ':']) && !rest.is_empty());
    // Everybody on the host reads it: the name and password that a URL can hold are none's here.
    if is_url && !text.contains('@') {
        return Ok(text.to_owned());
    }
    Err(format!("the kernel argument `{URL}` is no `https://HOST:PORT`"))
}

fn hash_of(text: &str) -> Result<String, String> {
    let is_hash = text.len() == 64 && text.bytes().all(|c| c.is_ascii_hexdigit());
    let hash = is_hash.then(|| text.to_ascii_lowercase());
    hash.ok_or_else(|| format!("the kernel argument `{CA}={text}` is no SHA-256 of 64 hex digits"))
}

/// What a host needs to enrol. `configured` are the URLs of its own configuration, which go before
/// all others.
///
/// # Errors
/// The kernel arguments name another CA than the join string, or a secret alone is there and they
/// do not say where to go; a sentence for a person, without the secret.
pub fn join(left: Left, named: Named, configured: &[String]) -> Result<JoinString, String> {
    let secret = match left {
        Left::Whole(join) => return with(join, named),
        Left::Secret(secret) => secret,
    };
    let Some(ca_sha256) = named.ca_sha256 else {
        return Err(alone(CA, "the SHA-256 of the endpoint's CA"));
    };
    let urls = if named.urls.is_empty() { configured.to_vec() } else { named.urls };
    if urls.is_empty() {
        return Err(alone(URL, "where the endpoint is"));
    }
    Ok(JoinString { urls, ca_sha256, secret })
}

fn alone(argument: &str, what: &str) -> String {
    format!("there is a secret alone, and no kernel argument `{argument}=` that says {what}")
}

/// A join string knows its endpoint: nobody leads its host elsewhere, and more ways to the same one
/// come after its own.
fn with(join: JoinString, named: Named) -> Result<JoinString, String> {
    let own = join.ca_sha256.to_ascii_lowercase();
    if let Some(other) = named.ca_sha256.filter(|other| *other != own) {
        return Err(format!(
            "the join string names the CA {own}, and the kernel argument `{CA}=` names {other}: \
             neither is taken"
        ));
    }
    let mut urls = join.urls;
    for url in named.urls {
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
    Ok(JoinString { urls, ..join })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "https://one:8443";
    const OTHER: &str = "https://[2001:db8::1]:8443";

    fn ca(digit: &str) -> String {
        digit.repeat(64)
    }

    fn check(cmdline: &str, expected: Result<(&[&str], Option<String>), &str>) {
        let found = named(cmdline);
        let expected = expected.map(|(urls, ca_sha256)| Named {
            urls: urls.iter().map(|url| (*url).to_owned()).collect(),
            ca_sha256,
        });
        assert_eq!(found, expected.map_err(str::to_owned), "{cmdline}");
    }

    #[test]
    fn kernel_arguments_say_where_the_endpoint_is() {
        check("quiet ostree basalt.endpoints=x my.basalt.ca=y basalt.ca", Ok((&[], None)));
        let text = format!(
            "quiet basalt.endpoint={ONE} basalt.ca={} \"basalt.endpoint={OTHER}\" basalt.ca={}\n",
            ca("A"),
            ca("a")
        );
        check(&text, Ok((&[ONE, OTHER], Some(ca("a")))));
    }

    #[test]
    fn what_is_no_url_or_hash_is_told() {
        let no_url = "the kernel argument `basalt.endpoint` is no `https://HOST:PORT`";
        for url in ["http://one", "https://", "https://:1", "one:8443", "", "https://me:canary@one"]
        {
            check(&format!("basalt.endpoint={url}"), Err(no_url));
        }
        check(
            "basalt.ca=12",
            Err("the kernel argument `basalt.ca=12` is no SHA-256 of 64 hex digits"),
        );
        let both = format!(
            "the kernel arguments have both `basalt.ca={}` and `basalt.ca={}`",
            ca("1"),
            ca("2")
        );
        check(&format!("basalt.ca={} basalt.ca={}", ca("1"), ca("2")), Err(&both));
    }

    fn named_one(digit: Option<&str>, urls: &[&str]) -> Named {
        let urls = urls.iter().map(|url| (*url).to_owned()).collect();
        Named { urls, ca_sha256: digit.map(ca) }
    }

    fn whole() -> JoinString {
        JoinString { urls: vec![ONE.to_owned()], ca_sha256: ca("b"), secret: "canary".to_owned() }
    }

    #[test]
    fn a_secret_alone_goes_where_the_kernel_arguments_say() {
        let secret = || Left::Secret("canary".to_owned());
        let joined = join(secret(), named_one(Some("b"), &[ONE]), &[]);
        assert_eq!(joined, Ok(whole()));
        assert_eq!(join(secret(), named_one(Some("b"), &[]), &[ONE.to_owned()]), Ok(whole()));
        for (named, argument) in [
            (named_one(None, &[ONE]), "`basalt.ca=`"),
            (named_one(Some("b"), &[]), "`basalt.endpoint=`"),
        ] {
            let told = join(secret(), named, &[]).unwrap_err();
            assert!(told.contains(argument) && !told.contains("canary"), "{told}");
        }
    }

    #[test]
    fn no_kernel_argument_leads_a_join_string_to_another_ca() {
        let join = |named| join(Left::Whole(whole()), named, &[]);
        assert_eq!(join(Named::default()), Ok(whole()));
        assert_eq!(join(named_one(Some("b"), &[ONE])), Ok(whole()));
        let told = join(named_one(Some("c"), &[OTHER])).unwrap_err();
        assert!(told.contains(&ca("b")) && told.contains(&ca("c")), "{told}");
        assert!(!told.contains("canary"), "{told}");
        let urls = join(named_one(None, &[OTHER, ONE])).unwrap().urls;
        assert_eq!(urls, [ONE, OTHER]);
    }
}
