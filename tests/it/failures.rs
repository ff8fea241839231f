//! Own trouble is answered 503 with `Retry-After`, never with success and never with 4xx.

use crate::support::gate::{Gate, Setup};
use crate::support::http::Answer;
use crate::support::sender::Sender;
use crate::support::{eventually, within};

const UNAVAILABLE: &str = r#"hookgate_requests_total{outcome="unavailable",source="stripe"}"#;

#[track_caller]
fn asserts_own_trouble(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.header("retry-after"), Some("5"));
    assert_eq!(answer.header("hookgate-status"), None);
    assert_eq!(answer.header("hookgate-event-id"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_slower_than_the_ack_deadline_is_answered_503_and_the_retry_is_a_duplicate() {
    let stripe = Sender::new("stripe");
    let (mut setup, app) = Setup::scene(&[&stripe]).await;
    setup.set("server.ack_deadline", "20ms");
    let gate = setup.start().await;
    let event = stripe.event("evt_1");
    let database = setup.database();

    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    let too_late = gate.post(&event).await;
    database.execute_batch("ROLLBACK").unwrap();

    asserts_own_trouble(&too_late);
    assert_eq!(gate.metric(UNAVAILABLE).await, Some(1.0));
    let delivery = app.delivery(0).await;
    // On a slow disk this answer may be late as well; the sender then tries again.
    let mut again = gate.post(&event).await;
    eventually("an answer in time", async || {
        again = gate.post(&event).await;
        again.status == 200
    })
    .await;
    assert_eq!(again.acknowledged("duplicate"), delivery.event_id());
    gate.stop().await;
    assert_eq!(app.stop().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_without_room_is_answered_503_and_turns_readiness_off() {
    let stripe = Sender::new("stripe");
    let (mut setup, app) = Setup::scene(&[&stripe]).await;
    setup.set("store.low_space", "1000000GiB"); // more than any disk has
    let gate = setup.start().await;

    for attempt in 1..=2 {
        asserts_own_trouble(&gate.post(&stripe.event("evt_1")).await);
        assert_eq!(gate.metric(UNAVAILABLE).await, Some(f64::from(attempt)));
    }

    let ready = gate.get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("bytes are free"), "{}", ready.text());
    assert_eq!(gate.get("/livez").await.status, 200);
    assert_eq!(gate.events("").await.len(), 0);
    gate.stop().await;
    assert_eq!(app.stop().await.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failed_write_nothing_is_acknowledged_and_the_gate_says_that_it_must_end() {
    let stripe = Sender::new("stripe");
    let (setup, app) = Setup::scene(&[&stripe]).await;
    let gate = setup.start().await;
    let kept = gate.post(&stripe.event("evt_1")).await.event_id();
    gate.settled(&kept, "delivered").await;

    // Whatever a commit writes to is gone.
    let database = setup.database();
    database
        .execute_batch("ALTER TABLE event RENAME TO lost")
        .unwrap();
    let failed = gate.post(&stripe.event("evt_2")).await;

    asserts_own_trouble(&failed);
    let error = within("the end of the store", gate.gateway.failed()).await;
    assert!(error.to_string().contains("until a restart"), "{error}");
    asserts_own_trouble(&gate.post(&stripe.event("evt_3")).await);
    asserts_own_trouble(&gate.post(&stripe.event("evt_1")).await);
    let ready = gate.get("/readyz").await;
    assert_eq!(ready.status, 503, "{ready:?}");
    assert!(gate.gateway.stop().await.is_err());
    assert_eq!(app.stop().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_beyond_the_memory_for_them_are_answered_503() {
    let stripe = Sender::new("stripe");
    let (mut setup, app) = Setup::scene(&[&stripe]).await;
    setup.set("server.body_max", "64KiB");
    setup.set("server.bodies_in_flight_max", "64KiB");
    let gate = setup.start().await;
    let mut holding = crate::support::http::Connection::open(&gate.address).await;
    let half = [
        &b"POST /webhooks/stripe HTTP/1.1\r\nHost: a\r\nContent-Length: 65000\r\n\r\n"[..],
        &[b'x'; 20_000], // less than the other has when there is no more room: so it need not give way
    ];
    holding.write(&half.concat()).await;

    let body = vec![b'y'; 60_000];
    let mut refused = None;
    // Until the gate has read what the first sender wrote, there is room.
    eventually("a refusal", async || {
        let request = stripe.signed("/webhooks/stripe", vec![], &body, "evt_1");
        let answer = gate.post(&request).await;
        let full = answer.status == 503;
        refused = full.then_some(answer);
        full
    })
    .await;

    asserts_own_trouble(&refused.unwrap());
    drop(holding);
    eventually("room for the body", async || {
        let request = stripe.signed("/webhooks/stripe", vec![], &body, "evt_1");
        gate.post(&request).await.status == 200
    })
    .await;
    gate.stop().await;
    drop(app);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_gate_on_the_same_store_does_not_start_and_says_who_has_it() {
    let (setup, _app) = Setup::scene(&[&Sender::new("stripe")]).await;
    let gate = setup.start().await;

    let second = hookgate::gateway::Gateway::start(
        setup.config(),
        hookgate::clock::Clock::real(),
        hookgate::metrics::Metrics::new(),
    )
    .await;

    let error = second.err().expect("a refusal").to_string();
    assert!(
        error.contains(&format!("pid {}", std::process::id())),
        "{error}"
    );
    Gate::stop(gate).await;
}
