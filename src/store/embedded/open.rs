//! Opening: whatever the last process, a power cut or the disk left behind.
//!
//! The journal is moved into the file first. A damaged file is replaced by what can be read of it
//! (`salvage`); where not even that can be told, the start is refused and the file left as it is.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _};

use super::checkpoint::{self, Checkpointer};
use super::fresh::Fresh;
use super::ids::Ids;
use super::mark::{Found, HighWater};
use super::place::{self, Database, Place};
use super::record::{COLUMNS, Condition, Stored, Sums, WIDTH};
use super::sources::Sources;
use super::{Embedded, RUN_SIZE, prune, read, salvage, schema};
use crate::clock::{Clock, Reading, UnixMillis};
use crate::event::SourceName;
use crate::planted::{Bug, planted};
use crate::store::error::StoreError;
use crate::store::keys::InstallationKey;
use crate::store::{Config, Keep, Opened};

/// SQLite's write-ahead log.
const JOURNAL: &str = "hookgate.db-wal";

/// Opens or creates the store.
pub(in crate::store) fn open(config: &Config, clock: &Clock) -> Result<Opened, StoreError> {
    let place = Arc::new(Place::take(config, clock)?);
    if !place.durable {
        tracing::warn!(path = %place.path.display(), "the store is on a file system that does not keep what is acknowledged");
    }
    match start(config, &place, clock)? {
        Start::Opened(opened) => Ok(opened),
        // What the next start would do, at once: nobody has been answered yet.
        Start::Damaged(_) => match start(config, &place, clock)? {
            Start::Opened(opened) => Ok(opened),
            Start::Damaged(error) => Err(schema::refused(&place.database().path, &error)),
        },
    }
}

enum Start {
    Opened(Opened),
    /// The damage is noted: another start will save what can be read.
    Damaged(rusqlite::Error),
}

fn start(config: &Config, place: &Arc<Place>, clock: &Clock) -> Result<Start, StoreError> {
    let database = place.database();
    let refuse = |why: String| StoreError::Open {
        path: place::text(&database.path),
        why: why.into(),
    };
    let cannot = |error: rusqlite::Error| schema::refused(&database.path, &error);
    let gone = place
        .database_is_gone()
        .map_err(|error| refuse(error.to_string()))?;
    if !planted(Bug::RecoveryTrustsTheJournal) {
        let renewed = place.renew(JOURNAL);
        renewed.map_err(|error| refuse(error.to_string()))?;
    }
    let (mut db, key) = unlock(&database)?;
    let last = last_process(place, &db, &key).map_err(|error| refuse(error.to_string()))?;
    clock.go_on_from(last.time);
    let marked = last.seq;
    let mut damaged = u64::from(gone || last.unknown);
    let salvaged = place.marker.is_set();
    if salvaged {
        damaged += salvage::salvage(place, db, &key, marked, clock.steady()).map_err(cannot)?;
        db = schema::open(&database)?;
    }
    let around = Around {
        place: Arc::clone(place),
        checkpointer: Checkpointer::start(&database, last.file).map_err(refuse)?,
        clock: clock.clone(),
    };
    let loaded = Embedded::load(db, &key, config.keep, around, marked);
    let mut engine = match loaded {
        Ok(engine) => engine,
        Err(error) if schema::is_damage(&error) && !salvaged => {
            place.marker.set(&error.to_string());
            return Ok(Start::Damaged(error));
        }
        Err(error) => return Err(cannot(error)),
    };
    if salvaged {
        // Counted anew just now: a difference would be a fault of ours, and no reason not to start.
        engine.count_once().map_err(cannot)?;
        place
            .marker
            .clear()
            .map_err(|error| refuse(error.to_string()))?;
    } else if let Err(error) = engine.count_before_serving() {
        place.marker.set(&error.to_string());
        return Ok(Start::Damaged(error));
    }
    engine.damaged = engine.damaged.max(damaged);
    engine.measure().map_err(cannot)?;
    place
        .note_files()
        .map_err(|error| refuse(error.to_string()))?;
    let reader = read::Connections::open(&database, Sums::new(&key), place.marker.clone())
        .map_err(cannot)?;
    Ok(Start::Opened(Opened {
        engine: Box::new(engine),
        reader: Arc::new(reader),
        key,
    }))
}

