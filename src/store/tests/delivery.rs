//! From the store to the app and back.

use std::time::Duration;

use super::support::*;
use crate::event::SourceName;
use crate::store::*;

#[tokio::test]
async fn nothing_acknowledged_is_missing_after_a_kill() {
    let store = Fixture::new();
    for n in 0..50 {
        store.accept("stripe", &format!("evt_{n}")).await;
    }
    for _ in 0..10 {
        store.deliver_next().await;
    }
    store.store.flush().await.unwrap();
    let copy = store.killed_copy();
    assert_eq!(copy.counts("stripe"), (40, 10, 0));
    for n in 10..50 {
        assert_eq!(copy.deliver_next().await, format!("evt_{n}"));
    }
    assert_eq!(
        copy.accept("stripe", "evt_3").await.kind(),
        ReceiptKind::Duplicate
    );
}

#[tokio::test]
async fn retries_come_back_in_the_order_they_are_due_with_their_attempts() {
    let store = Fixture::new();
    for id in ["a", "b", "c"] {
        store.accept("stripe", id).await;
    }
    for seconds in [30, 10, 20] {
        let lease = store.lease().await;
        store
            .store
            .settle(lease, retry(START.plus(Duration::from_secs(seconds))));
    }
    assert!(store.nothing_due().await);
    let store = store.reopen().await;
    assert!(store.nothing_due().await);
    store.advance(Duration::from_secs(25));
    for id in ["b", "c"] {
        let lease = store.lease().await;
        assert_eq!((id_of(&lease).as_str(), lease.attempt), (id, 2));
        assert_eq!(lease.pending_since, START);
        store.store.settle(lease, delivered());
    }
    assert!(store.nothing_due().await);
    store.advance(Duration::from_secs(5));
    assert_eq!(store.deliver_next().await, "a");
    store.store.flush().await.unwrap();
    assert_eq!(store.counts("stripe"), (0, 3, 0));
}

#[tokio::test]
async fn a_lease_that_is_dropped_or_released_comes_back_first() {
    let store = Fixture::new();
    store.accept("stripe", "a").await;
    store.accept("stripe", "b").await;
    drop(store.lease().await);
    let lease = store.lease().await;
    assert_eq!((id_of(&lease).as_str(), lease.attempt), ("a", 1));
    store.store.release(lease);
    assert_eq!(store.deliver_next().await, "a");
    assert_eq!(store.deliver_next().await, "b");
}

#[tokio::test]
async fn a_cancelled_wait_for_work_takes_nothing_along() {
    let store = Fixture::new();
    assert!(store.nothing_due().await);
    store.accept("stripe", "a").await;
    assert_eq!(store.deliver_next().await, "a");
}

#[tokio::test]
async fn sources_take_turns_and_keep_their_order() {
    let store = Fixture::new();
    for n in 0..4 {
        store.accept("loud", &n.to_string()).await;
    }
    store.accept("quiet", "q").await;
    let mut order = Vec::new();
    for _ in 0..5 {
        order.push(store.deliver_next().await);
    }
    assert!(
        order.iter().position(|id| id == "q").unwrap() <= 1,
        "{order:?}"
    );
    order.retain(|id| id != "q");
    assert_eq!(order, ["0", "1", "2", "3"]);
}

#[tokio::test]
async fn a_held_source_waits_and_the_others_flow() {
    let store = Fixture::new();
    let loud = SourceName::from("loud");
    store.store.hold(&loud, true);
    store.accept("loud", "l").await;
    store.accept("quiet", "q").await;
    assert_eq!(store.deliver_next().await, "q");
    assert!(store.nothing_due().await);
    store.store.hold(&loud, false);
    assert_eq!(store.deliver_next().await, "l");
}

