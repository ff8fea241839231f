//! On the way out: the gate is asked to drain, long before it is told to stop.

use hookgate::net::Address;
use hookgate::shutdown::Stage;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::JoinHandle;

use crate::support::app::{App, Reply};
use crate::support::gate::{Gate, Setup};
use crate::support::http::Connection;
use crate::support::sender::{Sender, bytes};
use crate::support::{eventually, within};

/// A gate that takes events for this long after it was asked to drain.
async fn draining(sender: &Sender, accept_for: &str) -> (Setup, App, Gate) {
    let (mut setup, app) = Setup::scene(&[sender]).await;
    setup.set("server.drain.accept_for", accept_for);
    let gate = setup.start().await;
    (setup, app, gate)
}

async fn drain(gate: &Gate) {
    let answer = gate.ask("POST", "/api/v1/drain", &[]).await;
    assert_eq!(answer.status, 202, "{answer:?}");
}

async fn phase(gate: &Gate) -> String {
    let answer = gate.get("/api/v1/drain").await.json();
    answer["phase"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lame_duck_takes_events_and_keeps_nobody() {
    let stripe = Sender::new("stripe");
    let (_setup, app, gate) = draining(&stripe, "1h").await;
    let mut waiting = Connection::open(&gate.address).await;
    let first = waiting.ask(&bytes(&stripe.event("evt_1"))).await;
    assert_eq!(first.header("connection"), None);
    assert_eq!(phase(&gate).await, "serving");

    drain(&gate).await;
    drain(&gate).await; // once more changes nothing

    assert_eq!(phase(&gate).await, "lame_duck");
    let ready = gate.get("/readyz").await;
    assert_eq!((ready.status, ready.text()), (503, "not ready: draining\n"));
    assert_eq!(gate.get("/livez").await.status, 200);
    assert_eq!(gate.metric("hookgate_draining").await, Some(1.0));
    let mut late = Connection::open(&gate.address).await;
    for (n, connection) in [(2, &mut waiting), (3, &mut late)] {
        let event = stripe.event(&format!("evt_{n}"));
        let answer = connection.ask(&bytes(&event)).await;
        assert_eq!(answer.header("connection"), Some("close"), "{n}");
        answer.acknowledged("stored");
    }
    within("the end", waiting.until_closed()).await;
    within("the end", late.until_closed()).await;
    app.received(3).await;
    gate.stop().await;
}

/// An HTTP/2 connection, and what ends with it.
async fn http2(address: &Address) -> (SendRequest<Full<Bytes>>, JoinHandle<hyper::Result<()>>) {
    let stream = TokioIo::new(address.connect().await.unwrap());
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
    let (client, connection) = within("the handshake", handshake).await.unwrap();
    (client, Stage::default().spawn(connection))
}

async fn send(
    client: &mut SendRequest<Full<Bytes>>,
    stripe: &Sender,
    id: &str,
) -> Response<Incoming> {
    let event = stripe.event(id);
    let uri = format!("http://hooks.example.com{}", event.url);
    let mut request = Request::builder().method("POST").uri(uri);
    for (name, value) in &event.headers {
        request = request.header(name.to_ascii_lowercase(), value);
    }
    let request = request.body(Full::new(event.body)).unwrap();
    within("an answer", client.send_request(request))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lame_duck_tells_http2_senders_to_go_and_answers_those_that_come() {
    let stripe = Sender::new("stripe");
    let (_setup, app, gate) = draining(&stripe, "1h").await;
    let (mut client, ended) = http2(&gate.address).await;
    assert_eq!(send(&mut client, &stripe, "evt_1").await.status(), 200);

    drain(&gate).await;

    // The client would stay.
    within("the end", ended).await.unwrap().unwrap();
    drop(client);
    let (mut client, ended) = http2(&gate.address).await;
    assert_eq!(send(&mut client, &stripe, "evt_2").await.status(), 200);
    within("the end", ended).await.unwrap().unwrap();
    drop(client);
    app.received(2).await;
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_gate_refuses_events_and_has_handed_over_what_waited_for_a_retry() {
    let stripe = Sender::new("stripe");
    let (mut setup, app) = Setup::scene(&[&stripe]).await;
    setup.set("server.drain.accept_for", "0s");
    setup.set("app.retry.first", "50ms");
    let gate = setup.start().await;
    app.script(|delivery| match delivery.attempt() {
        1 => Reply::with(503, &[("Retry-After", "3000")]),
        2 => Reply::status(503),
        _ => Reply::ok(),
    });
    let mut ids = Vec::new();
    for n in 0..3 {
        let event = stripe.event(&format!("evt_{n}"));
        ids.push(gate.post(&event).await.acknowledged("stored"));
    }
    eventually("first attempts", async || {
        let events = gate.events("state=pending").await;
        events.iter().all(|event| event["attempts"] == 1) && events.len() == 3
    })
    .await;

    drain(&gate).await;

    eventually("refusing", async || phase(&gate).await == "refusing").await;
    let refused = gate.post(&stripe.event("evt_9")).await;
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (503, Some("5"))
    );
    for id in &ids {
        let event = gate.settled(id, "delivered").await;
        assert_eq!(
            event["attempts_made"].as_array().unwrap().len(),
            3,
            "{event}"
        );
    }
    assert_eq!(gate.get("/api/v1/drain").await.json()["pending"], 0);
    gate.stop().await;

    // A drain ends with the process.
    let gate = setup.start().await;
    assert_eq!(gate.get("/readyz").await.status, 200);
    gate.post(&stripe.event("evt_9"))
        .await
        .acknowledged("stored");
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_and_scrapers_have_a_listener_of_their_own_with_nothing_else() {
    let stripe = Sender::new("stripe");
    let (mut setup, _app) = Setup::scene(&[&stripe]).await;
    setup.set("ops.listen", "127.0.0.1:0");
    let gate = setup.start().await;
    let ops = gate.gateway.ops_listening()[0].clone();
    for (path, status) in [
        ("/livez", 200),
        ("/readyz", 200),
        ("/metrics", 200),
        ("/", 404),
        ("/api/v1/status", 404),
        ("/api/v1/drain", 404),
        ("/api/v1/session", 404),
        ("/webhooks/stripe", 404),
    ] {
        // From outside it is called by whatever name the pod has.
        let request = format!("GET {path} HTTP/1.1\r\nhost: pod-1.example\r\n\r\n");
        let answer = Connection::open(&ops).await.ask(request.as_bytes()).await;
        assert_eq!(answer.status, status, "{path}");
    }
    gate.stop().await;
}
