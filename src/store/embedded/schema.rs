//! The file's tables, settings and format version.
//!
//! `event` and `dedup` are append-only; `delivery` has a row only when there is news, so an event
//! that is delivered at the first attempt costs one insert for itself and one for its delivery.
//! No index on the accept path has random keys: event ids are time-ordered.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, params};

use super::place::{Database, text};
use crate::planted::{Bug, planted};
use crate::store::StoreError;
use crate::store::keys::InstallationKey;

/// The format this program writes. A newer one is refused; older ones are migrated here.
const FORMAT: i64 = 1;

/// `counter.k` of the highest sequence number ever given out.
pub(super) const HIGH: i64 = -1;
/// `counter.k` of the sequence number below which every event has a delivery row.
pub(super) const FLOOR: i64 = -2;

/// States as stored.
pub(super) const PENDING: i64 = 0;
pub(super) const DELIVERED: i64 = 1;
pub(super) const DEAD: i64 = 2;

pub(super) const TABLES: &str = "
CREATE TABLE meta(k TEXT PRIMARY KEY, v BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE source(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
-- Numbers that change with every commit, together on one page; k = 4 * source + state, or < 0.
CREATE TABLE counter(k INTEGER PRIMARY KEY, n INTEGER NOT NULL) STRICT;
CREATE TABLE event(
  seq INTEGER PRIMARY KEY, id BLOB NOT NULL, source INTEGER NOT NULL,
  accepted_at INTEGER NOT NULL, received_at INTEGER NOT NULL,
  provider_id TEXT, type TEXT, verified TEXT NOT NULL, method TEXT NOT NULL, target TEXT NOT NULL,
  headers BLOB, body BLOB,               -- NULL: erased
  head_sum INTEGER NOT NULL, sum INTEGER NOT NULL) STRICT;
CREATE INDEX event_id ON event(id);
-- One row per commit: 32 bytes (key, digest) for each event from seq on. Here as in id_bucket and
-- in the filters the last 8 bytes are a checksum.
CREATE TABLE dedup(seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, ids BLOB NOT NULL) STRICT;
-- Older ids, sorted: one row per run, one id_bucket row per run * 8192 + first 13 bits of the key.
CREATE TABLE id_run(
  run INTEGER PRIMARY KEY, last_seq INTEGER NOT NULL, newest_at INTEGER NOT NULL,
  ids INTEGER NOT NULL, filter BLOB NOT NULL) STRICT;
CREATE TABLE id_bucket(k INTEGER PRIMARY KEY, ids BLOB NOT NULL) STRICT;
CREATE TABLE delivery(
  seq INTEGER PRIMARY KEY, source INTEGER NOT NULL, state INTEGER NOT NULL,
  attempts INTEGER NOT NULL,             -- since it became pending
  tries INTEGER NOT NULL,                -- ever
  next_at INTEGER, since INTEGER, replay INTEGER NOT NULL, done_at INTEGER, reason TEXT,
  at INTEGER, took INTEGER, outcome TEXT, status INTEGER, answer BLOB, error TEXT,
  sum INTEGER NOT NULL) STRICT;          -- of seq, state, next_at, done_at
CREATE INDEX delivery_due ON delivery(source, next_at, seq) WHERE state = 0;
CREATE INDEX delivery_oldest ON delivery(source, seq) WHERE state = 0;
CREATE INDEX delivery_dead ON delivery(seq) WHERE state = 2;
CREATE TABLE attempt(
  seq INTEGER NOT NULL, n INTEGER NOT NULL,
  at INTEGER NOT NULL, took INTEGER NOT NULL, outcome TEXT NOT NULL, status INTEGER,
  answer BLOB, error TEXT, PRIMARY KEY(seq, n)) STRICT, WITHOUT ROWID;
";

/// Opens the writer's connection; creates the tables in a new file.
///
/// # Errors
/// Where the file's head is damaged it is left as it is, and the error says what to do.
pub(super) fn open(database: &Database) -> Result<Connection, StoreError> {
    let refuse = |why: String| StoreError::Damaged {
        path: text(&database.path),
        why: why.into(),
    };
    let cannot = |error: rusqlite::Error| refused(&database.path, &error);
    let db = database
        .connect(OpenFlags::SQLITE_OPEN_CREATE)
        .map_err(cannot)?;
    settle_in(&db).map_err(cannot)?;
    // Before anything else: a newer file must stay as it is.
    let found: i64 = pragma(&db, "user_version").map_err(cannot)?;
    if found > FORMAT {
        return Err(StoreError::Newer {
            path: text(&database.path),
            found,
            known: FORMAT,
        });
    }
    db.execute_batch(
        "PRAGMA page_size = 4096; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;
         PRAGMA journal_size_limit = 67108864;
         PRAGMA cache_size = -8192; PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY;",
    )
    .map_err(cannot)?;
    for (name, wanted) in [
        ("page_size", 4096),
        ("synchronous", 2),
        ("wal_autocheckpoint", 0),
    ] {
        let found: i64 = pragma(&db, name).map_err(cannot)?;
        if found != wanted {
            return Err(refuse(format!(
                "its {name} is {found} and cannot be set to {wanted}"
            )));
        }
    }
    let mode = journal_ahead(&db).map_err(cannot)?;
    if mode != "wal" {
        return Err(refuse(format!(
            "its journal mode is {mode} and cannot be set to wal"
        )));
    }
    if planted(Bug::AckBeforeSync) {
        db.execute_batch("PRAGMA synchronous = OFF")
            .map_err(cannot)?;
    }
    if found == 0 {
        create(&db, &InstallationKey(database.new_key())).map_err(cannot)?;
    } else {
        check_tables(&db).map_err(cannot)?;
    }
    Ok(db)
}

/// The tables must be described as they were made. One bit in a column's name and every statement
/// with that column fails, in each process again, as if the program were wrong.
fn check_tables(db: &Connection) -> Result<(), rusqlite::Error> {
    let made = Connection::open_in_memory()?;
    made.execute_batch(TABLES)?;
    if described(db)? == described(&made)? {
        return Ok(());
    }
    Err(corrupt("its tables are not described as they were made"))
}

/// What the file says of its tables, without comments and line breaks: those may change.
fn described(db: &Connection) -> Result<Vec<[String; 3]>, rusqlite::Error> {
    let mut select = db.prepare(
        "SELECT name, tbl_name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name",
    )?;
    let rows = select.query_map([], |row| {
        let sql: String = row.get(2)?;
        let code = sql
            .lines()
            .map(|line| line.split_once("--").map_or(line, |(code, _)| code));
        let words: Vec<&str> = code.flat_map(str::split_whitespace).collect();
        Ok([row.get(0)?, row.get(1)?, words.join(" ")])
    })?;
    rows.collect()
}

/// Asks for the write-ahead journal; returns the mode that the file has then. For a new file that
/// is a commit, and it comes after the row with the answer: the statement is run to its end.
fn journal_ahead(db: &Connection) -> Result<String, rusqlite::Error> {
    let mut statement = db.prepare("PRAGMA journal_mode = WAL")?;
    let modes = statement.query_map([], |row| row.get(0))?;
    let modes: Vec<String> = modes.collect::<Result<_, _>>()?;
    Ok(modes.concat())
}

/// Opens a connection for reading, or for checkpoints.
pub(super) fn open_beside(
    database: &Database,
    query_only: bool,
) -> Result<Connection, rusqlite::Error> {
    let db = database.connect(OpenFlags::empty())?;
    settle_in(&db)?;
    db.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -512;",
    )?;
    db.pragma_update(None, "query_only", query_only)?;
    Ok(db)
}

fn settle_in(db: &Connection) -> Result<(), rusqlite::Error> {
    db.busy_timeout(Duration::from_secs(2))?;
    // Damage is met as an error, not followed.
    db.pragma_update(None, "cell_size_check", true)?;
    db.set_prepared_statement_cache_capacity(64);
    // Closing must not write: after a failed sync nothing may be checkpointed.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(())
}

/// Creates the tables; a file that replaces a damaged one keeps its key.
pub(super) fn create(db: &Connection, key: &InstallationKey) -> Result<(), rusqlite::Error> {
    if planted(Bug::VersionBeforeTables) {
        db.pragma_update(None, "user_version", FORMAT)?;
    }
    let tx = db.unchecked_transaction()?;
    tx.execute_batch(TABLES)?;
    let check = check_of(key);
    tx.execute(
        "INSERT INTO meta VALUES('key', ?1), ('check', ?2)",
        params![key.0, check],
    )?;
    tx.execute("INSERT INTO counter VALUES(?1, 0), (?2, 1)", [HIGH, FLOOR])?;
    tx.pragma_update(None, "user_version", FORMAT)?;
    tx.commit()
}

/// The key of this installation. With a wrong one no event would pass its checksum.
pub(super) fn key(db: &Connection) -> Result<InstallationKey, rusqlite::Error> {
    let read = |k: &str| {
        db.query_row("SELECT v FROM meta WHERE k = ?1", [k], |row| {
            row.get::<_, [u8; 32]>(0)
        })
    };
    let key = InstallationKey(read("key")?);
    if read("check")? == check_of(&key) {
        Ok(key)
    } else {
        Err(corrupt(
            "the installation's key does not match its checksum",
        ))
    }
}

fn check_of(key: &InstallationKey) -> [u8; 32] {
    *blake3::hash(&key.0).as_bytes()
}

/// What SQLite would say, had it noticed.
pub(super) fn corrupt(why: &str) -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    rusqlite::Error::SqliteFailure(code, Some(why.into()))
}

