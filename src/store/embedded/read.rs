//! The read side: a few connections beside the writer's, for people.
//!
//! WAL readers do not block the writer; they do hold back the journal, so every transaction here
//! is one statement; `list` keeps each of them short.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::marker::Marker;
use super::place::Database;
use super::record::{COLUMNS, Condition, Stored, Sums, WIDTH};
use super::schema::{self, DEAD, DELIVERED};
use crate::clock::UnixMillis;
use crate::event::{EventId, SourceName};
use crate::store::StoreError;
use crate::store::engine::Reader;
use crate::store::lease::DeadReason;
use crate::store::view::{Content, Page, PastAttempt, Query, State, StoredEvent, Summary};

/// Reads that run at the same time.
const CONNECTIONS: usize = 2;
pub(super) const MORE: &str = "s.name, d.state, d.attempts, d.next_at, d.outcome, d.status, d.reason, \
     coalesce(length(e.body), 0), d.tries, d.replay";

/// The connections.
pub(super) struct Connections {
    free: Mutex<Vec<Connection>>,
    returned: Condvar,
    sums: Sums,
    marker: Marker,
}

impl Connections {
    pub(super) fn open(
        database: &Database,
        sums: Sums,
        marker: Marker,
    ) -> Result<Self, rusqlite::Error> {
        let open = (0..CONNECTIONS).map(|_| schema::open_beside(database, true));
        let free = Mutex::new(open.collect::<Result<_, _>>()?);
        Ok(Self {
            free,
            returned: Condvar::new(),
            sums,
            marker,
        })
    }

    pub(super) fn with<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, rusqlite::Error>,
    ) -> Result<T, StoreError> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let db = loop {
            if let Some(db) = free.pop() {
                break db;
            }
            free = self
                .returned
                .wait(free)
                .unwrap_or_else(PoisonError::into_inner);
        };
        drop(free);
        let result = read(&db);
        self.free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(db);
        self.returned.notify_one();
        result.map_err(|error| {
            if schema::is_damage(&error) {
                self.marker.set(&error.to_string());
            }
            StoreError::Unavailable(error.to_string().into())
        })
    }

    pub(super) fn summary(
        &self,
        row: &Row<'_>,
        head_only: bool,
    ) -> Result<(Summary, Stored), rusqlite::Error> {
        let source = SourceName::from(row.get::<_, String>(WIDTH)?.as_str());
        let stored = if head_only {
            Stored::read_head(row, source, self.sums)?
        } else {
            Stored::read(row, source, self.sums)?
        };
        let event = &stored.event;
        let reason: Option<String> = row.get(WIDTH + 6)?;
        let state = state(row.get(WIDTH + 1)?);
        let summary = Summary {
            id: event.id,
            source: event.source.clone(),
            received_at: event.received_at,
            provider_event_id: event.provider_event_id.clone(),
            event_type: event.event_type.clone(),
            state,
            dead_reason: reason.as_deref().and_then(DeadReason::from_word),
            attempts: row.get::<_, Option<u32>>(WIDTH + 2)?.unwrap_or(0),
            next_at: row.get::<_, Option<i64>>(WIDTH + 3)?.map(UnixMillis),
            outcome: row.get(WIDTH + 4)?,
            status: row.get(WIDTH + 5)?,
            body_bytes: row.get::<_, i64>(WIDTH + 7)?.cast_unsigned(),
            damaged: stored.condition == Condition::Damaged,
        };
        Ok((summary, stored))
    }

    fn one(
        &self,
        db: &Connection,
        id: EventId,
    ) -> Result<Option<(u64, StoredEvent)>, rusqlite::Error> {
        let sql = format!(
            "SELECT {COLUMNS}, {MORE} FROM event e JOIN source s ON s.id = e.source
             LEFT JOIN delivery d USING(seq) WHERE e.id = ?1"
        );
        db.prepare_cached(&sql)?
            .query_row([&id.as_bytes()[..]], |row| {
                let (summary, stored) = self.summary(row, false)?;
                let content = match stored.condition {
                    Condition::Whole => Content::Whole(Box::new(stored.event)),
                    Condition::Erased => Content::Erased,
                    Condition::Damaged => Content::Damaged,
                };
                let replay = row.get::<_, Option<bool>>(WIDTH + 9)?.unwrap_or(false);
                let event = StoredEvent {
                    summary,
                    content,
                    attempts: Vec::new(),
                    replay,
                };
                Ok((stored.seq, event))
            })
            .optional()
    }
}

/// What a row of `delivery` says, if there is one.
fn state(stored: Option<i64>) -> State {
    match stored {
        Some(DELIVERED) => State::Delivered,
        Some(DEAD) => State::Dead,
        Some(_) | None => State::Pending,
    }
}

fn attempts(db: &Connection, seq: u64) -> Result<Vec<PastAttempt>, rusqlite::Error> {
    db.prepare_cached(
        "SELECT n, at, took, outcome, status, answer, error FROM attempt WHERE seq = ?1
         UNION ALL
         SELECT tries, at, took, outcome, status, answer, error FROM delivery
         WHERE seq = ?1 AND at IS NOT NULL ORDER BY 1",
    )?
    .query_map([seq.cast_signed()], |row| {
        Ok(PastAttempt {
            number: row.get(0)?,
            at: UnixMillis(row.get(1)?),
            took: Duration::from_micros(row.get::<_, i64>(2)?.cast_unsigned()),
            outcome: row.get(3)?,
            status: row.get(4)?,
            answer: Bytes::from(row.get::<_, Option<Vec<u8>>>(5)?.unwrap_or_default()),
            error: row.get(6)?,
        })
    })?
    .collect()
}

impl Reader for Connections {
    fn list(&self, query: &Query) -> Result<Page, StoreError> {
        self.page(query)
    }

    fn state(&self, id: EventId) -> Result<Option<State>, StoreError> {
        self.with(|db| {
            db.prepare_cached(
                "SELECT d.state FROM event e LEFT JOIN delivery d USING(seq) WHERE e.id = ?1",
            )?
            .query_row([&id.as_bytes()[..]], |row| Ok(state(row.get(0)?)))
            .optional()
        })
    }

    fn show(&self, id: EventId) -> Result<Option<StoredEvent>, StoreError> {
        self.with(|db| {
            let Some((seq, mut event)) = self.one(db, id)? else {
                return Ok(None);
            };
            event.attempts = attempts(db, seq)?;
            Ok(Some(event))
        })
    }
}
