use std::sync::Arc;

use bytes::Bytes;

use super::mark::HighWater;
use super::open::Around;
use super::*;
use crate::clock::UnixMillis;
use crate::event::{Event, EventId, HeaderList};
use crate::store::engine::{Claim, Claimed, Engine as _, Mark, NewEvent, Outcome, Policy};
use crate::store::keys::{DedupKey, Digest};
use crate::store::lease::{DeadReason, Settlement};

fn engine(dir: &std::path::Path) -> Embedded {
    let config = crate::store::tests::config(dir);
    let place = Place::take(&config, &Clock::real()).unwrap();
    let db = schema::open(&place.database()).unwrap();
    let key = schema::key(&db).unwrap();
    let (file, _) = HighWater::open(&place).unwrap();
    let around = Around {
        checkpointer: Checkpointer::start(&place.database(), file).unwrap(),
        place: Arc::new(place),
        clock: Clock::manual(UnixMillis(0)),
    };
    let day = std::time::Duration::from_hours(24);
    let keep = Keep {
        delivered: day,
        dead: day,
        ids: day,
    };
    Embedded::load(db, &key, keep, around, 0).unwrap()
}

fn event(n: u8, size: usize) -> NewEvent {
    let event = Event {
        id: EventId::new(UnixMillis(i64::from(n))),
        source: "stripe".into(),
        received_at: UnixMillis(0),
        provider_event_id: None,
        event_type: None,
        verified: "test".into(),
        method: http::Method::POST,
        target: "/".into(),
        headers: HeaderList::default(),
        body: Bytes::from(vec![n; size]),
    };
    NewEvent {
        repeats_since: UnixMillis(i64::MIN),
        event: Arc::new(event),
        key: DedupKey([n; 16]),
        digest: Digest([n; 16]),
        accepted_at: UnixMillis(0),
        claimed: false,
        urgent: false,
    }
}

fn commit(engine: &mut Embedded, events: &[NewEvent]) -> Result<Committed, EngineError> {
    let now = UnixMillis(0);
    engine.commit(&Batch {
        now,
        events,
        marks: &[],
        replays: &[],
        erasures: &[],
        hasten: None,
    })
}

#[test]
fn a_commit_that_finds_no_space_is_rolled_back_and_its_ids_are_not_known() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = engine(dir.path());
    commit(&mut engine, &[event(1, 10)]).unwrap();
    let before = engine.counts().unwrap();
    let pages: i64 = schema::pragma(&engine.db, "page_count").unwrap();
    engine
        .db
        .query_row(
            &format!("PRAGMA max_page_count = {}", pages + 2),
            [],
            |_| Ok(()),
        )
        .unwrap();
    let batch = [event(2, 10), event(3, 100_000)];
    assert!(matches!(
        commit(&mut engine, &batch),
        Err(EngineError::Full)
    ));
    assert_eq!(engine.counts().unwrap(), before);
    engine
        .db
        .query_row("PRAGMA max_page_count = 100000", [], |_| Ok(()))
        .unwrap();
    let committed = commit(&mut engine, &batch).unwrap();
    assert_eq!(
        committed.outcomes,
        [Outcome::Stored { seq: 2 }, Outcome::Stored { seq: 3 }]
    );
    let again = commit(&mut engine, &batch).unwrap();
    assert!(
        again
            .outcomes
            .iter()
            .all(|outcome| matches!(outcome, Outcome::Duplicate { .. }))
    );
}

#[test]
fn a_database_that_another_program_has_locked_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = engine(dir.path());
    commit(&mut engine, &[event(1, 10)]).unwrap();
    engine.db.busy_timeout(std::time::Duration::ZERO).unwrap();
    let other = Connection::open(engine.place.database().path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(matches!(
        commit(&mut engine, &[event(2, 10)]),
        Err(EngineError::Unavailable(_))
    ));
    other.execute_batch("ROLLBACK").unwrap();
    let committed = commit(&mut engine, &[event(2, 10)]).unwrap();
    assert_eq!(committed.outcomes, [Outcome::Stored { seq: 2 }]);
}

