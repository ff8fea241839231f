//! The embedded engine: SQLite in one file, written by one thread.
//!
//! - A commit is one transaction in WAL mode with `synchronous = FULL`: durable when it returns.
//! - The journal that a start finds is first moved into the file and synced: after a failed sync
//!   it may sit in the page cache only, and duplicates must not be answered from there.
//! - Ids, tallies and queues in memory follow the transaction, never lead it.
//!
//! It deliberately does not batch, wait, retry or answer anybody: that is the writer's.

mod checkpoint;
mod claim;
mod commit;
mod fresh;
mod ids;
mod place;
mod prune;
mod read;
mod record;
mod schema;
mod settle;
mod sources;

use std::collections::HashSet;
use std::sync::Arc;

use rusqlite::{Connection, ErrorCode};

use super::engine::{
    Batch, Claim, Claimed, Committed, Engine, EngineError, EngineStats, Policy, Pruned,
};
use super::error::{Shortage, StoreError};
use super::view::SourceCounts;
use super::{Config, Keep, Opened};
use crate::clock::{Clock, UnixMillis};
use crate::event::SourceName;

use checkpoint::Checkpointer;
use commit::{Draft, Tx};
use fresh::Fresh;
use ids::Ids;
use place::Place;
use record::Sums;
use sources::Sources;

/// The journal is checkpointed in the background from this size on,
const WAL_SOFT: u64 = 8 << 20;
/// and by the writer itself from this size on.
const WAL_HARD: u64 = 256 << 20;
const PAGE: u64 = 4096;
/// The floor is written after it has moved this far.
const FLOOR_STEP: u64 = 1024;

/// The write side.
struct Embedded {
    db: Connection,
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
    /// Declared last: given up when all else is closed.
    place: Place,
}

/// Opens or creates the store.
pub(super) fn open(config: &Config, clock: &Clock) -> Result<Opened, StoreError> {
    let place = Place::take(&config.path, config.allow_volatile, clock)?;
    let path = place.database();
    let refuse = |why: String| StoreError::Open {
        path: place::text(&path),
        why: why.into(),
    };
    let cannot = |error: rusqlite::Error| refuse(error.to_string());
    let db = schema::open(&path)?;
    let (journal, moved) = checkpoint::checkpoint(&db, "TRUNCATE").map_err(cannot)?;
    if journal != moved {
        return Err(refuse(
            "another program is reading it; close that and start again".into(),
        ));
    }
    place.sync().map_err(|error| refuse(error.to_string()))?;
    if !place.durable {
        tracing::warn!(path = %path.display(), "the store is on a file system that does not keep what is acknowledged");
    }
    let key = schema::key(&db).map_err(cannot)?;
    let mut engine = Embedded::load(db, &key, config.keep, place, &path).map_err(refuse)?;
    engine.measure().map_err(cannot)?;
    let reader = read::Connections::open(&path, Sums::new(&key)).map_err(cannot)?;
    Ok(Opened {
        engine: Box::new(engine),
        reader: Arc::new(reader),
        key,
    })
}

impl Embedded {
    fn load(
        db: Connection,
        key: &super::keys::InstallationKey,
        keep: Keep,
        place: Place,
        path: &std::path::Path,
    ) -> Result<Self, String> {
        let text = |error: rusqlite::Error| error.to_string();
        let sources = Sources::load(&db).map_err(text)?;
        let stored: Option<i64> = db
            .query_row("SELECT max(seq) FROM event", [], |row| row.get(0))
            .map_err(text)?;
        let high = schema::counter(&db, schema::HIGH)
            .map_err(text)?
            .max(stored.unwrap_or(0));
        let floor = schema::counter(&db, schema::FLOOR)
            .map_err(text)?
            .max(1)
            .cast_unsigned();
        let high = high.cast_unsigned();
        let ids = Ids::load(&db).map_err(text)?;
        let mut engine = Self {
            checkpointer: Checkpointer::start(path)?,
            checkpoints: 0,
            sums: Sums::new(key),
            sources,
            fresh: Fresh::new(floor),
            ids,
            keep,
            high,
            floor_written: floor,
            claimed: HashSet::new(),
            turn: 0,
            retry_turn: false,
            rounds: prune::Rounds::default(),
            used_bytes: 0,
            unmeasured: 0,
            wal_bytes: 0,
            damaged: 0,
            place,
            db,
        };
        for source in engine.sources.iter_mut() {
            let pending = source.tally.first().is_some_and(|pending| *pending > 0);
            source.rest_from = (pending && floor <= high).then_some(floor);
        }
        // The first slice at once: a store of ordinary size is then complete.
        engine.scan().map_err(text)?;
        for source in engine.sources.iter_mut() {
            source.look_up_oldest(&engine.db).map_err(text)?;
        }
        Ok(engine)
    }

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
            work.settle(mark, fresh, draft)?;
        }
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
        work.counters(draft, floor)?;
        tx.commit()?;
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
            replayed: draft.replayed,
            erased: draft.erased,
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

    /// After a fatal error no checkpoint may begin.
    fn checked<T>(&self, result: Result<T, rusqlite::Error>) -> Result<T, EngineError> {
        result.map_err(|error| {
            let error = classify(&error);
            if matches!(error, EngineError::Fatal(_)) {
                self.checkpointer.stop();
            }
            error
        })
    }
}

