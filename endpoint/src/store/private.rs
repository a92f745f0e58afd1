//! What is private of the specs in the database: sealed on its way there, opened on its way back.

use anyhow::Result;
use basalt_api::id::WorkloadUid;
use basalt_api::set::HostSet;
use basalt_api::workload::WorkloadSpec;

use super::{Db, Store, from_json, to_json};
use crate::vault::Vault;

/// A part of every text with something private in it, sealed or not. Few have any.
const SIGN: &str = "\"user_data\"";

/// A set as it lies in the database.
pub(super) fn seal(set: &HostSet, vault: &Vault) -> Result<String> {
    to_json(&set.sealed(vault)?)
}

/// A set's JSON as hosts get it. A part that cannot be opened stays sealed.
pub(super) fn open(text: String, vault: &Vault) -> Result<String> {
    if !text.contains(SIGN) {
        return Ok(text);
    }
    to_json(&from_json::<HostSet>(&text)?.opened(vault))
}

/// Seals what a release before left in the database as it is.
///
/// # Errors
/// The database is broken, or its disk is full.
pub(super) async fn seal_all(store: &Store) -> Result<()> {
    let mut write = store.write().await?;
    let specs = specs(&mut write).await?;
    let sets = seal_sets(&mut write, "SELECT host, body FROM sets", SETS).await?;
    let reported = "SELECT id, reported_set FROM hosts WHERE reported_set IS NOT NULL";
    let reported = seal_sets(&mut write, reported, REPORTED).await?;
    if !(specs || sets || reported) {
        return Ok(());
    }
    write.commit().await?;
    // Deleted bytes are overwritten in the file (`secure_delete`), once the log is in it; what the
    // log still has after that goes with its length.
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&store.write).await?;
    tracing::info!("what is private in the database is sealed now");
    Ok(())
}

const SETS: &str = "UPDATE sets SET body = ? WHERE host = ?";
const REPORTED: &str = "UPDATE hosts SET reported_set = ? WHERE id = ?";

async fn specs(db: &mut Db) -> Result<bool> {
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT uid, spec FROM workloads").fetch_all(&mut **db).await?;
    let mut is_any = false;
    for (id, text) in rows.into_iter().filter(|(_, text)| text.contains(SIGN)) {
        let (uid, spec): (WorkloadUid, WorkloadSpec) = (id.parse()?, from_json(&text)?);
        if spec.is_clear() {
            let update = sqlx::query("UPDATE workloads SET spec = ? WHERE uid = ?");
            let update = update.bind(to_json(&spec.sealed(uid, &*db.vault)?)?).bind(id);
            update.execute(&mut **db).await?;
            is_any = true;
        }
    }
    Ok(is_any)
}

