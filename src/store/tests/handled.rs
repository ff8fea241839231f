//! Waiting for the app's verdict.

use std::time::Duration;

use super::support::*;
use crate::store::lease::DeadReason;
use crate::store::*;

async fn expect(store: &Fixture, id: &str) -> (Receipt, Expectation) {
    let event = event("stripe", id);
    store.store.accept_and_expect(event).await.unwrap()
}

/// Whether it is fulfilled by now, without waiting for anything else.
async fn is_fulfilled(expectation: Expectation) -> bool {
    tokio::select! {
        biased;
        fulfilled = expectation.fulfilled() => fulfilled.is_ok(),
        () = std::future::ready(()) => false,
    }
}

#[tokio::test]
async fn all_who_wait_for_one_event_are_told_whenever_they_began() {
    let store = Fixture::new();
    let (first, early) = expect(&store, "a").await;
    let (repeat, beside) = expect(&store, "a").await;
    assert_eq!(repeat.kind(), ReceiptKind::Duplicate);
    assert_eq!(repeat.event_id(), first.event_id());

    let lease = store.lease().await;
    store.store.settle(lease, delivered());
    let (_, between) = expect(&store, "a").await;
    store.store.flush().await.unwrap();
    let (_, late) = expect(&store, "a").await;

    for expectation in [early, beside, between, late] {
        expectation.fulfilled().await.unwrap();
    }
}

#[tokio::test]
async fn nobody_waits_for_the_app_over_an_event_that_it_took_long_ago() {
    let store = Fixture::new();
    let (receipt, _) = expect(&store, "a").await;
    store.deliver_next().await;
    store.store.flush().await.unwrap();
    store.advance(Duration::from_hours(24 * 8));
    while store
        .store
        .show(receipt.event_id())
        .await
        .unwrap()
        .is_some()
    {
        store.store.nudge();
        tokio::task::yield_now().await;
    }

    let (repeat, expectation) = expect(&store, "a").await;

    assert_eq!(repeat.kind(), ReceiptKind::Duplicate);
    expectation.fulfilled().await.unwrap();
}

#[tokio::test]
async fn a_failure_for_now_and_a_record_that_cannot_be_read_are_no_verdict() {
    let store = Fixture::new();
    let (_, first) = expect(&store, "a").await;
    let lease = store.lease().await;
    let later = START.plus(Duration::from_hours(1));
    store.store.settle(lease, retry(later));
    let (_, second) = expect(&store, "b").await;
    let lease = store.lease().await;
    let unreadable = Settlement::Dead {
        attempt: None,
        reason: DeadReason::Unreadable,
    };
    store.store.settle(lease, unreadable);
    let (_, third) = expect(&store, "c").await;
    let lease = store.lease().await;
    store.store.settle(lease, dead());

    assert!(is_fulfilled(third).await);
    assert!(!is_fulfilled(first).await);
    assert!(!is_fulfilled(second).await);
}
