//! A damaged database is replaced by a fresh one with all that can still be read.
//!
//! Records are taken one by one. An event is what passes its checksum, wherever it was found; an event
//! that is known to be missing becomes a dead letter that says so; where an event stands is believed
//! if its row passes its own checksum, and else the event is fresh again: rather delivered twice than
//! never. Tallies, indexes and the directory of ids are made anew.
//!
//! The damaged file is kept under another name. Until the new one has taken its name, nothing has
//! changed: a start that is interrupted begins again.

mod events;
mod ids;
mod pages;
mod walk;

use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::place::Place;
use super::record::Sums;
use super::schema::{self, FLOOR, HIGH};
use crate::clock::UnixMillis;
use crate::planted::{Bug, planted};
use crate::store::keys::InstallationKey;

/// The two files, and what both need.
struct Salvage<'a> {
    old: &'a Connection,
    /// The damaged file itself.
    path: &'a Path,
    new: Connection,
    sums: Sums,
    now: UnixMillis,
    /// No number was given out beyond.
    high: i64,
    /// Of the newest events the journal lost.
    tail: i64,
}

/// What became of what was there.
#[derive(Debug, Default)]
struct Report {
    /// Places of the file that could not be read.
    holes: u64,
    /// Dead letters that stand for events of which the content is lost.
    unreadable: i64,
    /// Delivered events whose record is lost.
    delivered: i64,
    /// Events that were counted and that nothing names any more.
    nameless: i64,
}

/// Replaces the file; returns how many events are lost that the app did not have.
pub(super) fn salvage(
    place: &Place,
    old: Connection,
    key: &InstallationKey,
    marked: u64,
    now: UnixMillis,
) -> Result<u64, rusqlite::Error> {
    let (path, fresh) = (
        place.database().path,
        place.path.join("hookgate.db.salvage"),
    );
    tracing::warn!(path = %path.display(), "the store's database is damaged; saving what can be read into a fresh one");
    let new = create(&fresh, key)?;
    let high = highest(&old, marked);
    let salvage = Salvage {
        old: &old,
        path: &path,
        new,
        sums: Sums::new(key),
        now,
        high: high.max(marked.cast_signed()),
        tail: marked.cast_signed().saturating_sub(high).max(0),
    };
    let report = salvage.run()?;
    let lost = report.unreadable + report.nameless + salvage.tail;
    drop(salvage);
    drop(old);
    let kept = swap(place, &fresh, now).map_err(|error| refuse(&error))?;
    tracing::error!(
        lost,
        unreadable = report.unreadable,
        records_of_delivered = report.delivered,
        places = report.holes,
        kept = %kept.display(),
        "the store's database was damaged; what could be read was saved, and the damaged file kept"
    );
    if planted(Bug::QuarantineSilently) {
        return Ok(0);
    }
    // Damage is never nothing.
    Ok(lost.max(1).cast_unsigned())
}

