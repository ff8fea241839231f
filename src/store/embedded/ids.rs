//! The ids seen before.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _};

use crate::store::keys::{DedupKey, Digest};

/// What is known of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) seq: u64,
    pub(super) digest: Digest,
}

/// The index.
#[derive(Default)]
pub(super) struct Ids {
    recent: HashMap<DedupKey, Known>,
}

/// Bytes per id in a `dedup` row.
pub(super) const PACKED: usize = 32;

pub(super) fn pack(into: &mut Vec<u8>, key: DedupKey, digest: Digest) {
    into.extend_from_slice(&key.0);
    into.extend_from_slice(&digest.0);
}

pub(super) fn unpack(seq: u64, ids: &[u8]) -> impl Iterator<Item = (DedupKey, Known)> {
    (seq..)
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

impl Ids {
    pub(super) fn load(db: &Connection) -> Result<Self, rusqlite::Error> {
        let mut ids = Self::default();
        let mut rows = db.prepare("SELECT seq, ids FROM dedup ORDER BY seq")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let seq = row.get::<_, i64>(0)?.cast_unsigned();
            ids.recent.extend(unpack(seq, row.get_ref(1)?.as_blob()?));
        }
        Ok(ids)
    }

    /// What is known of `key`, if it was seen at or after `since`.
    pub(super) fn find(
        &self,
        db: &Connection,
        key: DedupKey,
        since: i64,
    ) -> Result<Option<Known>, rusqlite::Error> {
        let Some(known) = self.recent.get(&key) else {
            return Ok(None);
        };
        let at = db
            .prepare_cached("SELECT at FROM dedup WHERE seq <= ?1 ORDER BY seq DESC LIMIT 1")?
            .query_row([known.seq.cast_signed()], |row| row.get::<_, i64>(0))
            .optional()?;
        // No row yet: it is of the batch that is being written.
        Ok((at.is_none_or(|at| at >= since)).then_some(*known))
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

    /// Forgets ids last seen before `before`; `true` if there may be more.
    pub(super) fn prune(
        &mut self,
        db: &Connection,
        before: i64,
        rows_max: usize,
    ) -> Result<bool, rusqlite::Error> {
        let mut old =
            db.prepare_cached("SELECT seq, ids FROM dedup WHERE at < ?1 ORDER BY seq LIMIT ?2")?;
        let rows = old.query_map([before, super::signed(rows_max)], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
        })?;
        let rows: Vec<_> = rows.collect::<Result<_, _>>()?;
        let Some((last, _)) = rows.last() else {
            return Ok(false);
        };
        db.prepare_cached("DELETE FROM dedup WHERE seq <= ?1 AND at < ?2")?
            .execute([*last, before])?;
        for (seq, ids) in &rows {
            for (key, known) in unpack(seq.cast_unsigned(), ids) {
                // It may have been seen again since.
                if self.recent.get(&key) == Some(&known) {
                    self.recent.remove(&key);
                }
            }
        }
        Ok(rows.len() == rows_max)
    }

    pub(super) fn len(&self) -> usize {
        self.recent.len()
    }
}
