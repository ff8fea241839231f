//! The embedded engine: SQLite in one file, written by one thread.
//!
//! - A commit is one transaction in WAL mode with `synchronous = FULL`: durable when it returns.
//! - The journal that a start finds is first written again and synced, then moved into the file:
//!   after a failed sync it may sit in the page cache only, and duplicates must not be answered
//!   from there.
//! - Ids, tallies and queues in memory follow the transaction, never lead it.
//!
//! It deliberately does not batch, wait, retry or answer anybody: that is the writer's.

mod census;
mod checkpoint;
mod claim;
mod commit;
mod engine;
mod filter;
mod fresh;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod ids;
mod list;
mod mark;
mod marker;
mod open;
mod place;
mod prune;
mod read;
mod record;
mod repeat;
mod salvage;
mod schema;
mod settle;
mod sources;
mod volatile;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rusqlite::{Connection, ErrorCode};

use super::Keep;
use super::engine::{Batch, Committed, EngineError};
use super::view::SourceCounts;
use crate::clock::{Clock, UnixMillis};
use crate::planted::{Bug, planted};

use checkpoint::Checkpointer;
use commit::{Draft, Tx};
use fresh::Fresh;
use ids::Ids;
pub(super) use open::open;
use place::Place;
use record::Sums;
use sources::Sources;

const PAGE: u64 = 4096;
/// Bounds are small in tests, so that few events reach them; not in measurements.
const SMALL: bool = cfg!(all(test, debug_assertions));
const RUN_SIZE: ids::RunSize = if SMALL {
    ids::RunSize::SMALL
} else {
    ids::RunSize::FULL
};
/// The floor is written after it has moved this far.
const FLOOR_STEP: u64 = 1024;

/// The write side.
struct Embedded {
    db: Connection,
    clock: Clock,
    checkpointer: Checkpointer,
    /// Checkpoints seen.
    checkpoints: u64,
    sums: Sums,
    sources: Sources,
    fresh: Fresh,
    ids: Ids,
    keep: Keep,
    /// The highest sequence number given out.
    high: u64,
    floor_written: u64,
    /// Retries that are claimed.
    claimed: HashSet<u64>,
    turn: usize,
    retry_turn: bool,
    rounds: prune::Rounds,
    used_bytes: u64,
    /// Bytes written since the pages were counted, and since the last checkpoint was asked for.
    unmeasured: u64,
    wal_bytes: u64,
    damaged: u64,
    /// The events that wait were compared with the tallies.
    counted: bool,
    /// Events that the disk did not give back: how often they were tried, and when last.
    unread: HashMap<u64, (u32, UnixMillis)>,
    /// The high-water mark that was last asked for, and when.
    marked: (u64, UnixMillis),
    /// Declared last: given up when all else is closed.
    place: Arc<Place>,
}

impl Embedded {
    fn write(
        &mut self,
        batch: &Batch<'_>,
        places: &[usize],
        draft: &mut Draft,
    ) -> Result<(), rusqlite::Error> {
        let floor = self.fresh.floor();
        let floor = (floor >= self.floor_written + FLOOR_STEP).then_some(floor);
        let tx = self.db.unchecked_transaction()?;
        let mut work = Tx {
            db: &tx,
            sums: self.sums,
            ids: &mut self.ids,
            sources: &self.sources,
            ids_since: batch.now.minus(self.keep.ids).0,
            now: batch.now,
        };
        work.events(batch, places, draft)?;
        for mark in batch.marks {
            // A claimed retry has a row, also where the scan has not been yet.
            let fresh = !self.fresh.has_news(mark.seq) && !self.claimed.contains(&mark.seq);
            let marked = work.settle(mark, fresh, draft)?;
            draft.marked.push(marked);
        }
        work.urge(draft)?;
        for id in batch.replays {
            let due = match work.seq_of(*id)? {
                // One that is claimed is on its way already.
                Some(seq) if self.claimed.contains(&seq) => {
                    !draft.settled.contains(&seq) || work.revive(seq, true, draft)?
                }
                Some(seq) => work.revive(seq, true, draft)?,
                None => false,
            };
            draft.replayed.push(due);
        }
        for id in batch.erasures {
            let seq = work.seq_of(*id)?;
            if let Some(seq) = seq {
                work.erase(seq, draft)?;
            }
            draft.erased.push(seq);
        }
        if let Some(later_than) = batch.hasten {
            draft.hastened = work.hasten(later_than, draft)?;
        }
        work.counters(draft, floor)?;
        tx.commit()?;
        if let Some(why) = &draft.damage {
            self.place.marker.set(why);
        }
        self.floor_written = floor.unwrap_or(self.floor_written);
        Ok(())
    }

