//! The reference of an image, taken apart as engines do it (distribution/reference). Pure.

/// The registry that a name without one means.
const DEFAULT_REGISTRY: &str = "docker.io";

/// Which image, said in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    /// `HOST` or `HOST:PORT`.
    pub(super) registry: String,
    /// Below the registry, as `library/web`.
    pub(super) repository: String,
    /// A tag, or a digest with its algorithm.
    pub(super) version: Version,
}

/// Which version of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Version {
    Tag(String),
    Digest(String),
}

impl Reference {
    /// Takes a text apart that `basalt_api::validate` let pass. A digest wins over a tag.
    pub(super) fn parse(text: &str) -> Self {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        // A colon after the last slash begins a tag; one before it belongs to a port.
        let (name, tag) = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (name, None),
        };
        let (registry, repository) = split_registry(name);
        let version = match (digest, tag) {
            (Some(digest), _) => Version::Digest(digest.to_owned()),
            (None, tag) => Version::Tag(tag.unwrap_or("latest").to_owned()),
        };
        Self { registry, repository, version }
    }

    /// Without the version.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// As engines understand it, whatever they take for a short name.
    pub(super) fn full(&self) -> String {
        match &self.version {
            Version::Tag(tag) => format!("{}:{tag}", self.name()),
            Version::Digest(digest) => format!("{}@{digest}", self.name()),
        }
    }

    /// The version as an engine's `tag` parameter, which takes digests too.
    pub(super) fn tag(&self) -> &str {
        let (Version::Tag(version) | Version::Digest(version)) = &self.version;
        version
    }

    /// Under which name its registry keeps accounts.
    pub(super) fn account(&self) -> String {
        match self.registry.as_str() {
            DEFAULT_REGISTRY => "https://index.docker.io/v1/".to_owned(),
            other => other.to_owned(),
        }
    }
}

fn split_registry(name: &str) -> (String, String) {
    let is_host = |part: &str| part.contains(['.', ':']) || part == "localhost";
    let (registry, repository) = match name.split_once('/') {
        Some((first, rest)) if is_host(first) => (first, rest),
        _ => (DEFAULT_REGISTRY, name),
    };
    let registry = if registry == "index.docker.io" { DEFAULT_REGISTRY } else { registry };
    if registry == DEFAULT_REGISTRY && !repository.contains('/') {
        return (registry.to_owned(), format!("library/{repository}"));
    }
    (registry.to_owned(), repository.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, registry: &str, full: &str) {
        let reference = Reference::parse(text);
        assert_eq!((reference.registry.as_str(), reference.full().as_str()), (registry, full));
    }

    #[test]
    fn short_names_are_those_of_docker() {
        check("web", "docker.io", "docker.io/library/web:latest");
        check("web:3", "docker.io", "docker.io/library/web:3");
        check("shop/web", "docker.io", "docker.io/shop/web:latest");
        check("index.docker.io/web", "docker.io", "docker.io/library/web:latest");
    }

    #[test]
    fn a_port_is_no_tag() {
        check("r.example:5000/shop/web", "r.example:5000", "r.example:5000/shop/web:latest");
        check("r.example:5000/web:3", "r.example:5000", "r.example:5000/web:3");
        check("localhost/web", "localhost", "localhost/web:latest");
    }

    #[test]
    fn a_digest_wins_over_a_tag() {
        let digest = format!("sha256:{}", "0".repeat(64));
        check(&format!("r.e/a:1@{digest}"), "r.e", &format!("r.e/a@{digest}"));
    }

    #[test]
    fn fuzz_reference_of_an_image() {
        let seeds = ["r.example:5000/shop/web:3", "web@sha256:00", "localhost/a:b@c", "a/b/c"];
        basalt_fuzz::run_on_text!(&seeds, |text| {
            let reference = Reference::parse(text);
            (Reference::parse(&reference.full()), reference.account(), reference.tag().len())
        });
    }
}
