//! Stored events on a disk that may have changed any of their columns.

use rusqlite::Connection;
use rusqlite::types::Value;

use super::record::{COLUMNS, Condition, INSERT, Stored, Sums, insert};
use super::schema;
use crate::clock::UnixMillis;
use crate::event::{Event, EventId, HeaderList};
use crate::fuzzing::{Input, NOW};
use crate::store::keys::InstallationKey;

const CHANGED: [&str; 13] = [
    "seq",
    "id",
    "accepted_at",
    "received_at",
    "provider_id",
    "type",
    "verified",
    "method",
    "target",
    "headers",
    "body",
    "head_sum",
    "sum",
];

thread_local! {
    static DB: Result<Connection, rusqlite::Error> = database();
}

/// An event is read as it was written; with one column changed to anything at all it is read as the
/// same event or as damaged, and is never an error that would hide the others.
pub fn records(data: &[u8]) {
    let mut input = Input::new(data);
    let (column, kind) = (input.byte(), input.byte());
    let (seq, other) = (input.number(), input.line());
    let (provider_event_id, event_type) = (optional(input.text()), optional(input.text()));
    let received = input.request();
    let mut id = [0; 16];
    id.iter_mut().zip(other).for_each(|(to, from)| *to = *from);
    let event = Event {
        id: EventId::from_bytes(id),
        source: "fuzzed".into(),
        received_at: UnixMillis(i64::from_le_bytes([other.len().to_le_bytes()[0]; 8])),
        provider_event_id,
        event_type,
        verified: "hmac-sha256".into(),
        method: received.method,
        target: received.target,
        headers: HeaderList::end_to_end(&received.headers),
        body: received.body,
    };
    let column = CHANGED.get(usize::from(column) % CHANGED.len()).copied();
    let (seq, changed) = (u64::try_from(seq).unwrap_or(0), value(kind, other));
    let outcome = DB.with(|db| {
        let db = db.as_ref().map_err(ToString::to_string)?;
        let outcome = round_trip(db, seq, &event, column, changed);
        outcome.map_err(|error| error.to_string())
    });
    assert!(outcome.is_ok(), "{outcome:?}");
}

fn optional(text: String) -> Option<Box<str>> {
    (text != "-").then(|| text.into())
}

fn value(kind: u8, bytes: &[u8]) -> Value {
    match kind % 5 {
        0 => Value::Null,
        1 => Value::Integer(
            bytes
                .iter()
                .fold(0, |sum: i64, byte| sum.wrapping_mul(256) + i64::from(*byte)),
        ),
        2 => Value::Real(f64::from(u32::try_from(bytes.len()).unwrap_or(0)) / 3.0),
        3 => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
        _ => Value::Blob(bytes.to_vec()),
    }
}

/// The tables without types and demands: damage knows none.
fn database() -> Result<Connection, rusqlite::Error> {
    let db = Connection::open_in_memory()?;
    let tables = schema::TABLES.replace("NOT NULL", "");
    let tables = tables
        .replace("STRICT, WITHOUT ROWID", "")
        .replace("STRICT", "");
    db.execute_batch(&tables)?;
    Ok(db)
}

fn round_trip(
    db: &Connection,
    seq: u64,
    event: &Event,
    column: Option<&str>,
    changed: Value,
) -> Result<(), rusqlite::Error> {
    let sums = Sums::new(&InstallationKey([7; 32]));
    db.execute("DELETE FROM event", [])?;
    insert(&mut db.prepare(INSERT)?, sums, seq, 1, NOW, event)?;
    let read = |source: &str| {
        db.query_row(&format!("SELECT {COLUMNS} FROM event e"), [], |row| {
            Stored::read(row, source.into(), sums)
        })
    };
    let whole =
        |stored: &Stored| stored.event == *event && stored.seq == seq && stored.accepted_at == NOW;
    let stored = read("fuzzed")?;
    assert!(stored.condition == Condition::Whole && whole(&stored));
    assert_eq!(
        read("another")?.condition,
        Condition::Damaged,
        "under another source"
    );
    let Some(column) = column else {
        return Ok(());
    };
    let update = format!("UPDATE event SET {column} = ?1");
    if db.execute(&update, [changed]).is_err() {
        return Ok(()); // a row number that is none
    }
    let stored = read("fuzzed")?;
    match stored.condition {
        Condition::Whole => assert!(whole(&stored), "another event passes for whole: {column}"),
        Condition::Erased => assert!(column.is_empty(), "one column cannot erase an event"),
        Condition::Damaged => {}
    }
    Ok(())
}
