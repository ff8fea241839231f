//! A damaged file never yields a changed event and never looks empty.

use std::collections::HashSet;

use rusqlite::Connection;

use super::support::*;
use crate::event::EventId;
use crate::store::*;

fn edit(store: &Config, sql: &str) {
    Connection::open(store.path.join("hookgate.db"))
        .unwrap()
        .execute_batch(sql)
        .unwrap();
}

async fn closed_with(events: usize) -> (Fixture, Vec<EventId>) {
    let store = Fixture::new();
    let mut ids = Vec::new();
    for n in 0..events {
        ids.push(store.accept("stripe", &n.to_string()).await.event_id());
    }
    store.store.clone().close().await.unwrap();
    (store, ids)
}

async fn one_damaged(sql: &str) {
    let (mut store, ids) = closed_with(3).await;
    edit(&store.config, sql);
    store.store = open(&store.config, &store.clock).unwrap();
    assert_eq!(store.deliver_next().await, "0");
    assert_eq!(store.deliver_next().await, "2");
    assert!(store.nothing_due().await);
    assert_eq!(store.counts("stripe"), (0, 2, 1));
    assert_eq!(store.store.stats().damaged, 1);
    let shown = store
        .store
        .list(
            Filter {
                state: Some(State::Dead),
                ..Filter::default()
            },
            10,
            None,
        )
        .await
        .unwrap();
    assert_eq!(shown.events[0].dead_reason, Some(DeadReason::Unreadable));
    if let Some(shown) = store.store.show(ids[1]).await.unwrap() {
        assert!(matches!(shown.content, Content::Damaged));
    }
}

#[tokio::test]
async fn a_changed_body_becomes_a_dead_letter() {
    one_damaged("UPDATE event SET body = x'00' WHERE seq = 2").await;
}

#[tokio::test]
async fn a_changed_header_becomes_a_dead_letter() {
    one_damaged("UPDATE event SET headers = x'00' WHERE seq = 2").await;
}

#[tokio::test]
async fn a_changed_identity_becomes_a_dead_letter() {
    one_damaged("UPDATE event SET target = '/elsewhere' WHERE seq = 2").await;
}

#[tokio::test]
async fn a_body_that_vanished_becomes_a_dead_letter() {
    one_damaged("UPDATE event SET headers = NULL, body = NULL WHERE seq = 2").await;
}

#[tokio::test]
async fn an_event_in_anothers_place_becomes_a_dead_letter() {
    one_damaged(
        "UPDATE event SET (id, provider_id, body, headers, head_sum, sum) =
           (SELECT id, provider_id, body, headers, head_sum, sum FROM event WHERE seq = 1) WHERE seq = 2",
    )
    .await;
}

/// Quarantined events were taken off the backlog's bytes, which had never been added: memory
/// could then hold more than its bound.
#[tokio::test]
async fn a_damaged_event_does_not_make_room_in_memory() {
    let (mut store, _) = closed_with(3).await;
    edit(
        &store.config,
        "UPDATE event SET body = zeroblob(500000) WHERE seq = 2",
    );
    store.store = open(&store.config, &store.clock).unwrap();
    let leases = [store.lease().await, store.lease().await];
    assert!(store.nothing_due().await);
    assert_eq!(store.counts("stripe").2, 1);
    let held: usize = leases.iter().map(|lease| lease.event.size_bytes()).sum();
    let (_, free) = store.store.shared().backlog.full();
    assert_eq!(free + held, store.config.backlog_bytes_max);
}

/// It was answered as a duplicate and "revived" the damaged row, which died again at once: the
/// provider's only whole copy was thrown away.
#[tokio::test]
async fn a_repeat_of_a_damaged_event_is_stored_anew() {
    let (mut store, _) = closed_with(1).await;
    edit(&store.config, "UPDATE event SET body = x'00' WHERE seq = 1");
    store.store = open(&store.config, &store.clock).unwrap();
    while store.counts("stripe") != (0, 0, 1) {
        store.store.flush().await.unwrap();
    }
    let again = store.accept("stripe", "0").await;
    assert_eq!(again.kind(), ReceiptKind::Stored);
    let more = store.accept("stripe", "0").await;
    assert_eq!(
        (more.kind(), more.event_id()),
        (ReceiptKind::Duplicate, again.event_id())
    );
    assert_eq!(store.deliver_next().await, "0");
    assert!(store.nothing_due().await);
    assert_eq!(store.counts("stripe"), (0, 1, 1));
}

