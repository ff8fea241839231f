//! Looks whether everything that waits is there.
//!
//! Damage that SQLite does not see can hide an event: a page from yesterday, a bit in a row's number,
//! a row that calls an event delivered. The tallies are written with every commit on a page of their
//! own, so they are a second witness. Once a start has found all fresh events, and before it says
//! that it has nothing to do, both must agree: fresh events and retries with what is pending,
//! dead letters with what is dead. Indexes are compared with their tables on the way.

use std::collections::HashMap;

use rusqlite::Connection;

use super::schema::{DEAD, PENDING};
use super::sources::Source;
use super::{Embedded, schema};
use crate::store::wide;

/// Rows that both an index and its table know, whose event is there, by source.
const RETRIES: &str = "
  SELECT x.source, count(*) FROM delivery d INDEXED BY delivery_due
  CROSS JOIN delivery x NOT INDEXED ON x.seq = d.seq
  WHERE d.state = 0 AND x.state = 0 AND x.source = d.source AND x.next_at IS d.next_at
    AND EXISTS(SELECT 1 FROM event e NOT INDEXED WHERE e.seq = d.seq) GROUP BY x.source";
const DEAD_LETTERS: &str = "
  SELECT x.source, count(*) FROM delivery d INDEXED BY delivery_dead
  CROSS JOIN delivery x NOT INDEXED ON x.seq = d.seq
  WHERE d.state = 2 AND x.state = 2
    AND EXISTS(SELECT 1 FROM event e NOT INDEXED WHERE e.seq = d.seq) GROUP BY x.source";
/// The other index of retries must hold as many.
const OLDEST: &str = "
  SELECT source, count(*) FROM delivery INDEXED BY delivery_oldest WHERE state = 0 GROUP BY source";

/// What does not agree.
pub(super) struct Disagreement {
    /// Events that are counted and not there.
    pub(super) missing: u64,
    pub(super) why: String,
}

impl Embedded {
    /// Compares once all fresh events are found; `None` if it all agrees.
    pub(super) fn census(&mut self) -> Result<Option<Disagreement>, rusqlite::Error> {
        if self.counted || self.sources.iter().any(|source| source.rest_from.is_some()) {
            return Ok(None);
        }
        self.counted = true;
        let [retries, oldest, dead] =
            [RETRIES, OLDEST, DEAD_LETTERS].map(|sql| count(&self.db, sql));
        let (retries, oldest, dead) = (retries?, oldest?, dead?);
        let mut missing = 0;
        let mut wrong = Vec::new();
        for source in self.sources.iter() {
            let of = |counts: &HashMap<i64, i64>| counts.get(&source.id).copied().unwrap_or(0);
            let found = [
                (PENDING, self.fresh_of(source) + of(&retries)),
                (DEAD, of(&dead)),
            ];
            for (state, found) in found {
                let counted = source.tally(state);
                if found != counted {
                    missing += u64::try_from(counted.saturating_sub(found)).unwrap_or(0);
                    wrong.push(format!(
                        "{counted} of {} counted, {found} found",
                        source.name
                    ));
                }
            }
            if of(&retries) != of(&oldest) {
                wrong.push(format!("two indexes of {} differ", source.name));
            }
        }
        Ok((!wrong.is_empty()).then(|| Disagreement {
            missing,
            why: wrong.join("; "),
        }))
    }

    fn fresh_of(&self, source: &Source) -> i64 {
        let fresh = source
            .fresh
            .iter()
            .filter(|seq| !self.fresh.has_news(**seq));
        wide(fresh.count()).cast_signed()
    }

    /// After a start, in upkeep: what is missing is counted, and looked for by the next start.
    pub(super) fn count_once(&mut self) -> Result<(), rusqlite::Error> {
        if let Some(found) = self.census()? {
            tracing::error!(
                missing = found.missing,
                why = found.why,
                "events are missing"
            );
            self.damaged = self.damaged.saturating_add(found.missing);
            self.place.marker.set(&found.why);
        }
        Ok(())
    }

    /// At a start, which can still save what is there before anybody is answered.
    pub(super) fn count_before_serving(&mut self) -> Result<(), rusqlite::Error> {
        match self.census()? {
            Some(found) => Err(schema::corrupt(&found.why)),
            None => Ok(()),
        }
    }
}

fn count(db: &Connection, sql: &str) -> Result<HashMap<i64, i64>, rusqlite::Error> {
    let mut select = db.prepare(sql)?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}
