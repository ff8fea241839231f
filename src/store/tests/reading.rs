//! Lists, one event, counts.

use std::time::Duration;

use super::support::*;
use crate::store::*;

fn ids(page: &Page) -> Vec<&str> {
    page.events
        .iter()
        .map(|event| event.provider_event_id.as_deref().unwrap())
        .collect()
}

#[tokio::test]
async fn lists_are_newest_first_and_go_on_at_the_cursor() {
    let store = Fixture::new();
    for n in 0..7 {
        store.accept("stripe", &n.to_string()).await;
    }
    let first = store.store.list(Filter::default(), 3, None).await.unwrap();
    assert_eq!(ids(&first), ["6", "5", "4"]);
    let second = store
        .store
        .list(Filter::default(), 3, first.next)
        .await
        .unwrap();
    assert_eq!(ids(&second), ["3", "2", "1"]);
    let third = store
        .store
        .list(Filter::default(), 3, second.next)
        .await
        .unwrap();
    assert_eq!((ids(&third), third.next), (vec!["0"], None));
}

#[tokio::test]
async fn lists_filter_by_source_state_and_id() {
    let store = Fixture::new();
    let a = store.accept("stripe", "a").await;
    store.accept("github", "b").await;
    store.accept("stripe", "c").await;
    for settlement in [delivered(), dead()] {
        let lease = store.lease().await;
        store.store.settle(lease, settlement);
    }
    store.store.flush().await.unwrap();
    let list = async |filter| store.store.list(filter, 10, None).await.unwrap();
    let of = Filter {
        source: Some("stripe".into()),
        ..Filter::default()
    };
    assert_eq!(ids(&list(of).await), ["c", "a"]);
    for (state, found) in [
        (State::Delivered, "a"),
        (State::Dead, "b"),
        (State::Pending, "c"),
    ] {
        let page = list(Filter {
            state: Some(state),
            ..Filter::default()
        })
        .await;
        // Sources take turns, so which of b and c came second is not fixed.
        assert_eq!(page.events.len(), 1, "{state:?}");
        assert_eq!(page.events[0].state, state);
        if state == State::Delivered {
            assert_eq!(ids(&page), [found]);
        }
    }
    for id in [a.event_id().to_string(), "a".to_owned()] {
        let page = list(Filter {
            id: Some(id.into()),
            ..Filter::default()
        })
        .await;
        assert_eq!(ids(&page), ["a"]);
    }
    let later = Filter {
        since: Some(START.plus(Duration::from_secs(1))),
        ..Filter::default()
    };
    assert!(list(later).await.events.is_empty());
}

#[tokio::test]
async fn what_is_known_by_the_providers_id_is_a_page_of_its_own_and_comes_once() {
    let store = Fixture::new();
    let first = store.accept("stripe", "twice").await;
    for n in 0..40 {
        store.accept("stripe", &n.to_string()).await;
    }
    let other_body = Verified::for_test("stripe", "twice", b"another");
    let second = store.store.accept(other_body).await.unwrap();
    assert_eq!(second.kind(), ReceiptKind::Conflict);
    store.accept("github", "twice").await;
    let filter = |source: &str| Filter {
        id: Some("twice".into()),
        source: Some(source.into()),
        dedup_ids: vec![(source.into(), b"twice".to_vec())],
        ..Filter::default()
    };
    let list = async |source, cursor| store.store.list(filter(source), 5, cursor).await.unwrap();
    let of = |page: &Page| page.events.iter().map(|event| event.id).collect::<Vec<_>>();

    let known = list("stripe", None).await;
    assert_eq!(of(&known), [first.event_id()]);
    let mut rest = Vec::new();
    let mut next = known.next;
    assert!(next.is_some());
    while let Some(cursor) = next {
        let page = list("stripe", Some(cursor)).await;
        rest.extend(of(&page));
        next = page.next;
    }
    assert_eq!(rest, [second.event_id()]);
    assert_eq!(ids(&list("github", None).await), ["twice"]);
}

