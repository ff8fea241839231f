//! `ack = "handled"`: a sender is told yes when the event is on disk and the app has taken it, too. What a
//! volume forgets with its pod, the sender still has.

use hookgate::verify::Unsigned;

use crate::support::app::{App, Reply};
use crate::support::gate::{Gate, Setup};
use crate::support::http::Answer;
use crate::support::sender::Sender;
use crate::support::within;

async fn waiting(sender: &Sender, patience: &str) -> (Setup, App) {
    let (mut setup, app) = Setup::scene(&[sender]).await;
    setup.set("sources.stripe.ack", "handled");
    setup.set("sources.stripe.ack_timeout", patience);
    (setup, app)
}

fn has_to_come_again(answer: &Answer) {
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, Some("5")),
        "{answer:?}"
    );
    assert_eq!(
        answer.text(),
        "the event is kept and has not been handled yet"
    );
}

/// Both are under way before the app speaks.
async fn both(gate: &Gate, app: &App, event: &Unsigned) -> (Answer, Answer) {
    tokio::join!(gate.post(event), async {
        app.received(1).await;
        let (second, ()) = tokio::join!(gate.post(event), async {
            // The app speaks when both are there.
            gate.counted("hookgate_connections", 2.0).await;
            app.release();
        });
        second
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_is_answered_when_the_app_has_taken_the_event_and_so_is_its_repeat() {
    let stripe = Sender::new("stripe");
    let (setup, app) = waiting(&stripe, "30s").await;
    app.script(|_| Reply::Held);
    let gate = setup.start().await;

    let (first, second) = both(&gate, &app, &stripe.event("evt_1")).await;

    let id = first.acknowledged("stored");
    assert_eq!(second.acknowledged("duplicate"), id);
    assert_eq!(app.deliveries().len(), 1);
    // Long after it is settled, too.
    gate.settled(&id, "delivered").await;
    let late = gate.post(&stripe.event("evt_1")).await;
    assert_eq!(late.acknowledged("duplicate"), id);
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_comes_again_while_the_app_has_not_taken_the_event_which_is_kept() {
    let stripe = Sender::new("stripe");
    let (setup, app) = waiting(&stripe, "50ms").await;
    app.script(|_| Reply::with(503, &[("Retry-After", "3000")]));
    let gate = setup.start().await;
    let event = stripe.event("evt_1");
    for _ in 0..2 {
        has_to_come_again(&gate.post(&event).await);
    }
    let unhandled = r#"hookgate_requests_total{outcome="unhandled",source="stripe"}"#;
    assert_eq!(gate.metric(unhandled).await, Some(2.0));
    let events = gate.events("").await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["state"], "pending");

    // A person replays it, and the app takes it: now the sender may forget it.
    app.script(|_| Reply::ok());
    let id = events[0]["id"].as_str().unwrap();
    let replay = format!("/api/v1/events/{id}/replay");
    assert_eq!(gate.ask("POST", &replay, &[]).await.status, 202);
    gate.settled(id, "delivered").await;
    assert_eq!(gate.post(&event).await.acknowledged("duplicate"), id);
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_app_will_never_take_is_not_asked_for_again() {
    let stripe = Sender::new("stripe");
    let (setup, app) = waiting(&stripe, "30s").await;
    app.script(|_| Reply::status(410));
    let gate = setup.start().await;

    let id = within("an answer", gate.post(&stripe.event("evt_1")))
        .await
        .acknowledged("stored");

    assert_eq!(gate.settled(&id, "dead").await["dead_reason"], "refused");
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_of_a_dead_letter_waits_for_the_new_verdict() {
    let stripe = Sender::new("stripe");
    let (setup, app) = waiting(&stripe, "30s").await;
    let mut refused = false;
    app.script(move |_| {
        if std::mem::replace(&mut refused, true) {
            Reply::ok()
        } else {
            Reply::status(410)
        }
    });
    let gate = setup.start().await;
    let event = stripe.event("evt_1");
    let id = gate.post(&event).await.acknowledged("stored");
    gate.settled(&id, "dead").await;

    assert_eq!(gate.post(&event).await.acknowledged("duplicate"), id);

    gate.settled(&id, "delivered").await;
    assert_eq!(app.deliveries().len(), 2);
    gate.stop().await;
}
