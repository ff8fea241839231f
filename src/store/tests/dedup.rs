//! One record per event, however many copies arrive.

use super::support::*;
use crate::store::*;
use crate::verify::Verified;

#[tokio::test]
async fn a_thousand_copies_at_once_are_one_event() {
    let store = Fixture::new();
    let mut copies = tokio::task::JoinSet::new();
    for _ in 0..1000 {
        let store = store.store.clone();
        copies.spawn(async move { store.accept(event("stripe", "evt_1")).await.unwrap() });
    }
    let receipts = copies.join_all().await;
    let stored: Vec<_> = receipts
        .iter()
        .filter(|receipt| receipt.kind() == ReceiptKind::Stored)
        .collect();
    assert_eq!(stored.len(), 1);
    assert!(
        receipts
            .iter()
            .all(|receipt| receipt.event_id() == stored[0].event_id())
    );
    assert_eq!(store.counts("stripe"), (1, 0, 0));
}

#[tokio::test]
async fn a_repeat_of_a_pending_or_delivered_event_is_suppressed() {
    let store = Fixture::new();
    let first = store.accept("stripe", "evt_1").await;
    let again = store.accept("stripe", "evt_1").await;
    assert_eq!(
        (again.kind(), again.event_id()),
        (ReceiptKind::Duplicate, first.event_id())
    );
    assert_eq!(store.deliver_next().await, "evt_1");
    assert!(store.nothing_due().await);
    let again = store.accept("stripe", "evt_1").await;
    assert_eq!(
        (again.kind(), again.event_id()),
        (ReceiptKind::Duplicate, first.event_id())
    );
    assert!(store.nothing_due().await);
    assert_eq!(store.counts("stripe"), (0, 1, 0));
}

#[tokio::test]
async fn a_repeat_of_a_dead_letter_brings_it_back() {
    let store = Fixture::new();
    let first = store.accept("stripe", "evt_1").await;
    let lease = store.lease().await;
    store.store.settle(lease, dead());
    store.store.flush().await.unwrap();
    assert_eq!(store.counts("stripe"), (0, 0, 1));
    store.advance(std::time::Duration::from_secs(60));
    assert_eq!(
        store.accept("stripe", "evt_1").await.kind(),
        ReceiptKind::Duplicate
    );
    let lease = store.lease().await;
    assert_eq!(
        (lease.event.id, lease.attempt, lease.replay),
        (first.event_id(), 1, false)
    );
    assert_eq!(
        lease.pending_since,
        START.plus(std::time::Duration::from_secs(60))
    );
    assert_eq!(store.counts("stripe"), (1, 0, 0));
}

#[tokio::test]
async fn the_same_id_with_another_body_is_an_event_of_its_own() {
    let store = Fixture::new();
    let other = || Verified::for_test("stripe", "evt_1", b"another body");
    store.accept("stripe", "evt_1").await;
    let conflict = store.store.accept(other()).await.unwrap();
    assert_eq!(conflict.kind(), ReceiptKind::Conflict);
    let again = store.store.accept(other()).await.unwrap();
    assert_eq!(
        (again.kind(), again.event_id()),
        (ReceiptKind::Duplicate, conflict.event_id())
    );
    assert_eq!(store.counts("stripe"), (2, 0, 0));
}

#[tokio::test]
async fn sources_do_not_share_ids() {
    let store = Fixture::new();
    assert_eq!(
        store.accept("stripe", "evt_1").await.kind(),
        ReceiptKind::Stored
    );
    assert_eq!(
        store.accept("github", "evt_1").await.kind(),
        ReceiptKind::Stored
    );
}

#[tokio::test]
async fn ids_are_remembered_over_restarts_and_forgotten_after_their_time() {
    let store = Fixture::new();
    store.accept("stripe", "evt_1").await;
    let store = store.reopen().await;
    assert_eq!(
        store.accept("stripe", "evt_1").await.kind(),
        ReceiptKind::Duplicate
    );
    store.advance(store.config.keep.ids + std::time::Duration::from_secs(1));
    assert_eq!(
        store.accept("stripe", "evt_1").await.kind(),
        ReceiptKind::Stored
    );
    assert_eq!(
        store.accept("stripe", "evt_1").await.kind(),
        ReceiptKind::Duplicate
    );
}

#[tokio::test]
async fn copies_in_one_batch_are_one_event_also_after_a_long_silence() {
    let store = Fixture::new();
    store.accept("stripe", "other").await;
    store.clock.advance(store.config.keep.ids * 2);
    let (one, two) = tokio::join!(
        store.store.accept(event("stripe", "evt_1")),
        store.store.accept(event("stripe", "evt_1"))
    );
    let kinds = [one.unwrap().kind(), two.unwrap().kind()];
    assert_eq!(kinds, [ReceiptKind::Stored, ReceiptKind::Duplicate]);
}

#[tokio::test]
async fn ids_that_moved_to_the_disk_are_known_too() {
    let store = Fixture::new();
    let mut accepts = tokio::task::JoinSet::new();
    for n in 0..1000 {
        let store = store.store.clone();
        accepts.spawn(async move { store.accept(event("stripe", &n.to_string())).await.unwrap() });
    }
    accepts.join_all().await;
    assert_eq!(store.store.stats().ids, 1000);
    let store = store.reopen().await;
    for n in (0..1000).step_by(7) {
        assert_eq!(
            store.accept("stripe", &n.to_string()).await.kind(),
            ReceiptKind::Duplicate
        );
    }
    assert_eq!(store.counts("stripe"), (1000, 0, 0));
}

/// Of ids that had moved to the disk, only the time of the newest one of their run was compared:
/// a repeat long after the window was suppressed because the run was young.
#[tokio::test]
async fn the_window_counts_from_each_id_also_for_those_on_the_disk() {
    let hour = std::time::Duration::from_secs(3600);
    let store = Fixture::with(|config| {
        config.dedup_windows.insert("stripe".into(), hour);
    });
    store.accept("stripe", "old").await;
    store.advance(hour * 2);
    for n in 0..400 {
        store.accept("stripe", &n.to_string()).await;
    }
    assert_eq!(
        store.accept("stripe", "0").await.kind(),
        ReceiptKind::Duplicate
    );
    assert_eq!(
        store.accept("stripe", "old").await.kind(),
        ReceiptKind::Stored
    );
}

#[tokio::test]
async fn a_repeat_after_the_source_s_window_is_a_new_event() {
    let hour = std::time::Duration::from_secs(3600);
    let store = Fixture::with(|config| {
        config.dedup_windows.insert("stripe".into(), hour);
    });
    store.accept("stripe", "evt_1").await;
    store.accept("other", "evt_1").await;
    store.advance(hour / 2);
    let within = store.accept("stripe", "evt_1").await;
    store.advance(hour);
    let after = store.accept("stripe", "evt_1").await;
    let elsewhere = store.accept("other", "evt_1").await;
    assert_eq!(
        [within.kind(), after.kind(), elsewhere.kind()],
        [
            ReceiptKind::Duplicate,
            ReceiptKind::Stored,
            ReceiptKind::Duplicate
        ]
    );
}
