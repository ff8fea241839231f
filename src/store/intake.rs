//! What waits for the writer: one queue behind one lock, swapped out as a whole.
//!
//! Bounded in events and bytes; settlements are bounded by the backlog that they come from, and
//! the app's answers in them by bytes of their own. The writer sleeps until there is something to
//! do: an event or an order at once, settlements alone after [`MARKS_WAIT`] or [`MARKS_MAX`].

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

use super::engine::{Mark, NewEvent};
use super::error::{Shortage, StoreError};
use super::keys::DedupKey;
use super::lease::Settlement;
use super::{Receipt, ReceiptKind, lease::Attempt};
use crate::event::EventId;
use crate::planted::{Bug, planted};

/// Events that may wait.
const EVENTS_MAX: usize = 8192;
/// Bytes of events that may wait.
const BYTES_MAX: usize = 8 << 20;
/// Events per commit.
const COMMIT_EVENTS_MAX: usize = 1024;
/// Bytes of events per commit.
const COMMIT_BYTES_MAX: usize = 4 << 20;
/// Settlements wait for company this long,
const MARKS_WAIT: Duration = Duration::from_millis(100);
/// or until there are this many.
const MARKS_MAX: usize = 100;
/// Settlements per commit.
const COMMIT_MARKS_MAX: usize = 4096;
/// Bytes of the app's answers that may wait; beyond, only their status is kept.
const ANSWERS_MAX: usize = 4 << 20;
/// Longest answer kept.
const ANSWER_MAX: usize = 64 << 10;
/// Orders that may wait.
const ORDERS_MAX: usize = 256;

pub(super) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// Something a person asked for.
pub(super) enum Order {
    Replay(Vec<EventId>, Answer<u64>),
    Erase(EventId, Answer<bool>),
    /// What is known under these keys.
    Find(Vec<DedupKey>, Answer<Vec<u64>>),
    /// Lets some of the events whose retry is further away than this be due now; how many.
    Hasten(Duration, Answer<u64>),
    /// Answered when everything settled before is durable.
    Flush(Answer<()>),
}

/// What the writer takes in one go.
#[derive(Default)]
pub(super) struct Work {
    pub(super) events: Vec<NewEvent>,
    pub(super) answers: Vec<Answer<Receipt>>,
    pub(super) marks: Vec<Mark>,
    /// How many of the marks, from the end, are of damaged records, which nobody was offered.
    pub(super) unoffered: usize,
    pub(super) orders: Vec<Order>,
    /// Nothing more will come, and this is the last of it.
    pub(super) last: bool,
}

impl Work {
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.marks.is_empty() && self.orders.is_empty()
    }
}

#[derive(Default)]
struct Queue {
    work: Work,
    events_bytes: usize,
    answers_bytes: usize,
    marked_at: Option<Instant>,
    /// Since when events wait that the writer has not taken.
    events_at: Option<Instant>,
    nudged: bool,
    waiter: Waiter,
    /// Why nothing new is taken: a passing shortage,
    shortage: Option<Shortage>,
    /// or the end.
    ended: Option<StoreError>,
    closing: bool,
}

/// Who waits for something to do.
#[derive(Default)]
enum Waiter {
    #[default]
    Nobody,
    Thread,
    Task(Arc<Notify>),
}

/// The queue.
#[derive(Default)]
pub(super) struct Intake {
    queue: Mutex<Queue>,
    wake: Condvar,
}

