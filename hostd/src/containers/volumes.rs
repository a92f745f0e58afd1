//! The volumes of workloads. They outlast a container, and so may be all that a cut left of one.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use basalt_api::id::WorkloadUid;
use basalt_api::workload::Kind;
use bollard::query_parameters::RemoveVolumeOptionsBuilder;
use hostd_core::instance::{Instance, InstanceState};
use serde::Deserialize;
use tokio::time::Instant;

use super::client::CallError;
use super::labels::{self, LabelsOfData};
use super::life::REMOVE_DEADLINE;
use super::{Containers, spec};
use crate::runtime::RuntimeError;

/// How long a list serves. Between two full looks, which come once a minute, only what was done
/// here itself can leave volumes behind; with each event the list would cost as much as the
/// containers' own.
const SERVES: Duration = Duration::from_secs(45);
/// Every volume of ours, `{"label":["io.basalt.uid"]}` as a query says it.
const LIST: &str = "/volumes?filters=%7B%22label%22%3A%5B%22io.basalt.uid%22%5D%7D";

/// The volumes as they were listed last.
#[derive(Debug, Default)]
pub(super) struct Volumes {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    listed: Option<Instant>,
    of: Vec<Instance>,
}

/// A volume as an engine lists it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    name: String,
    #[serde(default)]
    labels: Option<HashMap<String, String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    volumes: Option<Vec<Listed>>,
}

impl Listed {
    /// What its labels say; nothing where its name is not one that we give.
    fn ours(&self) -> Option<LabelsOfData> {
        let labels = labels::read_of_data(self.labels.as_ref()?)?;
        self.name.starts_with(&spec::volumes_of(labels.uid)).then_some(labels)
    }
}

impl Volumes {
    /// The next look asks anew.
    pub(super) fn forget(&self) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).listed = None;
    }

    fn fresh(&self) -> Option<Vec<Instance>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = known.listed.is_some_and(|at| at.elapsed() < SERVES);
        is_fresh.then(|| known.of.clone())
    }

    /// Keeps a list; one that could not be had leaves the last one, and is tried again later.
    fn keep(&self, of: Option<Vec<Instance>>) -> Vec<Instance> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.listed = Some(Instant::now());
        if let Some(of) = of {
            known.of = of;
        }
        known.of.clone()
    }
}

impl Containers {
    /// An instance for each workload that has volumes, as if it had nothing else. An engine that
    /// cannot tell them keeps nobody from its containers.
    pub(super) async fn data(&self) -> Vec<Instance> {
        if let Some(known) = self.volumes.fresh() {
            return known;
        }
        let listed = self.list_volumes().await;
        if let Err(error) = &listed {
            tracing::warn!("{error}");
        }
        self.volumes.keep(listed.ok().map(|listed| instances(&listed)))
    }

    async fn list_volumes(&self) -> Result<Vec<Listed>, RuntimeError> {
        let answer: Result<Answer, CallError> = self.client.get(LIST).await;
        let answer =
            answer.map_err(|error| error.of_engine(self.client.cannot("list its volumes")))?;
        Ok(answer.volumes.unwrap_or_default())
    }

    /// Removes every volume that was made for a workload.
    pub(super) async fn remove_volumes(&self, uid: WorkloadUid) -> Result<(), RuntimeError> {
        self.volumes.forget();
        for volume in self.list_volumes().await? {
            if volume.ours().is_some_and(|labels| labels.uid == uid) {
                self.remove_volume(&volume.name).await?;
            }
        }
        self.volumes.forget();
        Ok(())
    }

    async fn remove_volume(&self, name: &str) -> Result<(), RuntimeError> {
        let options = RemoveVolumeOptionsBuilder::default().build();
        let remove =
            async move |docker: bollard::Docker| docker.remove_volume(name, Some(options)).await;
        match self.client.call(REMOVE_DEADLINE, remove).await {
            Ok(()) => Ok(()),
            Err(error) if error.has_status(404) => Ok(()),
            Err(error) => Err(error.of_workload(format!("cannot remove the volume `{name}`"))),
        }
    }
}

/// One for each workload. What its container was made from no volume says.
fn instances(listed: &[Listed]) -> Vec<Instance> {
    let ours = listed.iter().filter_map(Listed::ours).map(|labels| (labels.uid, labels));
    let by_workload: BTreeMap<WorkloadUid, LabelsOfData> = ours.collect();
    let instance = |LabelsOfData { uid, owner, name }| Instance {
        uid,
        name,
        kind: Kind::Container,
        owner,
        hash: String::new(),
        state: InstanceState::DataOnly,
        addresses: Vec::new(),
        lacks: None,
    };
    by_workload.into_values().map(instance).collect()
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn a_workload_with_two_volumes_is_one_and_what_is_not_ours_is_none() {
        let make = samples::make();
        let labels = labels::of_volume(&make);
        let volume = |name: String| Listed { name, labels: Some(labels.clone()) };
        let ours = spec::volumes_of(make.assigned.uid);
        let listed = [
            volume(format!("{ours}a")),
            volume(format!("{ours}b")),
            volume("somebody-elses".to_owned()),
            Listed { name: format!("{ours}c"), labels: None },
        ];
        let found = instances(&listed);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            (found[0].uid, &found[0].name, found[0].owner, &found[0].state),
            (make.assigned.uid, &make.assigned.spec.name, make.owner, &InstanceState::DataOnly)
        );
        assert_eq!(instances(&listed[2..]), []);
    }

    #[test]
    fn what_any_engine_answers_is_read() {
        for text in [r#"{"Volumes":null,"Warnings":null}"#, r#"{"Volumes":[],"Warnings":[]}"#, "{}"]
        {
            let answer: Answer = serde_json::from_str(text).unwrap();
            assert!(answer.volumes.unwrap_or_default().is_empty(), "{text}");
        }
        let text = r#"{"Volumes":[{"Name":"a","Labels":null,"Driver":"local"}]}"#;
        let answer: Answer = serde_json::from_str(text).unwrap();
        assert_eq!(answer.volumes.unwrap()[0].name, "a");
    }

    #[test]
    fn fuzz_volumes_of_an_engine() {
        let make = samples::make();
        let volume = serde_json::json!({
            "Name": format!("{}a", spec::volumes_of(make.assigned.uid)),
            "Labels": labels::of_volume(&make), "Driver": "local",
        });
        let ours = serde_json::json!({ "Volumes": [volume], "Warnings": null }).to_string();
        let other = br#"{"Volumes":[{"Name":"a","Labels":null},{"Name":"b","Labels":{"a":"b"}}]}"#;
        basalt_fuzz::run(&[ours.as_bytes(), other], |bytes| {
            let Ok(answer) = serde_json::from_slice::<Answer>(bytes) else { return };
            let listed = answer.volumes.unwrap_or_default();
            assert!(instances(&listed).len() <= listed.len());
        });
    }
}
