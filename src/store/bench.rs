//! For `benches/store.rs`: the embedded engine by itself, without queue, backlog and answers.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::engine::{Batch, Engine, NewEvent};
use super::keys::InstallationKey;
use super::{Config, Keep, StoreError, embedded};
use crate::clock::{Clock, UnixMillis};
use crate::event::{Event, EventId, HeaderList, SourceName};

/// An engine with made-up events of 1 KiB.
pub struct EngineBench {
    engine: Box<dyn Engine>,
    key: InstallationKey,
    source: SourceName,
    body: Bytes,
    next: u64,
}

impl EngineBench {
    /// Opens a store.
    ///
    /// # Errors
    /// As [`Store::open`](super::Store::open).
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let forever = Duration::from_hours(24 * 365);
        let config = Config {
            dedup_windows: std::collections::HashMap::new(),
            path: path.to_path_buf(),
            bytes_max: 0,
            keep: Keep {
                delivered: forever,
                dead: forever,
                ids: forever,
            },
            allow_volatile: true,
            low_space_bytes: 0,
            backlog_bytes_max: 0,
            disk: None,
        };
        let opened = embedded::open(&config, &Clock::real())?;
        Ok(Self {
            engine: opened.engine,
            key: opened.key,
            source: SourceName::from("bench"),
            body: Bytes::from(vec![b'x'; 1024]),
            next: 0,
        })
    }

    /// The next `count` events.
    #[must_use]
    pub fn events(&mut self, count: u64) -> Events {
        let first = self.next;
        self.next += count;
        Events((first..self.next).map(|n| self.event(n)).collect())
    }

    /// Once more the first `count` events.
    #[must_use]
    pub fn repeats(&self, count: u64) -> Events {
        Events((0..count).map(|n| self.event(n)).collect())
    }

    fn event(&self, n: u64) -> NewEvent {
        let event = Event {
            id: EventId::new(UnixMillis(n.cast_signed() / 64)),
            source: self.source.clone(),
            received_at: UnixMillis(0),
            provider_event_id: Some(format!("evt_{n:024}").into()),
            event_type: Some("invoice.paid".into()),
            verified: "stripe".into(),
            method: http::Method::POST,
            target: "/webhooks/bench".into(),
            headers: HeaderList::from_bytes(Bytes::from_static(
                b"content-type: application/json\r\nuser-agent: bench\r\n",
            )),
            body: self.body.clone(),
        };
        NewEvent {
            repeats_since: crate::clock::UnixMillis(i64::MIN),
            key: self.key.key(&self.source, &n.to_le_bytes()),
            digest: self.key.digest(&self.body),
            event: Arc::new(event),
            accepted_at: UnixMillis(0),
            claimed: true,
        }
    }

    /// Commits events; says whether that worked, and does the upkeep that goes with it.
    pub fn commit(&mut self, events: &Events) -> bool {
        let batch = Batch {
            now: UnixMillis(0),
            events: &events.0,
            marks: &[],
            replays: &[],
            erasures: &[],
        };
        self.engine.commit(&batch).is_ok() && self.engine.maintain(UnixMillis(0)).is_ok()
    }

    /// Ids that are remembered.
    #[must_use]
    pub fn ids(&self) -> u64 {
        self.engine.stats().ids
    }
}

/// Events ready to be committed.
pub struct Events(Vec<NewEvent>);
