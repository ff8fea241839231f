//! The ids of a damaged file: copied as they are, their directory made anew.

use std::collections::BTreeMap;

use rusqlite::types::Value;
use rusqlite::{Connection, params};

use super::Salvage;
use super::walk::{Walk, blob, integer, number};
use crate::store::embedded::ids::{BUCKETS_MAX, PACKED, PACKED_OLD, seal, unseal};
use crate::store::embedded::{RUN_SIZE, signed};

/// A run as its buckets and what is left of its row say.
#[derive(Default)]
struct Found {
    buckets: usize,
    ids: usize,
    /// The newest number in the buckets, and in the run's own row. Recent ids up to there are deleted,
    /// so the lower one counts.
    newest: i64,
    last_seq: Option<i64>,
    newest_at: Option<i64>,
}

impl Salvage<'_> {
    pub(super) fn ids(&self) -> Result<u64, rusqlite::Error> {
        Ok(self.recent_ids()? + self.runs()?)
    }

    fn recent_ids(&self) -> Result<u64, rusqlite::Error> {
        let rows = Walk {
            db: self.old,
            table: "dedup",
            key: "seq",
            columns: "seq, at, ids",
            short: None,
            last: self.high,
        };
        rows.each(|row| {
            if whole(&row, 2) && number(&row).is_some_and(|seq| seq <= self.high) {
                self.put("INSERT OR IGNORE INTO dedup VALUES(?1, ?2, ?3)", &row)?;
            }
            Ok(())
        })
    }

    fn runs(&self) -> Result<u64, rusqlite::Error> {
        let mut runs: BTreeMap<i64, Found> = BTreeMap::new();
        let rows = |table, key, columns, last| Walk {
            db: self.old,
            table,
            key,
            columns,
            short: None,
            last,
        };
        // As many as numbers of events, at most.
        let listed = rows("id_run", "run", "run, last_seq, newest_at", self.high);
        let mut holes = listed.each(|row| {
            if let (Some(run), Some(newest_at)) = (number(&row), integer(&row, 2)) {
                let found = runs.entry(run).or_default();
                found.newest_at = Some(newest_at);
                found.last_seq = integer(&row, 1);
            }
            Ok(())
        })?;
        let last = (self.high + 1).saturating_mul(BUCKETS_MAX);
        holes += rows("id_bucket", "k", "k, ids", last).each(|row| {
            let (Some(k), Some(ids)) = (number(&row), blob(&row, 1)) else {
                return Ok(());
            };
            if !whole(&row, 1) {
                return Ok(());
            }
            let found = runs.entry(k / BUCKETS_MAX).or_default();
            found.buckets += 1;
            for id in ids.as_chunks::<PACKED_OLD>().0 {
                let seq = id.last_chunk().map_or(0, |seq| i64::from_le_bytes(*seq));
                found.ids += 1;
                found.newest = found.newest.max(seq);
            }
            self.put("INSERT OR IGNORE INTO id_bucket VALUES(?1, ?2)", &row)?;
            Ok(())
        })?;
        for (run, found) in runs {
            // One that is not listed and not complete was being written or dropped.
            let last_seq = found.last_seq.unwrap_or(i64::MAX).min(found.newest);
            let complete = found.buckets == RUN_SIZE.buckets();
            if (found.last_seq.is_some() || complete) && last_seq <= self.high {
                // Without a filter, which the next look makes from the buckets.
                self.new.execute(
                    "INSERT INTO id_run(run, last_seq, newest_at, ids, filter) VALUES(?1, ?2, ?3, ?4, x'')",
                    params![
                        run,
                        last_seq,
                        found.newest_at.unwrap_or(self.now.0),
                        signed(found.ids)
                    ],
                )?;
            } else {
                self.new.execute(
                    "DELETE FROM id_bucket WHERE k BETWEEN ?1 AND ?2",
                    [run * BUCKETS_MAX, (run + 1) * BUCKETS_MAX - 1],
                )?;
            }
        }
        Ok(holes)
    }

    /// Events are missing that nobody can name: an id without an event may be of one of them, and
    /// its sender must not be told that it is stored.
    pub(super) fn forget_ids_without_event(&self) -> Result<(), rusqlite::Error> {
        let there = |seq: i64| {
            self.new
                .prepare_cached("SELECT 1 FROM event WHERE seq = ?1")?
                .exists([seq])
        };
        clear(&self.new, "dedup", "seq", PACKED, |seq, at, _| {
            there(seq.saturating_add(signed(at)))
        })?;
        clear(&self.new, "id_bucket", "k", PACKED_OLD, |_, _, id| {
            there(id.last_chunk().map_or(0, |seq| i64::from_le_bytes(*seq)))
        })
    }
}

/// Whether the ids in a column match their checksum.
fn whole(row: &[Value], column: usize) -> bool {
    let ids = number(row).zip(blob(row, column));
    ids.is_some_and(|(key, ids)| unseal(key, ids).is_ok())
}

/// Overwrites the ids for which `keep` says no; zeros are nobody's key.
fn clear(
    db: &Connection,
    table: &str,
    key: &str,
    size: usize,
    keep: impl Fn(i64, usize, &[u8]) -> Result<bool, rusqlite::Error>,
) -> Result<(), rusqlite::Error> {
    let next = format!("SELECT {key}, ids FROM {table} WHERE {key} > ?1 ORDER BY {key} LIMIT 1");
    let write = format!("UPDATE {table} SET ids = ?2 WHERE {key} = ?1");
    let mut after = 0;
    while let Some(row) = super::walk::row(db, &next, after)? {
        after = number(&row).unwrap_or(i64::MAX);
        let mut ids = unseal(after, blob(&row, 1).unwrap_or_default())?.to_vec();
        for (at, id) in ids.chunks_exact_mut(size).enumerate() {
            if !keep(after, at, id)? {
                id.get_mut(..32).into_iter().for_each(|id| id.fill(0));
            }
        }
        db.prepare_cached(&write)?
            .execute(params![after, seal(after, ids)])?;
    }
    Ok(())
}
