//! Stopping in order, and what the next start finds.

use std::collections::BTreeSet;

use crate::support::app::{App, Reply};
use crate::support::gate::Setup;
use crate::support::http::Connection;
use crate::support::sender::{Sender, bytes};
use crate::support::{eventually, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pending_events_are_delivered_after_a_restart_and_settled_ones_not_again() {
    let stripe = Sender::new("stripe");
    let (setup, app) = Setup::scene(&[&stripe]).await;
    app.script(|delivery| {
        let id = delivery.header("hookgate-provider-event-id").unwrap();
        match id.as_str() {
            "evt_0" | "evt_1" | "evt_2" => Reply::ok(),
            "evt_3" => Reply::status(410),
            _ => Reply::with(503, &[("Retry-After", "3")]),
        }
    });
    let gate = setup.start().await;
    let mut ids = Vec::new();
    for n in 0..8 {
        let event = stripe.event(&format!("evt_{n}"));
        ids.push(gate.post(&event).await.acknowledged("stored"));
    }
    for id in &ids {
        eventually("the first attempt", async || {
            gate.event(id).await["attempts"] == 1
        })
        .await;
    }
    gate.stop().await;
    assert_eq!(app.stop().await.len(), 8);

    let app = App::start(&setup.app_address()).await;
    let gate = setup.start().await;
    for id in &ids[4..] {
        gate.settled(id, "delivered").await;
    }
    let repeat = gate.post(&stripe.event("evt_0")).await;
    assert_eq!(repeat.acknowledged("duplicate"), ids[0]);

    assert_eq!(gate.event(&ids[3]).await["state"], "dead");
    gate.stop().await;
    let deliveries = app.stop().await;
    let delivered: BTreeSet<_> = deliveries
        .iter()
        .map(|delivery| delivery.event_id())
        .collect();
    assert_eq!(delivered, ids[4..].iter().cloned().collect());
    let attempts = deliveries.iter().map(|delivery| delivery.attempt());
    assert_eq!(attempts.collect::<Vec<_>>(), [2; 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_attempts_under_way_finish_and_remembers_them() {
    let stripe = Sender::new("stripe");
    let (setup, app) = Setup::scene(&[&stripe]).await;
    app.script(|_| Reply::Held);
    let gate = setup.start().await;
    let id = gate
        .post(&stripe.event("evt_1"))
        .await
        .acknowledged("stored");
    app.delivery(0).await;

    let (address, admin) = (gate.address.clone(), gate.admin.clone());
    let stopping = gate.stop();
    let watching = async {
        // Intake is closed, which nobody can be told by a listener that is gone.
        eventually("the end of intake", async || {
            address.connect().await.is_err()
        })
        .await;
        let mut connection = Connection::open(&admin).await;
        let ready = connection
            .ask(b"GET /readyz HTTP/1.1\r\nhost: a\r\n\r\n")
            .await;
        assert_eq!(ready.status, 503);
        assert_eq!(ready.text(), "not ready: shutting down\n");
        app.release();
    };
    within("an orderly stop", async {
        tokio::join!(stopping, watching)
    })
    .await;

    let gate = setup.start().await;
    assert_eq!(gate.event(&id).await["state"], "delivered");
    gate.stop().await;
    assert_eq!(app.stop().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_longer_than_the_grace_stays_pending_and_is_made_again() {
    let stripe = Sender::new("stripe");
    let (mut setup, app) = Setup::scene(&[&stripe]).await;
    setup.set("server.grace", "1s"); // all of it is kept back for the store
    app.script(|_| Reply::Held);
    let gate = setup.start().await;
    let id = gate
        .post(&stripe.event("evt_1"))
        .await
        .acknowledged("stored");
    app.delivery(0).await;

    within("the end of the grace", gate.stop()).await;

    app.script(|_| Reply::ok());
    let gate = setup.start().await;
    gate.settled(&id, "delivered").await;
    gate.stop().await;
    // The first attempt may have been under way for ever, so it is not counted.
    let deliveries = app.stop().await;
    assert_eq!(deliveries.len(), 2);
    assert!(deliveries.iter().all(|delivery| delivery.event_id() == id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_under_way_when_the_gate_stops_is_answered() {
    let stripe = Sender::new("stripe");
    let (setup, app) = Setup::scene(&[&stripe]).await;
    let gate = setup.start().await;
    let request = bytes(&stripe.event("evt_1"));
    let (head, rest) = request.split_at(request.len() - 10);
    let mut connection = Connection::open(&gate.address).await;
    // The 100 shows that the request is being handled.
    let head = String::from_utf8(head.to_vec()).unwrap();
    let head = head.replacen("\r\n", "\r\nExpect: 100-continue\r\n", 1);
    assert_eq!(connection.ask(head.as_bytes()).await.status, 100);

    let address = gate.address.clone();
    let sending = async {
        eventually("the end of intake", async || {
            address.connect().await.is_err()
        })
        .await;
        connection.ask(rest).await
    };
    let stopping = async { tokio::join!(gate.stop(), sending) };
    let ((), answer) = within("an orderly stop", stopping).await;

    answer.acknowledged("stored");
    assert_eq!(answer.header("connection"), Some("close"));
    let gate = setup.start().await;
    gate.settled(&answer.event_id(), "delivered").await;
    gate.stop().await;
    assert_eq!(app.stop().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_does_not_hold_up_the_stop() {
    let stripe = Sender::new("stripe");
    let (setup, _app) = Setup::scene(&[&stripe]).await;
    let gate = setup.start().await;
    let silent = Connection::open(&gate.address).await;
    let mut kept = Connection::open(&gate.address).await;
    kept.ask(&bytes(&stripe.event("evt_1")))
        .await
        .acknowledged("stored");
    gate.counted("hookgate_connections", 2.0).await;

    gate.stop().await;

    assert_eq!(silent.until_closed().await, b"");
    assert_eq!(kept.until_closed().await, b"");
}
