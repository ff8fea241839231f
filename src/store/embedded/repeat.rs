//! Events that come or go again: a sender's repeat, a replay, and a retry before its time.
//!
//! A repeat is answered as one only when its first copy is there to be delivered, or was: it is read
//! back and compared. Where that copy is damaged, the repeat is the only whole one and is stored.

use rusqlite::{OptionalExtension as _, params};

use super::commit::{Draft, Tx};
use super::record::{COLUMNS, Condition, Stored};
use super::schema::{self, DEAD, DELIVERED, PENDING};
use crate::clock::UnixMillis;
use crate::event::EventId;
use crate::store::engine::{NewEvent, Outcome};
use crate::store::lease::DeadReason;
use crate::store::wide;

/// Events that one commit makes due before their time.
const HASTEN_MAX: usize = if super::SMALL { 3 } else { 500 };

/// Where an event stands, as its row says.
struct Standing {
    state: i64,
    unreadable: bool,
    /// The row matches its checksum.
    sound: bool,
}

/// What is there of a first copy.
enum Copy {
    Whole,
    /// Delivered and pruned, or erased: there is nothing to deliver any more.
    Gone,
    Damaged,
}

impl Tx<'_> {
    /// A repeat: suppressed, but of a dead letter, which it brings back. `None` if what it repeats
    /// is damaged.
    pub(super) fn duplicate(
        &self,
        new: &NewEvent,
        seq: u64,
        draft: &mut Draft,
    ) -> Result<Option<Outcome>, rusqlite::Error> {
        let standing = self.standing(seq)?;
        if standing.as_ref().is_some_and(|news| news.unreadable) {
            return Ok(None);
        }
        if standing.as_ref().is_some_and(|news| !news.sound) {
            draft.damage = Some("where an event stands does not match its checksum".into());
        }
        let state = standing.as_ref().map(|news| news.state);
        let delivered = standing.is_some_and(|news| news.state == DELIVERED && news.sound);
        let copy = if delivered {
            Copy::Whole // the app has it
        } else {
            self.copy(new, seq, state, draft)?
        };
        match copy {
            Copy::Damaged => return Ok(None),
            Copy::Whole if state == Some(DEAD) => {
                self.revive(seq, false, draft)?;
            }
            Copy::Whole if new.urgent => draft.urgent.push(seq),
            Copy::Whole | Copy::Gone => {}
        }
        let id = self
            .db
            .prepare_cached("SELECT id FROM event WHERE seq = ?1")?
            .query_row([seq.cast_signed()], |row| row.get(0))
            .optional()?;
        // The id outlives the record.
        let of = id.map_or(new.event.id, EventId::from_bytes);
        Ok(Some(Outcome::Duplicate { of }))
    }

    /// Before the record itself, which may be what cannot be read.
    fn standing(&self, seq: u64) -> Result<Option<Standing>, rusqlite::Error> {
        self.db
            .prepare_cached(
                "SELECT state, next_at, done_at, sum, reason FROM delivery WHERE seq = ?1",
            )?
            .query_row([seq.cast_signed()], |row| {
                let state = row.get(0)?;
                let sum = self.sums.standing(seq, state, row.get(1)?, row.get(2)?);
                let reason: Option<String> = row.get(4)?;
                Ok(Standing {
                    state,
                    unreadable: reason.as_deref() == Some(DeadReason::Unreadable.as_str()),
                    sound: sum == row.get::<_, i64>(3)?,
                })
            })
            .optional()
    }

    /// Reads what `new` repeats and compares it.
    fn copy(
        &self,
        new: &NewEvent,
        seq: u64,
        state: Option<i64>,
        draft: &mut Draft,
    ) -> Result<Copy, rusqlite::Error> {
        let sql = format!("SELECT {COLUMNS} FROM event e WHERE e.seq = ?1");
        let read = self
            .db
            .prepare_cached(&sql)?
            .query_row([seq.cast_signed()], |row| {
                Stored::read(row, new.event.source.clone(), self.sums)
            })
            .optional();
        Ok(match read {
            Ok(Some(stored)) => match stored.condition {
                Condition::Whole if stored.event.body == new.event.body => Copy::Whole,
                Condition::Whole | Condition::Damaged => Copy::Damaged,
                Condition::Erased => Copy::Gone,
            },
            Ok(None) if state.is_none_or(|state| state == DELIVERED) => Copy::Gone,
            Ok(None) => Copy::Damaged,
            Err(error) if schema::is_damage(&error) => {
                draft.damage = Some(error.to_string());
                Copy::Damaged
            }
            Err(error) => return Err(error),
        })
    }

    /// Makes events whose retry is due later than this due now, not all at once; how many.
    pub(super) fn hasten(
        &self,
        later_than: UnixMillis,
        draft: &mut Draft,
    ) -> Result<u64, rusqlite::Error> {
        let before = draft.due.len();
        for (place, source) in self.sources.iter().enumerate() {
            let mut select = self.db.prepare_cached(
                "SELECT seq, next_at, done_at, sum FROM delivery
                 WHERE source = ?1 AND state = 0 AND next_at > ?2 ORDER BY next_at LIMIT ?3",
            )?;
            let left = HASTEN_MAX.saturating_sub(draft.due.len() - before);
            let mut rows = select.query(params![source.id, later_than.0, left.cast_signed()])?;
            while let Some(row) = rows.next()? {
                let seq = row.get::<_, i64>(0)?.cast_unsigned();
                // A damaged row is left to whoever reads it when it is due.
                let sum = self.sums.standing(seq, PENDING, row.get(1)?, row.get(2)?);
                if sum == row.get::<_, i64>(3)? {
                    draft.due.push((place, self.now.0, seq));
                }
            }
        }
        let hastened = draft.due.get(before..).unwrap_or_default();
        for (_, _, seq) in hastened {
            self.due_now(*seq)?;
        }
        Ok(wide(hastened.len()))
    }

    /// Makes events due now that wait for a retry, once the settlements of the same commit are written: one
    /// may have put them off. What is being tried does not wait.
    pub(super) fn urge(&self, draft: &mut Draft) -> Result<(), rusqlite::Error> {
        for seq in std::mem::take(&mut draft.urgent) {
            let waits = self
                .db
                .prepare_cached(
                    "SELECT source, next_at, done_at, sum FROM delivery
                     WHERE seq = ?1 AND state = 0 AND next_at > ?2",
                )?
                .query_row(params![seq.cast_signed(), self.now.0], |row| {
                    // A damaged row is left to whoever reads it when it is due.
                    let sum = self.sums.standing(seq, PENDING, row.get(1)?, row.get(2)?);
                    Ok((row.get(0)?, sum == row.get::<_, i64>(3)?))
                })
                .optional()?;
            let source = waits.filter(|(_, sound)| *sound).map(|(source, _)| source);
            if let Some(place) = source.and_then(|source| self.sources.by_id(source)) {
                self.due_now(seq)?;
                draft.due.push((place, self.now.0, seq));
            }
        }
        Ok(())
    }

    fn due_now(&self, seq: u64) -> Result<(), rusqlite::Error> {
        let sum = self.sums.standing(seq, PENDING, Some(self.now.0), None);
        self.db
            .prepare_cached("UPDATE delivery SET next_at = ?2, sum = ?3 WHERE seq = ?1")?
            .execute(params![seq.cast_signed(), self.now.0, sum])?;
        Ok(())
    }

    /// Makes an event due now, whatever became of it; `false` if there is nothing left to deliver.
    pub(super) fn revive(
        &self,
        seq: u64,
        replay: bool,
        draft: &mut Draft,
    ) -> Result<bool, rusqlite::Error> {
        let row = self
            .db
            .prepare_cached(
                "SELECT e.source, e.body IS NOT NULL, d.state
                 FROM event e LEFT JOIN delivery d USING(seq) WHERE e.seq = ?1",
            )?
            .query_row([seq.cast_signed()], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get::<_, Option<i64>>(2)?))
            })
            .optional()?;
        let Some((source, true, state)) = row else {
            return Ok(false);
        };
        let Some(state) = state else {
            // Fresh: it is on its way already.
            return Ok(true);
        };
        self.db
            .prepare_cached(
                "UPDATE delivery SET state = 0, attempts = 0, next_at = ?2, since = ?2,
                   replay = ?3, done_at = NULL, reason = NULL, sum = ?4 WHERE seq = ?1",
            )?
            .execute(params![
                seq.cast_signed(),
                self.now.0,
                replay,
                self.sums.standing(seq, PENDING, Some(self.now.0), None)
            ])?;
        if let Some(source) = self.sources.by_id(source) {
            draft.tally(source, state, -1);
            draft.tally(source, PENDING, 1);
            draft.due.push((source, self.now.0, seq));
        }
        Ok(true)
    }
}
