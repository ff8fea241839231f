//! Damage that a start finds, or finds noted by the last process: what can be read goes on.

use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use rusqlite::Connection;

use super::support::*;
use crate::store::*;
use crate::verify::Verified;

/// Overwrites a leaf of a table with zeros; `which` of them, in the order of the file.
fn zero(config: &Config, table: &str, which: i64) {
    zero_page(config, table, "leaf", which);
}

fn zero_page(config: &Config, table: &str, kind: &str, which: i64) {
    let path = config.path.join("hookgate.db");
    let page: u64 = {
        let db = Connection::open(&path).unwrap();
        let sql = "SELECT pageno FROM dbstat WHERE name = ?1 AND pagetype = ?2 LIMIT 1 OFFSET ?3";
        db.query_row(sql, rusqlite::params![table, kind, which], |row| {
            row.get::<_, i64>(0)
        })
        .unwrap()
        .cast_unsigned()
    };
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&[0; 4096], (page - 1) * 4096).unwrap();
}

/// A store with 60 delivered events and 60 that wait, closed.
async fn half_delivered() -> Fixture {
    let store = Fixture::new();
    for n in 0..120 {
        store.accept("stripe", &n.to_string()).await;
    }
    for _ in 0..60 {
        store.deliver_next().await;
    }
    store.store.flush().await.unwrap();
    store.store.clone().close().await.unwrap();
    store
}

async fn delivered_by_name(store: &Fixture) -> Vec<String> {
    let mut ids = Vec::new();
    while let Some(lease) = next_due(&store.store).await {
        ids.push(id_of(&lease));
        store.store.settle(lease, delivered());
    }
    store.store.flush().await.unwrap();
    ids.sort();
    ids
}

async fn delivered_now(store: &Fixture) -> Vec<String> {
    let mut ids = delivered_by_name(store).await;
    ids.sort_by_key(|id| id.parse::<u32>().unwrap());
    ids
}

/// What the supervisor does: the process has ended, and the next one opens the store.
async fn restart(store: &mut Fixture) {
    let next = tempfile::tempdir().unwrap();
    let ended = store.store.clone();
    let _ = ended.close().await; // it may have failed, or just be asked to
    move_on(&mut store.config, next.path());
    store.store = open(&store.config, &store.clock).unwrap();
    store.dir = next;
}

/// Pruning met a page that it could not read and ended the process; the next one met it again, and so
/// on for ever: nothing was taken and nothing delivered.
#[tokio::test]
async fn a_page_that_pruning_cannot_read_costs_one_restart_and_its_own_events() {
    let mut store = half_delivered().await;
    zero(&store.config, "event", 0);
    store.store = open(&store.config, &store.clock).unwrap();
    store.advance(Duration::from_hours(8 * 24));
    let failed = store.store.failed().await;
    assert!(matches!(failed, StoreError::Fatal(_)), "{failed}");

    restart(&mut store).await;
    assert!(store.store.stats().damaged > 0);
    assert!(std::fs::read_dir(&store.config.path).unwrap().any(|file| {
        let name = file.unwrap().file_name();
        name.to_string_lossy().starts_with("hookgate.db.damaged-")
    }));
    let waited: Vec<_> = (60..120).map(|n| n.to_string()).collect();
    assert_eq!(delivered_now(&store).await, waited);
    while store.counts("stripe").1 > 60 {
        store.advance(Duration::from_secs(11));
        store.store.flush().await.unwrap();
    }
    store.accept("stripe", "new").await;
    assert_eq!(delivered_now(&store).await, ["new"]);
    let damaged = store.store.stats().damaged;
    let store = store.reopen().await;
    assert!(
        damaged > 0 && store.store.stats().damaged == 0,
        "it is over"
    );
}

