//! What the writer and the handles share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::backlog::Backlog;
use super::engine::EngineStats;
use super::error::StoreError;
use super::handled::Handled;
use super::intake::Intake;
use super::view::{SourceCounts, Stats};
use super::watch::Watch;
use crate::event::SourceName;
use crate::planted::{Bug, planted};

/// What the writer and the handles share.
pub(super) struct Shared {
    pub(super) intake: Arc<Intake>,
    pub(super) backlog: Arc<Backlog>,
    pub(super) counts: Mutex<BTreeMap<SourceName, SourceCounts>>,
    pub(super) stats: Mutex<Stats>,
    pub(super) observer: Mutex<Option<Observer>>,
    pub(super) watch: Watch,
    pub(super) handled: Handled,
    pub(super) failed: watch::Sender<Option<StoreError>>,
    /// Since when the writer is at work on one commit and what follows it.
    pub(super) at_work: Mutex<Option<Instant>>,
}

/// A disk that takes longer for one commit, or to get to what is queued, takes no new events.
const STALLED_AFTER: Duration = Duration::from_millis(2500);
/// One that takes longer than this will hardly come back to this process.
const HUNG_AFTER: Duration = Duration::from_secs(30);

pub(super) type Observer = Box<dyn FnMut(Duration, usize) + Send>;

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Whether new events are taken, and by a disk that moves on.
    pub(super) fn writable(&self, now: Instant) -> Result<(), StoreError> {
        self.intake.open()?;
        if self.stuck(now) > STALLED_AFTER {
            return Err(StoreError::Unavailable(
                "its disk has not answered for seconds".into(),
            ));
        }
        Ok(())
    }

    /// Whether the disk moves on at all.
    pub(super) fn alive(&self, now: Instant) -> Result<(), StoreError> {
        if self.stuck(now) > HUNG_AFTER && !planted(Bug::HungDiskIsAlive) {
            return Err(StoreError::Unavailable(
                "its disk has not answered for half a minute".into(),
            ));
        }
        Ok(())
    }

    /// How long the writer has been at one commit, or not got to what is queued.
    fn stuck(&self, now: Instant) -> Duration {
        let since = [*lock(&self.at_work), self.intake.queued_since()];
        let since = since.into_iter().flatten().min();
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    pub(super) fn publish(&self, touched: Vec<SourceCounts>) {
        let mut counts = lock(&self.counts);
        for touched in touched {
            counts.insert(touched.source.clone(), touched);
        }
    }

    pub(super) fn stats(&self, figures: EngineStats) {
        let mut stats = lock(&self.stats);
        stats.used_bytes = figures.used_bytes;
        stats.wal_bytes = figures.wal_bytes;
        stats.ids = figures.ids;
        stats.damaged = figures.damaged;
        stats.durable = figures.durable;
    }

    pub(super) fn observe(&self, took: Duration, events: usize) {
        lock(&self.stats).last_commit = took;
        if let Some(observer) = lock(&self.observer).as_mut() {
            observer(took, events);
        }
    }
}

/// Says so if the writer panics: nobody may wait for a thread that is gone.
pub(super) struct PanicGuard(pub(super) Arc<Shared>);

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let error = StoreError::Fatal("its writer panicked".into());
            drop(self.0.intake.end(error.clone()));
            self.0.failed.send_replace(Some(error));
        }
    }
}
