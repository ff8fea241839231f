//! Events in memory, ready to be forwarded.
//!
//! - Bounded in bytes. An event counts from the moment it is offered until its settlement is
//!   durable, so neither leases nor settlements on their way to the disk add to the bound.
//! - One queue per source, first in first out; sources take turns.
//! - A source may hold at most twice of what is left free, so one that floods leaves room for
//!   the others.
//!
//! What does not fit stays on disk; the writer reads it back when [`Backlog::full`] shrinks.
//! It deliberately knows nothing of retries or due times: those are the engine's.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::intake::Intake;
use super::lease::Lease;
use crate::clock::UnixMillis;
use crate::event::{Event, SourceName};
use crate::planted::{Bug, planted};

/// An event that is due.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    pub(super) seq: u64,
    pub(super) event: Arc<Event>,
    /// The number of the attempt to make.
    pub(super) attempt: u32,
    pub(super) replay: bool,
    pub(super) pending_since: UnixMillis,
}

/// The queues; shared by the writer, which fills them, and the forwarder's leases.
pub(super) struct Backlog {
    inner: Mutex<Inner>,
    work: Notify,
    intake: Arc<Intake>,
}

struct Inner {
    bytes_max: usize,
    bytes: usize,
    queues: HashMap<SourceName, Queue>,
    /// Sources with something to take, next one first.
    turns: VecDeque<SourceName>,
    held: HashSet<SourceName>,
    /// The engine has more that did not fit.
    wanted: bool,
}

#[derive(Default)]
struct Queue {
    ready: VecDeque<Ready>,
    /// Of everything of this source that is in memory, leased or not.
    bytes: usize,
    in_turns: bool,
}

impl Inner {
    fn room_for(&self, source: &SourceName, added: usize, total_added: usize) -> bool {
        let held = self.queues.get(source).map_or(0, |queue| queue.bytes) + added;
        let free = self.bytes_max.saturating_sub(self.bytes + total_added);
        // An event larger than the whole bound still gets through, alone.
        held < free.saturating_mul(2) || self.bytes + total_added == 0
    }

    fn put(&mut self, ready: Ready, front: bool) {
        let source = ready.event.source.clone();
        let queue = self.queues.entry(source.clone()).or_default();
        if front {
            queue.ready.push_front(ready);
        } else {
            queue.ready.push_back(ready);
        }
        if !queue.in_turns {
            queue.in_turns = true;
            self.turns.push_back(source);
        }
    }

    /// The next event, and whether there is another one.
    fn take(&mut self) -> Option<Ready> {
        for _ in 0..self.turns.len() {
            let source = self.turns.pop_front()?;
            let held = self.held.contains(&source);
            let Some(queue) = self.queues.get_mut(&source) else {
                continue;
            };
            if held {
                self.turns.push_back(source);
                continue;
            }
            let ready = queue.ready.pop_front();
            queue.in_turns = !queue.ready.is_empty();
            if queue.in_turns {
                match planted(Bug::OneSourceBlocks) {
                    true => self.turns.push_front(source),
                    false => self.turns.push_back(source),
                }
            }
            if ready.is_some() {
                return ready;
            }
        }
        None
    }

    fn has_work(&self) -> bool {
        self.turns.iter().any(|source| !self.held.contains(source))
    }

    /// Whether enough has gone to read back what did not fit.
    fn hungry_after(&mut self, source: &SourceName) -> bool {
        let free = self.bytes_max.saturating_sub(self.bytes);
        let queue = self.queues.get(source);
        let low = queue.is_none_or(|queue| queue.ready.is_empty() || queue.bytes < free);
        self.wanted && low && {
            self.wanted = false;
            true
        }
    }
}