impl Intake {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No code that holds this lock can leave the queue half changed.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, mut queue: MutexGuard<'_, Queue>) {
        let waiter = std::mem::take(&mut queue.waiter);
        drop(queue);
        match waiter {
            Waiter::Nobody => {}
            Waiter::Thread => self.wake.notify_one(),
            Waiter::Task(wake) => wake.notify_one(),
        }
    }

    /// Whether new events are taken at the moment.
    pub(super) fn open(&self) -> Result<(), StoreError> {
        let queue = self.lock();
        check(&queue)
    }

    /// Since when events wait that the writer has not taken.
    pub(super) fn queued_since(&self) -> Option<Instant> {
        self.lock().events_at
    }

    /// Queues an event.
    pub(super) fn submit(
        &self,
        event: NewEvent,
        answer: Answer<Receipt>,
    ) -> Result<(), StoreError> {
        let size = event.event.size_bytes();
        let mut queue = self.lock();
        check(&queue)?;
        let crowded = queue.events_bytes > 0 && queue.events_bytes + size > BYTES_MAX;
        if crowded || queue.work.events.len() >= EVENTS_MAX {
            return Err(StoreError::Busy);
        }
        let alike = |first: &&NewEvent| first.key == event.key && first.digest == event.digest;
        if planted(Bug::DuplicateBeforeDurable)
            && let Some(first) = queue.work.events.iter().find(alike)
        {
            drop(answer.send(Ok(Receipt {
                event_id: first.event.id,
                kind: ReceiptKind::Duplicate,
            })));
            return Ok(());
        }
        queue.events_bytes += size;
        queue.events_at.get_or_insert_with(Instant::now);
        queue.work.events.push(event);
        queue.work.answers.push(answer);
        self.wake(queue);
        Ok(())
    }

    /// Queues a settlement; after the end it is dropped, which costs a repeated delivery.
    pub(super) fn settle(&self, mut mark: Mark) {
        let mut queue = self.lock();
        if queue.ended.is_some() {
            return;
        }
        if let Some(attempt) = attempt_of(&mut mark.settlement) {
            attempt.answer.truncate(ANSWER_MAX);
            if queue.answers_bytes + attempt.answer.len() > ANSWERS_MAX {
                attempt.answer = Bytes::new();
            }
            queue.answers_bytes += attempt.answer.len();
        }
        queue.work.marks.push(mark);
        if queue.marked_at.is_none() {
            queue.marked_at = Some(Instant::now());
        }
        // The first one starts the writer's 100 ms.
        if queue.work.marks.len() == 1 || queue.work.marks.len() == MARKS_MAX {
            self.wake(queue);
        }
    }

    /// Queues an order.
    pub(super) fn order(&self, order: Order) -> Result<(), StoreError> {
        let mut queue = self.lock();
        if let Some(ended) = &queue.ended {
            return Err(ended.clone());
        }
        if queue.work.orders.len() >= ORDERS_MAX {
            return Err(StoreError::Busy);
        }
        queue.work.orders.push(order);
        self.wake(queue);
        Ok(())
    }

    /// Makes the writer look at clock, engine and backlog again.
    pub(super) fn nudge(&self) {
        let mut queue = self.lock();
        queue.nudged = true;
        self.wake(queue);
    }

    /// Takes no new events from now on; the writer ends after what is queued.
    pub(super) fn close(&self) {
        let mut queue = self.lock();
        queue.closing = true;
        self.wake(queue);
    }

    /// Refuses new events until the shortage is over.
    pub(super) fn set_shortage(&self, shortage: Option<Shortage>) {
        self.lock().shortage = shortage;
    }

    /// Refuses everything for good and hands out what was queued.
    pub(super) fn end(&self, why: StoreError) -> Work {
        let mut queue = self.lock();
        queue.ended = Some(why);
        std::mem::take(&mut queue.work)
    }

    /// Waits until there is something to do, at most `longest`.
    pub(super) fn take(&self, longest: Option<Duration>) -> Work {
        let until = longest.map(|longest| Instant::now() + longest);
        let mut queue = self.lock();
        loop {
            if queue.ready(until) {
                return self.with_company(queue).swap();
            }
            queue.waiter = Waiter::Thread;
            queue = match queue.wake_at(until) {
                None => self
                    .wake
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(at) => {
                    let rest = at.saturating_duration_since(Instant::now());
                    let woken = self.wake.wait_timeout(queue, rest);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
            queue.waiter = Waiter::Nobody;
        }
    }

    /// As [`Intake::take`], for a writer that is a task.
    pub(super) async fn taken(&self, longest: Option<Duration>) -> Work {
        let until = longest.map(|longest| Instant::now() + longest);
        let woken = Arc::new(Notify::new());
        loop {
            let wake_at = {
                let mut queue = self.lock();
                if queue.ready(until) {
                    return queue.swap();
                }
                queue.waiter = Waiter::Task(Arc::clone(&woken));
                queue.wake_at(until)
            };
            match wake_at {
                None => woken.notified().await,
                // Woken or not, the queue says what there is to do.
                Some(at) => drop(timeout_at(at, woken.notified()).await),
            }
            self.lock().waiter = Waiter::Nobody;
        }
    }
}

impl Intake {
    /// Lets the threads that are just about to submit go first, as long as that brings more: on a
    /// busy core it fills the commit, on an idle one it costs nothing.
    fn with_company<'a>(&'a self, mut queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        let mut seen = 0;
        while queue.work.events.len() > seen && !queue.closing {
            seen = queue.work.events.len();
            drop(queue);
            std::thread::yield_now();
            queue = self.lock();
        }
        queue
    }
}

