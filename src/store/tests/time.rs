//! A process that starts with a wrong clock.

use std::time::Duration;

use super::support::*;
use crate::clock::{Clock, UnixMillis};
use crate::store::*;

const YEARS: Duration = Duration::from_hours(24 * 3650);
const HOUR: Duration = Duration::from_hours(1);

/// Closes, and opens as a new process that reads this time from the machine.
async fn start_at(store: Fixture, wall: UnixMillis) -> Fixture {
    store.store.clone().close().await.unwrap();
    open_at(store, wall)
}

fn open_at(mut store: Fixture, wall: UnixMillis) -> Fixture {
    store.clock = Clock::manual(wall);
    store.store = open(&store.config, &store.clock).unwrap();
    store
}

async fn several_rounds_of_pruning(store: &Fixture) {
    for _ in 0..5 {
        store.advance(Duration::from_secs(11));
        store.store.flush().await.unwrap();
    }
}

/// Steady time began as wall time at each start: with a clock ten years ahead everything that was
/// delivered or dead was pruned within seconds, and ids were forgotten.
#[tokio::test]
async fn a_clock_that_is_years_ahead_at_a_start_prunes_nothing_that_is_younger() {
    let store = Fixture::new();
    store.accept("stripe", "a").await;
    store.accept("stripe", "b").await;
    store.deliver_next().await;
    let lease = store.lease().await;
    store.store.settle(lease, dead());
    let store = start_at(store, START.plus(YEARS)).await;
    several_rounds_of_pruning(&store).await;
    assert_eq!(store.counts("stripe"), (0, 1, 1), "none of it is old");
    let again = store.accept("stripe", "a").await;
    assert_eq!(again.kind(), ReceiptKind::Duplicate);
    // Nor does it add up, however often it starts.
    let mut store = store;
    for _ in 0..200 {
        store = start_at(store, START.plus(YEARS)).await;
    }
    several_rounds_of_pruning(&store).await;
    assert_eq!(store.counts("stripe"), (0, 1, 1));
    // And what is old is old, by the time that has passed.
    store.advance(HOUR * 24 * 8);
    while store.counts("stripe") != (0, 0, 1) {
        several_rounds_of_pruning(&store).await;
    }
}

/// With a clock that is behind, retries waited for as many years.
#[tokio::test]
async fn a_clock_that_is_years_behind_at_a_start_stalls_no_retry() {
    let store = Fixture::new();
    store.accept("stripe", "a").await;
    let lease = store.lease().await;
    store.store.settle(lease, retry(START.plus(HOUR / 2)));
    let store = start_at(store, START.minus(YEARS)).await;
    assert!(store.nothing_due().await);
    store.advance(HOUR / 2);
    assert_eq!(store.deliver_next().await, "a");
    let new = store.accept("stripe", "b").await;
    assert_eq!(new.kind(), ReceiptKind::Stored);
    let lease = store.lease().await;
    let waits = store.clock.steady().since(lease.pending_since);
    assert_eq!(waits, Duration::ZERO);
}

#[tokio::test]
async fn after_a_night_without_a_process_every_retry_is_due() {
    let store = Fixture::new();
    store.accept("stripe", "a").await;
    let lease = store.lease().await;
    store.store.settle(lease, retry(START.plus(HOUR)));
    let store = start_at(store, START.plus(HOUR * 12)).await;
    assert_eq!(store.deliver_next().await, "a");
}

/// A power cut can take the last mark; the newest event then tells the time.
#[tokio::test]
async fn without_a_mark_the_newest_event_tells_the_time() {
    let store = Fixture::new();
    store.accept("stripe", "a").await;
    store.deliver_next().await;
    store.store.flush().await.unwrap();
    store.store.clone().close().await.unwrap();
    std::fs::remove_file(store.config.path.join("high-water")).unwrap();
    let store = open_at(store, START.plus(YEARS));
    assert_eq!(
        store.store.stats().damaged,
        1,
        "a mark that is gone is damage"
    );
    assert_eq!(store.clock.steady(), START.plus(HOUR));
    several_rounds_of_pruning(&store).await;
    assert_eq!(store.counts("stripe"), (0, 1, 0));
}
