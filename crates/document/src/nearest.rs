//! What was probably meant.

/// How alike two words must be for one to be proposed for the other (Jaro-Winkler, 0 to 1).
const LIKE: f64 = 0.8;
/// Proposals are listed whole up to this many.
const LISTED: usize = 12;

/// A hint that proposes the known word which is most like the one that was found, or lists them;
/// empty where nothing is known.
#[must_use]
pub fn nearest(found: &str, known: &[&str]) -> String {
    let best =
        known.iter().max_by(|one, other| likeness(found, one).total_cmp(&likeness(found, other)));
    if let Some(best) = best.filter(|best| is_like(found, best)) {
        return format!("did you mean `{best}`?");
    }
    let listed: Vec<String> = known.iter().take(LISTED).map(|key| format!("`{key}`")).collect();
    let more = if known.len() > LISTED { ", …" } else { "" };
    if listed.is_empty() { String::new() } else { format!("known are {}{more}", listed.join(", ")) }
}

/// Whether somebody who wrote the one may have meant the other.
#[must_use]
pub fn is_like(found: &str, known: &str) -> bool {
    likeness(found, known) >= LIKE
}

fn likeness(one: &str, other: &str) -> f64 {
    strsim::jaro_winkler(&one.to_lowercase(), &other.to_lowercase())
}
