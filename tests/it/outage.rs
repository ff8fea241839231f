//! An app that is down is not the events' fault: no attempt is spent, and deliveries resume.

use hookgate::net::Address;

use crate::support::app::{App, Reply};
use crate::support::gate::{Gate, Setup};
use crate::support::sender::Sender;
use crate::support::within;

const PENDING: &str = r#"hookgate_events{source="stripe",state="pending"}"#;
const UP: &str = "hookgate_app_up";

/// Sends events while nobody listens; once the gate has noticed, they are all pending and untried.
async fn pile_up(gate: &Gate, stripe: &Sender, count: usize) {
    for n in 0..count {
        let event = stripe.event(&format!("evt_{n}"));
        gate.post(&event).await.acknowledged("stored");
    }
    gate.counted(UP, 0.0).await;
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    gate.counted(PENDING, count as f64).await;
    for event in gate.events("limit=500").await {
        assert_eq!(event["attempts"], 0, "{event}");
    }
    let ready = gate.get("/readyz").await;
    assert_eq!(
        ready.status, 200,
        "the app being down is no reason to refuse"
    );
}

async fn all_delivered_in_first_attempts(gate: Gate, app: App, count: usize) {
    app.received(count).await;
    gate.counted(PENDING, 0.0).await;
    gate.counted(UP, 1.0).await;
    gate.stop().await;
    let deliveries = app.stop().await;
    assert_eq!(deliveries.len(), count);
    for delivery in deliveries {
        assert_eq!(delivery.attempt(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_apps_socket_is_missing_events_wait_untried() {
    let stripe = Sender::new("stripe");
    let mut setup = Setup::new();
    setup.source(&stripe);
    let gate = setup.start().await;

    pile_up(&gate, &stripe, 20).await;

    let app = App::start(&setup.app_address()).await;
    all_delivered_in_first_attempts(gate, app, 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_nobody_listens_on_the_apps_socket_events_wait_untried() {
    let stripe = Sender::new("stripe");
    let mut setup = Setup::new();
    setup.source(&stripe);
    // A socket file without a listener, as a killed app leaves it.
    drop(std::os::unix::net::UnixListener::bind(setup.file("app.sock")).unwrap());
    let gate = setup.start().await;

    pile_up(&gate, &stripe, 20).await;

    let app = App::start(&setup.app_address()).await;
    all_delivered_in_first_attempts(gate, app, 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_apps_port_refuses_events_wait_untried() {
    let stripe = Sender::new("stripe");
    let mut setup = Setup::new();
    setup.source(&stripe);
    let free: Address = "127.0.0.1:0".parse().unwrap();
    let once = App::start(&free).await;
    let address = once.address().clone();
    assert!(once.stop().await.is_empty());
    setup.set("app.url", &format!("http://{address}"));
    let gate = setup.start().await;

    pile_up(&gate, &stripe, 20).await;

    let app = App::start(&address).await;
    all_delivered_in_first_attempts(gate, app, 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_restarts_gets_what_came_meanwhile() {
    let stripe = Sender::new("stripe");
    let (setup, app) = Setup::scene(&[&stripe]).await;
    let gate = setup.start().await;
    gate.post(&stripe.event("evt_before"))
        .await
        .acknowledged("stored");
    gate.counted(r#"hookgate_events{source="stripe",state="delivered"}"#, 1.0)
        .await;
    assert_eq!(app.stop().await.len(), 1);

    pile_up_more(&gate, &stripe).await;

    let app = App::start(&setup.app_address()).await;
    all_delivered_in_first_attempts(gate, app, 20).await;
}

async fn pile_up_more(gate: &Gate, stripe: &Sender) {
    for n in 0..20 {
        let event = stripe.event(&format!("evt_{n}"));
        gate.post(&event).await.acknowledged("stored");
    }
    gate.counted(UP, 0.0).await;
    gate.counted(PENDING, 20.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_closes_kept_connections_between_requests_costs_no_attempt() {
    let stripe = Sender::new("stripe");
    let (mut setup, app) = Setup::scene(&[&stripe]).await;
    setup.set("app.concurrency", "1"); // one connection at a time
    app.script(|_| Reply::ok_then_close());
    let gate = setup.start().await;

    for n in 0..50 {
        let event = stripe.event(&format!("evt_{n}"));
        let id = gate.post(&event).await.acknowledged("stored");
        gate.settled(&id, "delivered").await;
        app.without_connections().await;
    }

    gate.stop().await;
    let deliveries = app.stop().await;
    assert_eq!(deliveries.len(), 50);
    assert!(deliveries.iter().all(|delivery| delivery.attempt() == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_keeps_its_connections_is_not_asked_for_new_ones() {
    let stripe = Sender::new("stripe");
    let (mut setup, app) = Setup::scene(&[&stripe]).await;
    setup.set("app.concurrency", "2");
    let gate = setup.start().await;

    for n in 0..50 {
        let event = stripe.event(&format!("evt_{n}"));
        gate.post(&event).await.acknowledged("stored");
    }

    let deliveries = app.received(50).await;
    assert!(deliveries.iter().all(|delivery| delivery.connection < 2));
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_stops_within_its_grace_while_the_app_is_down() {
    let stripe = Sender::new("stripe");
    let mut setup = Setup::new();
    setup.source(&stripe);
    let gate = setup.start().await;
    pile_up(&gate, &stripe, 5).await;

    within("the end", gate.stop()).await;

    let app = App::start(&setup.app_address()).await;
    let gate = setup.start().await;
    all_delivered_in_first_attempts(gate, app, 5).await;
}
