//! How a number is told.

use serde_json::json;

/// Prints one; `at_most` is what it should not exceed.
pub(crate) fn measure(what: &str, value: f64, unit: &str, at_most: Option<f64>) {
    let mut line = json!({ "what": what, "value": value, "unit": unit });
    if let Some(limit) = at_most {
        line["at_most"] = limit.into();
    }
    println!("{line}");
}
