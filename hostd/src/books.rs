//! The ledger while `hostd` runs: one writer at a time, on the disk before anybody acts on it.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use basalt_api::ledger::Ledger;
use basalt_api::problem::Problem;
use hostd_core::books::Refused;
use hostd_core::health;
use tokio::sync::watch;

use crate::ledger::Store;

/// The ledger, shared.
#[derive(Debug)]
pub struct Books {
    store: Mutex<Store>,
    published: watch::Sender<Known>,
    session: u64,
}

/// What the ledger says; none where it is lost.
pub type Known = Option<Arc<Ledger>>;

/// Why something is not in the ledger.
#[derive(Debug, thiserror::Error)]
pub enum BooksError {
    /// It must not be.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The disk does not take it, or the ledger is lost.
    #[error("the ledger cannot be written\nhint: `hostctl status` says what is wrong with it")]
    Unwritable(#[source] io::Error),
}

impl Books {
    /// Shares what was opened.
    #[must_use]
    pub fn new(store: Store) -> Arc<Self> {
        let (published, _) = watch::channel(store.ledger().cloned().map(Arc::new));
        let session = store.session();
        Arc::new(Self { store: Mutex::new(store), published, session })
    }

    /// The number of this start of `hostd`, above that of every earlier one.
    #[must_use]
    pub fn session(&self) -> u64 {
        self.session
    }

    /// What is wrong with the ledger. Tries first whether what could not be written can be now.
    /// Blocks.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut store = self.lock();
        if store.unwritten().is_some() && store.retry().is_ok() {
            tracing::info!("the ledger can be written again");
            self.publish(&store);
        }
        let unwritten = store.unwritten().map(health::ledger_unwritable);
        health::of_ledger(&store.found).into_iter().chain(unwritten).collect()
    }

    /// This boot is blessed: the ledger is written in this release's own form from now on. Blocks.
    pub fn settle(&self) {
        let mut store = self.lock();
        let before = store.ledger().map(|ledger| ledger.sequence);
        // What cannot be written is told as a problem, and tried again.
        if let Err(error) = store.settle() {
            tracing::error!(%error, "cannot write the ledger");
        }
        if store.ledger().map(|ledger| ledger.sequence) != before {
            self.publish(&store);
        }
    }

