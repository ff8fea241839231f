//! Events as rows, and the checksum that every read checks.
//!
//! The checksum is chained over all fields and the sequence number, and starts from the
//! installation's key: a valid record in the wrong place, or from another store, does not pass.
//! The first part (`head_sum`) covers all but headers and body, so that lists need not read those.

use bytes::Bytes;
use http::Method;
use rusqlite::{Row, Statement, params};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::clock::UnixMillis;
use crate::event::{Event, EventId, HeaderList, SourceName};
use crate::planted::{Bug, planted};
use crate::store::keys::InstallationKey;

/// The columns that [`Stored::read`] expects first, in order.
pub(super) const COLUMNS: &str = "e.seq, e.id, e.accepted_at, e.received_at, e.provider_id, \
     e.type, e.verified, e.method, e.target, e.head_sum, e.sum, e.headers, e.body";
/// How many they are.
pub(super) const WIDTH: usize = 13;
pub(super) const INSERT: &str = "INSERT INTO event(seq, id, source, accepted_at, received_at, \
     provider_id, type, verified, method, target, headers, body, head_sum, sum) \
     VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";

/// Computes checksums.
#[derive(Clone, Copy)]
pub(super) struct Sums(u64);

impl Sums {
    pub(super) fn new(key: &InstallationKey) -> Self {
        Self(xxh3_64_with_seed(&key.0, 1))
    }

    fn head(self, seq: u64, accepted_at: UnixMillis, event: &Event) -> u64 {
        let numbers = [
            seq.to_le_bytes(),
            accepted_at.0.to_le_bytes(),
            event.received_at.0.to_le_bytes(),
        ];
        let optional = |text: &Option<Box<str>>, sum| match text {
            Some(text) => xxh3_64_with_seed(text.as_bytes(), sum),
            None => xxh3_64_with_seed(&[], !sum),
        };
        let mut sum = xxh3_64_with_seed(numbers.as_flattened(), self.0);
        sum = xxh3_64_with_seed(event.id.as_bytes(), sum);
        sum = xxh3_64_with_seed(event.source.as_str().as_bytes(), sum);
        sum = optional(&event.provider_event_id, sum);
        sum = optional(&event.event_type, sum);
        sum = xxh3_64_with_seed(event.verified.as_bytes(), sum);
        sum = xxh3_64_with_seed(event.method.as_str().as_bytes(), sum);
        xxh3_64_with_seed(event.target.as_bytes(), sum)
    }

    fn whole(head: u64, event: &Event) -> u64 {
        if planted(Bug::RecordChecksumSkipsHeaders) {
            return xxh3_64_with_seed(&event.body, head);
        }
        xxh3_64_with_seed(
            &event.body,
            xxh3_64_with_seed(event.headers.as_bytes(), head),
        )
    }

    /// Checksum of where an event stands; without it a flipped bit could call it delivered.
    pub(super) fn standing(
        self,
        seq: u64,
        state: i64,
        next_at: Option<i64>,
        done_at: Option<i64>,
    ) -> i64 {
        let numbers = [seq.cast_signed(), state]
            .into_iter()
            .chain([next_at, done_at].map(|at| at.unwrap_or(i64::MIN)));
        let sum = numbers.fold(self.0, |sum, number| {
            xxh3_64_with_seed(&number.to_le_bytes(), sum)
        });
        sum.cast_signed()
    }

    /// What `sum` is once headers and body are erased.
    pub(super) fn erased(head: i64) -> i64 {
        (!head.cast_unsigned()).cast_signed()
    }
}

/// Inserts one event.
pub(super) fn insert(
    statement: &mut Statement<'_>,
    sums: Sums,
    seq: u64,
    source: i64,
    accepted_at: UnixMillis,
    event: &Event,
) -> Result<(), rusqlite::Error> {
    let head = sums.head(seq, accepted_at, event);
    statement.execute(params![
        seq.cast_signed(),
        &event.id.as_bytes()[..],
        source,
        accepted_at.0,
        event.received_at.0,
        event.provider_event_id.as_deref(),
        event.event_type.as_deref(),
        &*event.verified,
        event.method.as_str(),
        &*event.target,
        event.headers.as_bytes(),
        &event.body[..],
        head.cast_signed(),
        Sums::whole(head, event).cast_signed(),
    ])?;
    Ok(())
}

/// A row of `event`, checked.
pub(super) struct Stored {
    pub(super) seq: u64,
    pub(super) accepted_at: UnixMillis,
    pub(super) event: Event,
    pub(super) condition: Condition,
}

/// What the checksum says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Whole,
    Erased,
    Damaged,
}

impl Stored {
    /// Reads and checks a row that starts with [`COLUMNS`].
    pub(super) fn read(
        row: &Row<'_>,
        source: SourceName,
        sums: Sums,
    ) -> Result<Self, rusqlite::Error> {
        let headers = row.get_ref(11)?.as_blob_or_null().ok().flatten();
        let body = row.get_ref(12)?.as_blob_or_null().ok().flatten();
        let seq = row.get::<_, i64>(0)?.cast_unsigned();
        let accepted_at = UnixMillis(row.get(2).unwrap_or_default());
        // A field that is not even of its type cannot pass the checksum either.
        let method: String = row.get(7).unwrap_or_default();
        let event = Event {
            id: EventId::from_bytes(row.get(1).unwrap_or_default()),
            source,
            received_at: UnixMillis(row.get(3).unwrap_or_default()),
            provider_event_id: row.get(4).unwrap_or_default(),
            event_type: row.get(5).unwrap_or_default(),
            verified: row.get(6).unwrap_or_default(),
            method: Method::from_bytes(method.as_bytes()).unwrap_or_default(),
            target: row.get(8).unwrap_or_default(),
            headers: HeaderList::from_bytes(Bytes::copy_from_slice(headers.unwrap_or_default())),
            body: Bytes::copy_from_slice(body.unwrap_or_default()),
        };
        let head = sums.head(seq, accepted_at, &event);
        let head_sum: i64 = row.get(9).unwrap_or_default();
        let sum: i64 = row.get(10).unwrap_or_default();
        let whole = Sums::whole(head, &event).cast_signed();
        let condition = match (headers, body) {
            _ if planted(Bug::SkipChecksumOnRead) => Condition::Whole,
            _ if head_sum != head.cast_signed() => Condition::Damaged,
            (Some(_), Some(_)) if sum == whole => Condition::Whole,
            (None, None) if sum == Sums::erased(head_sum) => Condition::Erased,
            _ => Condition::Damaged,
        };
        Ok(Self {
            seq,
            accepted_at,
            event,
            condition,
        })
    }
}

/// The columns for a list: as [`COLUMNS`], with neither headers nor body.
pub(super) const HEAD_COLUMNS: &str = "e.seq, e.id, e.accepted_at, e.received_at, e.provider_id, \
     e.type, e.verified, e.method, e.target, e.head_sum, e.sum, NULL, NULL";

impl Stored {
    /// Reads a row that starts with [`HEAD_COLUMNS`]; `Whole` says no more than that the head is.
    pub(super) fn read_head(
        row: &Row<'_>,
        source: SourceName,
        sums: Sums,
    ) -> Result<Self, rusqlite::Error> {
        let mut stored = Self::read(row, source, sums)?;
        let head: i64 = row.get(9).unwrap_or_default();
        let intact = head
            == sums
                .head(stored.seq, stored.accepted_at, &stored.event)
                .cast_signed();
        stored.condition = if intact {
            Condition::Whole
        } else {
            Condition::Damaged
        };
        Ok(stored)
    }
}