/// Opens the file, moves the journal into it, and reads the key that all else depends on.
fn unlock(database: &Database) -> Result<(Connection, InstallationKey), StoreError> {
    let open = || {
        let db = schema::open(database)?;
        let cannot = |error: rusqlite::Error| schema::refused(&database.path, &error);
        let (journal, moved) = checkpoint::checkpoint(&db, "TRUNCATE").map_err(cannot)?;
        if journal != moved {
            return Err(StoreError::Open {
                path: place::text(&database.path),
                why: "another program is reading it; close that and start again".into(),
            });
        }
        let key = schema::key(&db).map_err(cannot)?;
        Ok((db, key))
    };
    match open() {
        Err(StoreError::Damaged { .. }) if planted(Bug::EmptyStart) => {
            drop(std::fs::remove_file(&database.path));
            open()
        }
        opened => opened,
    }
}

/// What the last process wrote down about itself.
struct Last {
    file: HighWater,
    seq: u64,
    time: Option<Reading>,
    /// There was one, and its mark is lost.
    unknown: bool,
}

fn last_process(place: &Place, db: &Connection, key: &InstallationKey) -> std::io::Result<Last> {
    let (file, found) = HighWater::open(place)?;
    place.sync()?;
    let (seq, time) = match found {
        Found::Mark(mark) => (mark.seq, Some(mark.time)),
        Found::New | Found::Nothing | Found::Damaged => (0, None),
    };
    // A process that was killed before it could take anything leaves no mark, or half of one.
    let used = schema::counter(db, schema::HIGH).map_or(true, |high| high > 0);
    let unknown = matches!(found, Found::Damaged | Found::New) && used;
    if unknown {
        tracing::error!(
            "the store's high-water mark is lost: whether the newest events are there cannot be told"
        );
    }
    Ok(Last {
        file,
        seq,
        time: time.or_else(|| newest(db, Sums::new(key))),
        unknown,
    })
}

/// What the newest event says about the time, for want of a mark.
fn newest(db: &Connection, sums: Sums) -> Option<Reading> {
    let sql = format!(
        "SELECT {COLUMNS}, s.name FROM event e JOIN source s ON s.id = e.source
         ORDER BY e.seq DESC LIMIT 1"
    );
    let newest = db.query_row(&sql, [], |row| {
        let source = SourceName::from(row.get::<_, String>(WIDTH)?.as_str());
        Stored::read(row, source, sums)
    });
    let newest = newest.optional().ok().flatten()?;
    (newest.condition == Condition::Whole).then_some(Reading {
        wall: newest.event.received_at,
        steady: newest.accepted_at,
    })
}

/// What an engine has around it.
pub(super) struct Around {
    pub(super) place: Arc<Place>,
    pub(super) checkpointer: Checkpointer,
    pub(super) clock: Clock,
}

impl Embedded {
    pub(super) fn load(
        db: Connection,
        key: &InstallationKey,
        keep: Keep,
        around: Around,
        marked: u64,
    ) -> Result<Self, rusqlite::Error> {
        let sources = Sources::load(&db)?;
        let high = schema::high(&db, marked)?;
        let floor = schema::counter(&db, schema::FLOOR)?.max(1).cast_unsigned();
        let missing = if planted(Bug::IgnoreHighWater) {
            0
        } else {
            marked.saturating_sub(high)
        };
        if missing > 0 {
            tracing::error!(
                missing,
                "the store has lost acknowledged events: it had been further than its files say"
            );
        }
        // A number is never given out twice.
        let high = if planted(Bug::ReuseSequence) {
            high
        } else {
            high.max(marked)
        };
        let floor = floor.min(high + 1);
        let ids = Ids::load(&db, RUN_SIZE)?;
        if ids.covered() > high.cast_signed() {
            return Err(schema::corrupt("a run of ids ends behind the newest event"));
        }
        let mut engine = Self {
            checkpointer: around.checkpointer,
            clock: around.clock,
            checkpoints: 0,
            sums: Sums::new(key),
            sources,
            fresh: Fresh::new(floor),
            ids,
            keep,
            high,
            floor_written: floor,
            claimed: HashSet::new(),
            turn: 0,
            retry_turn: false,
            rounds: prune::Rounds::default(),
            used_bytes: 0,
            unmeasured: 0,
            wal_bytes: 0,
            damaged: missing,
            counted: false,
            unread: HashMap::new(),
            marked: (high, UnixMillis(i64::MIN)),
            place: around.place,
            db,
        };
        for source in engine.sources.iter_mut() {
            // Whatever the tally says: it may be what is wrong.
            source.rest_from = (floor <= high).then_some(floor);
        }
        // The first slice at once: a store of ordinary size is then complete.
        engine.scan()?;
        for source in engine.sources.iter_mut() {
            source.look_up_oldest(&engine.db)?;
        }
        Ok(engine)
    }
}