    /// Brings memory up to a transaction that is durable.
    fn apply(&mut self, draft: Draft) -> Committed {
        for (seq, (at, claimed)) in (draft.first..).zip(&draft.stored) {
            self.high = seq;
            if let Some(source) = self.sources.at_mut(*at) {
                source.stored(seq, *claimed);
            }
        }
        for seq in &draft.settled {
            self.claimed.remove(seq);
        }
        for seq in &draft.news {
            self.fresh.set_news(*seq);
        }
        for (at, next_at, seq) in &draft.due {
            if let Some(source) = self.sources.at_mut(*at) {
                source.due.written(*next_at, *seq);
            }
        }
        self.unmeasured += draft.bytes;
        self.wal_bytes += draft.bytes + draft.bytes / 2 + 4 * PAGE;
        let touched = self.touched(&draft);
        Committed {
            outcomes: draft.outcomes,
            touched,
            marked: draft.marked,
            replayed: draft.replayed,
            erased: draft.erased,
            hastened: draft.hastened,
        }
    }

    fn touched(&mut self, draft: &Draft) -> Vec<SourceCounts> {
        let mut touched = Vec::new();
        for ((source, tally), changed) in self
            .sources
            .iter_mut()
            .zip(&draft.tallies)
            .zip(&draft.touched)
        {
            if !changed {
                continue;
            }
            for (tally, by) in source.tally.iter_mut().zip(tally) {
                *tally += by;
            }
            source.tidy(&self.fresh);
            // A figure for people: without it the commit is no less durable.
            if source.look_up_oldest(&self.db).is_err() {
                source.oldest_pending_at = None;
            }
            touched.push(source.counts());
        }
        touched
    }

    /// Counts the pages in use.
    fn measure(&mut self) -> Result<(), rusqlite::Error> {
        let pages: i64 = schema::pragma(&self.db, "page_count")?;
        let free: i64 = schema::pragma(&self.db, "freelist_count")?;
        self.used_bytes = u64::try_from(pages - free).unwrap_or(0) * PAGE;
        self.unmeasured = 0;
        Ok(())
    }

    /// Remembers damage.
    fn heed(&self, error: &rusqlite::Error) {
        if schema::is_damage(error) {
            self.place.marker.set(&error.to_string());
        }
    }

    /// After a fatal error no checkpoint may begin.
    fn checked<T>(&self, result: Result<T, rusqlite::Error>) -> Result<T, EngineError> {
        result.map_err(|error| {
            self.heed(&error);
            let error = classify(&error);
            if matches!(error, EngineError::Fatal(_)) {
                self.checkpointer.stop();
            }
            error
        })
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// What an error of SQLite means for the engine.
fn classify(error: &rusqlite::Error) -> EngineError {
    let why = || Arc::from(error.to_string());
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => EngineError::Full,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::OutOfMemory) => {
            EngineError::Unavailable(why())
        }
        _ if planted(Bug::RetrySync) => EngineError::Unavailable(why()),
        _ => EngineError::Fatal(why()),
    }
}

#[cfg(test)]
mod tests;
