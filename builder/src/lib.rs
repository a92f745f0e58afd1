//! The image river: a definition becomes a signed commit and a disk that boots.
//!
//! Everything happens in files: no loop device, no mount of an image, no daemon. In reading order:

pub mod build;
pub mod cli;
pub mod definition;
pub mod disk;
pub mod lock;
pub mod plan;
pub mod stage;
// pub mod run;
pub mod cache;
pub mod durable;
pub mod fingerprint;
pub mod key;
pub mod manifest;
pub mod namespace;
pub mod overlay;
pub mod progress;
pub mod version;

/// An error as a person reads it: the chain once, each cause behind a colon, hints last and each
/// on a line of its own.
#[must_use]
pub fn explain(error: &anyhow::Error) -> String {
    let mut text = Vec::new();
    let mut hints = Vec::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        // Only those at its end: of several mistakes, each keeps its own.
        let mut plain: Vec<&str> = cause.lines().collect();
        let end = plain.iter().rposition(|line| !line.starts_with("hint: ")).map_or(0, |at| at + 1);
        hints.extend(plain.drain(end..).map(str::to_owned));
        if !plain.is_empty() {
            text.push(plain.join("\n"));
        }
    }
    let mut lines = vec![text.join(": ")];
    lines.extend(hints);
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    #[test]
    fn hints_come_last_and_causes_once() {
        let error = anyhow::anyhow!("no route").context("cannot fetch\nhint: check the network");
        assert_eq!(super::explain(&error), "cannot fetch: no route\nhint: check the network");
    }

    #[test]
    fn of_several_mistakes_each_keeps_its_hint() {
        let text = "a: one\nhint: first\n\nerror: a: two\nhint: second";
        assert_eq!(super::explain(&anyhow::anyhow!(text)), text);
    }
}
