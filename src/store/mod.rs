//! The durable heart: dedup, store, hand out for delivery, remember what became of it.
//!
//! ```text
//!  accept ──► intake ──► writer: one thread, group commit ──► answers ──► Receipt
//!                          │  after the commit                     (only from a durable commit)
//!  settle ──► intake       ▼
//!             lease ◄── backlog ◄── what did not fit, and retries, read back from the engine
//! ```
//!
//! Invariants:
//! - A [`Receipt`] exists only after the commit that it speaks of is on stable storage.
//! - One record per (source, dedup id, body), decided at commit by the writer alone.
//! - A settlement that is lost with the process repeats a delivery; it never loses an event.
//! - After a failed write or sync nothing is acknowledged until the process has restarted.
//!
//! The engine behind it is a trait; [`Store::open`] uses the embedded one. What this module
//! deliberately does not do: decide when to retry or give up, speak to the app, print.

mod answer;
mod backlog;
#[doc(hidden)]
pub mod bench;
mod captured;
mod config;
#[doc(hidden)]
pub mod disk;
mod embedded;
mod engine;
mod error;
mod handled;
mod intake;
mod keys;
mod lease;
mod reads;
mod run;
mod shared;
mod start;
mod view;
mod volume;
mod watch;
mod writer;

#[cfg(any(test, fuzzing))]
pub(crate) use embedded::fuzzing;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{broadcast, oneshot};
use tokio::time::{Instant, timeout};

pub use answer::{AppAnswer, NoAnswer};
pub use captured::CapturedSecrets;
pub use config::{Config, Keep};
pub use error::{Shortage, StoreError};
pub use handled::{Awaited, Expectation, Said, Spoken};
pub use lease::{Attempt, DeadReason, Lease, Settlement};
pub use view::{
    Content, Counts, Cursor, Filter, NotACursor, Page, PastAttempt, SourceCounts, State, Stats,
    StoredEvent, Summary,
};
pub use volume::{Volume, VolumeKind};
pub use watch::Change;

use engine::{Mark, NewEvent, Reader};
use intake::{Answer, Order};
use keys::InstallationKey;
use shared::{Shared, lock};
use start::{Opened, WriterHandle};

use crate::clock::{Clock, UnixMillis};
use crate::entropy::Entropy;
use crate::event::{EventId, SourceName};
use crate::verify::Verified;

/// A writer that falls says why before this is over.
const FALL: Duration = Duration::from_secs(1);

/// The proof that an event is on stable storage together with its dedup record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    event_id: EventId,
    kind: ReceiptKind,
}

impl Receipt {
    /// The stored event; for a duplicate the first copy, as long as its record is kept.
    #[must_use]
    pub fn event_id(&self) -> EventId {
        self.event_id
    }

    /// Whether it was new.
    #[must_use]
    pub fn kind(&self) -> ReceiptKind {
        self.kind
    }
}

/// Whether an event was new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiptKind {
    /// Stored now.
    Stored,
    /// Already stored, and durable, earlier.
    Duplicate,
    /// Its id was known with another body: stored as an event of its own.
    Conflict,
}

/// The store; clones are handles to the same one.
///
/// When the last handle is dropped the writer finishes what is queued and ends by itself;
/// [`Store::close`] also waits for that.
#[derive(Clone)]
pub struct Store {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    reader: Arc<dyn Reader>,
    key: InstallationKey,
    clock: Clock,
    entropy: Entropy,
    dedup_windows: HashMap<SourceName, Duration>,
    volume: Volume,
    writer: Mutex<Option<WriterHandle>>,
    /// Nothing runs on threads of its own.
    in_place: bool,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.intake.close();
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

impl Store {
    fn shared(&self) -> &Shared {
        &self.handle.shared
    }

    /// Stores a verified event and its dedup record. Dropping the future does not take the event
    /// back.
    ///
    /// # Errors
    /// When the event is not known to be on stable storage; it must not be acknowledged then.
    pub async fn accept(&self, verified: Verified) -> Result<Receipt, StoreError> {
        self.shared().intake.open()?;
        self.submit(self.new_id(), verified, false).await
    }

    fn new_id(&self) -> EventId {
        EventId::drawn(self.handle.clock.wall(), &self.handle.entropy)
    }

    /// `urgent`: as [`NewEvent::urgent`].
    async fn submit(
        &self,
        id: EventId,
        verified: Verified,
        urgent: bool,
    ) -> Result<Receipt, StoreError> {
        let (key, digest) = self.handle.key.of(&verified);
        let now = self.handle.clock.steady();
        let window = self.handle.dedup_windows.get(verified.source());
        let repeats_since = window.map_or(UnixMillis(i64::MIN), |window| now.minus(*window));
        let new = NewEvent {
            event: Arc::new(verified.into_event(id)),
            key,
            digest,
            accepted_at: now,
            repeats_since,
            claimed: false,
            urgent,
        };
        let (answer, receipt) = oneshot::channel();
        self.shared().intake.submit(new, answer)?;
        self.answered(receipt).await
    }

    async fn answered<T>(
        &self,
        answer: oneshot::Receiver<Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        match answer.await {
            Ok(result) => result,
            // Nobody answered: the writer is falling, and is about to say why.
            Err(_) => Err(timeout(FALL, self.failed())
                .await
                .unwrap_or(StoreError::Closing)),
        }
    }