impl Backlog {
    pub(super) fn new(bytes_max: usize, intake: Arc<Intake>) -> Self {
        Self {
            inner: Mutex::new(Inner {
                bytes_max,
                bytes: 0,
                queues: HashMap::new(),
                turns: VecDeque::new(),
                held: HashSet::new(),
                wanted: false,
            }),
            work: Notify::new(),
            intake,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code that holds this lock can leave the queues half changed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides which of a batch's events may stay in memory, in order: once one of a source may
    /// not, the later ones of that source may not either.
    pub(super) fn admit<'a>(
        &self,
        events: impl Iterator<Item = (&'a Arc<Event>, &'a mut bool)>,
        mut waiting: impl FnMut(&SourceName) -> bool,
    ) {
        let inner = self.lock();
        let mut seen: Vec<(&SourceName, usize, bool)> = Vec::new();
        let mut total = 0;
        for (event, admitted) in events {
            let size = event.size_bytes();
            let found = seen.iter().position(|(name, ..)| **name == event.source);
            let at = found.unwrap_or_else(|| {
                seen.push((&event.source, 0, !waiting(&event.source)));
                seen.len() - 1
            });
            let Some((_, added, open)) = seen.get_mut(at) else {
                continue;
            };
            *open = *open && inner.room_for(&event.source, *added, total);
            *admitted = *open;
            if *open {
                *added += size;
                total += size;
            }
        }
    }

    /// Sources that have enough in memory, and the bytes left for the others.
    pub(super) fn full(&self) -> (Vec<SourceName>, usize) {
        let inner = self.lock();
        let full = inner
            .queues
            .keys()
            .filter(|source| !inner.room_for(source, 0, 0))
            .cloned()
            .collect();
        (full, inner.bytes_max.saturating_sub(inner.bytes))
    }

    /// The engine has more than fits: tell the intake when there is room.
    pub(super) fn want_more(&self) {
        self.lock().wanted = true;
    }

    /// Adds events that are due, behind those of the same source.
    pub(super) fn offer(&self, events: impl Iterator<Item = Ready>) {
        let mut inner = self.lock();
        for ready in events {
            let size = ready.event.size_bytes();
            inner.bytes += size;
            let queue = inner.queues.entry(ready.event.source.clone()).or_default();
            queue.bytes += size;
            inner.put(ready, false);
        }
        let work = inner.has_work();
        drop(inner);
        if work {
            self.work.notify_one();
        }
    }

    /// Puts an untried event back in front.
    pub(super) fn give_back(&self, ready: Ready) {
        self.lock().put(ready, true);
        self.work.notify_one();
    }

    /// The settlement of these events is durable: they no longer count.
    pub(super) fn done<'a>(&self, events: impl Iterator<Item = &'a Arc<Event>>) {
        let mut inner = self.lock();
        for event in events {
            let size = event.size_bytes();
            inner.bytes = inner.bytes.saturating_sub(size);
            let Some(queue) = inner.queues.get_mut(&event.source) else {
                continue;
            };
            queue.bytes = queue.bytes.saturating_sub(size);
            if queue.bytes == 0 && !queue.in_turns {
                inner.queues.remove(&event.source);
            }
        }
    }

    /// Drops an erased event that nobody has leased.
    pub(super) fn remove(&self, seq: u64) {
        let mut inner = self.lock();
        let mut gone = None;
        for queue in inner.queues.values_mut() {
            if let Some(at) = queue.ready.iter().position(|ready| ready.seq == seq) {
                gone = queue.ready.remove(at);
                queue.bytes = queue
                    .bytes
                    .saturating_sub(gone.as_ref().map_or(0, |ready| ready.event.size_bytes()));
            }
        }
        if let Some(ready) = gone {
            inner.bytes = inner.bytes.saturating_sub(ready.event.size_bytes());
        }
    }

    /// Stops or resumes handing out events of a source.
    pub(super) fn hold(&self, source: &SourceName, hold: bool) {
        let mut inner = self.lock();
        if hold {
            inner.held.insert(source.clone());
        } else {
            inner.held.remove(source);
        }
        drop(inner);
        self.work.notify_one();
    }

    /// Sources that are held.
    pub(super) fn held(&self) -> Vec<SourceName> {
        self.lock().held.iter().cloned().collect()
    }

    /// Takes the next event, if there is one.
    fn take(self: &Arc<Self>) -> Option<Lease> {
        let mut inner = self.lock();
        let ready = inner.take()?;
        let more = inner.has_work();
        let hungry = inner.hungry_after(&ready.event.source);
        drop(inner);
        if more {
            // Wake-ups are handed on, so one per offer is enough however many wait.
            self.work.notify_one();
        }
        if hungry {
            self.intake.nudge();
        }
        Some(Lease::new(ready, Arc::clone(self)))
    }

    /// Waits for the next event. Dropping the future loses nothing.
    pub(super) async fn lease(self: &Arc<Self>) -> Lease {
        loop {
            // A wake-up between the look and the wait is kept by `Notify`.
            if let Some(lease) = self.take() {
                return lease;
            }
            self.work.notified().await;
        }
    }
}
