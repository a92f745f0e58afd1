//! A host fetches a value. Only one that its current set names.

use axum::Json;
use axum::extract::State;
use basalt_api::fault::FaultKind;
use basalt_api::id::Name;
use basalt_api::secret::SecretValue;

use super::secrets::label;
use crate::app::Shared;
use crate::refusal::Answer;
use crate::routes::{HostCaller, In};
use crate::store::{secrets, sets};

pub(crate) async fn get(
    State(app): State<Shared>,
    caller: HostCaller,
    In((name, version)): In<(Name, u64)>,
) -> Answer<Json<SecretValue>> {
    let mut read = app.store.read().await?;
    let set = sets::get(&mut read, caller.id).await?.map(|stored| stored.set()).transpose()?;
    let mut workloads = set.iter().flat_map(|set| &set.workloads);
    let is_named = workloads.any(|assigned| assigned.secret_versions.get(&name) == Some(&version));
    // The same answer whether it is there or not: a host learns nothing of others' secrets.
    if !is_named {
        let detail = format!("this host's set does not name version {version} of `{name}`");
        return Err(FaultKind::Forbidden.with(detail).into());
    }
    let stored = secrets::get(&mut read, &name).await?;
    drop(read);
    let locked = stored.filter(|stored| stored.version == version).and_then(|stored| stored.locked);
    let Some(locked) = locked else {
        let detail = format!("version {version} of `{name}` was lost with a restored backup");
        return Err(FaultKind::NotFound
            .with(detail)
            .hint("`basaltctl secret set` it again")
            .into());
    };
    let value = app.vault.unlock(&label(&name, version), &locked)?;
    Ok(Json(SecretValue::of(&value)))
}
