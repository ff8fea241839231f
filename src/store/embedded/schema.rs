//! The file's tables, settings and format version.
//!
//! `event` and `dedup` are append-only; `delivery` has a row only when there is news, so an event
//! that is delivered at the first attempt costs one insert for itself and one for its delivery.
//! No index on the accept path has random keys: event ids are time-ordered.

use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

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

const TABLES: &str = "
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
-- One row per commit: 32 bytes (key, digest) for each event from seq on.
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
  at INTEGER, took INTEGER, outcome TEXT, status INTEGER, answer BLOB, error TEXT) STRICT;
CREATE INDEX delivery_due ON delivery(source, next_at, seq) WHERE state = 0;
CREATE INDEX delivery_oldest ON delivery(source, seq) WHERE state = 0;
CREATE INDEX delivery_dead ON delivery(seq) WHERE state = 2;
CREATE TABLE attempt(
  seq INTEGER NOT NULL, n INTEGER NOT NULL,
  at INTEGER NOT NULL, took INTEGER NOT NULL, outcome TEXT NOT NULL, status INTEGER,
  answer BLOB, error TEXT, PRIMARY KEY(seq, n)) STRICT, WITHOUT ROWID;
";

/// Opens the writer's connection; creates the tables in a new file.
pub(super) fn open(database: &Database) -> Result<Connection, StoreError> {
    let refuse = |why: String| StoreError::Open {
        path: text(&database.path),
        why: why.into(),
    };
    let cannot = |error: rusqlite::Error| refuse(error.to_string());
    let db = database
        .connect(OpenFlags::SQLITE_OPEN_CREATE)
        .map_err(cannot)?;
    settle_in(&db).map_err(cannot)?;
    // Before anything else: a newer file must stay as it is.
    let found: i64 = pragma(&db, "user_version").map_err(cannot)?;
    if found > FORMAT {
        return Err(StoreError::Newer {
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
        create(&db, database.new_key()).map_err(cannot)?;
    }
    Ok(db)
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
    db.set_prepared_statement_cache_capacity(64);
    // Closing must not write: after a failed sync nothing may be checkpointed.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(())
}

pub(super) fn create(db: &Connection, key: [u8; 32]) -> Result<(), rusqlite::Error> {
    let tx = db.unchecked_transaction()?;
    tx.execute_batch(TABLES)?;
    tx.execute("INSERT INTO meta VALUES('key', ?1)", [key])?;
    tx.execute("INSERT INTO counter VALUES(?1, 0), (?2, 1)", [HIGH, FLOOR])?;
    tx.pragma_update(None, "user_version", FORMAT)?;
    tx.commit()
}

/// The key of this installation.
pub(super) fn key(db: &Connection) -> Result<InstallationKey, rusqlite::Error> {
    db.query_row("SELECT v FROM meta WHERE k = 'key'", [], |row| row.get(0))
        .map(InstallationKey)
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