    async fn order<T>(&self, order: impl FnOnce(Answer<T>) -> Order) -> Result<T, StoreError> {
        let (answer, done) = oneshot::channel();
        self.shared().intake.order(order(answer))?;
        self.answered(done).await
    }

    /// Waits for the next event to deliver; sources take turns. Dropping the future loses
    /// nothing. It waits for ever once the store is closed.
    pub async fn lease(&self) -> Lease {
        self.shared().backlog.lease().await
    }

    /// Gives an event back untried: it keeps its place and no attempt is spent.
    pub fn release(&self, lease: Lease) {
        drop(lease);
    }

    /// Reports what became of a lease. It rides in the next commit, within 100 ms.
    pub fn settle(&self, mut lease: Lease, settlement: Settlement) {
        lease.home = None;
        let event = Arc::clone(&lease.event);
        let said = (event.id, &settlement);
        self.shared().handled.tell(std::iter::once(said));
        self.shared().intake.settle(Mark {
            seq: lease.seq,
            event,
            attempt: lease.attempt,
            settlement,
        });
    }

    /// Stops handing out events of a source, or resumes. Not remembered over a restart.
    pub fn hold(&self, source: &SourceName, hold: bool) {
        self.shared().backlog.hold(source, hold);
    }

    /// Sources whose events are not handed out.
    #[must_use]
    pub fn held(&self) -> Vec<SourceName> {
        self.shared().backlog.held()
    }

    /// Makes events due now, whatever became of them; says how many. Those whose body is gone
    /// cannot be replayed.
    ///
    /// # Errors
    /// When it is not known to be durable.
    pub async fn replay(&self, selection: Vec<EventId>) -> Result<u64, StoreError> {
        self.order(|answer| Order::Replay(selection, answer)).await
    }

    /// Erases body and headers of an event; its id stays known. A pending one becomes a dead
    /// letter. Returns whether there was such an event.
    ///
    /// # Errors
    /// When it is not known to be durable.
    pub async fn erase(&self, id: EventId) -> Result<bool, StoreError> {
        self.order(|answer| Order::Erase(id, answer)).await
    }

    /// Makes all events whose retry is further away than `beyond` due now: this process is about to end.
    /// They keep their attempts. Says how many there were. Whoever settles events meanwhile must not
    /// put them off for longer, or this has no end.
    ///
    /// # Errors
    /// When it is not known to be durable.
    pub async fn hasten(&self, beyond: Duration) -> Result<u64, StoreError> {
        let mut all = 0;
        loop {
            let hastened = self.order(|answer| Order::Hasten(beyond, answer)).await?;
            all += hastened;
            if hastened == 0 {
                return Ok(all);
            }
        }
    }

    /// Waits until everything settled before is durable.
    ///
    /// # Errors
    /// When the store failed or closed before that.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.order(Order::Flush).await
    }

    /// How many events there are, exactly, as of the last commit.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            sources: lock(&self.shared().counts).values().cloned().collect(),
        }
    }

    /// How the store is doing.
    #[must_use]
    pub fn stats(&self) -> Stats {
        *lock(&self.shared().stats)
    }

    /// Whether new events are taken: not while the disk is stuck in a commit, either.
    ///
    /// # Errors
    /// Why not.
    pub fn writable(&self) -> Result<(), StoreError> {
        self.shared().writable(Instant::now())
    }

    /// Whether its disk moves on: after half a minute in one commit a restart is the better hope.
    ///
    /// # Errors
    /// Why not.
    pub fn alive(&self) -> Result<(), StoreError> {
        self.shared().alive(Instant::now())
    }

    /// Resolves when the store has failed; the process must exit then.
    pub async fn failed(&self) -> StoreError {
        let mut failed = self.shared().failed.subscribe();
        match failed.wait_for(Option::is_some).await {
            Ok(failed) => failed.clone().unwrap_or(StoreError::Closing),
            Err(_) => StoreError::Closing,
        }
    }

    /// Calls `observer` after every commit with its duration and number of new events, on the
    /// writer's thread: it must be quick.
    pub fn observe_commits(&self, observer: impl FnMut(Duration, usize) + Send + 'static) {
        *lock(&self.shared().observer) = Some(Box::new(observer));
    }

    /// What its directory lies on.
    #[must_use]
    pub fn volume(&self) -> &Volume {
        &self.handle.volume
    }

    /// Changes from now on, as they become durable. Who is far behind misses some and learns how
    /// many ([`RecvError::Lagged`](tokio::sync::broadcast::error::RecvError::Lagged)).
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<Change> {
        self.shared().watch.subscribe()
    }

    /// Makes the writer look at the clock again: for tests that moved a manual one.
    pub fn nudge(&self) {
        self.shared().intake.nudge();
    }

    /// Ends in order: takes nothing new, makes what is queued durable, empties the journal,
    /// gives up ownership.
    ///
    /// # Errors
    /// When the store has failed by the end: what was queued is not durable then.
    pub async fn close(self) -> Result<(), StoreError> {
        self.shared().intake.close();
        let writer = lock(&self.handle.writer).take();
        if let Some(writer) = writer {
            writer.join().await;
        }
        match &*self.shared().failed.borrow() {
            Some(failed) => Err(failed.clone()),
            None => Ok(()),
        }
    }
}
