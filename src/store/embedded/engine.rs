//! The seam: what the shared writer asks of this engine.

use std::time::Duration;

use super::commit::Draft;
use super::mark::Mark;
use super::{Embedded, PAGE, checkpoint, classify, schema, sources};
use crate::clock::UnixMillis;
use crate::event::SourceName;
use crate::planted::{Bug, planted};
use crate::store::engine::{
    Batch, Claim, Claimed, Committed, Engine, EngineError, EngineStats, Policy, Pruned,
};
use crate::store::error::Shortage;
use crate::store::keys::DedupKey;
use crate::store::view::SourceCounts;
use crate::store::wide;

/// The journal is checkpointed in the background from this size on,
const WAL_SOFT: u64 = if super::SMALL { 96 << 10 } else { 2 << 20 };
/// and the rest by the writer itself from this size on: a journal that starts over is much
/// cheaper to write than one that grows.
const WAL_HARD: u64 = if super::SMALL { 384 << 10 } else { 48 << 20 };
/// Between two high-water marks.
const MARK_EVERY: Duration = Duration::from_secs(1);
/// Where nothing new was stored, only the time has to be marked.
const MARK_IDLE: Duration = Duration::from_secs(60);

impl Engine for Embedded {
    fn commit(&mut self, batch: &Batch<'_>) -> Result<Committed, EngineError> {
        let mut places = Vec::with_capacity(batch.events.len());
        for new in batch.events {
            let place = self.sources.place(&self.db, &new.event.source);
            places.push(self.checked(place)?);
        }
        let mut draft = Draft::new(self.high + 1, self.sources.len(), batch.events.len());
        let written = self.write(batch, &places, &mut draft);
        if written.is_err() && !planted(Bug::ClaimBeforeStore) {
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

    fn find(&self, keys: &[DedupKey]) -> Vec<u64> {
        let known = |key: &DedupKey| self.ids.find(&self.db, *key, i64::MIN, u64::MAX).ok()?;
        keys.iter()
            .filter_map(known)
            .map(|known| known.seq)
            .collect()
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
        // Also after an error: the draft holds only what is durable.
        let touched = self.touched(&draft);
        let more = self.checked(pruned)?;
        Ok(Pruned { touched, more })
    }

    fn room(&mut self, policy: &Policy) -> Result<(), Shortage> {
        if self.place.displaced() && !planted(Bug::DisplacedFilesUnnoticed) {
            return Err(Shortage::Displaced);
        }
        if let Some(free) = self
            .place
            .free_bytes()
            .filter(|_| !planted(Bug::LowSpaceIgnored))
        {
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

    fn maintain(&mut self, now: UnixMillis) -> Result<bool, EngineError> {
        let scanned = self.scan();
        if !self.counted {
            let counted = self.count_once();
            self.checked(counted)?;
        }
        let sealed = self.ids.maintain(&self.db);
        let more = self.checked(scanned)? | self.checked(sealed)?;
        let every = if self.marked.0 == self.high {
            MARK_IDLE
        } else {
            MARK_EVERY
        };
        if now.since(self.marked.1) >= every {
            self.marked = (self.high, now);
            self.checkpointer.mark(Mark {
                seq: self.high,
                time: self.clock.reading(),
            });
        }
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
            ids: wide(self.ids.len()),
            damaged: self.damaged,
            durable: self.place.durable,
        }
    }

    fn close(self: Box<Self>) -> Result<(), EngineError> {
        let Self {
            db,
            checkpointer,
            fresh,
            high,
            place,
            clock,
            ..
        } = *self;
        let marks = checkpointer.join();
        let last = Mark {
            seq: high,
            time: clock.reading(),
        };
        let floor = fresh.floor();
        let text = |error: rusqlite::Error| classify(&error);
        db.execute(
            "UPDATE counter SET n = ?2 WHERE k = ?1",
            [schema::FLOOR, floor.cast_signed()],
        )
        .map_err(text)?;
        checkpoint::checkpoint(&db, "TRUNCATE").map_err(text)?;
        if let Some(Err(error)) = marks.map(|mut marks| marks.write(last)) {
            return Err(EngineError::Fatal(error.to_string().into()));
        }
        drop(db);
        drop(place);
        Ok(())
    }

    fn abandon(self: Box<Self>) {
        match self.place.disk() {
            None => std::mem::forget(self),
            Some(disk) => disk.bury(self),
        }
    }
}
