//! What the engine keeps in memory per source: its tallies, and where its pending events are.
//!
//! `fresh` holds the sequence numbers of pending events without a delivery row, in order. Claims
//! go in order too, so those that are claimed are a prefix of it. There are at most [`FRESH_MAX`]
//! that wait; those from `rest_from` on are found by a scan once there is room. Retries are found through the
//! `delivery_due` index behind a cursor; what the cursor passed is claimed or in `buffered`.

use std::collections::{BTreeMap, HashMap, VecDeque};

use rusqlite::{Connection, OptionalExtension as _};

use super::fresh::Fresh;
use super::schema;
use crate::clock::UnixMillis;
use crate::event::SourceName;
use crate::store::view::SourceCounts;

/// Sequence numbers of waiting fresh events kept in memory per source, 8 bytes each.
pub(super) const FRESH_MAX: usize = if super::SMALL { 50 } else { 100_000 };

const NAMES: &str = "SELECT id, name FROM source NOT INDEXED";
const NAMES_BY_INDEX: &str = "SELECT id, name FROM source INDEXED BY sqlite_autoindex_source_1";

/// All sources that were ever seen.
#[derive(Default)]
pub(super) struct Sources {
    all: Vec<Source>,
    by_name: HashMap<SourceName, usize>,
}

/// One source.
pub(super) struct Source {
    /// Its id in the file.
    pub(super) id: i64,
    pub(super) name: SourceName,
    /// Events by state.
    pub(super) tally: [i64; 3],
    pub(super) fresh: VecDeque<u64>,
    /// How many of `fresh`, from the front, are claimed.
    pub(super) claimed: usize,
    /// Fresh events from here on are on disk only, and not claimed.
    pub(super) rest_from: Option<u64>,
    pub(super) due: Due,
    pub(super) oldest_pending_at: Option<UnixMillis>,
}

/// Where the reading of due retries stands.
pub(super) struct Due {
    /// (next_at, seq) of the last one read.
    pub(super) cursor: (i64, u64),
    /// When the first one behind the cursor is due.
    pub(super) next_at: Option<i64>,
    /// Read, not yet claimed.
    pub(super) buffered: VecDeque<u64>,
}

impl Due {
    /// A row was written with this due time.
    pub(super) fn written(&mut self, next_at: i64, seq: u64) {
        if (next_at, seq) <= self.cursor {
            self.cursor = (next_at, seq.saturating_sub(1));
        }
        self.next_at = Some(self.next_at.map_or(next_at, |at| at.min(next_at)));
    }

    /// When something can be claimed.
    pub(super) fn due_at(&self) -> Option<i64> {
        if self.buffered.is_empty() {
            self.next_at
        } else {
            Some(i64::MIN)
        }
    }
}

impl Source {
    fn new(id: i64, name: SourceName) -> Self {
        Self {
            id,
            name,
            tally: [0; 3],
            fresh: VecDeque::new(),
            claimed: 0,
            rest_from: None,
            // Unknown until looked at.
            due: Due {
                cursor: (i64::MIN, 0),
                next_at: Some(i64::MIN),
                buffered: VecDeque::new(),
            },
            oldest_pending_at: None,
        }
    }

    /// Forgets settled events at the front.
    pub(super) fn tidy(&mut self, fresh: &Fresh) {
        while self.fresh.front().is_some_and(|seq| fresh.has_news(*seq)) {
            self.fresh.pop_front();
            self.claimed = self.claimed.saturating_sub(1);
        }
    }

    fn unclaimed(&self) -> usize {
        self.fresh.len().saturating_sub(self.claimed)
    }

    /// An event was stored. It is claimed only if nothing of its source waits.
    pub(super) fn stored(&mut self, seq: u64, claimed: bool) {
        if self.rest_from.is_some() {
            return; // the scan will find it
        }
        if !claimed && self.unclaimed() >= FRESH_MAX {
            self.rest_from = Some(seq);
            return;
        }
        self.fresh.push_back(seq);
        self.claimed += usize::from(claimed);
    }

    /// A scan that began at `scan_from` found a fresh event.
    pub(super) fn found(&mut self, seq: u64, scan_from: u64) {
        if self
            .rest_from
            .is_none_or(|from| from < scan_from || seq < from)
        {
            return; // known already, or left to a scan that begins earlier
        }
        if self.unclaimed() < FRESH_MAX {
            self.fresh.push_back(seq);
            self.rest_from = Some(seq + 1);
        }
    }

    /// Whether a scan would help.
    fn wants_scan(&self) -> Option<u64> {
        self.rest_from.filter(|_| self.unclaimed() <= FRESH_MAX / 2)
    }

    pub(super) fn tally(&self, state: i64) -> i64 {
        let state = usize::try_from(state).unwrap_or(usize::MAX);
        self.tally.get(state).copied().unwrap_or(0)
    }

    /// Fresh events wait to be claimed.
    pub(super) fn waits(&self) -> bool {
        self.has_fresh() || self.rest_from.is_some()
    }

