//! Senders that wait for the app: how many may, and what becomes of them when it will not speak.

use crate::support::app::{App, Reply};
use crate::support::gate::{Gate, Setup};
use crate::support::http::{Answer, Connection};
use crate::support::sender::{Sender, bytes};
use crate::support::within;

async fn waiting(sender: &Sender, ack: &str) -> (Setup, App) {
    let (mut setup, app) = Setup::scene(&[sender]).await;
    setup.set("sources.stripe.ack", ack);
    setup.set("sources.stripe.ack_timeout", "30s");
    (setup, app)
}

#[track_caller]
fn comes_again(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(
        answer.text(),
        "the event is kept and has not been handled yet"
    );
}

async fn ended(gate: &Gate, outcome: &str) -> Option<f64> {
    let series = format!(r#"hookgate_requests_total{{outcome="{outcome}",source="stripe"}}"#);
    gate.metric(&series).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_of_the_connections_may_wait_for_the_app_and_the_next_sender_comes_again() {
    for ack in ["handled", "app"] {
        let stripe = Sender::new("stripe");
        let (mut setup, app) = waiting(&stripe, ack).await;
        setup.set("server.connections_max", "4");
        setup.set("server.connections_per_peer_max", "4");
        app.script(|_| Reply::Held);
        let gate = setup.start().await;

        app.script(|_| Reply::ok());
        let known = stripe.event("evt_known");
        let id = gate.post(&known).await.acknowledged("stored");
        gate.settled(&id, "delivered").await;
        app.script(|_| Reply::Held);

        let mut patient = Vec::new();
        for n in 0..2 {
            let mut connection = Connection::open(&gate.address).await;
            connection
                .write(&bytes(&stripe.event(&format!("evt_{n}"))))
                .await;
            app.received(n + 2).await;
            patient.push(connection);
        }
        let answer = within("an answer", gate.post(&stripe.event("evt_2"))).await;

        comes_again(&answer);
        assert_eq!(ended(&gate, "unhandled").await, Some(1.0));
        // Who need not wait needs no place.
        let repeat = within("an answer", gate.post(&known)).await;
        assert_eq!(repeat.acknowledged("duplicate"), id);
        app.received(4).await;
        app.release();
        for mut connection in patient {
            connection.answer().await.acknowledged("stored");
        }
        gate.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_end_those_who_wait_for_a_silent_app_are_told_to_come_again() {
    for ack in ["handled", "app"] {
        let stripe = Sender::new("stripe");
        let (mut setup, app) = waiting(&stripe, ack).await;
        setup.set("server.grace", "3s");
        app.script(|_| Reply::Held);
        let gate = setup.start().await;
        let mut connection = Connection::open(&gate.address).await;
        connection.write(&bytes(&stripe.event("evt_1"))).await;
        app.received(1).await;

        let mut stopping = std::pin::pin!(gate.stop());
        let answer = within("an answer", async {
            tokio::select! {
                answer = connection.answer() => answer,
                () = &mut stopping => panic!("the gate ended without an answer"),
            }
        })
        .await;
        comes_again(&answer);
        stopping.await;
        let gate = setup.start().await;
        assert_eq!(gate.events("").await[0]["state"], "pending");
        gate.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_app_said_to_an_erased_event_is_not_said_again() {
    let stripe = Sender::new("stripe");
    let (setup, app) = waiting(&stripe, "app").await;
    let personal = b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\npersonal";
    app.script(move |_| Reply::Answer(personal.to_vec()));
    let gate = setup.start().await;
    let event = stripe.event("evt_1");
    let answer = gate.post(&event).await;
    assert_eq!(answer.text(), "personal");
    let id = answer.acknowledged("stored");
    gate.settled(&id, "delivered").await;
    assert_eq!(gate.post(&event).await.text(), "personal");

    let erased = gate
        .ask("DELETE", &format!("/api/v1/events/{id}"), &[])
        .await;
    assert!(erased.status < 300, "{erased:?}");

    let repeat = gate.post(&event).await;
    assert_eq!(repeat.acknowledged("duplicate"), id);
    assert!(!repeat.text().contains("personal"), "{repeat:?}");
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_the_apps_that_is_no_success_is_counted_as_refused() {
    let stripe = Sender::new("stripe");
    let (setup, app) = waiting(&stripe, "app").await;
    app.script(|_| Reply::status(500));
    let gate = setup.start().await;

    assert_eq!(gate.post(&stripe.event("evt_1")).await.status, 500);

    assert_eq!(ended(&gate, "refused").await, Some(1.0));
    assert_eq!(ended(&gate, "stored").await, Some(0.0));
    let sources = gate.get("/api/v1/sources").await.json();
    assert!(
        sources["sources"][0]["last_accepted_at"].is_null(),
        "{sources}"
    );
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_that_does_not_wait_for_its_answer_is_counted() {
    let stripe = Sender::new("stripe");
    let (setup, app) = waiting(&stripe, "handled").await;
    app.script(|_| Reply::Held);
    let gate = setup.start().await;
    let mut connection = Connection::open(&gate.address).await;
    connection.write(&bytes(&stripe.event("evt_1"))).await;
    app.received(1).await;

    drop(connection);

    let left = r#"hookgate_requests_total{outcome="left",source="stripe"}"#;
    gate.counted(left, 1.0).await;
    gate.counted("hookgate_requests_in_flight", 0.0).await;
    app.release();
    gate.stop().await;
}
