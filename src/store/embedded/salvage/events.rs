//! Events, where they stand, and their attempts.

use rusqlite::types::Value;
use rusqlite::{OptionalExtension as _, params};

use super::walk::{Walk, blob, integer, number, row};
use super::{Report, Salvage, pages, refuse};
use crate::event::SourceName;
use crate::store::embedded::record::{COLUMNS, Condition, Stored};
use crate::store::embedded::schema::{self, DEAD, DELIVERED, PENDING};

/// Columns of `event`, as in its table.
const EVENT: &str = "seq, id, source, accepted_at, received_at, provider_id, type, verified, method, \
     target, headers, body, head_sum, sum";
const EVENT_WIDTH: usize = 14;
const PUT_EVENT: &str =
    "INSERT OR IGNORE INTO event VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14)";
/// What may be readable of an event whose content is not.
const HEAD: &str = "seq, id, source, accepted_at, received_at, provider_id, type, verified, method, \
     target, NULL, NULL, 0, 0";
const STANDING: &str = "seq, source, state, attempts, tries, next_at, since, replay, done_at, reason, \
     at, took, outcome, status, answer, error, sum";
const SHORT_STANDING: &str = "seq, source, state, attempts, tries, next_at, since, replay, done_at, \
     reason, at, took, outcome, status, NULL, NULL, sum";
const PUT_STANDING: &str = "INSERT OR IGNORE INTO delivery \
     VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17)";
/// The source of events of which not even that is known.
const UNKNOWN: &str = "unknown";

