//! A spec of another release, within a set or a ledger. Whoever writes a spec must write one that
//! is understood; whoever keeps many must not lose all for one, and so keeps it as it came.
//!
//! A field that is not known is as little understood as a value that is not: only what differs from
//! the default is written, so that whatever is there was asked for, and must not be left out.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::{Kind, WorkloadSpec};
use crate::id::Name;

/// What was not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Why, as `unknown variant …` or `unknown field …`.
    pub reason: String,
    /// The spec as it came.
    pub(super) text: Value,
}

/// What every release reads of a spec.
#[derive(Deserialize)]
struct Head {
    name: Name,
    kind: Kind,
}

/// Writes one as it came.
///
/// # Errors
/// Those of `out`.
pub(crate) fn serialize<S: Serializer>(spec: &WorkloadSpec, out: S) -> Result<S::Ok, S::Error> {
    match &spec.unread {
        Some(unread) => unread.text.serialize(out),
        None => spec.serialize(out),
    }
}

/// Reads one; of one that is not understood name and kind, and the rest as it came.
///
/// # Errors
/// It has no name or kind.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(inner: D) -> Result<WorkloadSpec, D::Error> {
    let text = Value::deserialize(inner)?;
    match understood(&text) {
        Ok(spec) => Ok(spec),
        Err(reason) => {
            let Head { name, kind } = Head::deserialize(&text).map_err(D::Error::custom)?;
            let unread = Unread { reason, text };
            Ok(WorkloadSpec { unread: Some(Box::new(unread)), ..WorkloadSpec::empty(name, kind) })
        }
    }
}

/// Reads one of which every part is understood, or says which first is not.
fn understood(text: &Value) -> Result<WorkloadSpec, String> {
    let mut unknown = None;
    let note = |path: serde_ignored::Path<'_>| {
        // It has a question mark for each field that may be absent.
        let path = path.to_string().replace(".?", "");
        unknown.get_or_insert(path);
    };
    let spec = serde_ignored::deserialize(text, note);
    let spec = spec.map_err(|error: serde_json::Error| error.to_string())?;
    match unknown {
        None => Ok(spec),
        Some(path) => Err(format!("unknown field `{path}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Restart;
    use crate::set::{Assigned, HostSet};
    use crate::validate;

    const SET: &str = r#"{"workloads":[
        {"uid":"00000000-0000-0000-0000-000000000001","spec":
            {"name":"web","kind":"container","container":{"image":"a"}}},
        {"uid":"00000000-0000-0000-0000-000000000002","spec":
            {"name":"later","kind":"container","container":{"image":"a"},"restart":"on_sundays"},
            "secret_versions":{"key":3}}]}"#;

    #[test]
    fn one_that_is_not_understood_is_told_alone_and_the_others_are_read() {
        let set: HostSet = serde_json::from_str(SET).unwrap();
        let [web, later] = &set.workloads[..] else { panic!("{set:?}") };
        assert_eq!(validate::mistakes(&web.spec), []);
        assert_eq!(web.spec.restart, Restart::Always);
        assert_eq!(later.spec.name.as_str(), "later");
        assert_eq!(later.spec.kind, super::Kind::Container);
        let mistakes = validate::mistakes(&later.spec);
        let text = mistakes[0].to_string();
        assert!(text.contains("unknown variant `on_sundays`"), "{text}");
        assert_eq!(mistakes.len(), 1);
    }

    fn with(part: &str) -> Assigned {
        let text = format!(
            r#"{{"uid":"00000000-0000-0000-0000-000000000001","spec":
                {{"name":"web","kind":"container","container":{{"image":"a"}},{part}}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_field_that_is_not_known_is_asked_for_and_not_left_out() {
        for (part, path) in [
            (r#""isolated":true"#, "isolated"),
            (r#""resources":{"memory_mib":1,"swap_mib":0}"#, "resources.swap_mib"),
            (
                r#""vm":{"disk":{"url":"u","sha256":"0","format":"raw","encrypted":true}}"#,
                "vm.disk.encrypted",
            ),
            (r#""placement":{"labels":{"any":"word"},"spread":[]}"#, "placement.spread"),
        ] {
            let web = with(part);
            let mistakes = validate::mistakes(&web.spec);
            let text = mistakes[0].to_string();
            assert!(text.contains(&format!("unknown field `{path}`")), "{text}");
            assert_eq!((mistakes.len(), web.spec.container.is_none()), (1, true));
        }
        // Keys that a person chooses are no fields.
        let web = with(r#""labels":{"isolated":"yes"},"placement":{"labels":{"any":"word"}}"#);
        assert_eq!(validate::mistakes(&web.spec), []);
    }

    #[test]
    fn one_with_a_field_that_is_not_known_is_told_alone_and_keeps_the_hash_of_its_set() {
        let text = SET.replace("\"restart\":\"on_sundays\"", "\"isolated\":true");
        let set: HostSet = serde_json::from_str(&text).unwrap();
        let [web, later] = &set.workloads[..] else { panic!("{set:?}") };
        assert_eq!(validate::mistakes(&web.spec), []);
        assert_eq!(validate::mistakes(&later.spec).len(), 1);
        let came: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_value(&set).unwrap(), came);
        assert_eq!(set.hash(), crate::canonical::hash(&came));
    }

    /// The ledger of this release is read by the next one, which understands it.
    #[test]
    fn it_is_written_as_it_came() {
        let set: HostSet = serde_json::from_str(SET).unwrap();
        let came: serde_json::Value = serde_json::from_str(SET).unwrap();
        assert_eq!(serde_json::to_value(&set).unwrap(), came);
        let again: HostSet = serde_json::from_value(came.clone()).unwrap();
        assert_eq!(again, set);
        assert_eq!(set.hash(), crate::canonical::hash(&came));
    }

    #[test]
    fn one_without_a_name_is_nonsense() {
        let text = r#"{"uid":"00000000-0000-0000-0000-000000000001","spec":{"kind":"vm"}}"#;
        assert!(serde_json::from_str::<Assigned>(text).is_err());
    }
}
