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
    use super::shown;

    #[test]
    fn what_may_be_secret_is_left_out() {
        let plain = "https://images.example:8443/a/b.qcow2";
        assert_eq!(shown(plain), plain);
        assert_eq!(shown("http://me:pw@images.example/a?token=x#y"), "http://images.example/a");
        assert_eq!(shown("http://a@b@c?x"), "http://c");
    }
}
