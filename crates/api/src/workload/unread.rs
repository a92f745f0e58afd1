//! A spec of another release, within a set or a ledger. Whoever writes a spec must write one that
//! is understood; whoever keeps many must not lose all for one, and so keeps it as it came.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::{Kind, WorkloadSpec};
use crate::id::Name;

/// What was not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Why, as `unknown variant …`.
    pub reason: String,
    /// The spec as it came.
    text: Value,
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
    match WorkloadSpec::deserialize(&text) {
        Ok(spec) => Ok(spec),
        Err(error) => {
            let Head { name, kind } = Head::deserialize(&text).map_err(D::Error::custom)?;
            let unread = Unread { reason: error.to_string(), text };
            Ok(WorkloadSpec { unread: Some(Box::new(unread)), ..WorkloadSpec::empty(name, kind) })
        }
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
