//! Events read from the pages of a file, without the tree that leads to them.
//!
//! One damaged inner page of a table hides all pages below it. They are still in the file: this reads
//! every page that looks like a leaf of a table, and its rows of as many columns as an event has, by
//! the file format (<https://www.sqlite.org/fileformat2.html>, sections 1.5, 1.6 and 2). Whether such a
//! row is an event, its checksum says; whether it is one that should still be there, the caller.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rusqlite::types::Value;

const PAGE: usize = 4096;
const LEAF_OF_TABLE: u8 = 0x0d;
/// Of a row, this much at most is on its own page; of a longer one, at least that.
const LOCAL_MAX: usize = PAGE - 35;
const LOCAL_MIN: usize = (PAGE - 12) * 32 / 255 - 23;
/// The longest row that is believed.
const ROW_MAX: usize = 1 << 30;

/// Hands every row that has this many columns to `each`, its number first.
pub(super) fn rows<E: From<std::io::Error>>(
    path: &Path,
    columns: usize,
    mut each: impl FnMut(Vec<Value>) -> Result<(), E>,
) -> Result<(), E> {
    let file = File::open(path)?;
    let pages = file.metadata()?.len() / 4096;
    for at in 1..pages {
        // A page that the disk does not give back is one of those that are lost.
        let Some(page) = read(&file, at) else {
            continue;
        };
        if page.first() != Some(&LEAF_OF_TABLE) {
            continue;
        }
        let cells = page.get(3..5).map_or(0, number);
        for cell in 0..cells {
            let pointer = 8 + 2 * cell;
            let row = page
                .get(pointer..pointer + 2)
                .map(number)
                .and_then(|start| row(&file, page.get(start..)?, columns));
            if let Some(row) = row {
                each(row)?;
            }
        }
    }
    Ok(())
}

fn read(file: &File, page: u64) -> Option<[u8; PAGE]> {
    let mut bytes = [0; PAGE];
    file.read_exact_at(&mut bytes, page.checked_mul(4096)?)
        .ok()?;
    Some(bytes)
}

fn number(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | usize::from(*byte))
}

/// One cell: length, number, and the record, of which a part may be on other pages.
fn row(file: &File, mut cell: &[u8], columns: usize) -> Option<Vec<Value>> {
    let size = usize::try_from(varint(&mut cell)?)
        .ok()
        .filter(|size| *size <= ROW_MAX)?;
    let key = varint(&mut cell)?.cast_signed();
    let spill = LOCAL_MIN + size.saturating_sub(LOCAL_MIN) % (PAGE - 4);
    let local = match size {
        ..=LOCAL_MAX => size,
        _ if spill <= LOCAL_MAX => spill,
        _ => LOCAL_MIN,
    };
    let mut record = cell.get(..local)?.to_vec();
    let mut next = cell.get(local..local + 4).map_or(0, number);
    while record.len() < size {
        let page = u64::try_from(next.checked_sub(1)?).ok()?;
        let page = read(file, page)?;
        next = page.get(..4).map(number)?;
        let rest = page.get(4..)?;
        record.extend_from_slice(rest.get(..rest.len().min(size - record.len()))?);
    }
    values(&record, key, columns)
}

/// A record: its header's length, a type for each column, then the columns.
fn values(record: &[u8], key: i64, columns: usize) -> Option<Vec<Value>> {
    let mut types = record;
    let head = usize::try_from(varint(&mut types)?).ok()?;
    let used = record.len() - types.len();
    let mut types = types.get(..head.checked_sub(used)?)?;
    let mut rest = record.get(head..)?;
    let mut values = Vec::with_capacity(columns);
    while !types.is_empty() {
        values.push(value(varint(&mut types)?, &mut rest)?);
        if values.len() > columns {
            return None;
        }
    }
    // The number of a row is not in its record.
    *values.first_mut()? = Value::Integer(key);
    (values.len() == columns).then_some(values)
}

fn value(kind: u64, rest: &mut &[u8]) -> Option<Value> {
    let mut take = |count: usize| {
        let (taken, left) = rest.split_at_checked(count)?;
        *rest = left;
        Some(taken)
    };
    let whole = |bytes: &[u8]| {
        let first = bytes
            .first()
            .map_or(0, |byte| i64::from(byte.cast_signed()));
        let more = bytes.iter().skip(1);
        Value::Integer(more.fold(first, |number, byte| number << 8 | i64::from(*byte)))
    };
    Some(match kind {
        0 => Value::Null,
        1..=4 => whole(take(usize::try_from(kind).ok()?)?),
        5 => whole(take(6)?),
        6 => whole(take(8)?),
        8 => Value::Integer(0),
        9 => Value::Integer(1),
        12.. if kind.is_multiple_of(2) => {
            Value::Blob(take(usize::try_from((kind - 12) / 2).ok()?)?.to_vec())
        }
        13.. => {
            let text = take(usize::try_from((kind - 13) / 2).ok()?)?;
            Value::Text(String::from_utf8(text.to_vec()).ok()?)
        }
        _ => return None, // no column of ours is a fraction
    })
}

/// Seven bits to a byte, at most nine bytes.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for at in 0..9 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        if at == 8 {
            return Some(number << 8 | u64::from(*byte));
        }
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some(number)
}