    /// What the ledger says, now and whenever it changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Known> {
        self.published.subscribe()
    }

    /// What the ledger says now.
    #[must_use]
    pub fn known(&self) -> Known {
        self.published.borrow().clone()
    }

    /// Changes the ledger: first on the disk, then for everybody. Nothing is written where nothing
    /// changes.
    ///
    /// # Errors
    /// `change` refuses, or the disk does; then everything is as it was.
    pub async fn change<T: Send + 'static>(
        self: &Arc<Self>,
        change: impl FnOnce(&mut Ledger) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, BooksError> {
        self.write(change, Store::replace).await
    }

    /// The same, and where the ledger is lost, this begins a new one: for the endpoint's whole set,
    /// and for a host that becomes another one.
    ///
    /// # Errors
    /// As [`Self::change`]; also, a later release wrote the ledger.
    pub async fn change_or_begin_anew<T: Send + 'static>(
        self: &Arc<Self>,
        change: impl FnOnce(&mut Ledger) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, BooksError> {
        self.write(change, Store::begin_anew).await
    }

    async fn write<T: Send + 'static>(
        self: &Arc<Self>,
        change: impl FnOnce(&mut Ledger) -> Result<T, Refused> + Send + 'static,
        write: fn(&mut Store, Ledger) -> io::Result<()>,
    ) -> Result<T, BooksError> {
        let books = Arc::clone(self);
        let work = tokio::task::spawn_blocking(move || books.write_now(change, write));
        work.await.map_err(|error| BooksError::Unwritable(io::Error::other(error)))?
    }

    fn write_now<T>(
        &self,
        change: impl FnOnce(&mut Ledger) -> Result<T, Refused>,
        write: fn(&mut Store, Ledger) -> io::Result<()>,
    ) -> Result<T, BooksError> {
        let mut store = self.lock();
        let before = store.ledger().cloned();
        let mut next = before.clone().unwrap_or_default();
        let result = change(&mut next)?;
        if Some(&next) != before.as_ref() {
            write(&mut store, next).map_err(BooksError::Unwritable)?;
            self.publish(&store);
        }
        Ok(result)
    }

    fn publish(&self, store: &Store) {
        self.published.send_replace(store.ledger().cloned().map(Arc::new));
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use basalt_api::id::Lineage;
    use basalt_api::problem::Code;
    use basalt_api::set::HostSet;
    use hostd_core::books::{Hold, apply_local, hold, take_set};

    use super::*;

    fn books(folder: &std::path::Path) -> Arc<Books> {
        let mut store = Store::open(folder).unwrap();
        store.begin("boot", 1).unwrap();
        Books::new(store)
    }

    fn add(ledger: &mut Ledger) -> Result<(), Refused> {
        let text = r#"{"name":"a","kind":"container","container":{"image":"a"}}"#;
        let spec = serde_json::from_str(text).unwrap();
        apply_local(ledger, spec, "00000000-0000-0000-0000-000000000001".parse().unwrap())
            .map(|_| ())
    }

    #[tokio::test]
    async fn what_is_published_is_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let books = books(folder.path());
        let mut watch = books.watch();
        books.change(add).await.unwrap();
        watch.changed().await.unwrap();
        let on_disk = Store::open(folder.path()).unwrap().ledger().cloned();
        assert_eq!(watch.borrow().as_deref().cloned(), on_disk);
        assert_eq!(on_disk.unwrap().local.len(), 1);
    }

    #[tokio::test]
    async fn what_is_refused_or_changes_nothing_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let books = books(folder.path());
        books.change(add).await.unwrap();
        let sequence = books.known().unwrap().sequence;
        books.change(add).await.unwrap();
        let refused = books.change(|ledger| hold(ledger, "b", Hold::Keep)).await;
        assert!(matches!(refused, Err(BooksError::Refused(_))));
        assert_eq!(books.known().unwrap().sequence, sequence);
    }

    #[tokio::test]
    async fn a_lost_ledger_takes_nothing_but_the_endpoints_set() {
        let folder = tempfile::tempdir().unwrap();
        drop(books(folder.path()));
        for name in ["ledger.a", "ledger.b"] {
            std::fs::write(folder.path().join(name), "torn").unwrap();
        }
        let books = Books::new(Store::open(folder.path()).unwrap());
        assert_eq!(books.known(), None);
        assert!(matches!(books.change(add).await, Err(BooksError::Unwritable(_))));
        assert_eq!(books.problems()[0].code, Code::LedgerLost);
        // Not so the endpoint's set, which is whole.
        let lineage = Lineage(uuid::Uuid::nil());
        let set = move |ledger: &mut Ledger| take_set(ledger, lineage, 4, "h", HostSet::default());
        books.change_or_begin_anew(set).await.unwrap();
        assert_eq!(books.known().unwrap().assigned.as_ref().unwrap().generation, 4);
        assert_eq!(books.problems(), []);
        books.change(add).await.unwrap();
    }

    #[tokio::test]
    async fn what_could_not_be_written_is_told_until_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let blocked = folder.path().join("session");
        std::fs::create_dir(&blocked).unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        store.begin("boot", 1).unwrap_err();
        let books = Books::new(store);
        assert_eq!(books.problems()[0].code, Code::LedgerUnwritable);
        assert_eq!(books.known(), None);
        std::fs::remove_dir(&blocked).unwrap();
        assert_eq!(books.problems(), []);
        assert_eq!(books.known().unwrap().session, books.session());
    }
}
