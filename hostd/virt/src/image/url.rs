//! A URL as it may be shown. Pure.

/// The URL without what may be secret: user, password, query.
pub(super) fn shown(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let url = &url[..end];
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use ureq::http::Uri;

    use super::shown;

    #[test]
    fn what_may_be_secret_is_left_out() {
        let plain = "https://images.example:8443/a/b.qcow2";
        assert_eq!(shown(plain), plain);
        assert_eq!(shown("http://me:pw@images.example/a?token=x#y"), "http://images.example/a");
        assert_eq!(shown("http://a@b@c?x"), "http://c");
    }

    #[test]
    fn fuzz_url_that_is_shown() {
        let seeds =
            &["https://images.example:8443/a/b.qcow2", "http://me:pw@images.example/a?token=x#y"];
        basalt_fuzz::run_on_text!(seeds, |text| {
            let shown = shown(text);
            assert!(!shown.contains(['?', '#']), "{shown}");
            let Ok(uri) = text.parse::<Uri>() else { return };
            let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else { return };
            let whole = shown.to_ascii_lowercase();
            let begins = format!("{scheme}://{host}").to_ascii_lowercase();
            assert!(whole.starts_with(&begins), "{whole} shows more than {begins}");
        });
    }
}
