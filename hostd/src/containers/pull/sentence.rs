//! What an engine says about a fetch that failed, as one sentence that a person understands. Pure.
//!
//! Engines wrap the cause in their own words and a registry's; we look for the words of the cause.

mod names;

use std::time::Duration;

use super::super::client::shown;
use super::super::image::Reference;
use crate::runtime::{Failure, RuntimeError};

/// Words of a cause, and what it means. The first row with a word that is there counts, so what is
/// more certain comes first.
const CAUSES: &[(&[&str], Cause)] = &[
    (&["no space left on device", "disk quota exceeded"], Cause::NoSpace),
    (&["unknown authority", "certificate is not trusted"], Cause::UnknownAuthority),
    (&["certificate has expired or is not yet valid"], Cause::OutOfDate),
    (&["x509:", "tls: failed to verify", "bad certificate"], Cause::WrongCertificate),
    (&["gave http response to https client", "first record does not look like"], Cause::NoTls),
    (&["http request to an https server"], Cause::NoTlsAsked),
    (&["no such host", "lookup ", "server misbehaving"], Cause::NoName),
    (&["connection refused"], Cause::RefusesConnections),
    (&["no route to host", "network is unreachable"], Cause::NoRoute),
    (&["toomanyrequests", "too many requests"], Cause::TooMany),
    // Before `unauthorized`: registries answer so for what is not there, too.
    (&["repository does not exist or may require"], Cause::NoneOrHidden),
    (&["unauthorized", "authentication required", "no basic auth credentials"], Cause::Login),
    (&["denied", "forbidden"], Cause::Denied),
    (
        &[
            "no matching manifest",
            "no image found in manifest list",
            "no image found in image index",
        ],
        Cause::OtherMachines,
    ),
    (&["manifest unknown", "name unknown", "not found", "no such image"], Cause::NoImage),
    (
        &[
            "digest did not match",
            "does not match",
            "unexpected commit digest",
            "digest mismatch",
            "verification failed",
            "invalid checksum",
            "filesystem layer verification",
        ],
        Cause::Lies,
    ),
    (
        &[
            "timeout",
            "deadline exceeded",
            "connection reset",
            "unexpected eof",
            "broken pipe",
            ": eof",
        ],
        Cause::Silent,
    ),
];

#[derive(Debug, Clone, Copy)]
enum Cause {
    NoSpace,
    UnknownAuthority,
    OutOfDate,
    WrongCertificate,
    NoTls,
    NoTlsAsked,
    NoName,
    RefusesConnections,
    NoRoute,
    TooMany,
    NoneOrHidden,
    Login,
    Denied,
    OtherMachines,
    NoImage,
    Lies,
    Silent,
}

/// Why the image is not here.
pub(super) fn failure(image: &Reference, message: &str) -> RuntimeError {
    let lower = names::without(image, &message.to_lowercase());
    let has_any = |words: &&[&str]| words.iter().any(|word| lower.contains(word));
    match CAUSES.iter().find(|(words, _)| has_any(words)) {
        Some((_, cause)) => RuntimeError { kind: cause.kind(), message: cause.sentence(image) },
        None => {
            let message = format!("cannot fetch `{}`: {}", image.full(), shown(message));
            RuntimeError { kind: Failure::Workload, message }
        }
    }
}

/// Nothing came for too long.
pub(super) fn stalled(image: &Reference, stall: Duration) -> RuntimeError {
    let (registry, image) = (&image.registry, image.full());
    let seconds = stall.as_secs_f32().ceil();
    let message = format!("`{registry}` stalls: no progress for {seconds} s with `{image}`");
    RuntimeError { kind: Failure::Passing, message }
}

/// It moved, and did not end in time.
pub(super) fn too_long(image: &Reference, total: Duration) -> RuntimeError {
    let (registry, image, seconds) = (&image.registry, image.full(), total.as_secs());
    let message = format!("`{registry}` is too slow: `{image}` is not here after {seconds} s");
    RuntimeError { kind: Failure::Passing, message }
}

