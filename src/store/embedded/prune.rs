//! Forgetting, in slices small enough to fit between two commits.
//!
//! By age: delivered events, dead letters and ids, each after its own time. By size: bodies of
//! delivered events first, then the rest of their records. Pending and dead events are never
//! sacrificed, and nothing is that only a damaged row calls settled.

use rusqlite::params;

use super::Embedded;
use super::commit::{Draft, Tx};
use super::record::Sums;
use super::schema::{DEAD, DELIVERED};
use crate::clock::UnixMillis;
use crate::store::engine::Policy;

/// Rows changed by one slice,
const CHANGED_MAX: usize = 200;
/// and looked at.
const LOOKED_MAX: i64 = 1000;

/// Where the rounds stand.
#[derive(Default)]
pub(super) struct Rounds {
    by_age: i64,
    by_size: i64,
    /// This round drops whole records: there were no bodies left to drop.
    records: bool,
}

/// A delivery row that a round looks at.
struct Row {
    seq: i64,
    source: i64,
    state: i64,
    done_at: Option<i64>,
    accepted_at: i64,
    head: i64,
    has_body: bool,
    /// The delivery row matches its checksum.
    sound: bool,
}

impl Embedded {
    /// One slice of each kind; `true` if there is more.
    pub(super) fn prune_slice(
        &mut self,
        policy: &Policy,
        now: UnixMillis,
        draft: &mut Draft,
    ) -> Result<bool, rusqlite::Error> {
        let by_age = self.prune_by_age(policy, now, draft)?;
        let by_size = self.over_budget(policy)? && self.prune_by_size(draft)?;
        let ids = self.prune_ids(now.minus(policy.keep.ids))?;
        Ok(by_age || by_size || ids)
    }

    /// Pruning for size begins a sixteenth below the ceiling.
    fn over_budget(&mut self, policy: &Policy) -> Result<bool, rusqlite::Error> {
        self.measure()?;
        Ok(self.used_bytes > policy.bytes_max - policy.bytes_max / 16)
    }

    fn rows(&self, after: i64) -> Result<Vec<Row>, rusqlite::Error> {
        let rows: Vec<Row> = self
            .db
            .prepare_cached(
                "SELECT d.seq, d.source, d.state, d.done_at, e.accepted_at, e.head_sum,
                   e.body IS NOT NULL, d.next_at, d.sum
                 FROM delivery d JOIN event e USING(seq) WHERE d.seq > ?1 ORDER BY d.seq LIMIT ?2",
            )?
            .query_map([after, LOOKED_MAX], |row| {
                let (seq, state, done_at) = (row.get::<_, i64>(0)?, row.get(2)?, row.get(3)?);
                let sum = self
                    .sums
                    .standing(seq.cast_unsigned(), state, row.get(7)?, done_at);
                Ok(Row {
                    sound: sum == row.get::<_, i64>(8)?,
                    seq,
                    source: row.get(1)?,
                    state,
                    done_at,
                    accepted_at: row.get(4)?,
                    head: row.get(5)?,
                    has_body: row.get(6)?,
                })
            })?
            .collect::<Result<_, _>>()?;
        if rows.iter().any(|row| !row.sound) {
            self.place
                .marker
                .set("where an event stands does not match its checksum");
        }
        Ok(rows)
    }

    fn prune_by_age(
        &mut self,
        policy: &Policy,
        now: UnixMillis,
        draft: &mut Draft,
    ) -> Result<bool, rusqlite::Error> {
        let rows = self.rows(self.rounds.by_age)?;
        let before = |keep| now.minus(keep).0;
        let (delivered, dead) = (before(policy.keep.delivered), before(policy.keep.dead));
        let expired = |row: &&Row| match row.state {
            _ if !row.sound => false,
            DELIVERED => row.done_at.is_some_and(|at| at < delivered),
            DEAD => row.done_at.is_some_and(|at| at < dead),
            _ => false,
        };
        let gone: Vec<&Row> = rows.iter().filter(expired).take(CHANGED_MAX).collect();
        let last = if gone.len() == CHANGED_MAX {
            gone.last().copied()
        } else {
            rows.last()
        };
        // Whatever was accepted later cannot have been settled before.
        let young = |row: &Row| row.accepted_at >= delivered.max(dead);
        let more = last.is_some_and(|row| !young(row));
        self.forget(&gone, draft)?;
        self.rounds.by_age = last.filter(|_| more).map_or(0, |row| row.seq);
        Ok(more)
    }

    fn prune_by_size(&mut self, draft: &mut Draft) -> Result<bool, rusqlite::Error> {
        let rows = self.rows(self.rounds.by_size)?;
        let records = self.rounds.records;
        let spare = |row: &&Row| row.sound && row.state == DELIVERED && (records || row.has_body);
        let gone: Vec<&Row> = rows.iter().filter(spare).take(CHANGED_MAX).collect();
        let last = if gone.len() == CHANGED_MAX {
            gone.last().copied()
        } else {
            rows.last()
        };
        if records {
            self.forget(&gone, draft)?;
        } else {
            self.drop_bodies(&gone)?;
        }
        if let Some(last) = last {
            self.rounds.by_size = last.seq;
            return Ok(true);
        }
        // The end of a round: records follow bodies, and after them there is nothing.
        self.rounds.by_size = 0;
        self.rounds.records = !records;
        Ok(!records)
    }

    fn drop_bodies(&self, rows: &[&Row]) -> Result<(), rusqlite::Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let tx = self.db.unchecked_transaction()?;
        for row in rows {
            tx.prepare_cached(
                "UPDATE event SET headers = NULL, body = NULL, sum = ?2 WHERE seq = ?1",
            )?
            .execute(params![row.seq, Sums::erased(row.head)])?;
        }
        tx.commit()
    }

    fn forget(&mut self, rows: &[&Row], draft: &mut Draft) -> Result<(), rusqlite::Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut slice = Draft::new(draft.first, self.sources.len(), 0);
        let tx = self.db.unchecked_transaction()?;
        for row in rows {
            for sql in [
                "DELETE FROM event WHERE seq = ?1",
                "DELETE FROM delivery WHERE seq = ?1",
                "DELETE FROM attempt WHERE seq = ?1",
            ] {
                tx.prepare_cached(sql)?.execute([row.seq])?;
            }
            if let Some(source) = self.sources.by_id(row.source) {
                slice.tally(source, row.state, -1);
            }
        }
        let work = Tx {
            db: &tx,
            sums: self.sums,
            ids: &mut self.ids,
            sources: &self.sources,
            ids_since: i64::MIN,
            now: UnixMillis(0),
        };
        work.counters(&slice, None)?;
        tx.commit()?;
        draft.add_tallies(&slice);
        Ok(())
    }

    fn prune_ids(&mut self, before: UnixMillis) -> Result<bool, rusqlite::Error> {
        self.ids.prune(&self.db, before.0)
    }
}
