//! Writing runs, and forgetting them.
//!
//! A run is written in slices between commits and counts from the moment its `id_run` row is there;
//! until then memory answers. Runs are dropped whole when their newest id is out of time, or when
//! there are more than [`IDS_MAX`](super::IDS_MAX) ids.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::{BUCKETS_MAX, Ids, Run, Sealing, pack, seal, unpack, unseal};
use crate::store::embedded::signed;

/// Buckets written in one slice.
const BUCKETS_PER_SLICE: i64 = 256;
/// Rows deleted in one slice.
const ROWS_PER_SLICE: i64 = 500;

impl Ids {
    /// Moves on, one slice, whatever is under way; `true` if there is more. Between commits only.
    pub(in crate::store::embedded) fn maintain(
        &mut self,
        db: &Connection,
    ) -> Result<bool, rusqlite::Error> {
        if self.recent.len() >= self.size.ids {
            while self.sealing.is_some() {
                self.seal_slice(db)?; // ids arrive faster than they were written
            }
            self.begin_run();
        }
        if self.len() > self.size.max && self.drop_oldest(db)? {
            tracing::warn!(
                max = self.size.max,
                "more ids than are remembered; the oldest are forgotten before their time"
            );
        }
        if self.sealing.is_some() {
            self.seal_slice(db)?;
        } else if self.uncovered {
            self.delete_covered(db)?;
        } else if let Some(run) = self.dropped.last().copied() {
            self.delete_buckets(db, run)?;
        }
        Ok(self.sealing.is_some() || self.uncovered || !self.dropped.is_empty())
    }

    fn begin_run(&mut self) {
        let fresh = HashMap::with_capacity(self.size.ids);
        let mut sorted: Vec<_> = std::mem::replace(&mut self.recent, fresh)
            .into_iter()
            .collect();
        sorted.sort_unstable_by_key(|(key, _)| *key);
        let column = self.filter.add();
        sorted
            .iter()
            .for_each(|(key, _)| self.filter.set(column, *key));
        let last_seq = sorted
            .iter()
            .map(|(_, known)| known.seq)
            .max()
            .unwrap_or(0)
            .cast_signed();
        let run = Run {
            run: self.next_run,
            newest_at: i64::MAX,
            ids: sorted.len(),
            column,
        };
        self.next_run += 1;
        self.sealing = Some(Sealing {
            run,
            last_seq,
            sorted,
            next_bucket: 0,
        });
    }

    fn seal_slice(&mut self, db: &Connection) -> Result<(), rusqlite::Error> {
        let Some(sealing) = &mut self.sealing else {
            return Ok(());
        };
        let size = self.size;
        let tx = db.unchecked_transaction()?;
        let end = (sealing.next_bucket + BUCKETS_PER_SLICE).min(1 << size.bits);
        for bucket in sealing.next_bucket..end {
            let from = sealing
                .sorted
                .partition_point(|(key, _)| size.bucket(*key) < bucket);
            let mut row = Vec::with_capacity(2048);
            for (key, known) in sealing
                .sorted
                .iter()
                .skip(from)
                .take_while(|(key, _)| size.bucket(*key) == bucket)
            {
                pack(&mut row, *key, known.digest);
                row.extend_from_slice(&known.seq.to_le_bytes());
            }
            let k = sealing.run.run * BUCKETS_MAX + bucket;
            tx.prepare_cached("INSERT OR REPLACE INTO id_bucket(k, ids) VALUES(?1, ?2)")?
                .execute(params![k, seal(k, row)])?;
        }
        let complete = end == 1 << size.bits;
        if complete {
            sealing.run.newest_at = tx.query_row(
                "SELECT coalesce(max(at), 0) FROM (SELECT at FROM dedup WHERE seq <= ?1 ORDER BY seq DESC LIMIT 1)",
                [sealing.last_seq],
                |row| row.get(0),
            )?;
            tx.execute(
                "INSERT INTO id_run(run, last_seq, newest_at, ids, filter) VALUES(?1, ?2, ?3, ?4, ?5)",
                params![
                    sealing.run.run,
                    sealing.last_seq,
                    sealing.run.newest_at,
                    signed(sealing.run.ids),
                    seal(sealing.run.run, self.filter.save(sealing.run.column))
                ],
            )?;
        }
        tx.commit()?;
        sealing.next_bucket = end;
        if complete && let Some(sealed) = self.sealing.take() {
            self.covered = sealed.last_seq;
            self.uncovered = true;
            self.runs.push_back(sealed.run);
        }
        Ok(())
    }

    fn delete_covered(&mut self, db: &Connection) -> Result<(), rusqlite::Error> {
        let gone = db
            .prepare_cached("DELETE FROM dedup WHERE seq IN (SELECT seq FROM dedup WHERE seq <= ?1 ORDER BY seq LIMIT ?2)")?
            .execute([self.covered, ROWS_PER_SLICE])?;
        self.uncovered = signed(gone) == ROWS_PER_SLICE;
        Ok(())
    }

    fn delete_buckets(&mut self, db: &Connection, run: i64) -> Result<(), rusqlite::Error> {
        let gone = db
            .prepare_cached(
                "DELETE FROM id_bucket WHERE k IN
                   (SELECT k FROM id_bucket WHERE k BETWEEN ?1 AND ?2 ORDER BY k LIMIT ?3)",
            )?
            .execute([
                run * BUCKETS_MAX,
                (run + 1) * BUCKETS_MAX - 1,
                ROWS_PER_SLICE,
            ])?;
        if signed(gone) < ROWS_PER_SLICE {
            self.dropped.pop();
        }
        Ok(())
    }

    fn drop_oldest(&mut self, db: &Connection) -> Result<bool, rusqlite::Error> {
        let Some(oldest) = self.runs.front() else {
            return Ok(false);
        };
        db.execute("DELETE FROM id_run WHERE run = ?1", [oldest.run])?;
        if let Some(gone) = self.runs.pop_front() {
            self.filter.remove(gone.column);
            self.dropped.push(gone.run);
        }
        Ok(true)
    }

    /// Forgets ids last seen before `before`; `true` if there may be more.
    pub(in crate::store::embedded) fn prune(
        &mut self,
        db: &Connection,
        before: i64,
    ) -> Result<bool, rusqlite::Error> {
        if self.runs.front().is_some_and(|run| run.newest_at < before) {
            return self.drop_oldest(db);
        }
        if self.sealing.is_some() || self.uncovered {
            return Ok(false); // first the rows of a run, then those of no run
        }
        let mut old =
            db.prepare_cached("SELECT seq, ids FROM dedup WHERE at < ?1 ORDER BY seq LIMIT ?2")?;
        let rows = old.query_map([before, ROWS_PER_SLICE], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
        })?;
        let rows: Vec<_> = rows.collect::<Result<_, _>>()?;
        let Some((last, _)) = rows.last() else {
            return Ok(false);
        };
        db.prepare_cached("DELETE FROM dedup WHERE seq <= ?1 AND at < ?2")?
            .execute([*last, before])?;
        for (seq, ids) in &rows {
            for (key, known) in unpack(*seq, unseal(*seq, ids)?) {
                // It may have been seen again since.
                if self.recent.get(&key) == Some(&known) {
                    self.recent.remove(&key);
                }
            }
        }
        Ok(signed(rows.len()) == ROWS_PER_SLICE)
    }
}
