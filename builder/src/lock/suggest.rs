//! Says which package was probably meant when one does not exist.

/// Names in apt's words about packages that it does not know.
pub(super) fn unknown_packages(stderr: &str) -> Vec<String> {
    stderr
        .lines()
        .filter_map(|line| {
            let line = line.strip_prefix("E: ")?;
            if let Some(name) = line.strip_prefix("Unable to locate package ") {
                return Some(name.trim().to_owned());
            }
            let name =
                line.strip_prefix("Package '")?.strip_suffix("' has no installation candidate")?;
            Some(name.to_owned())
        })
        .collect()
}

/// The known name nearest to `name`, when one is near at all.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.85)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_of_apts_phrases_are_understood() {
        let stderr = "E: Unable to locate package pdoman\nE: Package 'x' has no installation candidate\nE: other";
        assert_eq!(unknown_packages(stderr), ["pdoman", "x"]);
    }

    #[test]
    fn a_typo_finds_its_package_and_nonsense_finds_none() {
        let known = ["podman", "procps", "bash"];
        assert_eq!(nearest("pdoman", known.into_iter()), Some("podman"));
        assert_eq!(nearest("zzzzzz", known.into_iter()), None);
    }
}