/// A bit that made an old time of the time at which an event was settled let pruning delete it within
/// seconds: a dead letter that nobody had seen was gone, nothing counted it, and its sender was told
/// that it was stored.
#[tokio::test]
async fn a_settled_event_whose_row_does_not_match_is_kept_and_not_pruned() {
    for (settlement, bytes_max) in [(dead(), 0), (delivered(), 0), (delivered(), 1)] {
        let mut store = Fixture::new();
        store.accept("stripe", "a").await;
        let lease = store.lease().await;
        store.store.settle(lease, settlement);
        store.store.clone().close().await.unwrap();
        let db = Connection::open(store.config.path.join("hookgate.db")).unwrap();
        db.execute_batch("UPDATE delivery SET done_at = 1").unwrap();
        drop(db);
        store.config.bytes_max = bytes_max;
        store.store = open(&store.config, &store.clock).unwrap();
        for _ in 0..5 {
            store.advance(Duration::from_secs(11));
            store.store.flush().await.unwrap();
        }
        let (_, delivered, dead) = store.counts("stripe");
        assert_eq!(delivered + dead, 1);
        assert!(store.config.path.join("damaged").exists(), "it is noted");
        // What became of it is not known: rather twice than never.
        store.config.bytes_max = 0;
        let store = store.reopen().await;
        assert!(store.store.stats().damaged > 0);
        assert_eq!(delivered_now(&store).await, ["a"]);
    }
}

/// A repeat whose first copy's record could not be looked up ended the process, as often as the
/// sender came again.
#[tokio::test]
async fn a_repeat_that_meets_damage_is_answered_after_one_restart() {
    let mut store = half_delivered().await;
    zero(&store.config, "delivery", 0);
    let store = {
        store.store = open(&store.config, &store.clock).unwrap();
        let first = store.store.accept(event("stripe", "0")).await;
        if first.is_err() {
            restart(&mut store).await;
        }
        store
    };
    let again = store.accept("stripe", "0").await;
    assert_eq!(again.kind(), ReceiptKind::Duplicate);
    // That they had been delivered is not known any more: rather twice than never.
    assert!(delivered_now(&store).await.len() >= 60);
    assert_eq!(store.counts("stripe"), (0, 120, 0));
}

/// A row of another event's page, a page from yesterday: nothing that SQLite would notice, and the
/// event was neither delivered nor missed.
#[tokio::test]
async fn an_event_that_nothing_leads_to_any_more_is_missed_at_the_next_start() {
    let mut store = half_delivered().await;
    let db = Connection::open(store.config.path.join("hookgate.db")).unwrap();
    db.execute_batch("DELETE FROM event WHERE seq = 100")
        .unwrap();
    drop(db);
    store.store = open(&store.config, &store.clock).unwrap();
    assert_eq!(delivered_now(&store).await.len(), 59);
    assert_eq!(store.store.stats().damaged, 1);
    // From the next start on its sender is not told that it is stored, either.
    let mut store = store.reopen().await;
    assert_eq!(store.store.stats().damaged, 1);
    store = store.reopen().await;
    assert_eq!(store.store.stats().damaged, 0);
    let again = store.accept("stripe", "99").await;
    assert_eq!(again.kind(), ReceiptKind::Stored);
    assert_eq!(delivered_now(&store).await, ["99"]);
}

/// A bit in a row that says where an event stands could call it delivered.
#[tokio::test]
async fn a_row_that_calls_an_event_delivered_must_be_believable() {
    let store = Fixture::new();
    store.accept("stripe", "a").await;
    let lease = store.lease().await;
    store
        .store
        .settle(lease, retry(START.plus(Duration::from_secs(1))));
    store.store.clone().close().await.unwrap();
    let db = Connection::open(store.config.path.join("hookgate.db")).unwrap();
    db.execute_batch("UPDATE delivery SET state = 1, next_at = NULL, done_at = 1")
        .unwrap();
    drop(db);
    let mut store = store;
    store.store = open(&store.config, &store.clock).unwrap();
    assert!(store.store.stats().damaged > 0);
    assert_eq!(delivered_now(&store).await, ["a"]);
}