/// So many bytes of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// Come from the registry, or more.
    Sent(u64),
    /// Lie on the disk.
    OnDisk(u64),
}

/// It is larger than this host takes.
pub(super) fn too_large(image: &Reference, size: Size, most: u64) -> RuntimeError {
    let size = match size {
        Size::Sent(bytes) => format!("{} MiB or more are sent for it", in_mib(bytes)),
        Size::OnDisk(bytes) => format!("it takes {} MiB on the disk", in_mib(bytes)),
    };
    let (image, most) = (image.full(), in_mib(most));
    let message = format!(
        "`{image}` is too large: {size}, and this host takes {most} MiB at most \
         (hostd.toml: [containers] max_image_gib)"
    );
    RuntimeError { kind: Failure::Workload, message }
}

fn in_mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

impl Cause {
    /// What a registry or a network does of itself, it may stop doing; the rest somebody must mend.
    fn kind(self) -> Failure {
        match self {
            Self::RefusesConnections | Self::NoRoute | Self::TooMany | Self::Silent => {
                Failure::Passing
            }
            Self::NoSpace
            | Self::UnknownAuthority
            | Self::OutOfDate
            | Self::WrongCertificate
            | Self::NoTls
            | Self::NoTlsAsked
            | Self::NoName
            | Self::NoneOrHidden
            | Self::Login
            | Self::Denied
            | Self::OtherMachines
            | Self::NoImage
            | Self::Lies => Failure::Workload,
        }
    }

