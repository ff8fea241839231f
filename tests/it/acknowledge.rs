//! A 200 means that the event is on disk, once, however often and however it came.

use std::sync::Arc;

use hookgate::clock::Clock;
use hookgate::store::{Content, Store};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::support::app::Reply;
use crate::support::gate::Setup;
use crate::support::http::Connection;
use crate::support::sender::{Sender, bytes};
use crate::support::within;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_200_is_found_in_a_copy_of_the_store_taken_at_that_moment() {
    let stripe = Sender::new("stripe");
    let (setup, app) = Setup::scene(&[&stripe]).await;
    app.script(|_| Reply::Held); // so that nothing is written after the answer
    let gate = setup.start().await;
    let event = stripe.event("evt_1");

    let answer = gate.post(&event).await;

    let copy = setup.file("copy");
    std::fs::create_dir(&copy).unwrap();
    for file in std::fs::read_dir(setup.store()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.join(file.file_name())).unwrap();
    }
    let mut config = setup.config().store;
    config.path = copy;
    let runtime = tokio::runtime::Handle::current();
    let open = move || Store::open(config, Clock::real(), &runtime);
    let store = tokio::task::spawn_blocking(open).await.unwrap().unwrap();
    let id = answer.acknowledged("stored").parse().unwrap();
    let stored = store.show(id).await.unwrap().expect("the event");
    let Content::Whole(found) = stored.content else {
        panic!("{stored:?}");
    };
    assert_eq!(found.body, event.body);
    assert_eq!(found.provider_event_id.as_deref(), Some("evt_1"));
    store.close().await.unwrap();
    app.release();
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_names_the_event_and_has_no_body() {
    let stripe = Sender::new("stripe");
    let (setup, app) = Setup::scene(&[&stripe]).await;
    let gate = setup.start().await;

    let answer = gate.post(&stripe.event("evt_1")).await;

    let id = answer.acknowledged("stored");
    assert!(id.starts_with("evt_") && id.len() == 36, "{id}");
    assert_eq!(answer.body, b"");
    let mut names: Vec<_> = answer.headers.iter().map(|(name, _)| &**name).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "content-length",
            "date",
            "hookgate-event-id",
            "hookgate-request-id",
            "hookgate-status"
        ]
    );
    assert_eq!(app.delivery(0).await.event_id(), id);
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_is_acknowledged_as_a_duplicate_and_delivered_once() {
    let stripe = Sender::new("stripe");
    let (setup, app) = Setup::scene(&[&stripe]).await;
    let gate = setup.start().await;

    let first = gate.post(&stripe.event("evt_1")).await;
    let while_pending = gate.post(&stripe.event("evt_1")).await;
    gate.settled(&first.event_id(), "delivered").await;
    let after_delivery = gate.post(&stripe.event("evt_1")).await;

    let id = first.acknowledged("stored");
    assert_eq!(while_pending.acknowledged("duplicate"), id);
    assert_eq!(after_delivery.acknowledged("duplicate"), id);
    gate.stop().await; // forwarding has ended: nothing more can come
    assert_eq!(app.stop().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_copies_at_the_same_instant_are_one_event_and_one_delivery() {
    const CONNECTIONS: usize = 64;
    const COPIES: usize = 1000;
    let stripe = Sender::new("stripe");
    let (setup, app) = Setup::scene(&[&stripe]).await;
    let gate = setup.start().await;
    let request = Arc::new(bytes(&stripe.event("evt_1")));
    let start = Arc::new(Barrier::new(CONNECTIONS));

    let mut senders = JoinSet::new();
    for index in 0..CONNECTIONS {
        let (request, start) = (Arc::clone(&request), Arc::clone(&start));
        let mut connection = Connection::open(&gate.address).await;
        let copies = COPIES / CONNECTIONS + usize::from(index < COPIES % CONNECTIONS);
        senders.spawn(async move {
            let mut answers = Vec::new();
            start.wait().await;
            for _ in 0..copies {
                answers.push(connection.ask(&request).await);
            }
            answers
        });
    }
    let answers = within("all answers", senders.join_all()).await.concat();

    let count = |status| {
        let answers = answers.iter();
        answers
            .filter(|answer| answer.header("hookgate-status") == Some(status))
            .count()
    };
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!((count("stored"), count("duplicate")), (1, COPIES - 1));
    let id = answers[0].event_id();
    assert!(answers.iter().all(|answer| answer.event_id() == id));
    gate.settled(&id, "delivered").await;
    assert_eq!(gate.events("").await.len(), 1);
    gate.stop().await;
    assert_eq!(app.stop().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_id_with_another_body_is_an_event_of_its_own() {
    let standard = Sender::new("standard-webhooks");
    let (setup, app) = Setup::scene(&[&standard]).await;
    let gate = setup.start().await;
    let target = standard.target();

    let first = gate
        .post(&standard.signed(&target, vec![], b"one", "msg_1"))
        .await;
    let other = gate
        .post(&standard.signed(&target, vec![], b"other", "msg_1"))
        .await;

    assert_ne!(first.acknowledged("stored"), other.acknowledged("stored"));
    for (answer, body) in [(&first, "one"), (&other, "other")] {
        let id = answer.event_id();
        gate.settled(&id, "delivered").await;
        let stored = gate.get(&format!("/api/v1/events/{id}/body")).await;
        assert_eq!(stored.text(), body);
    }
    let conflicts = r#"hookgate_requests_total{outcome="conflict",source="standard-webhooks-v1"}"#;
    assert_eq!(gate.metric(conflicts).await, Some(1.0));
    gate.stop().await;
    assert_eq!(app.stop().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_id_at_another_source_is_no_duplicate() {
    let (one, two) = (
        Sender::named("stripe", "one"),
        Sender::named("stripe", "two"),
    );
    let (setup, app) = Setup::scene(&[&one, &two]).await;
    let gate = setup.start().await;

    let first = gate.post(&one.event("evt_1")).await;
    let second = gate.post(&two.event("evt_1")).await;

    assert_ne!(first.acknowledged("stored"), second.acknowledged("stored"));
    assert_eq!(app.received(2).await.len(), 2);
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_whose_sender_hangs_up_during_the_commit_is_stored_and_delivered() {
    let stripe = Sender::new("stripe");
    let (setup, app) = Setup::scene(&[&stripe]).await;
    let gate = setup.start().await;
    let event = stripe.event("evt_1");
    let database = setup.database();

    // The writer waits for this transaction.
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut connection = Connection::open(&gate.address).await;
    connection.write(&bytes(&event)).await;
    // Counted between verification and the hand-over to the store, without a pause between.
    let verified = r#"hookgate_secret_matches_total{secret="secret",source="stripe"}"#;
    gate.counted(verified, 1.0).await;
    drop(connection);
    gate.counted("hookgate_connections", 0.0).await;
    database.execute_batch("ROLLBACK").unwrap();

    let delivery = app.delivery(0).await;
    assert_eq!(delivery.body, event.body);
    let again = gate.post(&event).await;
    assert_eq!(again.acknowledged("duplicate"), delivery.event_id());
    gate.stop().await;
    assert_eq!(app.stop().await.len(), 1);
}
