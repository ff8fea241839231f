//! The ids seen before: millions of them in little memory.
//!
//! The newest are exact in memory, and in the file as one `dedup` row per commit. When there are
//! [`RunSize::ids`] of them they become a run: sorted by key, cut into buckets, one row each, found
//! through the key's first bits; the [`Filter`] says which runs to look into. Here is the looking
//! up; `runs` writes runs and drops them. Memory: about 12 MiB, and 1.5 bytes per id.

mod runs;

use std::collections::{HashMap, VecDeque};

use rusqlite::{Connection, ErrorCode, OptionalExtension as _};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::filter::{self, Filter};
use super::schema;
use crate::store::keys::{DedupKey, Digest};

/// What is known of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) seq: u64,
    pub(super) digest: Digest,
}

/// Ids remembered at most, whatever their time: 15 MB of memory for the filter and 400 MB on disk.
/// Beyond, the oldest are forgotten first, and a repeat of theirs is a new event.
const IDS_MAX: usize = 10_000_000;

/// How large runs are.
#[derive(Clone, Copy)]
pub(super) struct RunSize {
    /// Ids: what a hash map of 2^17 places holds.
    ids: usize,
    /// Key bits that choose a bucket.
    bits: u32,
    /// Ids in all.
    max: usize,
}

impl RunSize {
    pub(super) const FULL: Self = Self {
        ids: 114_688,
        bits: 13,
        max: IDS_MAX,
    };
    /// Small enough for tests to make many.
    pub(super) const SMALL: Self = Self {
        ids: 128,
        bits: 3,
        max: IDS_MAX,
    };

    /// Rows of a complete run.
    pub(super) fn buckets(self) -> usize {
        1 << self.bits
    }

    fn bucket(self, key: DedupKey) -> i64 {
        let [first, second, ..] = key.0;
        i64::from(u16::from_be_bytes([first, second]) >> (16 - self.bits))
    }
}

/// `id_bucket.k` is the run times this plus the bucket.
pub(super) const BUCKETS_MAX: i64 = 1 << 13;
/// Bytes per id in a `dedup` row,
pub(super) const PACKED: usize = 32;
/// and in a bucket.
pub(super) const PACKED_OLD: usize = 40;

/// The index.
pub(super) struct Ids {
    size: RunSize,
    recent: HashMap<DedupKey, Known>,
    sealing: Option<Sealing>,
    /// Oldest first.
    runs: VecDeque<Run>,
    filter: Filter,
    next_run: i64,
    /// `dedup` rows up to here are covered by runs, and are being deleted.
    covered: i64,
    uncovered: bool,
    /// Runs that are no more, whose buckets are being deleted.
    dropped: Vec<i64>,
}

/// A run on disk.
struct Run {
    run: i64,
    newest_at: i64,
    ids: usize,
    column: usize,
}

/// A run that is being written.
struct Sealing {
    run: Run,
    last_seq: i64,
    sorted: Vec<(DedupKey, Known)>,
    next_bucket: i64,
}

pub(super) fn pack(into: &mut Vec<u8>, key: DedupKey, digest: Digest) {
    into.extend_from_slice(&key.0);
    into.extend_from_slice(&digest.0);
}

