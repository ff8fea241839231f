//! What people and metrics see of the store.

use std::time::Duration;

use crate::clock::UnixMillis;
use crate::event::{Event, EventId, SourceName};

use super::lease::DeadReason;

/// Where an event stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Waiting for the app.
    Pending,
    /// The app has it.
    Delivered,
    /// A dead letter.
    Dead,
}

impl State {
    /// Every state, in the order of [`SourceCounts`].
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Dead];

    /// The word for metrics and the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }
}

/// Which events to list; what is `None` does not matter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this source.
    pub source: Option<SourceName>,
    /// In this state.
    pub state: Option<State>,
    /// With this event type.
    pub event_type: Option<Box<str>>,
    /// With this id: ours, or the provider's.
    pub id: Option<Box<str>>,
    /// The dedup ids that events with the provider's id would have: they are found at once and come
    /// first. Without, or for others with the same id, everything is looked through.
    pub dedup_ids: Vec<(SourceName, Vec<u8>)>,
    /// Received at or after (wall time).
    pub since: Option<UnixMillis>,
    /// Received before (wall time).
    pub until: Option<UnixMillis>,
}

/// Where a list begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// For people.
    NewestFirst,
    /// For replays: the app gets events in the order in which they came.
    OldestFirst,
}

/// What a reader is asked for.
pub(super) struct Query {
    pub(super) filter: Filter,
    /// Sequence numbers that [`Filter::dedup_ids`] led to.
    pub(super) known: Vec<u64>,
    pub(super) sort: Sort,
    pub(super) limit: usize,
    pub(super) cursor: Option<Cursor>,
}

/// Where a list goes on. Opaque to users: print it, parse it, pass it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(u64);

impl Cursor {
    /// Set when the page before showed what was known. No sequence number is as large.
    const AFTER_KNOWN: u64 = 1 << 63;

    pub(super) fn new(at: u64, after_known: bool) -> Self {
        Self(at | if after_known { Self::AFTER_KNOWN } else { 0 })
    }

    /// The sequence number next to which to go on.
    pub(super) fn at(self) -> u64 {
        self.0 & !Self::AFTER_KNOWN
    }

    pub(super) fn is_after_known(self) -> bool {
        self.0 & Self::AFTER_KNOWN != 0
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// The text is not a cursor that a list returned.
#[derive(Debug, thiserror::Error)]
#[error("not a cursor; take the one that the previous page returned")]
pub struct NotACursor;

impl std::str::FromStr for Cursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        // No sign, and no capitals: nobody has been given one.
        let is_ours = text.bytes().all(|byte| b"0123456789abcdef".contains(&byte));
        let number = u64::from_str_radix(text, 16).ok().filter(|_| is_ours);
        number.map(Self).ok_or(NotACursor)
    }
}

/// A part of a list.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The events found.
    pub events: Vec<Summary>,
    /// Where to go on, if there may be more. A page can be short, even empty, and still have
    /// one: a list of what is rare ends after a time with what it has found.
    pub next: Option<Cursor>,
}

/// One event in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Our id.
    pub id: EventId,
    /// Its source.
    pub source: SourceName,
    /// When it was received (wall time).
    pub received_at: UnixMillis,
    /// The sender's id.
    pub provider_event_id: Option<Box<str>>,
    /// The sender's event type.
    pub event_type: Option<Box<str>>,
    /// Where it stands.
    pub state: State,
    /// Why it is dead.
    pub dead_reason: Option<DeadReason>,
    /// Attempts since it became pending.
    pub attempts: u32,
    /// When it is due again (steady time), if it waits for a retry.
    pub next_at: Option<UnixMillis>,
    /// Outcome of the last attempt.
    pub outcome: Option<Box<str>>,
    /// The app's status in the last attempt.
    pub status: Option<u16>,
    /// Size of the body; 0 once erased.
    pub body_bytes: u64,
    /// The record does not match its checksum: the fields above may be wrong.
    pub damaged: bool,
}

/// One event with everything that is known about it.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// As in a list.
    pub summary: Summary,
    /// The event itself.
    pub content: Content,
    /// All attempts that are remembered, oldest first.
    pub attempts: Vec<PastAttempt>,
    /// A person asked for its latest delivery.
    pub replay: bool,
}

/// Body and headers of a stored event.
#[derive(Clone, Debug)]
pub enum Content {
    /// As it was received.
    Whole(Box<Event>),
    /// Erased on request or to stay within the disk budget; the record remains.
    Erased,
    /// The record does not match its checksum; it is not shown or delivered.
    Damaged,
}

/// An attempt, as remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastAttempt {
    /// Its number over the whole life of the event.
    pub number: u32,
    /// When it began.
    pub at: UnixMillis,
    /// How long it took.
    pub took: Duration,
    /// The outcome.
    pub outcome: Box<str>,
    /// The app's status, if it answered.
    pub status: Option<u16>,
    /// The start of the app's answer.
    pub answer: bytes::Bytes,
    /// What failed, in words.
    pub error: Option<Box<str>>,
}

/// How many events there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// One entry per source that was ever seen, by name.
    pub sources: Vec<SourceCounts>,
}

impl Counts {
    /// The counts of one source; zeros if it was never seen.
    #[must_use]
    pub fn of(&self, source: &SourceName) -> SourceCounts {
        let found = self.sources.iter().find(|counts| counts.source == *source);
        found
            .cloned()
            .unwrap_or_else(|| SourceCounts::none(source.clone()))
    }
}

/// How many events of one source there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceCounts {
    /// The source.
    pub source: SourceName,
    /// Waiting for the app.
    pub pending: u64,
    /// Delivered and still kept.
    pub delivered: u64,
    /// Dead letters.
    pub dead: u64,
    /// When the oldest pending one was received (wall time).
    pub oldest_pending_at: Option<UnixMillis>,
}

impl SourceCounts {
    pub(super) fn none(source: SourceName) -> Self {
        Self {
            source,
            pending: 0,
            delivered: 0,
            dead: 0,
            oldest_pending_at: None,
        }
    }
}

/// How the store is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes in use, free pages not counted.
    pub used_bytes: u64,
    /// The configured ceiling.
    pub bytes_max: u64,
    /// The file system keeps what is acknowledged.
    pub durable: bool,
    /// Size of the journal.
    pub wal_bytes: u64,
    /// Ids remembered for duplicate detection.
    pub ids: u64,
    /// How long the last commit took.
    pub last_commit: Duration,
    /// Damaged records found since the start.
    pub damaged: u64,
    /// Commits that failed since the start.
    pub failed_commits: u64,
}