#[tokio::test]
async fn an_event_whose_page_is_lost_becomes_a_dead_letter_under_its_own_id() {
    let mut store = half_delivered().await;
    zero(&store.config, "event", 1);
    store.store = open(&store.config, &store.clock).unwrap();
    let lost = store.store.stats().damaged;
    assert_eq!(store.counts("stripe").2, lost);
    let dead = Filter {
        state: Some(State::Dead),
        ..Filter::default()
    };
    let page = store.store.list(dead, 100, None).await.unwrap();
    assert_eq!(wide(page.events.len()), lost);
    for event in page.events {
        assert_eq!(event.dead_reason, Some(DeadReason::Unreadable));
        let shown = store.store.show(event.id).await.unwrap().unwrap();
        assert!(matches!(shown.content, Content::Damaged));
    }
    assert_eq!(wide(delivered_now(&store).await.len()), 60 - lost);
}

#[tokio::test]
async fn an_inner_page_takes_nothing_with_it() {
    let mut store = half_delivered().await;
    let path = store.config.path.join("hookgate.db");
    let root: u64 = Connection::open(&path)
        .unwrap()
        .query_row(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'event'",
            [],
            |row| row.get::<_, i64>(0),
        )
        .unwrap()
        .cast_unsigned();
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&[0; 4096], (root - 1) * 4096).unwrap();
    store.store = open(&store.config, &store.clock).unwrap();
    let waited: Vec<_> = (60..120).map(|n| n.to_string()).collect();
    assert_eq!(delivered_now(&store).await, waited);
    assert_eq!(store.counts("stripe"), (0, 120, 0));
}

#[tokio::test]
async fn a_start_that_cannot_be_saved_is_refused_and_says_what_to_do() {
    let mut store = half_delivered().await;
    let path = store.config.path.join("hookgate.db");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[..4096].fill(7);
    std::fs::write(&path, &bytes).unwrap();
    let refused = open(&store.config, &store.clock).err().unwrap();
    assert!(matches!(refused, StoreError::Damaged { .. }), "{refused}");
    assert!(refused.to_string().contains(&*path.to_string_lossy()));
    assert_eq!(std::fs::read(&path).unwrap(), bytes, "it is left as it was");
    // The way out that the message names.
    for name in ["hookgate.db", "hookgate.db-wal", "hookgate.db-shm"] {
        drop(std::fs::remove_file(store.config.path.join(name)));
    }
    store.store = open(&store.config, &store.clock).unwrap();
    assert_eq!(store.store.stats().damaged, 120);
    store.accept("stripe", "new").await;
    assert_eq!(delivered_now(&store).await, ["new"]);
}