impl Salvage<'_> {
    fn run(&self) -> Result<Report, rusqlite::Error> {
        let all = self.new.unchecked_transaction()?;
        let mut report = Report::default();
        self.names()?;
        report.holes += self.name_events()?;
        report.holes += self.events()?;
        report.holes += self.standings()?;
        self.search_pages(report.holes > 0)?;
        self.stand_in(&mut report)?;
        report.holes += self.attempts()?;
        report.holes += self.ids()?;
        self.tidy()?;
        report.nameless = self.nameless(&report)?;
        if report.nameless > 0 {
            self.forget_ids_without_event()?;
        }
        self.count()?;
        all.commit()?;
        Ok(report)
    }

    fn put(&self, sql: &str, row: &[Value]) -> Result<bool, rusqlite::Error> {
        let put = self.new.prepare_cached(sql)?.execute(params_from_iter(row));
        match put {
            Ok(rows) => Ok(rows > 0),
            // A value that its column does not take.
            Err(error) if schema::is_damage(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// How many events were counted beyond those that there are, or that are known to be missing.
    fn nameless(&self, report: &Report) -> Result<i64, rusqlite::Error> {
        let mut select = self.old.prepare("SELECT n FROM counter WHERE k >= 4")?;
        let tallies = select.query_map([], |row| row.get::<_, i64>(0));
        let tallies: Result<Vec<i64>, _> = tallies.and_then(Iterator::collect);
        let counted = tallies.map_or(0, |tallies| {
            let believable = tallies.into_iter().filter(|n| (0..=self.high).contains(n));
            believable.fold(0, i64::saturating_add).min(self.high)
        });
        let there: i64 = self
            .new
            .query_row("SELECT count(*) FROM event", [], |row| row.get(0))?;
        Ok((counted - there - report.delivered).max(0))
    }

    /// Sources without events may be misspelt ones, but for those that both records agree on.
    fn tidy(&self) -> Result<(), rusqlite::Error> {
        self.new.execute_batch(
            "DELETE FROM attempt WHERE seq NOT IN (SELECT seq FROM event);
             DELETE FROM source WHERE id NOT IN (SELECT source FROM event)
               AND name NOT IN (SELECT name FROM sure);
             DROP TABLE named; DROP TABLE sure;",
        )
    }

    /// Tallies and marks, from what there is.
    fn count(&self) -> Result<(), rusqlite::Error> {
        self.new.execute_batch(
            "DELETE FROM counter;
             INSERT INTO counter SELECT e.source * 4 + coalesce(d.state, 0), count(*)
               FROM event e LEFT JOIN delivery d USING(seq) GROUP BY 1;",
        )?;
        let fresh: Option<i64> = self.new.query_row(
            "SELECT min(e.seq) FROM event e LEFT JOIN delivery d USING(seq) WHERE d.seq IS NULL",
            [],
            |row| row.get(0),
        )?;
        self.new.execute(
            "INSERT INTO counter VALUES(?1, ?2), (?3, ?4)",
            [HIGH, self.high, FLOOR, fresh.unwrap_or(self.high + 1)],
        )?;
        Ok(())
    }
}

/// The file that replaces the damaged one; a half-made one of an earlier try is overwritten.
fn create(path: &Path, key: &InstallationKey) -> Result<Connection, rusqlite::Error> {
    let removed = std::fs::remove_file(path);
    if let Err(error) = removed
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(refuse(&error));
    }
    let new = Connection::open(path)?;
    // No journal: it counts only once it is complete and has been synced as a whole.
    new.execute_batch(
        "PRAGMA page_size = 4096; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
         PRAGMA cache_size = -8192;",
    )?;
    schema::create(&new, key)?;
    new.execute_batch(
        "CREATE TABLE named(seq INTEGER PRIMARY KEY, id BLOB);
         CREATE TABLE sure(name TEXT PRIMARY KEY);",
    )?;
    Ok(new)
}

/// The highest number that the damaged file tells in a believable way.
fn highest(old: &Connection, marked: u64) -> i64 {
    schema::high(old, marked).map_or_else(
        |_| {
            let newest = |sql: &str| {
                let newest = old.query_row(sql, [], |row| row.get::<_, Option<i64>>(0));
                newest
                    .ok()
                    .flatten()
                    .filter(|seq| (0..1 << 48).contains(seq))
            };
            [
                "SELECT max(seq) FROM event",
                "SELECT max(seq) FROM dedup",
                "SELECT max(seq) FROM delivery",
            ]
            .into_iter()
            .filter_map(newest)
            .fold(0, i64::max)
        },
        u64::cast_signed,
    )
}

/// Gives the new file the name; the old one gets another first, so that it is never without.
fn swap(place: &Place, fresh: &Path, now: UnixMillis) -> std::io::Result<PathBuf> {
    File::open(fresh)?.sync_all()?;
    let path = place.database().path;
    let time: String = now
        .rfc3339()
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect();
    let kept = place.path.join(format!("hookgate.db.damaged-{time}"));
    match std::fs::hard_link(&path, &kept) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        // A file system without links.
        Err(_) => drop(std::fs::copy(&path, &kept)?),
    }
    place.sync()?;
    std::fs::rename(fresh, &path)?;
    place.sync()?;
    Ok(kept)
}

fn refuse(error: &std::io::Error) -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR);
    rusqlite::Error::SqliteFailure(code, Some(error.to_string()))
}
