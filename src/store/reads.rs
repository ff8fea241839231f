//! Lists and single events, for people: on connections of their own, beside the writer.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::Store;
use super::engine::Reader;
use super::error::StoreError;
use super::intake::Order;
use super::view::{Cursor, Filter, Page, Query, Sort, State, StoredEvent};
use crate::event::{EventId, SourceName};

/// A list waits this long for the short way to an id.
const SHORT_WAY: Duration = Duration::from_millis(20);

impl Store {
    /// Lists events, newest first; before them what [`Filter::dedup_ids`] leads to.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list(
        &self,
        filter: Filter,
        limit: usize,
        cursor: Option<Cursor>,
    ) -> Result<Page, StoreError> {
        let query = Query {
            known: self.known(&filter.dedup_ids, cursor).await?,
            filter,
            sort: Sort::NewestFirst,
            limit,
            cursor,
        };
        self.read(move |reader| reader.list(&query)).await
    }

    /// What the writer knows under these dedup ids, for the pages that want to know it.
    async fn known(
        &self,
        dedup_ids: &[(SourceName, Vec<u8>)],
        cursor: Option<Cursor>,
    ) -> Result<Vec<u64>, StoreError> {
        if dedup_ids.is_empty() || cursor.is_some_and(|cursor| !cursor.is_after_known()) {
            return Ok(Vec::new());
        }
        let keys = dedup_ids.iter();
        let keys = keys.map(|(source, id)| self.handle.key.key(source, id));
        let found = self.order(|answer| Order::Find(keys.collect(), answer));
        if cursor.is_some() {
            return found.await; // or what was shown would come twice
        }
        // Only the short way: a writer that is busy is not waited for.
        let found = timeout(SHORT_WAY, found).await;
        Ok(found.unwrap_or(Ok(Vec::new())).unwrap_or_default())
    }

    /// Lists events as they came; its cursors are not those of [`Store::list`].
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list_oldest_first(
        &self,
        filter: Filter,
        limit: usize,
        cursor: Option<Cursor>,
    ) -> Result<Page, StoreError> {
        let query = Query {
            known: Vec::new(),
            filter,
            sort: Sort::OldestFirst,
            limit,
            cursor,
        };
        self.read(move |reader| reader.list(&query)).await
    }

    /// One event with its body and attempts.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn show(&self, id: EventId) -> Result<Option<StoredEvent>, StoreError> {
        self.read(move |reader| reader.show(id)).await
    }

    /// Where an event stands, if it is there.
    pub(super) async fn state(&self, id: EventId) -> Result<Option<State>, StoreError> {
        self.read(move |reader| reader.state(id)).await
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let reader = Arc::clone(&self.handle.reader);
        if self.handle.in_place {
            return read(&*reader);
        }
        let read = tokio::task::spawn_blocking(move || read(&*reader));
        read.await
            .unwrap_or_else(|_| Err(StoreError::Unavailable("the read did not finish".into())))
    }
}