/// A bit in a column's name made each statement with it fail: the process ended, the next one opened
/// the store, failed in the same way, and so on for ever, with no word on what to do.
#[tokio::test]
async fn a_table_that_is_described_wrongly_is_a_refused_start_and_no_loop() {
    let store = half_delivered().await;
    let path = store.config.path.join("hookgate.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(5).position(|word| word == b"tries").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let refused = open(&store.config, &store.clock).err().unwrap();
    assert!(matches!(refused, StoreError::Damaged { .. }), "{refused}");
    assert!(refused.to_string().contains(&*path.to_string_lossy()));
    assert_eq!(std::fs::read(&path).unwrap(), bytes, "it is left as it was");
}

/// A salvage that is cut off leaves the damaged file under its name and the note beside it.
#[tokio::test]
async fn a_salvage_that_was_interrupted_begins_again() {
    let mut store = half_delivered().await;
    zero(&store.config, "event", 0);
    std::fs::write(store.config.path.join("damaged"), "seen before\n").unwrap();
    std::fs::write(store.config.path.join("hookgate.db.salvage"), [1; 10_000]).unwrap();
    store.store = open(&store.config, &store.clock).unwrap();
    assert!(store.store.stats().damaged > 0);
    assert!(!store.config.path.join("damaged").exists());
    assert!(!store.config.path.join("hookgate.db.salvage").exists());
    assert_eq!(delivered_now(&store).await.len(), 60);
}

/// The page is met when the event is read for the app: it is set aside, the others are delivered.
#[tokio::test]
async fn a_page_that_a_claim_cannot_read_costs_its_own_event_alone() {
    let body: &[u8] = &[b'x'; 3 * 4096];
    let mut store = Fixture::new();
    for id in ["a", "b", "c"] {
        let event = Verified::for_test("stripe", id, body);
        store.store.accept(event).await.unwrap();
    }
    store.store.clone().close().await.unwrap();
    zero_page(&store.config, "event", "overflow", 4);
    store.store = open(&store.config, &store.clock).unwrap();
    assert_eq!(delivered_by_name(&store).await, ["a", "c"]);
    assert_eq!(store.counts("stripe"), (0, 2, 1));
    assert_eq!(store.store.stats().damaged, 1);
    // Its sender has the only whole copy.
    let again = Verified::for_test("stripe", "b", body);
    let again = store.store.accept(again).await.unwrap();
    assert_eq!(again.kind(), ReceiptKind::Stored);
    assert_eq!(delivered_by_name(&store).await, ["b"]);
}

/// `HOOKGATE_TEST_TRUNCATIONS` says at how many lengths (40).
#[tokio::test]
async fn a_database_cut_at_any_length_is_refused_noted_or_counted() {
    let store = half_delivered().await;
    let bytes = std::fs::read(store.config.path.join("hookgate.db")).unwrap();
    let mark = std::fs::read(store.config.path.join("high-water")).unwrap();
    let lengths = number_from_environment("HOOKGATE_TEST_TRUNCATIONS").unwrap_or(40);
    let lengths = usize::try_from(lengths).unwrap().clamp(1, bytes.len());
    for n in 0..lengths {
        let length = bytes.len() * n / lengths;
        let dir = tempfile::tempdir().unwrap();
        let mut cut = store.config.clone();
        cut.path = dir.path().to_path_buf();
        std::fs::write(dir.path().join("hookgate.db"), &bytes[..length]).unwrap();
        std::fs::write(dir.path().join("high-water"), &mark).unwrap();
        match open(&cut, &store.clock) {
            Err(error) => assert!(matches!(error, StoreError::Damaged { .. }), "{error}"),
            Ok(found) => {
                let mut waiting = 0;
                while let Some(lease) = next_due(&found).await {
                    let n: u32 = id_of(&lease).parse().unwrap();
                    waiting += u64::from(n >= 60);
                    found.settle(lease, delivered());
                }
                // What is only noted is saved or counted by the next start.
                let noted = cut.path.join("damaged").exists();
                let loud = noted || waiting + found.stats().damaged >= 60;
                assert!(loud, "cut to {length}");
                let _ = found.close().await; // its damage may have ended it
            }
        }
    }
}

#[tokio::test]
async fn a_journal_that_is_gone_is_missed() {
    let mut store = half_delivered().await;
    store.store = open(&store.config, &store.clock).unwrap();
    store.accept("stripe", "tail").await;
    let database = std::fs::read(store.config.path.join("hookgate.db")).unwrap();
    store.store.clone().close().await.unwrap();
    // The database as it was before the journal was moved into it.
    std::fs::write(store.config.path.join("hookgate.db"), database).unwrap();
    drop(std::fs::remove_file(
        store.config.path.join("hookgate.db-wal"),
    ));
    store.store = open(&store.config, &store.clock).unwrap();
    assert_eq!(store.store.stats().damaged, 1);
    assert_eq!(delivered_now(&store).await.len(), 60);
    let again = store.accept("stripe", "tail").await;
    assert_eq!(again.kind(), ReceiptKind::Stored);
}

/// What the note says is for people: that it is there is enough, and a false one costs nothing.
#[tokio::test]
async fn a_note_of_damage_that_is_damaged_itself_still_counts() {
    for note in [&b""[..], b"\xff\x00garbage"] {
        let mut store = half_delivered().await;
        std::fs::write(store.config.path.join("damaged"), note).unwrap();
        store.store = open(&store.config, &store.clock).unwrap();
        assert_eq!(store.store.stats().damaged, 1, "never in silence");
        assert!(!store.config.path.join("damaged").exists());
        assert_eq!(store.counts("stripe"), (60, 60, 0));
        assert_eq!(delivered_now(&store).await.len(), 60);
        let again = store.accept("stripe", "0").await;
        assert_eq!(again.kind(), ReceiptKind::Duplicate);
    }
}