async fn seal_sets(db: &mut Db, select: &'static str, update: &'static str) -> Result<bool> {
    let rows: Vec<(String, String)> = sqlx::query_as(select).fetch_all(&mut **db).await?;
    let mut is_any = false;
    for (id, text) in rows.into_iter().filter(|(_, text)| text.contains(SIGN)) {
        let set: HostSet = from_json(&text)?;
        if set.is_clear() {
            let update = sqlx::query(update).bind(seal(&set, &db.vault)?).bind(id);
            update.execute(&mut **db).await?;
            is_any = true;
        }
    }
    Ok(is_any)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::Path;

    use basalt_api::id::HostId;
    use basalt_api::set::Assigned;
    use basalt_endpoint_core::generation::{Generation, Workload};
    use uuid::Uuid;

    use super::super::tests::open;
    use super::super::{hosts, sets, workloads};
    use super::*;
    use crate::data::Data;

    const HOST: HostId = HostId(Uuid::from_u128(1));
    const CANARY: &str = "canary-in-the-open";

    fn workload(name: &str) -> Workload {
        let text = include_str!("../../../crates/api/examples/workload-vm.json");
        let mut spec: WorkloadSpec = serde_json::from_str(text).unwrap();
        spec.name = name.parse().unwrap();
        spec.vm.as_mut().unwrap().user_data = Some(CANARY.to_owned());
        Workload { uid: WorkloadUid(Uuid::from_u128(7)), spec, pins: BTreeMap::new() }
    }

    fn set() -> HostSet {
        let Workload { uid, spec, .. } = workload("guest");
        HostSet {
            workloads: vec![Assigned { uid, spec, secret_versions: BTreeMap::new() }],
            os: None,
        }
    }

    /// In all three places where a set or a spec is kept.
    async fn put(store: &Store) {
        let mut write = store.write().await.unwrap();
        let (name, labels) = ("host".parse().unwrap(), BTreeMap::new());
        let host =
            hosts::NewHost { id: HOST, name: &name, labels: &labels, certificate_until: 100 };
        hosts::insert(&mut write, &host, 0).await.unwrap();
        workloads::put(&mut write, &workload("guest"), 0).await.unwrap();
        let generation = Generation { number: 1, hash: set().hash() };
        sets::put(&mut write, HOST, &generation, &set()).await.unwrap();
        let reported = serde_json::to_string(&set()).unwrap();
        hosts::set_reported_set(&mut write, HOST, Some(&reported)).await.unwrap();
        write.commit().await.unwrap();
    }

    /// What comes back from the three places.
    async fn read(store: &Store) -> [HostSet; 3] {
        let mut read = store.read().await.unwrap();
        let stored = workloads::all(&mut read).await.unwrap().remove(0).workload;
        let generation = [&stored];
        let versions = BTreeMap::new();
        let host = hosts::get(&mut read, HOST).await.unwrap().unwrap();
        [
            basalt_endpoint_core::generation::set(generation, &versions, None),
            sets::get(&mut read, HOST).await.unwrap().unwrap().set().unwrap(),
            serde_json::from_str(&host.reported_set.unwrap()).unwrap(),
        ]
    }

    /// The files of the folder that have the canary as it is.
    fn heard(folder: &Path) -> Vec<String> {
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let hears = |path: &std::path::PathBuf| {
            let bytes = fs::read(path).unwrap_or_default();
            bytes.windows(CANARY.len()).any(|bytes| bytes == CANARY.as_bytes())
        };
        files.filter(hears).map(|path| path.display().to_string()).collect()
    }

    #[tokio::test]
    async fn what_is_private_is_in_no_file_and_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await;
        put(&store).await;
        assert_eq!(read(&store).await, [set(), set(), set()]);
        assert_eq!(heard(folder.path()), [""; 0]);
        store.close().await;
        assert_eq!(heard(folder.path()), [""; 0]);
        assert_eq!(read(&open(folder.path()).await).await, [set(), set(), set()]);
    }

    #[tokio::test]
    async fn what_a_release_before_left_is_sealed_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await;
        put(&store).await;
        let (spec, body) = (to_json(&workload("guest").spec).unwrap(), to_json(&set()).unwrap());
        let mut write = store.write().await.unwrap();
        for (update, text) in [
            ("UPDATE workloads SET spec = ?", &spec),
            ("UPDATE sets SET body = ?", &body),
            ("UPDATE hosts SET reported_set = ?", &body),
        ] {
            sqlx::query(update).bind(text).execute(&mut *write).await.unwrap();
        }
        write.commit().await.unwrap();
        assert_ne!(heard(folder.path()), [""; 0]);
        store.close().await;
        let store = open(folder.path()).await;
        assert_eq!(heard(folder.path()), [""; 0]);
        assert_eq!(read(&store).await, [set(), set(), set()]);
    }

    #[tokio::test]
    async fn a_backup_brings_it_back_with_its_key_and_holds_it_sealed() {
        let (folder, data, store) = crate::backup::tests::endpoint().await;
        put(&store).await;
        let file = folder.path().join("backup.tar");
        crate::backup::backup(&data, &file).await.unwrap();
        assert_eq!(heard(folder.path()), [""; 0]);
        let other = tempfile::tempdir().unwrap();
        let target = Data::at(other.path());
        crate::restore::restore(&target, &file, crate::restore::Overwrite::No).unwrap();
        assert_eq!(read(&open(other.path()).await).await, [set(), set(), set()]);
    }

    #[tokio::test]
    async fn without_its_key_one_is_told_alone_and_can_be_applied_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await;
        put(&store).await;
        store.close().await;
        fs::remove_file(Data::at(folder.path()).secrets_key()).unwrap();
        let store = open(folder.path()).await;
        for set in read(&store).await {
            assert!(set.is_sealed() && !set.is_clear());
            let mistakes = basalt_api::validate::mistakes(&set.workloads[0].spec);
            assert!(mistakes[0].to_string().contains("a key that is gone"), "{mistakes:?}");
        }
        let mut write = store.write().await.unwrap();
        workloads::put(&mut write, &workload("guest"), 0).await.unwrap();
        write.commit().await.unwrap();
        assert_eq!(read(&store).await[0], set());
        assert_eq!(heard(folder.path()), [""; 0]);
    }
}
