//! What a store engine must do: the seam between the group-commit loop and the disk or server.
//!
//! Everything above it (queue, batching, backlog, leases, answers, conformance tests) is shared
//! by all engines. An engine is blocking and belongs to one thread. It alone decides, at commit,
//! whether an event is new.

use std::sync::Arc;

use crate::clock::UnixMillis;
use crate::event::{Event, EventId, SourceName};

use super::Keep;
use super::backlog::Ready;
use super::error::{Shortage, StoreError};
use super::keys::{DedupKey, Digest};
use super::lease::Settlement;
use super::view::{Page, Query, SourceCounts, State, StoredEvent};

/// The write side.
pub(super) trait Engine: Send {
    /// Stores a batch: atomic, and durable once this returns `Ok`. One outcome per event, in
    /// order. After an error nothing of the batch may be acknowledged, and none of its keys
    /// count as seen.
    fn commit(&mut self, batch: &Batch<'_>) -> Result<Committed, EngineError>;

    /// Takes events that are due, sources in turn, in order within a source. They are not
    /// returned again until they are settled (an engine that several processes share adds a
    /// lease of its own, for those of a process that died).
    fn claim_due(
        &mut self,
        now: UnixMillis,
        claim: &Claim<'_>,
    ) -> Result<Vec<Claimed>, EngineError>;

    /// Fresh events of this source wait for [`Engine::claim_due`]: newer ones must queue behind.
    fn waiting(&self, source: &SourceName) -> bool;

    /// The events that are known under these keys, as sequence numbers; for people, so that what
    /// cannot be read is left out.
    fn find(&self, keys: &[DedupKey]) -> Vec<u64>;

    /// When [`Engine::claim_due`] may find something; long past if it would now.
    fn due_at(&self) -> Option<UnixMillis>;

    /// Forgets a bounded slice of what the policy no longer keeps; `true` if there is more.
    fn prune(&mut self, policy: &Policy, now: UnixMillis) -> Result<Pruned, EngineError>;

    /// Whether there is room for new events.
    fn room(&mut self, policy: &Policy) -> Result<(), Shortage>;

    /// Small upkeep between commits. Returns whether there is more.
    fn maintain(&mut self, now: UnixMillis) -> Result<bool, EngineError>;

    /// Tallies of every source.
    fn counts(&mut self) -> Result<Vec<SourceCounts>, EngineError>;

    /// Figures for metrics.
    fn stats(&self) -> EngineStats;

    /// Orderly end.
    fn close(self: Box<Self>) -> Result<(), EngineError>;

    /// The end after a fatal error: nothing is written, synced or closed.
    fn abandon(self: Box<Self>) {
        // Closing could sync or checkpoint once more; the process is about to end.
        std::mem::forget(self);
    }
}

/// The read side, on connections of its own; transactions are short.
pub(super) trait Reader: Send + Sync {
    /// A part of a list.
    fn list(&self, query: &Query) -> Result<Page, StoreError>;

    /// Where an event stands, if it is there.
    fn state(&self, id: EventId) -> Result<Option<State>, StoreError>;

    /// One event with its attempts.
    fn show(&self, id: EventId) -> Result<Option<StoredEvent>, StoreError>;
}

/// What one commit makes durable.
pub(super) struct Batch<'a> {
    pub(super) now: UnixMillis,
    pub(super) events: &'a [NewEvent],
    pub(super) marks: &'a [Mark],
    pub(super) replays: &'a [EventId],
    pub(super) erasures: &'a [EventId],
    /// Events whose retry is due later than this are due now; a bounded number of them.
    pub(super) hasten: Option<UnixMillis>,
}

/// A verified event on its way to the disk.
pub(super) struct NewEvent {
    pub(super) event: Arc<Event>,
    pub(super) key: DedupKey,
    pub(super) digest: Digest,
    pub(super) accepted_at: UnixMillis,
    /// It repeats only what was accepted since then.
    pub(super) repeats_since: UnixMillis,
    /// The caller keeps a copy and will settle it: `claim_due` need not return it.
    pub(super) claimed: bool,
    /// If it is a repeat of one that waits for a retry: that is due now.
    pub(super) urgent: bool,
}

/// A settlement on its way to the disk.
pub(super) struct Mark {
    pub(super) seq: u64,
    pub(super) event: Arc<Event>,
    /// The number of the attempt; 0 if there was none.
    pub(super) attempt: u32,
    pub(super) settlement: Settlement,
}

/// What a commit did.
#[derive(Default)]
pub(super) struct Committed {
    /// One per event of the batch.
    pub(super) outcomes: Vec<Outcome>,
    /// Sources whose counts changed.
    pub(super) touched: Vec<SourceCounts>,
    /// One per settlement of the batch: it says where the event stands now. Not of one that was
    /// pruned or erased meanwhile.
    pub(super) marked: Vec<bool>,
    /// One per replay of the batch: it is due now.
    pub(super) replayed: Vec<bool>,
    /// One per erasure of the batch: the sequence number of the erased event.
    pub(super) erased: Vec<Option<u64>>,
    /// How many events were made due.
    pub(super) hastened: u64,
}

/// What became of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Stored {
        seq: u64,
    },
    /// Another body under a known id: stored as an event of its own.
    Conflict {
        seq: u64,
    },
    Duplicate {
        of: EventId,
    },
}

/// How much to claim.
pub(super) struct Claim<'a> {
    pub(super) events_max: usize,
    pub(super) bytes_max: usize,
    /// Sources that have enough waiting in memory.
    pub(super) full: &'a [SourceName],
}

/// What a claim found.
pub(super) enum Claimed {
    Ready(Ready),
    /// The record is damaged: it must become a dead letter.
    Damaged(Mark),
}

/// What retention keeps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    pub(super) keep: Keep,
    pub(super) bytes_max: u64,
    pub(super) low_space_bytes: u64,
}

/// What a slice of pruning did.
#[derive(Default)]
pub(super) struct Pruned {
    pub(super) touched: Vec<SourceCounts>,
    pub(super) more: bool,
}

/// Figures for metrics.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EngineStats {
    pub(super) used_bytes: u64,
    pub(super) wal_bytes: u64,
    pub(super) ids: u64,
    pub(super) damaged: u64,
    pub(super) durable: bool,
}

/// Why an engine call failed.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum EngineError {
    /// No space; rolled back, the engine goes on.
    #[error("no space left")]
    Full,
    /// Rolled back, the engine goes on.
    #[error("{0}")]
    Unavailable(Arc<str>),
    /// What is on disk is unknown: the engine must not be used again.
    #[error("{0}")]
    Fatal(Arc<str>),
}