/// A flipped bit in a row's header makes a number a text. The read of such a row was an error, and
/// one of them in a list took all other events with it.
#[tokio::test]
async fn a_number_that_is_none_any_more_damages_one_event_and_not_the_list() {
    for column in ["accepted_at", "received_at", "head_sum", "sum"] {
        let (mut store, ids) = closed_with(3).await;
        let file = &store.config;
        edit(
            file,
            "PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET sql = replace(sql, ' STRICT', '') WHERE name = 'event'",
        );
        edit(
            file,
            &format!("UPDATE event SET {column} = 'x' WHERE seq = 2"),
        );
        edit(
            file,
            "PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET sql = sql || ' STRICT' WHERE name = 'event'",
        );
        store.store = open(&store.config, &store.clock).unwrap();
        let listed = store.store.list(Filter::default(), 10, None).await;
        let listed = listed.unwrap_or_else(|error| panic!("{column}: {error}"));
        assert_eq!(listed.events.len(), 3, "{column}");
        let shown = store.store.show(ids[1]).await.unwrap().unwrap();
        assert!(matches!(shown.content, Content::Damaged), "{column}");
    }
}

#[tokio::test]
async fn a_newer_format_is_refused_and_left_alone() {
    let (store, _) = closed_with(1).await;
    edit(&store.config, "PRAGMA user_version = 99");
    let before = std::fs::read(store.config.path.join("hookgate.db")).unwrap();
    let refused = open(&store.config, &store.clock);
    let refused = refused.err().unwrap();
    assert!(matches!(refused, StoreError::Newer { found: 99, .. }));
    let file = store.config.path.join("hookgate.db");
    // It may be a flipped bit and no newer version.
    let words = refused.to_string();
    assert!(words.contains(&*file.to_string_lossy()), "{words}");
    assert!(words.contains("the file is damaged"), "{words}");
    assert_eq!(std::fs::read(file).unwrap(), before);
}

#[tokio::test]
async fn flipped_bits_never_change_an_event() {
    let (store, _) = closed_with(40).await;
    let file = store.config.path.join("hookgate.db");
    let whole = std::fs::read(&file).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let mut opened = 0;
    for flips in (1..=8).cycle().take(80) {
        let mut bytes = whole.clone();
        for _ in 0..flips {
            let at = random.usize(100..bytes.len());
            bytes[at] ^= 1 << random.u8(0..8);
        }
        std::fs::write(&file, &bytes).unwrap();
        for name in ["hookgate.db-wal", "hookgate.db-shm"] {
            let _ = std::fs::remove_file(store.config.path.join(name));
        }
        let Ok(damaged) = open(&store.config, &store.clock) else {
            continue; // loud enough
        };
        opened += 1;
        let mut seen = HashSet::new();
        while let Some(lease) = next_due(&damaged).await {
            let id: usize = id_of(&lease).parse().unwrap();
            assert!(id < 40 && seen.insert(id));
            assert_eq!(lease.event.body, "{\"hello\":\"world\"}");
            damaged.settle(lease, delivered());
        }
        // Whatever is missing is reported: as damaged, as still to deliver, or by giving up.
        let flushed = damaged.flush().await;
        let pending = damaged.counts().of(&"stripe".into()).pending;
        let reported = damaged.stats().damaged + pending;
        assert!(
            flushed.is_err() || wide(seen.len()) + reported >= 40,
            "{} delivered, {reported} reported",
            seen.len()
        );
        let _ = damaged.close().await; // its damage may have ended it
    }
    assert!(opened > 10, "{opened}");
}