/// Tallies went into the published counts before the transaction was durable, and stayed there
/// when it was rolled back.
#[test]
fn pruning_that_fails_leaves_the_counts_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = engine(dir.path());
    let events = [event(1, 10), event(2, 10)];
    commit(&mut engine, &events).unwrap();
    let marks: Vec<_> = (1u64..)
        .zip(&events)
        .map(|(seq, new)| Mark {
            seq,
            event: Arc::clone(&new.event),
            attempt: 0,
            settlement: Settlement::Dead {
                attempt: None,
                reason: DeadReason::GaveUp,
            },
        })
        .collect();
    let settled = Batch {
        now: UnixMillis(0),
        events: &[],
        marks: &marks,
        replays: &[],
        erasures: &[],
        hasten: None,
    };
    engine.commit(&settled).unwrap();
    let before = engine.counts().unwrap();
    assert_eq!(before[0].dead, 2);
    // The first row goes, the second one does not.
    engine
        .db
        .execute_batch(
            "CREATE TEMP TRIGGER stuck BEFORE DELETE ON main.event WHEN old.seq = 2
             BEGIN SELECT RAISE(ABORT, 'stuck'); END",
        )
        .unwrap();
    let policy = Policy {
        keep: engine.keep,
        bytes_max: u64::MAX,
        low_space_bytes: 0,
    };
    let later = UnixMillis(0).plus(engine.keep.dead * 2);
    assert!(engine.prune(&policy, later).is_err());
    assert_eq!(engine.counts().unwrap(), before);
    engine.db.execute_batch("DROP TRIGGER stuck").unwrap();
    let pruned = engine.prune(&policy, later).unwrap();
    assert_eq!(pruned.touched[0].dead, 0);
}

fn hide(engine: &Embedded, seq: u64) {
    // A row that cannot be read for a reason other than damage.
    let view = format!(
        "CREATE TEMP VIEW event AS SELECT seq, id, source,
           CASE seq WHEN {seq} THEN abs(-9223372036854775807 - 1) ELSE accepted_at END AS accepted_at,
           received_at, provider_id, type, verified, method, target, headers, body, head_sum, sum
         FROM main.event"
    );
    engine.db.execute_batch(&view).unwrap();
}

/// What is claimed, and whether it can be read.
fn claim(engine: &mut Embedded, now: UnixMillis) -> Result<Vec<(u64, bool)>, EngineError> {
    let all = Claim {
        events_max: 10,
        bytes_max: 1000,
        full: &[],
    };
    let claimed = engine.claim_due(now, &all)?;
    let seqs = claimed.into_iter().map(|claimed| match claimed {
        Claimed::Ready(ready) => (ready.seq, true),
        Claimed::Damaged(mark) => (mark.seq, false),
    });
    Ok(seqs.collect())
}

/// An event that the disk does not give back was tried for ever, and its source waited behind it.
#[test]
fn an_event_that_the_disk_never_gives_back_is_set_aside_after_ten_tries() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = engine(dir.path());
    commit(&mut engine, &[event(1, 10), event(2, 10), event(3, 10)]).unwrap();
    hide(&engine, 2);
    assert_eq!(claim(&mut engine, UnixMillis(0)).unwrap(), [(1, true)]);
    for second in 0..9 {
        // However often it is asked within a second.
        for _ in 0..3 {
            let failed = claim(&mut engine, UnixMillis(second * 1000));
            assert!(
                matches!(failed, Err(EngineError::Unavailable(_))),
                "{failed:?}"
            );
        }
    }
    assert_eq!(
        claim(&mut engine, UnixMillis(9000)).unwrap(),
        [(2, false), (3, true)]
    );
    assert_eq!(engine.stats().damaged, 1);
}

/// An error in the middle of a claim dropped what had been claimed before it: pending, but known
/// as claimed, so nobody got it until a restart. And a read that failed in passing made its event
/// a dead letter.
#[test]
fn a_read_that_fails_in_passing_strands_no_event() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = engine(dir.path());
    let mut other = event(1, 10);
    Arc::get_mut(&mut other.event).unwrap().source = "github".into();
    commit(&mut engine, &[other, event(2, 10), event(3, 10)]).unwrap();
    hide(&engine, 2);
    let now = UnixMillis(0);
    assert_eq!(claim(&mut engine, now).unwrap(), [(1, true)]);
    let failed = claim(&mut engine, now);
    assert!(
        matches!(failed, Err(EngineError::Unavailable(_))),
        "{failed:?}"
    );
    engine.db.execute_batch("DROP VIEW temp.event").unwrap();
    assert_eq!(claim(&mut engine, now).unwrap(), [(2, true), (3, true)]);
}