/// Puts the checksum behind what is saved under `key`: a bit that is lost here would forget an id in
/// silence, or take one event for another.
pub(super) fn seal(key: i64, mut bytes: Vec<u8>) -> Vec<u8> {
    let sum = xxh3_64_with_seed(&bytes, key.cast_unsigned());
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

/// What was sealed, if it is as it was.
pub(super) fn unseal(key: i64, sealed: &[u8]) -> Result<&[u8], rusqlite::Error> {
    let opened = sealed.split_last_chunk().filter(|(bytes, sum)| {
        xxh3_64_with_seed(bytes, key.cast_unsigned()) == u64::from_le_bytes(**sum)
    });
    match opened {
        Some((bytes, _)) => Ok(bytes),
        None => Err(schema::corrupt("some ids do not match their checksum")),
    }
}

fn unpack(seq: i64, ids: &[u8]) -> impl Iterator<Item = (DedupKey, Known)> {
    (seq.cast_unsigned()..)
        .zip(ids.as_chunks::<PACKED>().0)
        .filter_map(|(seq, id)| {
            let (key, digest) = id.split_at(16);
            let known = Known {
                seq,
                digest: Digest(digest.try_into().ok()?),
            };
            Some((DedupKey(key.try_into().ok()?), known))
        })
}

/// When an event was accepted, if that can still be read: a run does not know it of each id.
fn accepted_at(db: &Connection, seq: u64) -> Result<Option<i64>, rusqlite::Error> {
    let found = db
        .prepare_cached("SELECT accepted_at FROM event WHERE seq = ?1")?
        .query_row([seq.cast_signed()], |row| row.get(0))
        .optional();
    match found {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => Ok(None),
        found => found,
    }
}

impl Ids {
    pub(super) fn load(db: &Connection, size: RunSize) -> Result<Self, rusqlite::Error> {
        let mut ids = Self {
            size,
            recent: HashMap::new(),
            sealing: None,
            runs: VecDeque::new(),
            filter: Filter::new(size.ids),
            next_run: 1,
            covered: 0,
            uncovered: true,
            dropped: Vec::new(),
        };
        ids.load_runs(db)?;
        let mut rows = db.prepare("SELECT seq, ids FROM dedup WHERE seq > ?1 ORDER BY seq")?;
        let mut rows = rows.query([ids.covered])?;
        while let Some(row) = rows.next()? {
            let seq = row.get(0)?;
            let sealed = row.get_ref(1)?.as_blob()?;
            ids.recent.extend(unpack(seq, unseal(seq, sealed)?));
        }
        Ok(ids)
    }

    fn load_runs(&mut self, db: &Connection) -> Result<(), rusqlite::Error> {
        let mut rows =
            db.prepare("SELECT run, last_seq, newest_at, ids, filter FROM id_run ORDER BY run")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let run: i64 = row.get(0)?;
            self.covered = self.covered.max(row.get(1)?);
            let column = self.filter.add();
            // A damaged one can be made again.
            let saved = row.get_ref(4)?.as_blob().unwrap_or_default();
            match unseal(run, saved) {
                Ok(bits) if self.filter.load(column, bits) => {}
                Ok(_) | Err(_) => self.refill(db, run, column)?,
            }
            let ids = usize::try_from(row.get::<_, i64>(3)?).unwrap_or(0);
            self.runs.push_back(Run {
                run,
                newest_at: row.get(2)?,
                ids,
                column,
            });
            self.next_run = run + 1;
        }
        // What an interrupted seal or drop left behind is at the ends.
        for end in ["min", "max"] {
            let sql = format!("SELECT {end}(k) / {BUCKETS_MAX} FROM id_bucket");
            let run: Option<i64> = db.query_row(&sql, [], |row| row.get(0))?;
            if let Some(run) = run.filter(|run| self.runs.iter().all(|known| known.run != *run)) {
                self.dropped.push(run);
                self.next_run = self.next_run.max(run + 1);
            }
        }
        Ok(())
    }

    /// Makes a filter again from the ids.
    fn refill(&mut self, db: &Connection, run: i64, column: usize) -> Result<(), rusqlite::Error> {
        let mut rows = db.prepare("SELECT k, ids FROM id_bucket WHERE k BETWEEN ?1 AND ?2")?;
        let mut rows = rows.query([run * BUCKETS_MAX, (run + 1) * BUCKETS_MAX - 1])?;
        while let Some(row) = rows.next()? {
            let ids = unseal(row.get(0)?, row.get_ref(1)?.as_blob()?)?;
            for id in ids.as_chunks::<PACKED_OLD>().0 {
                let (key, _) = id.split_at(16);
                self.filter
                    .set(column, DedupKey(key.try_into().unwrap_or_default()));
            }
        }
        Ok(())
    }

    /// What is known of `key`, if it was seen at or after `since`. Ids from `batch` on are of the
    /// batch that is being written.
    pub(super) fn find(
        &self,
        db: &Connection,
        key: DedupKey,
        since: i64,
        batch: u64,
    ) -> Result<Option<Known>, rusqlite::Error> {
        let sealing = || {
            let sorted = &self.sealing.as_ref()?.sorted;
            let at = sorted.binary_search_by_key(&key, |(key, _)| *key).ok()?;
            sorted.get(at).map(|(_, known)| known)
        };
        if let Some(known) = self.recent.get(&key).or_else(sealing).copied() {
            if known.seq >= batch {
                return Ok(Some(known));
            }
            let at = db
                .prepare_cached("SELECT at FROM dedup WHERE seq <= ?1 ORDER BY seq DESC LIMIT 1")?
                .query_row([known.seq.cast_signed()], |row| row.get::<_, i64>(0))
                .optional()?;
            return Ok(at.is_some_and(|at| at >= since).then_some(known));
        }
        let candidates = self.filter.candidates(key);
        if candidates.is_empty() {
            return Ok(None);
        }
        let likely = self
            .runs
            .iter()
            .rev()
            .filter(|run| filter::names(&candidates, run.column));
        for run in likely {
            if let Some(known) = self.look_into(db, run.run, key)? {
                let at = accepted_at(db, known.seq)?.unwrap_or(run.newest_at);
                return Ok((at >= since).then_some(known));
            }
        }
        Ok(None)
    }

    fn look_into(
        &self,
        db: &Connection,
        run: i64,
        key: DedupKey,
    ) -> Result<Option<Known>, rusqlite::Error> {
        let mut select = db.prepare_cached("SELECT ids FROM id_bucket WHERE k = ?1")?;
        let bucket = run * BUCKETS_MAX + self.size.bucket(key);
        let mut rows = select.query([bucket])?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        let ids = unseal(bucket, row.get_ref(0)?.as_blob()?)?;
        let ids = ids.as_chunks::<PACKED_OLD>().0;
        let Some(id) = ids.iter().find(|id| id.starts_with(&key.0)) else {
            return Ok(None);
        };
        let (digest, seq) = id.split_at(16).1.split_at(16);
        Ok(Some(Known {
            seq: seq.try_into().map_or(0, u64::from_le_bytes),
            digest: Digest(digest.try_into().unwrap_or_default()),
        }))
    }

    /// Remembers an id; returns what it replaces.
    pub(super) fn insert(&mut self, key: DedupKey, known: Known) -> Option<Known> {
        self.recent.insert(key, known)
    }

    /// Undoes an insert.
    pub(super) fn retract(&mut self, key: DedupKey, before: Option<Known>) {
        match before {
            Some(known) => self.recent.insert(key, known),
            None => self.recent.remove(&key),
        };
    }

    /// Recent ids up to here are not read: they are in runs.
    pub(super) fn covered(&self) -> i64 {
        self.covered
    }

    pub(super) fn len(&self) -> usize {
        let sealing = self
            .sealing
            .as_ref()
            .map_or(0, |sealing| sealing.sorted.len());
        self.recent.len() + sealing + self.runs.iter().map(|run| run.ids).sum::<usize>()
    }
}

#[cfg(test)]
mod tests;