/// It failed now and then on a busy machine: it took 20 ms without a lease for the end, while the
/// writer, which had more to read back, had not been given a core.
#[tokio::test]
async fn a_truncated_journal_never_changes_an_event() {
    let store = Fixture::new();
    for n in 0..20 {
        store.accept("stripe", &n.to_string()).await;
    }
    let journal = std::fs::read(store.config.path.join("hookgate.db-wal")).unwrap();
    let main = std::fs::read(store.config.path.join("hookgate.db")).unwrap();
    // The mark, once it is written.
    store.store.clone().close().await.unwrap();
    let mark = std::fs::read(store.config.path.join("high-water")).unwrap();
    let mut opened = 0;
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        std::fs::write(dir.path().join("hookgate.db"), &main).unwrap();
        std::fs::write(dir.path().join("high-water"), &mark).unwrap();
        std::fs::write(
            dir.path().join("hookgate.db-wal"),
            &journal[..random.usize(0..journal.len())],
        )
        .unwrap();
        let Ok(torn) = open(&config, &store.clock) else {
            continue;
        };
        opened += 1;
        let mut next = 0;
        while let Some(lease) = next_due(&torn).await {
            assert_eq!(
                (id_of(&lease), &lease.event.body[..]),
                (next.to_string(), &b"{\"hello\":\"world\"}"[..])
            );
            next += 1;
            torn.settle(lease, delivered());
        }
        // What the journal lost is reported.
        assert_eq!(next + torn.stats().damaged, 20);
        torn.close().await.unwrap();
    }
    assert!(opened > 10, "{opened}");
}

/// `HOOKGATE_TEST_TRUNCATIONS` says at how many lengths (300); as many as there are bytes is all.
#[tokio::test]
async fn a_commit_that_was_torn_anywhere_and_never_answered_is_dropped_without_a_word() {
    let (mut store, _) = closed_with(5).await;
    let mark = std::fs::read(store.config.path.join("high-water")).unwrap();
    store.store = open(&store.config, &store.clock).unwrap();
    store.accept("stripe", "tail").await;
    let read = |name| std::fs::read(store.config.path.join(name)).unwrap();
    let (main, journal) = (read("hookgate.db"), read("hookgate.db-wal"));
    let wanted = number_from_environment("HOOKGATE_TEST_TRUNCATIONS").unwrap_or(300);
    let wanted = usize::try_from(wanted).unwrap().clamp(1, journal.len());
    let dir = tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap());
    let config = config(dir.path());
    let mut whole = 0;
    for n in 0..=wanted {
        let length = journal.len() * n / wanted;
        for (name, bytes) in [
            ("hookgate.db", &main[..]),
            ("high-water", &mark),
            ("hookgate.db-wal", &journal[..length]),
        ] {
            std::fs::write(dir.path().join(name), bytes).unwrap();
        }
        let torn = open(&config, &store.clock).unwrap();
        assert_eq!(torn.stats().damaged, 0, "cut to {length}");
        let mut seen = Vec::new();
        while let Some(lease) = next_due(&torn).await {
            seen.push(id_of(&lease));
            torn.settle(lease, delivered());
        }
        whole += usize::from(seen.last().is_some_and(|last| last == "tail"));
        seen.retain(|id| id != "tail");
        assert_eq!(seen, ["0", "1", "2", "3", "4"], "cut to {length}");
        torn.close().await.unwrap();
    }
    assert!((1..=wanted).contains(&whole));
    println!(
        "a journal of {} bytes cut at {} lengths: 0 acknowledged events lost, 0 false alarms",
        journal.len(),
        wanted + 1
    );
}

#[tokio::test]
async fn acknowledged_events_that_are_gone_are_counted_also_when_the_file_is() {
    let (mut store, _) = closed_with(9).await;
    // As a journal that is cut short leaves it.
    let gone = "DELETE FROM event WHERE seq > 5; UPDATE counter SET n = 5 WHERE k IN (-1, 4)";
    edit(&store.config, gone);
    store.store = open(&store.config, &store.clock).unwrap();
    assert_eq!(store.store.stats().damaged, 4, "what is lost is counted");
    for n in 0..5 {
        assert_eq!(store.deliver_next().await, n.to_string());
    }
    store.store.clone().close().await.unwrap();
    std::fs::remove_file(store.config.path.join("hookgate.db")).unwrap();
    store.store = open(&store.config, &store.clock).unwrap();
    assert_eq!(store.store.stats().damaged, 9);
}
