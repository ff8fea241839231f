//! For `benches/store.rs` and `benches/lists.rs`: the embedded engine by itself, without queue, backlog
//! and answers.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::engine::{Batch, Engine, Mark, NewEvent, Outcome};
use super::keys::InstallationKey;
use super::lease::{Attempt, DeadReason, Settlement};
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
            urgent: false,
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
            hasten: None,
        };
        self.engine.commit(&batch).is_ok() && self.engine.maintain(UnixMillis(0)).is_ok()
    }

    /// Stores the next `count` events and what became of them, of four sources and five types: of a
    /// thousand, 990 are delivered, five are dead and five are pending; of 100,000, one is of a source
    /// and a type of its own. `false` if a commit failed.
    pub fn fill(&mut self, count: u64) -> bool {
        let now = Clock::real().wall();
        let first = self.next;
        let events: Vec<_> = (first..first + count)
            .map(|n| self.varied(n, now))
            .collect();
        self.next += count;
        let batch = Batch {
            now,
            events: &events,
            marks: &[],
            replays: &[],
            erasures: &[],
            hasten: None,
        };
        let Ok(committed) = self.engine.commit(&batch) else {
            return false;
        };
        let attempt = Attempt {
            at: now,
            took: Duration::from_millis(3),
            outcome: "delivered",
            status: Some(200),
            answer: Bytes::new(),
            error: None,
        };
        let outcomes = (first..).zip(events.iter().zip(&committed.outcomes));
        let marks: Vec<_> = outcomes
            .filter_map(|(n, (new, outcome))| {
                let Outcome::Stored { seq } = outcome else {
                    return None;
                };
                let settlement = match n % 1000 {
                    500..505 => Settlement::Dead {
                        attempt: Some(attempt.clone()),
                        reason: DeadReason::Refused,
                    },
                    700..705 => Settlement::Retry {
                        next_at: now.plus(Duration::from_hours(24)),
                        attempt: attempt.clone(),
                    },
                    _ => Settlement::Delivered(attempt.clone()),
                };
                Some(Mark {
                    seq: *seq,
                    event: Arc::clone(&new.event),
                    attempt: 1,
                    settlement,
                })
            })
            .collect();
        let batch = Batch {
            now,
            events: &[],
            marks: &marks,
            replays: &[],
            erasures: &[],
            hasten: None,
        };
        self.engine.commit(&batch).is_ok() && self.engine.maintain(now).is_ok()
    }

    fn varied(&self, n: u64, now: UnixMillis) -> NewEvent {
        let mut new = self.event(n);
        let rare = n % 100_000 == 7;
        let (source, event_type) = match n % 20 {
            _ if rare => ("rare", "rare.thing"),
            0 => ("github", "push"),
            1 | 2 => ("svix", "contact.created"),
            3..6 => ("stripe", "charge.refunded"),
            _ => ("stripe", "invoice.paid"),
        };
        let event = Arc::make_mut(&mut new.event);
        event.id = EventId::new(now);
        event.received_at = now;
        event.source = SourceName::from(source);
        event.event_type = Some(event_type.into());
        new.accepted_at = now;
        new
    }

    /// Ids that are remembered.
    #[must_use]
    pub fn ids(&self) -> u64 {
        self.engine.stats().ids
    }
}

/// Events ready to be committed.
pub struct Events(Vec<NewEvent>);