/// Why a start is refused: a file whose head is damaged is another matter than one that cannot be
/// opened now.
pub(super) fn refused(path: &Path, error: &rusqlite::Error) -> StoreError {
    let (path, why) = (text(path), error.to_string().into());
    // What the schema says is read as SQL, so damage there is an error of SQL.
    let of_sql = error.sqlite_error_code() == Some(ErrorCode::Unknown);
    if is_damage(error) || of_sql {
        StoreError::Damaged { path, why }
    } else {
        StoreError::Open { path, why }
    }
}

/// Whether an error is about what the file holds, not about the disk or the moment.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        // A value that is not of its column's type, or a row that is not there.
        None => true,
        // The last two: no statement here breaks a rule of the tables, unless a row is not its own.
        Some(code) => matches!(
            code,
            ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::ConstraintViolation
                | ErrorCode::TypeMismatch
        ),
    }
}

/// The highest sequence number that was given out, as far as the file says.
pub(super) fn high(db: &Connection, marked: u64) -> Result<u64, rusqlite::Error> {
    /// Numbers given out between two marks, at the very most.
    const AHEAD_MAX: i64 = 1 << 24;
    let newest = |sql: &str| db.query_row(sql, [], |row| row.get::<_, Option<i64>>(0));
    let stored = newest("SELECT max(seq) FROM event")?.unwrap_or(0);
    let ids = newest("SELECT max(seq) FROM dedup")?.unwrap_or(0);
    let counted = counter(db, HIGH)?;
    let believable = stored.max(ids).max(marked.cast_signed());
    if counted.max(stored) > believable.saturating_add(AHEAD_MAX) || stored.max(ids) >= 1 << 48 {
        return Err(corrupt(
            "the highest number is far from those that are there",
        ));
    }
    Ok(stored.max(counted).cast_unsigned())
}

pub(super) fn counter(db: &Connection, k: i64) -> Result<i64, rusqlite::Error> {
    let found = db.query_row("SELECT n FROM counter WHERE k = ?1", [k], |row| row.get(0));
    Ok(found.optional()?.unwrap_or(0))
}

pub(super) fn pragma<T: rusqlite::types::FromSql>(
    db: &Connection,
    name: &str,
) -> Result<T, rusqlite::Error> {
    db.pragma_query_value(None, name, |row| row.get(0))
}
