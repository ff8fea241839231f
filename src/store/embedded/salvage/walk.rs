//! Reading a damaged table: row by row, stepping over what cannot be read.

use std::time::{Duration, Instant};

use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _};

/// Between two lines of the log.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// A table of the damaged file.
pub(super) struct Walk<'a> {
    pub(super) db: &'a Connection,
    pub(super) table: &'static str,
    /// The column with the row's number.
    pub(super) key: &'static str,
    pub(super) columns: &'static str,
    /// The columns with those left out that may be long: a row is better than none.
    pub(super) short: Option<&'static str>,
    /// No row has a higher number.
    pub(super) last: i64,
}

impl Walk<'_> {
    /// Hands every row that can be read to `each`; says how many places could not.
    pub(super) fn each(
        &self,
        mut each: impl FnMut(Vec<Value>) -> Result<(), rusqlite::Error>,
    ) -> Result<u64, rusqlite::Error> {
        let Self {
            table,
            key,
            columns,
            ..
        } = self;
        let next = format!(
            "SELECT {columns} FROM {table} NOT INDEXED WHERE {key} > ?1 ORDER BY {key} LIMIT 1"
        );
        let (mut after, mut skipped, mut holes, mut rows) = (0, 0, 0, 0_u64);
        let mut said = Instant::now();
        while after <= self.last {
            match self.row(&next, after) {
                Ok(None) => break,
                // A row behind itself: the way to it is damaged.
                Ok(Some(row)) if number(&row).is_some_and(|found| found > after) => {
                    after = number(&row).unwrap_or(after);
                    skipped = 0;
                    rows += 1;
                    each(row)?;
                }
                Ok(Some(_)) => after += 1,
                Err(error) if passing(&error) => return Err(error),
                Err(_) => {
                    holes += 1;
                    // One by one at first; a large hole in steps that miss little behind it.
                    let step = 1 + skipped / 64;
                    if let Some(row) = self.short_row(after + 1)? {
                        each(row)?;
                    }
                    after = after.saturating_add(step);
                    skipped += step;
                }
            }
            if said.elapsed() >= SAY_EVERY {
                said = Instant::now();
                tracing::info!(table, rows, of = self.last, "saving what can be read");
            }
        }
        Ok(holes)
    }

    fn row(&self, sql: &str, key: i64) -> Result<Option<Vec<Value>>, rusqlite::Error> {
        row(self.db, sql, key)
    }

    fn short_row(&self, key: i64) -> Result<Option<Vec<Value>>, rusqlite::Error> {
        let Some(columns) = self.short else {
            return Ok(None);
        };
        let sql = format!(
            "SELECT {columns} FROM {} NOT INDEXED WHERE {} = ?1",
            self.table, self.key
        );
        match self.row(&sql, key) {
            Err(error) if passing(&error) => Err(error),
            found => Ok(found.ok().flatten()),
        }
    }
}

/// One row as bare values.
pub(super) fn row(
    db: &Connection,
    sql: &str,
    key: i64,
) -> Result<Option<Vec<Value>>, rusqlite::Error> {
    let mut select = db.prepare_cached(sql)?;
    let columns = select.column_count();
    let values = |row: &rusqlite::Row<'_>| (0..columns).map(|column| row.get(column)).collect();
    select.query_row([key], values).optional()
}

pub(super) fn number(row: &[Value]) -> Option<i64> {
    integer(row, 0)
}

pub(super) fn integer(row: &[Value], column: usize) -> Option<i64> {
    match row.get(column) {
        Some(Value::Integer(n)) => Some(*n),
        Some(Value::Null | Value::Real(_) | Value::Text(_) | Value::Blob(_)) | None => None,
    }
}

pub(super) fn blob(row: &[Value], column: usize) -> Option<&[u8]> {
    match row.get(column) {
        Some(Value::Blob(bytes)) => Some(bytes),
        Some(Value::Null | Value::Real(_) | Value::Text(_) | Value::Integer(_)) | None => None,
    }
}

/// Errors that are not about this place of the file: stop, and let the start be tried again.
fn passing(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::OutOfMemory)
    )
}
