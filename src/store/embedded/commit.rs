//! One commit: events, settlements, replays and erasures in one transaction.
//!
//! Nothing in memory changes before the transaction is durable, but for the ids, which must show
//! the batch's own earlier events; a failed commit takes them back out.

use rusqlite::{CachedStatement, Connection, OptionalExtension as _, params};

use super::ids::{self, Ids, Known};
use super::record::{self, Sums};
use super::schema::{DEAD, DELIVERED, PENDING};
use super::sources::Sources;
use crate::clock::UnixMillis;
use crate::event::EventId;
use crate::store::engine::{Batch, NewEvent, Outcome};
use crate::store::keys::DedupKey;
use crate::store::wide;

/// What a transaction will have changed.
pub(super) struct Draft {
    /// The first sequence number of the batch.
    pub(super) first: u64,
    /// Place of its source, and whether it is claimed, for each stored event from `first` on.
    pub(super) stored: Vec<(usize, bool)>,
    pub(super) outcomes: Vec<Outcome>,
    /// Ids put into the index, with what they replaced.
    pub(super) inserted: Vec<(DedupKey, Option<Known>)>,
    packed: Vec<u8>,
    /// Changes of tallies, by place of source.
    pub(super) tallies: Vec<[i64; 3]>,
    /// Sources that are touched.
    pub(super) touched: Vec<bool>,
    /// Events that got a delivery row.
    pub(super) news: Vec<u64>,
    /// Events that wait until a time: place of source, time, number.
    pub(super) due: Vec<(usize, i64, u64)>,
    /// Events whose claim has ended.
    pub(super) settled: Vec<u64>,
    pub(super) marked: Vec<bool>,
    pub(super) replayed: Vec<bool>,
    pub(super) erased: Vec<Option<u64>>,
    pub(super) hastened: u64,
    /// Events that a sender wants tried now.
    pub(super) urgent: Vec<u64>,
    pub(super) bytes: u64,
    /// What was read and is damaged.
    pub(super) damage: Option<String>,
}

impl Draft {
    pub(super) fn new(first: u64, sources: usize, events: usize) -> Self {
        Self {
            first,
            stored: Vec::with_capacity(events),
            outcomes: Vec::with_capacity(events),
            inserted: Vec::with_capacity(events),
            packed: Vec::with_capacity(events * ids::PACKED + 8),
            tallies: vec![[0; 3]; sources],
            touched: vec![false; sources],
            news: Vec::new(),
            due: Vec::new(),
            settled: Vec::new(),
            marked: Vec::new(),
            replayed: Vec::new(),
            erased: Vec::new(),
            hastened: 0,
            urgent: Vec::new(),
            bytes: 0,
            damage: None,
        }
    }

    /// The number that the next stored event gets.
    pub(super) fn next(&self) -> u64 {
        self.first + wide(self.stored.len())
    }

    /// One event more, or less, in a state.
    pub(super) fn tally(&mut self, source: usize, state: i64, by: i64) {
        let state = usize::try_from(state).unwrap_or_default();
        if let Some(tally) = self
            .tallies
            .get_mut(source)
            .and_then(|tally| tally.get_mut(state))
        {
            *tally += by;
        }
        if let Some(touched) = self.touched.get_mut(source) {
            *touched = true;
        }
    }
}

impl Draft {
    /// Takes over the tallies of a part that is durable.
    pub(super) fn add_tallies(&mut self, part: &Self) {
        for (all, part) in self.tallies.iter_mut().zip(&part.tallies) {
            all.iter_mut().zip(part).for_each(|(all, by)| *all += by);
        }
        for (all, part) in self.touched.iter_mut().zip(&part.touched) {
            *all |= part;
        }
    }
}

/// What of the engine a transaction uses.
pub(super) struct Tx<'a> {
    pub(super) db: &'a Connection,
    pub(super) sums: Sums,
    pub(super) ids: &'a mut Ids,
    pub(super) sources: &'a Sources,
    /// Ids seen before this are forgotten.
    pub(super) ids_since: i64,
    pub(super) now: UnixMillis,
}

