//! One source's share: the newest records, within a number of entries and of bytes; and how often
//! one of them may be examined.

use std::collections::VecDeque;
use std::time::Duration;

use super::record::{Finding, Record};
use crate::clock::UnixMillis;
use crate::verify::Reason;

/// Records of one source.
const RECORDS_MAX: usize = 100;
/// Memory for the records of one source.
const SHARE_BYTES_MAX: usize = 64 * 1024;
/// Memory for the records of all sources, as long as each has room for one.
const TOTAL_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The largest record fits into this.
const SHARE_BYTES_MIN: usize = 8 * 1024;

/// A source's requests are examined once per period, and this many more in a burst.
const EXAMINED_EVERY: Duration = Duration::from_secs(1);
const EXAMINED_BURST: u32 = 4;

/// The newest records of one source.
pub(in crate::ingress) struct Ring {
    records: VecDeque<Record>,
    bytes: usize,
    bytes_max: usize,
    /// When the examinations so far will have been paid for, one per period (steady time).
    paid_at: UnixMillis,
}

impl Ring {
    /// An empty ring; all `sources` together keep to the total.
    pub(in crate::ingress) fn new(sources: usize) -> Self {
        let share = TOTAL_BYTES_MAX / sources.max(1);
        Self {
            records: VecDeque::new(),
            bytes: 0,
            bytes_max: share.clamp(SHARE_BYTES_MIN, SHARE_BYTES_MAX),
            paid_at: UnixMillis(0),
        }
    }

    /// Adds a record; the oldest make room.
    pub(super) fn push(&mut self, record: Record) {
        self.bytes += record.size_bytes();
        self.records.push_back(record);
        self.make_room();
    }

    /// Whether one more examination may be made.
    pub(super) fn admit(&mut self, now: UnixMillis) -> bool {
        let paid_at = self.paid_at.max(now);
        let admitted = paid_at.since(now) <= EXAMINED_EVERY * EXAMINED_BURST;
        if admitted {
            self.paid_at = paid_at.plus(EXAMINED_EVERY);
        }
        admitted
    }

    /// Writes down what an examination found, unless the record is gone; returns the record.
    pub(in crate::ingress) fn conclude(
        &mut self,
        number: u64,
        finding: Finding,
        body_sha256: Option<Box<str>>,
    ) -> Option<&Record> {
        let mut records = self.records.iter_mut();
        let record = records.find(|known| known.number == number)?;
        self.bytes -= record.size_bytes();
        record.finding = finding;
        record.body_sha256 = body_sha256;
        self.bytes += record.size_bytes();
        self.make_room();
        self.records.iter().find(|known| known.number == number)
    }

    /// The newest first.
    pub(super) fn newest(&self, reason: Option<Reason>, limit: usize) -> Vec<Record> {
        let newest = self.records.iter().rev();
        let wanted = newest.filter(|record| reason.is_none_or(|reason| record.reason == reason));
        wanted.take(limit).cloned().collect()
    }

    fn make_room(&mut self) {
        while self.bytes > self.bytes_max || self.records.len() > RECORDS_MAX {
            let Some(oldest) = self.records.pop_front() else {
                break;
            };
            self.bytes -= oldest.size_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Received;
    use crate::verify::{Mistake, Rejection};

    fn record(number: u64, target: &str, headers: usize, reason: Reason) -> Record {
        let name = |n: usize| format!("x-{n:0>60}").parse::<http::HeaderName>().unwrap();
        let value = http::HeaderValue::from_static("value");
        let received = Received {
            received_at: UnixMillis(0),
            peer: None,
            method: http::Method::POST,
            target: target.into(),
            path_token: None,
            headers: (0..headers).map(|n| (name(n), value.clone())).collect(),
            body: bytes::Bytes::new(),
        };
        let rejection = Rejection {
            reason,
            detail: "detail".into(),
            age_seconds: None,
        };
        Record::new(number, &"test".into(), &received, target, &rejection, false)
    }

    fn targets(ring: &Ring, reason: Option<Reason>, limit: usize) -> Vec<String> {
        let newest = ring.newest(reason, limit).into_iter();
        newest.map(|record| record.target.into()).collect()
    }

    #[test]
    fn a_flood_keeps_the_newest_within_the_bounds() {
        for sources in [1, 1_000] {
            let mut ring = Ring::new(sources);
            for n in 0..500 {
                let target = format!("/{n}?{}", "x".repeat(4000));
                ring.push(record(n, &target, 200, Reason::Stale));
                let clue = Some("é".repeat(200).into());
                let mistake = Mistake::ClockSkew;
                let finding = crate::verify::Diagnosis { mistake, clue };
                ring.conclude(n, Finding::Mistake(finding), Some("0".repeat(64).into()));
            }
            let kept: usize = ring.records.iter().map(Record::size_bytes).sum();
            assert_eq!(kept, ring.bytes);
            assert!(kept <= ring.bytes_max && ring.records.len() <= RECORDS_MAX);
            assert!(ring.records.capacity() <= 2 * RECORDS_MAX);
            assert_eq!(targets(&ring, None, 1), ["/499?..."]);
        }
        let mut small = Ring::new(1);
        for n in 0..200 {
            small.push(record(n, "/", 0, Reason::Stale));
        }
        assert_eq!(small.records.len(), RECORDS_MAX);
    }

    #[test]
    fn the_newest_come_first_and_can_be_chosen_by_reason() {
        let mut ring = Ring::new(1);
        for (number, target, reason) in [
            (1, "/1", Reason::Stale),
            (2, "/2", Reason::Mismatch),
            (3, "/3", Reason::Stale),
        ] {
            ring.push(record(number, target, 0, reason));
        }
        assert_eq!(targets(&ring, None, 9), ["/3", "/2", "/1"]);
        assert_eq!(targets(&ring, Some(Reason::Stale), 9), ["/3", "/1"]);
        assert_eq!(targets(&ring, Some(Reason::Stale), 1), ["/3"]);
    }

    #[test]
    fn a_finding_for_a_record_that_is_gone_changes_nothing() {
        let mut ring = Ring::new(1);
        for number in 0..=100 {
            ring.push(record(number, "/", 0, Reason::Stale));
        }
        ring.conclude(0, Finding::Unknown, None);
        assert!(ring.records.iter().all(|r| r.finding == Finding::Pending));
    }

    #[test]
    fn examinations_come_in_a_burst_and_then_once_per_period() {
        let mut ring = Ring::new(1);
        let mut admitted = |now: i64| {
            let now = UnixMillis(1_735_689_600_000 + now);
            (0..1_000).filter(|_| ring.admit(now)).count()
        };
        assert_eq!(admitted(0), 5);
        assert_eq!(admitted(999), 0);
        assert_eq!(admitted(1_000), 1);
        assert_eq!(admitted(1_999), 0);
        assert_eq!(admitted(3_000), 2);
        assert_eq!(admitted(3_600_000), 5);
    }
}
