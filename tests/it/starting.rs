//! While the store is being opened.

use hookgate::clock::Clock;
use hookgate::gateway::Opening;
use hookgate::metrics::Metrics;

use crate::support::gate::{Gate, Setup};
use crate::support::http::Connection;
use crate::support::sender::{Sender, bytes};

/// The addresses were open and nobody answered there: probes and senders ran into their time-outs for
/// as long as a large store took to open.
#[tokio::test]
async fn while_the_store_opens_senders_are_asked_to_come_again_and_probes_are_answered() {
    let stripe = Sender::new("stripe");
    let (setup, app) = Setup::scene(&[&stripe]).await;
    let request = bytes(&stripe.event("evt_1"));
    let opening = Opening::listen(setup.config(), Clock::real(), Metrics::new()).await;
    let opening = opening.unwrap();
    let mut sender = Connection::open(&opening.listening()[0]).await;
    let answer = sender.ask(&request).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.header("retry-after"), Some("5"));
    let mut probe = Connection::open(&opening.admin_listening()[0]).await;
    for (path, status) in [
        ("/livez", 200),
        ("/readyz", 503),
        ("/metrics", 200),
        ("/api/v1/events", 503),
    ] {
        let ask = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        assert_eq!(probe.ask(ask.as_bytes()).await.status, status, "{path}");
    }

    let gate = Gate::of(opening.open().await.unwrap());
    // Also over connections from before.
    assert_eq!(sender.ask(&request).await.status, 200);
    let ready = probe
        .ask(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    assert_eq!(ready.status, 200);
    gate.stop().await;
    assert_eq!(app.stop().await.len(), 1);
}