    fn sentence(self, image: &Reference) -> String {
        let (registry, full) = (&image.registry, image.full());
        match self {
            Self::NoSpace => format!("no space left on the disk for `{full}`"),
            Self::UnknownAuthority => format!(
                "the certificate of `{registry}` is from an authority that this host does not \
                 know (`ca` of `[registries.\"{registry}\"]` in hostd.toml names its file)"
            ),
            Self::OutOfDate => format!(
                "the certificate of `{registry}` has expired or is not yet valid, or this host's \
                 clock is wrong"
            ),
            Self::WrongCertificate => {
                format!("the certificate of `{registry}` is not for this name, or is damaged")
            }
            Self::NoTls => format!("`{registry}` does not speak TLS"),
            Self::NoTlsAsked => {
                format!("`{registry}` speaks TLS, and the engine gave up on its certificate")
            }
            Self::NoName => format!("the name `{registry}` does not resolve"),
            Self::RefusesConnections => format!("`{registry}` refuses connections"),
            Self::NoRoute => format!("there is no way to `{registry}` from this host"),
            Self::TooMany => format!("`{registry}` has had too many requests from here"),
            Self::NoneOrHidden => format!(
                "`{registry}` has no image `{full}`, or shows it to nobody without credentials"
            ),
            Self::Login => format!(
                "`{registry}` does not accept our credentials for `{full}` (`username` and \
                 `password_file` of `[registries.\"{registry}\"]` in hostd.toml)"
            ),
            Self::Denied => format!("`{registry}` denies us `{full}`"),
            Self::OtherMachines => format!("`{full}` is not made for this kind of processor"),
            Self::NoImage => format!("`{registry}` has no image `{full}`"),
            Self::Lies => format!("what `{registry}` sends for `{full}` is not what its hash says"),
            Self::Silent => format!("`{registry}` does not answer"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The engine's words, as they were seen, and the sentence that they become.
    fn check(message: &str, expected: &str) {
        let sentence = failure(&Reference::parse("r.example:5000/a/tiny:1"), message).message;
        assert!(sentence.starts_with(expected), "{sentence}");
    }

    #[test]
    fn only_what_a_registry_or_a_network_does_of_itself_passes() {
        let image = Reference::parse("r.example/shop/web:1");
        let kind = |message| failure(&image, message).kind;
        for passing in ["connection refused", "toomanyrequests: slow down", "unexpected EOF"] {
            assert_eq!(kind(passing), Failure::Passing, "{passing}");
        }
        for lasting in ["manifest unknown", "no such host", "no space left on device", "the moon"] {
            assert_eq!(kind(lasting), Failure::Workload, "{lasting}");
        }
    }

    #[test]
    fn words_of_podman() {
        let ping = |cause: &str| {
            format!(
                "initializing source docker://r.example:5000/a/tiny:1: pinging container registry \
                 r.example:5000: Get \"https://r.example:5000/v2/\": {cause}"
            )
        };
        let from = "the certificate of `r.example:5000` is from an authority";
        check(&ping("x509: certificate signed by unknown authority"), from);
        check(
            &ping("dial tcp: lookup r.example on 10.0.0.1:53: connect: network is unreachable"),
            "the name `r.example:5000` does not resolve",
        );
        check(
            &ping("dial tcp 127.0.0.1:5999: connect: connection refused"),
            "`r.example:5000` refuses connections",
        );
        check(
            &ping("http: server gave HTTP response to HTTPS client"),
            "`r.example:5000` does not speak TLS",
        );
        check(&ping("net/http: TLS handshake timeout"), "`r.example:5000` does not answer");
        let reading = "initializing source docker://r.example:5000/a/tiny:1: reading manifest 1 in \
                       r.example:5000/a/tiny: ";
        check(
            &format!("{reading}unauthorized: authentication required"),
            "`r.example:5000` does not accept our credentials",
        );
        check(
            &format!("{reading}manifest unknown: manifest unknown"),
            "`r.example:5000` has no image `r.example:5000/a/tiny:1`",
        );
        check(
            "writing blob: adding layer: Error processing tar file: write /x: no space left on device",
            "no space left",
        );
    }

    #[test]
    fn words_of_docker() {
        check(
            "manifest for r.example:5000/a/tiny:9 not found: manifest unknown: manifest unknown",
            "`r.example:5000` has no image",
        );
        check(
            "pull access denied for a, repository does not exist or may require 'docker login': \
             denied: requested access to the resource is denied",
            "`r.example:5000` has no image `r.example:5000/a/tiny:1`, or shows it to nobody",
        );
        check(
            "error parsing HTTP 400 response body: invalid character 'C' looking for beginning of \
             value: \"Client sent an HTTP request to an HTTPS server.\\n\"",
            "`r.example:5000` speaks TLS, and the engine gave up",
        );
        check(
            "filesystem layer verification failed for digest sha256:abc",
            "what `r.example:5000` sends",
        );
        check(
            "no matching manifest for linux/amd64 in the manifest list entries",
            "`r.example:5000/a/tiny:1` is not made for this kind of processor",
        );
    }

    #[test]
    fn the_name_of_an_image_is_no_cause() {
        let image = Reference::parse("denied.example/no-such-image/timeout:1");
        let words = "initializing source docker://denied.example/no-such-image/timeout:1: \
                     reading manifest: manifest unknown";
        assert!(failure(&image, words).message.contains("has no image"));
    }

    #[test]
    fn a_short_name_takes_no_letter_from_a_cause() {
        for name in ["r.example/a:1", "r.example/man:1", "r.example/too:1", "no:5/x509:1"] {
            let image = Reference::parse(name);
            let (registry, full) = (&image.registry, image.full());
            let said = failure(&image, &format!("reading {full}: toomanyrequests: slow down"));
            assert_eq!(
                said.message,
                format!("`{registry}` has had too many requests from here"),
                "{name}"
            );
            let said = failure(&image, &format!("reading manifest in {full}: manifest unknown"));
            assert_eq!(said.message, format!("`{registry}` has no image `{full}`"), "{name}");
        }
    }

    #[test]
    fn what_is_not_understood_is_told_as_it_is() {
        check("the moon\nis full", "cannot fetch `r.example:5000/a/tiny:1`: the moon is full");
    }

    #[test]
    fn fuzz_words_of_an_engine() {
        let seeds = ["manifest unknown", "dial tcp: lookup r on 10.0.0.1:53: no such host", "EOF"];
        basalt_fuzz::run_on_text!(&seeds, |text| {
            let failure = failure(&Reference::parse("r.example/a:1"), text);
            assert!(!failure.message.contains(|c: char| c.is_control()), "{failure:?}");
        });
    }
}
