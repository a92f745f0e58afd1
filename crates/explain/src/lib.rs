//! An error as a person reads it: the chain of causes in one line, then the hints.

/// The chain once, causes after colons; lines that begin with `hint: ` come last, each on its own.
/// Of several mistakes in one text, each keeps the hint that stands under it.
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
    fn a_hint_of_any_cause_comes_after_the_whole_chain() {
        let error = anyhow::anyhow!("no route").context("cannot fetch\nhint: check the network");
        assert_eq!(super::explain(&error), "cannot fetch: no route\nhint: check the network");
    }

    #[test]
    fn of_several_mistakes_each_keeps_its_hint() {
        let text = "a: one\nhint: first\n\nerror: a: two\nhint: second";
        assert_eq!(super::explain(&anyhow::anyhow!(text)), text);
    }
}