fn check(queue: &Queue) -> Result<(), StoreError> {
    match (&queue.ended, queue.shortage) {
        (Some(ended), _) => Err(ended.clone()),
        _ if queue.closing => Err(StoreError::Closing),
        (None, Some(shortage)) => Err(StoreError::Full(shortage)),
        (None, None) => Ok(()),
    }
}

fn attempt_of(settlement: &mut Settlement) -> Option<&mut Attempt> {
    match settlement {
        Settlement::Delivered(attempt) | Settlement::Retry { attempt, .. } => Some(attempt),
        Settlement::Dead { attempt, .. } => attempt.as_mut(),
    }
}

impl Queue {
    fn ready(&mut self, until: Option<Instant>) -> bool {
        let now = Instant::now();
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        !self.work.events.is_empty()
            || !self.work.orders.is_empty()
            || self.work.marks.len() >= MARKS_MAX
            || self.closing
            || due(self.marked_at.map(|at| at + MARKS_WAIT))
            || due(until)
            || std::mem::take(&mut self.nudged)
    }

    /// When to look again although nobody has called.
    fn wake_at(&self, until: Option<Instant>) -> Option<Instant> {
        let marks_due = self.marked_at.map(|at| at + MARKS_WAIT);
        [until, marks_due].into_iter().flatten().min()
    }

    /// Takes what fits one commit.
    fn swap(&mut self) -> Work {
        self.nudged = false;
        let mut bytes = 0;
        let fits = |event: &&NewEvent| {
            bytes += event.event.size_bytes();
            bytes <= COMMIT_BYTES_MAX
        };
        let fitting = self
            .work
            .events
            .iter()
            .take(COMMIT_EVENTS_MAX)
            .take_while(fits);
        let count = fitting.count().max(1).min(self.work.events.len());
        let mut work = Work {
            events: front(&mut self.work.events, count),
            answers: front(&mut self.work.answers, count),
            marks: front(&mut self.work.marks, COMMIT_MARKS_MAX),
            ..Work::default()
        };
        // An order comes after everything that was settled before it.
        if self.work.marks.is_empty() {
            work.orders = std::mem::take(&mut self.work.orders);
        }
        let taken: usize = work.events.iter().map(|new| new.event.size_bytes()).sum();
        self.events_bytes = self.events_bytes.saturating_sub(taken);
        // Those that are left came about now.
        self.events_at = (!self.work.events.is_empty()).then(Instant::now);
        if self.work.marks.is_empty() {
            self.marked_at = None;
            self.answers_bytes = 0;
        }
        Work {
            last: self.closing && self.work.is_empty(),
            ..work
        }
    }
}

/// The first `count` of a queue, in order; the common case moves no element.
fn front<T>(queue: &mut Vec<T>, count: usize) -> Vec<T> {
    if count >= queue.len() {
        let spare = Vec::with_capacity(queue.len().min(COMMIT_EVENTS_MAX));
        std::mem::replace(queue, spare)
    } else {
        queue.drain(..count).collect()
    }
}