#[tokio::test]
async fn a_backlog_larger_than_memory_drains_in_order() {
    let store = Fixture::with(|config| config.backlog_bytes_max = 4_000);
    for n in 0..300 {
        store.accept("loud", &n.to_string()).await;
        if n % 10 == 0 {
            store.accept("quiet", &n.to_string()).await;
        }
    }
    let store = store.reopen().await;
    let (mut loud, mut quiet) = (Vec::new(), Vec::new());
    for _ in 0..330 {
        let lease = store.lease().await;
        let n: u32 = id_of(&lease).parse().unwrap();
        if lease.event.source.as_str() == "loud" {
            loud.push(n)
        } else {
            quiet.push(n)
        }
        store.store.settle(lease, delivered());
    }
    assert_eq!(loud, (0..300).collect::<Vec<_>>());
    assert_eq!(quiet, (0..300).step_by(10).collect::<Vec<_>>());
    assert!(store.nothing_due().await);
    assert_eq!(
        (store.counts("loud"), store.counts("quiet")),
        ((0, 300, 0), (0, 30, 0))
    );
}

#[tokio::test]
async fn a_replay_delivers_again_and_says_so() {
    let store = Fixture::new();
    let receipt = store.accept("stripe", "a").await;
    store.deliver_next().await;
    store.store.flush().await.unwrap();
    let unknown = crate::event::EventId::new(START);
    assert_eq!(
        store
            .store
            .replay(vec![receipt.event_id(), unknown])
            .await
            .unwrap(),
        1
    );
    let lease = store.lease().await;
    assert_eq!((lease.attempt, lease.replay), (1, true));
    store.store.settle(lease, delivered());
    store.store.flush().await.unwrap();
    let shown = store.store.show(receipt.event_id()).await.unwrap().unwrap();
    assert!(shown.replay);
    assert_eq!(shown.attempts.len(), 2);
    assert_eq!(store.counts("stripe"), (0, 1, 0));
}

#[tokio::test]
async fn a_replay_brings_a_later_retry_forward() {
    let store = Fixture::new();
    let receipt = store.accept("stripe", "a").await;
    let lease = store.lease().await;
    store
        .store
        .settle(lease, retry(START.plus(Duration::from_secs(3600))));
    assert!(store.nothing_due().await);
    assert_eq!(
        store.store.replay(vec![receipt.event_id()]).await.unwrap(),
        1
    );
    let lease = store.lease().await;
    assert!(lease.replay);
    store.store.settle(lease, delivered());
    store.advance(Duration::from_secs(7200));
    assert!(store.nothing_due().await);
}

#[tokio::test]
async fn an_erased_event_is_not_delivered_and_still_known() {
    let store = Fixture::new();
    let (a, b) = (
        store.accept("stripe", "a").await,
        store.accept("stripe", "b").await,
    );
    assert!(store.store.erase(a.event_id()).await.unwrap());
    assert_eq!(store.deliver_next().await, "b");
    assert!(store.nothing_due().await);
    assert!(store.store.erase(b.event_id()).await.unwrap());
    let shown = store.store.show(a.event_id()).await.unwrap().unwrap();
    assert!(matches!(shown.content, Content::Erased));
    assert_eq!(shown.summary.dead_reason, Some(DeadReason::Erased));
    assert_eq!(
        store.accept("stripe", "a").await.kind(),
        ReceiptKind::Duplicate
    );
    assert_eq!(
        store
            .store
            .replay(vec![a.event_id(), b.event_id()])
            .await
            .unwrap(),
        0
    );
    assert_eq!(store.counts("stripe"), (0, 1, 1));
}

#[tokio::test]
async fn what_waits_for_a_retry_can_be_made_due_at_once_and_keeps_its_attempts() {
    let store = Fixture::new();
    for n in 0..10 {
        store
            .accept(["stripe", "github"][n % 2], &n.to_string())
            .await;
        let lease = store.lease().await;
        let later = START.plus(Duration::from_secs(3600 + n as u64));
        store.store.settle(lease, retry(later));
    }
    store.store.flush().await.unwrap();

    let beyond = Duration::from_secs(3605);
    assert_eq!(store.store.hasten(beyond).await.unwrap(), 4);
    assert_eq!(store.store.hasten(Duration::from_secs(5)).await.unwrap(), 6);
    assert_eq!(store.store.hasten(Duration::from_secs(5)).await.unwrap(), 0);

    let store = store.reopen().await;
    for _ in 0..10 {
        let lease = store.lease().await;
        assert_eq!((lease.attempt, lease.replay), (2, false));
        store.store.settle(lease, delivered());
    }
    store.store.flush().await.unwrap();
    assert_eq!(store.store.counts().of(&"stripe".into()).delivered, 5);
}