impl Engine for Embedded {
    fn commit(&mut self, batch: &Batch<'_>) -> Result<Committed, EngineError> {
        let mut places = Vec::with_capacity(batch.events.len());
        for new in batch.events {
            let place = self.sources.place(&self.db, &new.event.source);
            places.push(self.checked(place)?);
        }
        let mut draft = Draft::new(self.high + 1, self.sources.len(), batch.events.len());
        let written = self.write(batch, &places, &mut draft);
        if written.is_err() {
            for (key, before) in draft.inserted.drain(..).rev() {
                self.ids.retract(key, before);
            }
        }
        self.checked(written)?;
        Ok(self.apply(draft))
    }

    fn claim_due(
        &mut self,
        now: UnixMillis,
        claim: &Claim<'_>,
    ) -> Result<Vec<Claimed>, EngineError> {
        self.claim(now, claim)
    }

    fn waiting(&self, source: &SourceName) -> bool {
        self.sources
            .find(source)
            .is_some_and(sources::Source::waits)
    }

    fn due_at(&self) -> Option<UnixMillis> {
        let due = self.sources.iter().filter_map(|source| {
            if source.has_fresh() {
                Some(i64::MIN)
            } else {
                source.due.due_at()
            }
        });
        due.min().map(UnixMillis)
    }

    fn prune(&mut self, policy: &Policy, now: UnixMillis) -> Result<Pruned, EngineError> {
        let mut draft = Draft::new(self.high + 1, self.sources.len(), 0);
        let pruned = self.prune_slice(policy, now, &mut draft);
        self.wal_bytes += 16 * PAGE;
        let touched = self.touched(&draft);
        let more = self.checked(pruned)?;
        Ok(Pruned { touched, more })
    }

    fn room(&mut self, policy: &Policy) -> Result<(), Shortage> {
        if let Some(free) = self.place.free_bytes() {
            let needed = policy.low_space_bytes.max(
                self.wal_bytes
                    .saturating_mul(2)
                    .min(policy.low_space_bytes.saturating_mul(8)),
            );
            if free < needed {
                return Err(Shortage::Disk { free, needed });
            }
        }
        let mut used = self.used_bytes.saturating_add(self.unmeasured);
        if used >= policy.bytes_max {
            // Without a fresh count the estimate stands.
            let _ = self.measure();
            used = self.used_bytes;
        }
        if used >= policy.bytes_max {
            return Err(Shortage::Budget {
                used,
                max: policy.bytes_max,
            });
        }
        Ok(())
    }

    fn maintain(&mut self, _idle: bool) -> Result<bool, EngineError> {
        let scanned = self.scan();
        let more = self.checked(scanned)?;
        let ((journal, moved), done) = self.checkpointer.pages()?;
        if done != self.checkpoints {
            self.checkpoints = done;
            // What is not moved yet is still in the journal.
            self.wal_bytes = if journal == moved { 0 } else { journal * PAGE };
        }
        if self.wal_bytes >= WAL_HARD {
            let caught_up = checkpoint::checkpoint(&self.db, "PASSIVE");
            let (journal, moved) = self.checked(caught_up)?;
            self.wal_bytes = if journal == moved { 0 } else { journal * PAGE };
        } else if self.wal_bytes >= WAL_SOFT {
            self.checkpointer.want();
        }
        Ok(more)
    }

    fn counts(&mut self) -> Result<Vec<SourceCounts>, EngineError> {
        Ok(self.sources.iter().map(sources::Source::counts).collect())
    }

    fn stats(&self) -> EngineStats {
        EngineStats {
            used_bytes: self.used_bytes.saturating_add(self.unmeasured),
            wal_bytes: self.wal_bytes,
            ids: super::wide(self.ids.len()),
            damaged: self.damaged,
            durable: self.place.durable,
        }
    }

    fn close(self: Box<Self>) -> Result<(), EngineError> {
        let Self {
            db,
            checkpointer,
            fresh,
            place,
            ..
        } = *self;
        checkpointer.join();
        let floor = fresh.floor();
        let text = |error: rusqlite::Error| classify(&error);
        db.execute(
            "UPDATE counter SET n = ?2 WHERE k = ?1",
            [schema::FLOOR, floor.cast_signed()],
        )
        .map_err(text)?;
        checkpoint::checkpoint(&db, "TRUNCATE").map_err(text)?;
        drop(db);
        drop(place);
        Ok(())
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
        _ => EngineError::Fatal(why()),
    }
}