impl Tx<'_> {
    /// Stores the events of a batch.
    pub(super) fn events(
        &mut self,
        batch: &Batch<'_>,
        places: &[usize],
        draft: &mut Draft,
    ) -> Result<(), rusqlite::Error> {
        if batch.events.is_empty() {
            return Ok(());
        }
        let mut insert = self.db.prepare_cached(record::INSERT)?;
        for (new, source) in batch.events.iter().zip(places) {
            let outcome = self.event(&mut insert, new, *source, draft)?;
            draft.outcomes.push(outcome);
        }
        if !draft.packed.is_empty() {
            let first = draft.first.cast_signed();
            let packed = ids::seal(first, std::mem::take(&mut draft.packed));
            self.db
                .prepare_cached("INSERT INTO dedup(seq, at, ids) VALUES(?1, ?2, ?3)")?
                .execute(params![first, self.now.0, packed])?;
            draft.bytes += wide(packed.len());
        }
        Ok(())
    }

    fn event(
        &mut self,
        insert: &mut CachedStatement<'_>,
        new: &NewEvent,
        source: usize,
        draft: &mut Draft,
    ) -> Result<Outcome, rusqlite::Error> {
        let seq = draft.next();
        let since = self.ids_since.max(new.repeats_since.0);
        let (key, outcome) = match self.ids.find(self.db, new.key, since, draft.first)? {
            None => (new.key, Outcome::Stored { seq }),
            Some(known) if known.digest == new.digest => {
                match self.duplicate(new, known.seq, draft)? {
                    Some(outcome) => return Ok(outcome),
                    None => (new.key, Outcome::Stored { seq }),
                }
            }
            Some(_) => {
                let key = new.key.in_conflict(new.digest);
                let known = self.ids.find(self.db, key, since, draft.first)?;
                let repeat = match known {
                    None => None,
                    Some(known) => self.duplicate(new, known.seq, draft)?,
                };
                match repeat {
                    Some(outcome) => return Ok(outcome),
                    None => (key, Outcome::Conflict { seq }),
                }
            }
        };
        let id = self.sources.at(source).map_or(0, |source| source.id);
        record::insert(insert, self.sums, seq, id, new.accepted_at, &new.event)?;
        let before = self.ids.insert(
            key,
            Known {
                seq,
                digest: new.digest,
            },
        );
        draft.inserted.push((key, before));
        ids::pack(&mut draft.packed, key, new.digest);
        draft.stored.push((source, new.claimed));
        draft.tally(source, PENDING, 1);
        draft.bytes += wide(new.event.size_bytes());
        Ok(outcome)
    }

    /// Erases headers and body; a pending event becomes a dead letter.
    pub(super) fn erase(&self, seq: u64, draft: &mut Draft) -> Result<(), rusqlite::Error> {
        let (source, head, state): (i64, i64, Option<i64>) = self
            .db
            .prepare_cached(
                "SELECT e.source, e.head_sum, d.state
                 FROM event e LEFT JOIN delivery d USING(seq) WHERE e.seq = ?1",
            )?
            .query_row([seq.cast_signed()], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
        self.db
            .prepare_cached(
                "UPDATE event SET headers = NULL, body = NULL, sum = ?2 WHERE seq = ?1",
            )?
            .execute(params![seq.cast_signed(), Sums::erased(head)])?;
        // It has a row now, also where the scan has not been: a lease may be settled yet.
        draft.news.push(seq);
        // Answers of the app may repeat what was sent.
        self.db
            .prepare_cached("UPDATE attempt SET answer = NULL WHERE seq = ?1")?
            .execute([seq.cast_signed()])?;
        self.db
            .prepare_cached("UPDATE delivery SET answer = NULL WHERE seq = ?1")?
            .execute([seq.cast_signed()])?;
        if state.is_some_and(|state| state != PENDING) {
            return Ok(());
        }
        self.db
            .prepare_cached(
                "INSERT INTO delivery(seq, source, state, attempts, tries, replay, done_at, reason, sum)
                 VALUES(?1, ?2, 2, 0, 0, 0, ?3, 'erased', ?4)
                 ON CONFLICT(seq) DO UPDATE SET
                   state = 2, next_at = NULL, done_at = ?3, reason = 'erased', sum = ?4",
            )?
            .execute(params![
                seq.cast_signed(),
                source,
                self.now.0,
                self.sums.standing(seq, DEAD, None, Some(self.now.0))
            ])?;
        draft.settled.push(seq);
        if let Some(source) = self.sources.by_id(source) {
            draft.tally(source, PENDING, -1);
            draft.tally(source, DEAD, 1);
        }
        Ok(())
    }

    /// The number of an event.
    pub(super) fn seq_of(&self, id: EventId) -> Result<Option<u64>, rusqlite::Error> {
        let found = self
            .db
            .prepare_cached("SELECT seq FROM event WHERE id = ?1")?
            .query_row([&id.as_bytes()[..]], |row| row.get::<_, i64>(0))
            .optional()?;
        Ok(found.map(i64::cast_unsigned))
    }

    /// Writes the changed counters.
    pub(super) fn counters(
        &self,
        draft: &Draft,
        floor: Option<u64>,
    ) -> Result<(), rusqlite::Error> {
        let mut add = self.db.prepare_cached(
            "INSERT INTO counter(k, n) VALUES(?1, ?2) ON CONFLICT(k) DO UPDATE SET n = n + ?2",
        )?;
        for (source, tally) in self.sources.iter().zip(&draft.tallies) {
            for (state, by) in [PENDING, DELIVERED, DEAD].into_iter().zip(tally) {
                if *by != 0 {
                    add.execute([source.id * 4 + state, *by])?;
                }
            }
        }
        let mut set = self
            .db
            .prepare_cached("UPDATE counter SET n = ?2 WHERE k = ?1")?;
        if !draft.stored.is_empty() {
            set.execute([super::schema::HIGH, draft.next().cast_signed() - 1])?;
        }
        if let Some(floor) = floor {
            set.execute([super::schema::FLOOR, floor.cast_signed()])?;
        }
        Ok(())
    }
}
