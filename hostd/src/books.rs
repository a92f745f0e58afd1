//! The ledger while `hostd` runs: one writer at a time, on the disk before anybody acts on it.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use basalt_api::ledger::Ledger;
use hostd_core::books::Refused;
use tokio::sync::watch;

use crate::ledger::Store;

/// The ledger, shared.
#[derive(Debug)]
pub struct Books {
    store: Mutex<Store>,
    published: watch::Sender<Known>,
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
        Arc::new(Self { store: Mutex::new(store), published })
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
        let books = Arc::clone(self);
        let work = tokio::task::spawn_blocking(move || books.change_now(change));
        work.await.map_err(|error| BooksError::Unwritable(io::Error::other(error)))?
    }

    fn change_now<T>(
        &self,
        change: impl FnOnce(&mut Ledger) -> Result<T, Refused>,
    ) -> Result<T, BooksError> {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let before = store.ledger().cloned().unwrap_or_default();
        let mut next = before.clone();
        let result = change(&mut next)?;
        if next != before {
            store.replace(next).map_err(BooksError::Unwritable)?;
            self.published.send_replace(store.ledger().cloned().map(Arc::new));
        }
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use hostd_core::books::{Hold, apply_local, hold};

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
    async fn a_lost_ledger_takes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        drop(books(folder.path()));
        for name in ["ledger.a", "ledger.b"] {
            std::fs::write(folder.path().join(name), "torn").unwrap();
        }
        let books = Books::new(Store::open(folder.path()).unwrap());
        assert_eq!(books.known(), None);
        assert!(matches!(books.change(add).await, Err(BooksError::Unwritable(_))));
    }
}