    pub(super) fn has_fresh(&self) -> bool {
        self.claimed < self.fresh.len()
    }

    /// Claims the next fresh event.
    pub(super) fn next_fresh(&mut self, fresh: &Fresh) -> Option<u64> {
        while let Some(seq) = self.fresh.get(self.claimed).copied() {
            self.claimed += 1;
            if !fresh.has_news(seq) {
                return Some(seq);
            }
        }
        None
    }

    /// The event that was claimed last could not be read: it is the next one again.
    pub(super) fn put_back(&mut self, seq: u64, is_retry: bool) {
        if is_retry {
            self.due.buffered.push_front(seq);
        } else {
            self.claimed = self.claimed.saturating_sub(1);
        }
    }

    /// Looks up when the oldest pending event was received.
    pub(super) fn look_up_oldest(&mut self, db: &Connection) -> Result<(), rusqlite::Error> {
        let fresh = self.fresh.front().copied();
        let retry = if self.due.next_at.is_some() || self.tally[0] > super::signed(self.fresh.len())
        {
            db.prepare_cached(
                "SELECT seq FROM delivery WHERE source = ?1 AND state = 0 ORDER BY seq LIMIT 1",
            )?
            .query_row([self.id], |row| row.get::<_, i64>(0))
            .optional()?
            .map(i64::cast_unsigned)
        } else {
            None
        };
        self.oldest_pending_at = match [fresh, retry].into_iter().flatten().min() {
            None => None,
            Some(seq) => db
                .prepare_cached("SELECT received_at FROM event WHERE seq = ?1")?
                .query_row([seq.cast_signed()], |row| row.get(0))
                .optional()?
                .map(UnixMillis),
        };
        Ok(())
    }

    pub(super) fn counts(&self) -> SourceCounts {
        let [pending, delivered, dead] = self.tally.map(|n| u64::try_from(n).unwrap_or(0));
        SourceCounts {
            source: self.name.clone(),
            pending,
            delivered,
            dead,
            oldest_pending_at: self.oldest_pending_at,
        }
    }
}

fn names(db: &Connection, sql: &str) -> Result<BTreeMap<i64, String>, rusqlite::Error> {
    let mut select = db.prepare(sql)?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

impl Sources {
    pub(super) fn load(db: &Connection) -> Result<Self, rusqlite::Error> {
        let mut sources = Self::default();
        let [names, again] = [NAMES, NAMES_BY_INDEX].map(|sql| names(db, sql));
        let names = names?;
        // An event knows its source by name only through its checksum: a wrong name would make
        // every event of the source unreadable.
        if names != again? {
            return Err(schema::corrupt("two records of the sources' names differ"));
        }
        for (id, name) in names {
            let mut source = Source::new(id, SourceName::from(name.as_str()));
            for (state, tally) in (0i64..).zip(&mut source.tally) {
                *tally = schema::counter(db, id * 4 + state)?;
            }
            sources.add(source);
        }
        Ok(sources)
    }

    fn add(&mut self, source: Source) -> usize {
        let at = self.all.len();
        self.by_name.insert(source.name.clone(), at);
        self.all.push(source);
        at
    }

    /// The place of a source; a new one is written to the file first, in a transaction of its own.
    pub(super) fn place(
        &mut self,
        db: &Connection,
        name: &SourceName,
    ) -> Result<usize, rusqlite::Error> {
        if let Some(at) = self.by_name.get(name) {
            return Ok(*at);
        }
        db.execute("INSERT INTO source(name) VALUES(?1)", [name.as_str()])?;
        let mut source = Source::new(db.last_insert_rowid(), name.clone());
        source.due.next_at = None;
        Ok(self.add(source))
    }

    /// Where a scan for fresh events should begin.
    pub(super) fn scan_from(&self) -> Option<u64> {
        self.all.iter().filter_map(Source::wants_scan).min()
    }

    /// A scan has looked at `passed`; `high` is the newest event.
    pub(super) fn scanned(&mut self, passed: std::ops::RangeInclusive<u64>, high: u64) {
        let last = *passed.end();
        for source in &mut self.all {
            let took_part = source.rest_from.is_some_and(|from| passed.contains(&from));
            // One that became full stays where it is.
            if took_part && source.unclaimed() < FRESH_MAX {
                source.rest_from = Some(last + 1);
            }
            if last >= high && source.rest_from.is_some_and(|from| from > high) {
                source.rest_from = None;
            }
        }
    }

    pub(super) fn find(&self, name: &SourceName) -> Option<&Source> {
        self.by_name.get(name).and_then(|at| self.all.get(*at))
    }

    pub(super) fn place_of(&self, name: &SourceName) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    pub(super) fn at(&self, at: usize) -> Option<&Source> {
        self.all.get(at)
    }

    pub(super) fn at_mut(&mut self, at: usize) -> Option<&mut Source> {
        self.all.get_mut(at)
    }

    pub(super) fn by_id(&self, id: i64) -> Option<usize> {
        self.all.iter().position(|source| source.id == id)
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Source> {
        self.all.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Source> {
        self.all.iter_mut()
    }
}