#[tokio::test]
async fn lists_by_time_have_the_hours_between_and_nothing_else() {
    let store = Fixture::new();
    let hour = Duration::from_hours(1);
    for n in 0..12 {
        let event = event("stripe", &n.to_string()).at(store.clock.wall());
        store.store.accept(event).await.unwrap();
        store.advance(hour);
    }
    let list = async |since: u32, until: u32| {
        let filter = Filter {
            since: Some(START.plus(hour * since)),
            until: Some(START.plus(hour * until)),
            ..Filter::default()
        };
        let page = store.store.list(filter, 100, None).await.unwrap();
        assert_eq!(page.next, None);
        let events = page.events.iter().rev();
        let hours = events.map(|event| event.received_at.since(START).as_secs() / 3600);
        hours.collect::<Vec<_>>()
    };
    assert_eq!(list(0, 24).await, (0..12).collect::<Vec<_>>());
    assert_eq!(list(3, 6).await, [3, 4, 5]);
    assert_eq!(list(11, 12).await, [11]);
    assert_eq!(list(0, 1).await, [0]);
    assert_eq!(list(0, 0).await, [0; 0]);
    assert_eq!(list(20, 24).await, [0; 0]);
}

/// Ids of one millisecond are in no order, and a clock may be set back.
#[tokio::test]
async fn a_list_by_time_hides_nothing_that_came_out_of_order() {
    let store = Fixture::new();
    let accept = async |n: u32| {
        let event = event("stripe", &n.to_string()).at(store.clock.wall());
        store.store.accept(event).await.unwrap();
    };
    for n in 0..30 {
        accept(n).await;
    }
    store.advance(Duration::from_hours(3));
    for n in 30..60 {
        accept(n).await;
    }
    let count = async |filter| {
        let page = store.store.list(filter, 100, None).await.unwrap();
        page.events.len()
    };
    let later = START.plus(Duration::from_hours(3));
    let until = |until| Filter {
        until: Some(until),
        ..Filter::default()
    };
    let since = |since| Filter {
        since: Some(since),
        ..Filter::default()
    };
    assert_eq!(count(until(later.plus(Duration::from_secs(1)))).await, 60);
    assert_eq!(count(until(later)).await, 30);
    assert_eq!(count(since(START)).await, 60);
    assert_eq!(count(since(later)).await, 30);
}

#[tokio::test]
async fn an_event_is_shown_with_body_and_attempts() {
    let store = Fixture::new();
    let receipt = store.accept("stripe", "a").await;
    let lease = store.lease().await;
    let sent = lease.event.clone();
    store
        .store
        .settle(lease, retry(START.plus(Duration::from_secs(5))));
    store.store.flush().await.unwrap();
    store.advance(Duration::from_secs(6));
    store.deliver_next().await;
    store.store.flush().await.unwrap();
    let shown = store.store.show(receipt.event_id()).await.unwrap().unwrap();
    assert!(matches!(&shown.content, Content::Whole(event) if **event == *sent));
    let outcomes: Vec<_> = shown
        .attempts
        .iter()
        .map(|attempt| (attempt.number, &*attempt.outcome))
        .collect();
    assert_eq!(outcomes, [(1, "server_error"), (2, "delivered")]);
    assert_eq!(
        (shown.summary.attempts, shown.summary.state),
        (2, State::Delivered)
    );
    assert!(
        store
            .store
            .show(crate::event::EventId::new(START))
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn counts_are_exact_and_know_the_oldest_pending() {
    let store = Fixture::new();
    store.accept("stripe", "a").await;
    store.accept("stripe", "b").await;
    let counts = store.store.counts().of(&"stripe".into());
    assert_eq!((counts.pending, counts.oldest_pending_at), (2, Some(START)));
    let lease = store.lease().await;
    store
        .store
        .settle(lease, retry(START.plus(Duration::from_secs(60))));
    store.deliver_next().await;
    store.store.flush().await.unwrap();
    let store = store.reopen().await;
    let counts = store.store.counts().of(&"stripe".into());
    assert_eq!(
        (counts.pending, counts.delivered, counts.oldest_pending_at),
        (1, 1, Some(START))
    );
    store.advance(Duration::from_secs(61));
    store.deliver_next().await;
    store.store.flush().await.unwrap();
    assert_eq!(
        store.store.counts().of(&"stripe".into()).oldest_pending_at,
        None
    );
}
