//! Waiting for the app's verdict.

use std::time::Duration;

use super::support::*;
use crate::store::lease::DeadReason;
use crate::store::*;

async fn expect(store: &Fixture, id: &str) -> (Receipt, Expectation) {
    let event = event("stripe", id);
    let expecting = store.store.accept_and_expect(event, Awaited::Verdict);
    expecting.await.unwrap()
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
async fn a_failure_the_end_of_all_tries_and_a_record_that_cannot_be_read_are_no_verdict() {
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
    let (_, fourth) = expect(&store, "d").await;
    let lease = store.lease().await;
    let given_up = Settlement::Dead {
        attempt: None,
        reason: DeadReason::GaveUp,
    };
    store.store.settle(lease, given_up);

    assert!(is_fulfilled(third).await);
    assert!(!is_fulfilled(first).await);
    assert!(!is_fulfilled(second).await);
    assert!(!is_fulfilled(fourth).await);
}

fn answer(status: u16) -> AppAnswer {
    let status = http::StatusCode::from_u16(status).unwrap();
    let body = bytes::Bytes::from_static(b"what the app said");
    AppAnswer::new(status, &http::HeaderMap::new(), &body, true).unwrap()
}

async fn ask(store: &Fixture, id: &str) -> (Receipt, Expectation) {
    let asking = store
        .store
        .accept_and_expect(event("stripe", id), Awaited::Answer);
    asking.await.unwrap()
}

/// What it is told by now.
async fn told(expectation: Expectation) -> Spoken {
    expectation.answered(std::future::ready(())).await
}

#[tokio::test]
async fn an_answer_reaches_all_who_wait_for_it_and_those_who_ask_before_it_is_on_disk() {
    let store = Fixture::new();
    let (_, first) = ask(&store, "a").await;
    let (_, beside) = ask(&store, "a").await;
    let lease = store.lease().await;
    assert!(store.store.pass_on(&lease, Some(answer(200))));
    store.store.settle(lease, delivered());
    let (_, between) = ask(&store, "a").await;
    store.store.flush().await.unwrap();
    let (repeat, late) = ask(&store, "a").await;

    assert_eq!(repeat.kind(), ReceiptKind::Duplicate);
    for expectation in [first, beside, between, late] {
        let patience = Duration::from_secs(20);
        let spoken = match expectation.said().await.unwrap() {
            Some(Said::Answer(answer)) => Spoken::Answer(answer),
            Some(Said::Forgotten) | None => {
                expectation.answered(tokio::time::sleep(patience)).await
            }
        };
        assert_eq!(spoken, Spoken::Answer(answer(200)));
    }
}

#[tokio::test]
async fn whoever_has_left_has_heard_nothing() {
    let store = Fixture::new();
    let (_, waits) = ask(&store, "a").await;
    assert_eq!(told(waits).await, Spoken::NotYet);
    let (_, waits) = ask(&store, "a").await;
    drop(waits);
    let lease = store.lease().await;

    assert!(!store.store.pass_on(&lease, Some(answer(400))));

    store
        .store
        .settle(lease, retry(START.plus(Duration::from_hours(1))));
}

#[tokio::test]
async fn an_event_that_is_settled_without_an_answer_says_so() {
    let store = Fixture::new();
    let (_, waits) = ask(&store, "a").await;
    let lease = store.lease().await;
    assert!(!store.store.pass_on(&lease, None));
    store.store.settle(lease, delivered());
    assert_eq!(told(waits).await, Spoken::Unfit);
    store.store.flush().await.unwrap();
    let (_, repeat) = ask(&store, "a").await;
    assert_eq!(repeat.said().await.unwrap(), Some(Said::Forgotten));
}

#[tokio::test]
async fn a_sender_that_asks_again_has_the_event_tried_now_and_only_once() {
    let store = Fixture::new();
    let (first, _) = ask(&store, "a").await;
    let lease = store.lease().await;
    let later = START.plus(Duration::from_hours(1));
    store.store.settle(lease, retry(later));
    assert!(store.nothing_due().await);
    // Who only waits for a verdict waits for the next try, too.
    let _ = expect(&store, "a").await;
    assert!(store.nothing_due().await);

    let (again, _) = ask(&store, "a").await;
    assert_eq!(again.event_id(), first.event_id());
    // And once more, before it is on disk that this has failed, too.
    let lease = store.lease().await;
    store.store.settle(lease, retry(later));
    for _ in 0..3 {
        let (again, _) = ask(&store, "a").await;
        assert_eq!(again.kind(), ReceiptKind::Duplicate);
        assert_eq!(again.event_id(), first.event_id());
    }

    let lease = store.lease().await;
    assert_eq!(
        (lease.event.id, lease.attempt, lease.replay),
        (first.event_id(), 3, false)
    );
    let _ = ask(&store, "a").await;
    assert!(store.nothing_due().await, "it is being tried");
    store.store.settle(lease, delivered());
    let store = store.reopen().await;
    assert!(store.nothing_due().await);
    assert_eq!(store.counts("stripe"), (0, 1, 0));
}

/// The worker that has it cannot be stopped.
#[tokio::test]
async fn of_an_event_that_is_erased_while_the_app_has_it_no_answer_is_kept() {
    let store = Fixture::new();
    let (receipt, waits) = ask(&store, "a").await;
    store.store.flush().await.unwrap();
    let lease = store.lease().await;
    assert!(store.store.erase(receipt.event_id()).await.unwrap());

    assert!(store.store.pass_on(&lease, Some(answer(200))));
    let Settlement::Delivered(attempt) = delivered() else {
        unreachable!("it is");
    };
    let personal = bytes::Bytes::from_static(b"personal");
    let attempt = Attempt {
        answer: personal,
        ..attempt
    };
    store.store.settle(lease, Settlement::Delivered(attempt));
    store.store.flush().await.unwrap();

    assert_eq!(
        told(waits).await,
        Spoken::Answer(answer(200)),
        "it was heard"
    );
    let (_, repeat) = ask(&store, "a").await;
    assert_eq!(repeat.said().await.unwrap(), Some(Said::Forgotten));
    let shown = store.store.show(receipt.event_id()).await.unwrap().unwrap();
    assert!(
        shown
            .attempts
            .iter()
            .all(|attempt| attempt.answer.is_empty())
    );
}