impl Salvage<'_> {
    /// Every name that a source may have: a table and an index know them.
    pub(super) fn names(&self) -> Result<(), rusqlite::Error> {
        let [table, index] = ["NOT INDEXED", "INDEXED BY sqlite_autoindex_source_1"].map(|how| {
            let sql = format!("SELECT id, name FROM source {how}");
            let mut names = Vec::new();
            if let Ok(mut select) = self.old.prepare(&sql)
                && let Ok(mut rows) = select.query([])
            {
                while let Ok(Some(row)) = rows.next() {
                    if let (Ok(id), Ok(name)) = (row.get::<_, i64>(0), row.get::<_, String>(1)) {
                        names.push((id, name));
                    }
                }
            }
            names
        });
        for (id, name) in table.iter().chain(&index) {
            let known = self.new.execute(
                "INSERT OR IGNORE INTO source VALUES(?1, ?2)",
                params![id, name],
            )?;
            if known == 0 {
                // Its id is taken by another spelling.
                self.new
                    .execute("INSERT OR IGNORE INTO source(name) VALUES(?1)", [name])?;
            }
        }
        for known in table.iter().filter(|known| index.contains(known)) {
            self.new
                .execute("INSERT OR IGNORE INTO sure VALUES(?1)", [&known.1])?;
        }
        Ok(())
    }

    /// Which events there should be: the index on their ids is a second record of each.
    pub(super) fn name_events(&self) -> Result<u64, rusqlite::Error> {
        let mut holes = 0;
        for order in ["ASC", "DESC"] {
            let sql = format!("SELECT seq, id FROM event INDEXED BY event_id ORDER BY id {order}");
            let mut select = self.old.prepare(&sql)?;
            let mut rows = select.query([])?;
            let whole = loop {
                match rows.next() {
                    Ok(None) => break true,
                    Err(_) => break false,
                    Ok(Some(row)) => {
                        let (seq, id) = (row.get::<_, i64>(0), row.get::<_, [u8; 16]>(1));
                        if let (Ok(seq), Ok(id)) = (seq, id)
                            && (1..=self.high).contains(&seq)
                        {
                            self.name(seq, Some(&id))?;
                        }
                    }
                }
            };
            if whole {
                break;
            }
            // From the other end, too.
            holes += 1;
        }
        Ok(holes)
    }

    fn name(&self, seq: i64, id: Option<&[u8]>) -> Result<(), rusqlite::Error> {
        self.new
            .prepare_cached("INSERT OR IGNORE INTO named VALUES(?1, ?2)")?
            .execute(params![seq, id])?;
        Ok(())
    }

    /// Takes what passes its checksum; what does not is named as missing.
    pub(super) fn events(&self) -> Result<u64, rusqlite::Error> {
        let rows = Walk {
            db: self.old,
            table: "event",
            key: "seq",
            columns: EVENT,
            short: None,
            last: self.high,
        };
        rows.each(|row| {
            let Some(seq) = number(&row).filter(|seq| *seq <= self.high) else {
                return Ok(());
            };
            if self.keep(&row)? {
                return Ok(());
            }
            self.name(seq, blob(&row, 1).filter(|id| id.len() == 16))
        })
    }

    /// Takes an event if it is one, of whichever source makes its checksum hold.
    fn keep(&self, row: &[Value]) -> Result<bool, rusqlite::Error> {
        let Some(seq) = number(row).filter(|_| self.put(PUT_EVENT, row).is_ok_and(|put| put))
        else {
            return Ok(false);
        };
        let own = integer(row, 2);
        let names = self
            .new
            .prepare_cached("SELECT id, name FROM source ORDER BY id <> ?1")?
            .query_map([own], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
            })?
            .collect::<Result<Vec<_>, _>>()?;
        let sql = format!("SELECT {COLUMNS} FROM event e WHERE e.seq = ?1");
        for (id, name) in names {
            let stored = self.new.prepare_cached(&sql)?.query_row([seq], |row| {
                Stored::read(row, SourceName::from(name.as_str()), self.sums)
            });
            if stored.is_ok_and(|stored| stored.condition != Condition::Damaged) {
                if own != Some(id) {
                    self.new
                        .execute("UPDATE event SET source = ?2 WHERE seq = ?1", [seq, id])?;
                }
                return Ok(true);
            }
        }
        self.new
            .execute("DELETE FROM event WHERE seq = ?1", [seq])?;
        Ok(false)
    }

    /// Takes the rows that pass their checksum. An event without one is fresh again.
    pub(super) fn standings(&self) -> Result<u64, rusqlite::Error> {
        let rows = Walk {
            db: self.old,
            table: "delivery",
            key: "seq",
            columns: STANDING,
            short: Some(SHORT_STANDING),
            last: self.high,
        };
        rows.each(|row| {
            let (Some(seq), Some(state)) = (number(&row), integer(&row, 2)) else {
                return Ok(());
            };
            let sum = self.sums.standing(
                seq.cast_unsigned(),
                state,
                integer(&row, 5),
                integer(&row, 8),
            );
            let known = [PENDING, DELIVERED, DEAD].contains(&state);
            if known
                && integer(&row, 16) == Some(sum)
                && self.put(PUT_STANDING, &row)?
                && state != DELIVERED
            {
                self.name(seq, None)?;
            }
            Ok(())
        })
    }

    /// Looks for what is named and missing in every page of the file. Where names may be missing, too,
    /// it takes every event that may be waiting.
    pub(super) fn search_pages(&self, doubtful: bool) -> Result<(), rusqlite::Error> {
        let missing = self
            .new
            .prepare("SELECT 1 FROM named WHERE seq NOT IN (SELECT seq FROM event)")?
            .exists([])?;
        if !missing && !doubtful {
            return Ok(());
        }
        tracing::info!("looking for events in every page of the damaged file");
        let floor = schema::counter(self.old, schema::FLOOR).unwrap_or(1);
        let wanted = "SELECT 1 WHERE ?1 NOT IN (SELECT seq FROM event) AND (
            ?1 IN (SELECT seq FROM named) OR ?2 AND ?1 NOT IN (SELECT seq FROM delivery))";
        let pages = pages::rows(self.path, EVENT_WIDTH, |row| {
            let Some(seq) = number(&row).filter(|seq| (1..=self.high).contains(seq)) else {
                return Ok(());
            };
            let mut wanted = self.new.prepare_cached(wanted)?;
            if wanted.exists(params![seq, doubtful && seq >= floor])? {
                self.keep(&row)?;
            }
            Ok(())
        });
        pages.map_err(|error| match error {
            Failed::Disk(error) => refuse(&error),
            Failed::File(error) => error,
        })
    }

    /// A dead letter for each event that is known to be missing.
    pub(super) fn stand_in(&self, report: &mut Report) -> Result<(), rusqlite::Error> {
        let next =
            "SELECT n.seq, n.id, d.state, d.source FROM named n LEFT JOIN delivery d USING(seq)
            WHERE n.seq > ?1 AND n.seq NOT IN (SELECT seq FROM event) ORDER BY n.seq LIMIT 1";
        let mut after = 0;
        while let Some(named) = row(&self.new, next, after)? {
            after = number(&named).unwrap_or(i64::MAX);
            if integer(&named, 2) == Some(DELIVERED) {
                report.delivered += 1;
                continue;
            }
            let head = format!("SELECT {HEAD} FROM event NOT INDEXED WHERE seq = ?1");
            let head = row(self.old, &head, after).ok().flatten();
            if !head.is_some_and(|head| self.put(PUT_EVENT, &head).unwrap_or(false)) {
                self.new.execute(
                    "INSERT INTO event VALUES(?1, coalesce(?2, zeroblob(16)),
                       coalesce(?3, (SELECT id FROM source GROUP BY NULL HAVING count(*) = 1), 0),
                       ?4, ?4, NULL, NULL, '', 'POST', '', NULL, NULL, 0, 0)",
                    params![after, blob(&named, 1), integer(&named, 3), self.now.0],
                )?;
            }
            self.bury(after)?;
            report.unreadable += 1;
        }
        // Whatever stands for nothing, and whatever has another source than its event.
        self.new.execute_batch(
            "DELETE FROM delivery WHERE seq NOT IN (SELECT seq FROM event);
             UPDATE delivery SET source = (SELECT e.source FROM event e WHERE e.seq = delivery.seq)
               WHERE source <> (SELECT e.source FROM event e WHERE e.seq = delivery.seq);",
        )
    }

    fn bury(&self, seq: i64) -> Result<(), rusqlite::Error> {
        let known = "SELECT s.id FROM source s JOIN event e ON e.source = s.id WHERE e.seq = ?1";
        let source: Option<i64> = self
            .new
            .prepare_cached(known)?
            .query_row([seq], |row| row.get(0))
            .optional()?;
        if source.is_none() {
            self.new.execute_batch(&format!(
                "INSERT OR IGNORE INTO source(name) VALUES('{UNKNOWN}');
                 UPDATE event SET source = (SELECT id FROM source WHERE name = '{UNKNOWN}')
                   WHERE seq = {seq};"
            ))?;
        }
        let sum = self
            .sums
            .standing(seq.cast_unsigned(), DEAD, None, Some(self.now.0));
        self.new
            .prepare_cached(
                "INSERT INTO delivery(seq, source, state, attempts, tries, replay, done_at, reason, sum)
                 SELECT seq, source, 2, 0, 0, 0, ?2, 'unreadable', ?3 FROM event WHERE seq = ?1
                 ON CONFLICT(seq) DO UPDATE SET
                   state = 2, next_at = NULL, done_at = ?2, reason = 'unreadable', sum = ?3",
            )?
            .execute(params![seq, self.now.0, sum])?;
        Ok(())
    }

    /// Attempts are for people: what cannot be read of them is left out.
    pub(super) fn attempts(&self) -> Result<u64, rusqlite::Error> {
        for order in ["seq, n", "seq DESC, n DESC"] {
            let sql = format!(
                "SELECT seq, n, at, took, outcome, status, answer, error FROM attempt ORDER BY {order}"
            );
            let mut select = self.old.prepare(&sql)?;
            let mut rows = select.query([])?;
            loop {
                match rows.next() {
                    Ok(None) => return Ok(0),
                    Err(_) => break,
                    Ok(Some(row)) => {
                        let row = (0..8).map(|column| row.get(column));
                        if let Ok(row) = row.collect::<Result<Vec<Value>, _>>() {
                            let put =
                                "INSERT OR IGNORE INTO attempt VALUES(?1,?2,?3,?4,?5,?6,?7,?8)";
                            self.put(put, &row)?;
                        }
                    }
                }
            }
        }
        Ok(1)
    }
}

/// Why the pages could not be read, or what was in them not be written.
enum Failed {
    Disk(std::io::Error),
    File(rusqlite::Error),
}

impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Self {
        Self::Disk(error)
    }
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Self::File(error)
    }
}
