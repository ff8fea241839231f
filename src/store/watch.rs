//! Changes as they become durable, for those who look on.
//!
//! Whoever looks on too slowly misses some and is told how many; nobody waits for them. While nobody
//! looks on, a commit pays nothing.

use tokio::sync::broadcast;

use super::engine::{Committed, Mark, NewEvent, Outcome};
use super::intake::Work;
use super::lease::{Attempt, Settlement};
use super::view::{State, Summary};
use super::writer::wanted;
use crate::event::{Event, EventId};

/// Changes that one who looks on may be behind.
const BEHIND_MAX: usize = 1024;

/// What happened to an event.
#[derive(Clone, Debug)]
pub enum Change {
    /// It is new.
    Stored(Summary),
    /// An attempt ended; the state says how.
    Attempted(Summary),
    /// A person wants it delivered again.
    Replayed(EventId),
    /// Its body and headers are gone.
    Erased(EventId),
}

/// Where changes are told.
pub(super) struct Watch(broadcast::Sender<Change>);

impl Default for Watch {
    fn default() -> Self {
        Self(broadcast::Sender::new(BEHIND_MAX))
    }
}

impl Watch {
    pub(super) fn subscribe(&self) -> broadcast::Receiver<Change> {
        self.0.subscribe()
    }

    /// Tells what a commit made durable, if anybody wants to know.
    pub(super) fn tell(&self, work: &Work, committed: &Committed) {
        if self.0.receiver_count() == 0 {
            return;
        }
        let stored = work.events.iter().zip(&committed.outcomes);
        let stored = stored.filter(|(_, outcome)| !matches!(outcome, Outcome::Duplicate { .. }));
        let stored = stored.map(|(new, _)| Change::Stored(Summary::stored(new)));
        let settled = work.marks.iter().zip(&committed.marked);
        let settled = settled.filter(|(_, marked)| **marked);
        let settled = settled.map(|(mark, _)| Change::Attempted(Summary::settled(mark)));
        let (replays, erasures) = wanted(&work.orders);
        let replays = replays.into_iter().zip(&committed.replayed);
        let replays = replays.filter_map(|(id, due)| due.then_some(Change::Replayed(id)));
        let erasures = erasures.into_iter().zip(&committed.erased);
        let erasures = erasures.filter_map(|(id, seq)| seq.map(|_| Change::Erased(id)));
        for change in stored.chain(settled).chain(replays).chain(erasures) {
            // The last one who looked on may have gone away.
            let _ = self.0.send(change);
        }
    }
}

impl Summary {
    /// An event that has just been stored.
    pub(super) fn stored(new: &NewEvent) -> Self {
        Self::pending(&new.event)
    }

    /// An event after an attempt, or given up.
    pub(super) fn settled(mark: &Mark) -> Self {
        let (state, next_at, dead_reason, attempt) = match &mark.settlement {
            Settlement::Delivered(attempt) => (State::Delivered, None, None, Some(attempt)),
            Settlement::Retry { next_at, attempt } => {
                (State::Pending, Some(*next_at), None, Some(attempt))
            }
            Settlement::Dead { attempt, reason } => {
                (State::Dead, None, Some(*reason), attempt.as_ref())
            }
        };
        Self {
            state,
            dead_reason,
            attempts: mark.attempt,
            next_at,
            outcome: attempt.map(|attempt| attempt.outcome.into()),
            status: attempt.and_then(|attempt: &Attempt| attempt.status),
            ..Self::pending(&mark.event)
        }
    }

    fn pending(event: &Event) -> Self {
        Self {
            id: event.id,
            source: event.source.clone(),
            received_at: event.received_at,
            provider_event_id: event.provider_event_id.clone(),
            event_type: event.event_type.clone(),
            state: State::Pending,
            dead_reason: None,
            attempts: 0,
            next_at: None,
            outcome: None,
            status: None,
            body_bytes: super::wide(event.body.len()),
            damaged: false,
        }
    }
}
