//! The HTTP edge, byte for byte: what senders (and attackers) write, and what they are answered.

use std::time::Duration;

use crate::support::gate::{Gate, Setup};
use crate::support::http::{Answer, Connection};
use crate::support::sender::{Sender, bytes};

/// A gate whose sources are `stripe` and, with a smaller body, `small`.
async fn gate() -> (Setup, crate::support::app::App, Gate) {
    let (stripe, small) = (Sender::new("stripe"), Sender::named("stripe", "small"));
    let (mut setup, app) = Setup::scene(&[&stripe, &small]).await;
    setup.set("sources.small.body_max", "100B");
    let gate = setup.start().await;
    (setup, app, gate)
}

async fn ask(gate: &Gate, request: impl AsRef<[u8]>) -> Answer {
    Connection::open(&gate.address)
        .await
        .ask(request.as_ref())
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_paths_are_answered_404() {
    let (_setup, app, gate) = gate().await;
    for target in [
        "/",
        "/webhooks",
        "/webhooks/",
        "/webhooks/strip",
        "/webhooks/stripe/",
        "/webhooks/stripe/x",
        "/Webhooks/stripe",
        "/metrics",
        "/api/v1/events",
    ] {
        let request = format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        let answer = ask(&gate, request).await;
        assert_eq!(answer.status, 404, "{target}");
        assert_eq!(answer.text(), "no webhook endpoint has this path");
    }
    gate.stop().await;
    assert_eq!(app.stop().await.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_methods_are_answered_405_with_the_right_one() {
    let (_setup, _app, gate) = gate().await;
    for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"] {
        let request =
            format!("{method} /webhooks/stripe HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        let answer = ask(&gate, request).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    }
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_over_the_limit_are_answered_413_before_they_are_read() {
    let (_setup, _app, gate) = gate().await;
    let declared = "POST /webhooks/small HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n";
    let chunked = format!(
        "POST /webhooks/small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
         40\r\n{0:064}\r\n40\r\n{0:064}\r\n",
        0
    );
    for request in [declared, &chunked] {
        let answer = ask(&gate, request).await;
        assert_eq!(answer.status, 413, "{answer:?}");
        assert_eq!(answer.text(), "the body is too large");
    }
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_at_the_limit_are_taken_whole_or_in_chunks() {
    let (_setup, app, gate) = gate().await;
    let small = Sender::named("stripe", "small");
    let body = format!("{{\"id\":\"{}\"}}", "x".repeat(100 - 9));
    assert_eq!(body.len(), 100);
    let request = small.signed("/webhooks/small", vec![], body.as_bytes(), "");
    gate.post(&request).await.acknowledged("stored");

    let (name, signature) = &request.headers[0];
    let chunked = format!(
        "POST /webhooks/small HTTP/1.1\r\nHost: a\r\n{name}: {signature}\r\n\
         Transfer-Encoding: chunked\r\n\r\n5;x=y\r\n{}\r\n5F\r\n{}\r\n0\r\nX-Trailer: dropped\r\n\r\n",
        &body[..5],
        &body[5..]
    );
    ask(&gate, chunked).await.acknowledged("duplicate");

    let delivery = app.delivery(0).await;
    assert_eq!(delivery.body, body.as_bytes());
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_and_lengths_that_two_parties_could_read_differently_are_answered_400() {
    let ok = "POST /webhooks/stripe HTTP/1.1\r\nHost: a\r\n";
    let cases = [
        (
            "no host",
            "POST /webhooks/stripe HTTP/1.1\r\nContent-Length: 0\r\n\r\n".to_owned(),
        ),
        (
            "two hosts",
            format!("{ok}Host: b\r\nContent-Length: 0\r\n\r\n"),
        ),
        (
            "two lengths",
            format!("{ok}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
        ),
        (
            "a list of lengths",
            format!("{ok}Content-Length: 1, 2\r\n\r\nab"),
        ),
        (
            "a signed length",
            format!("{ok}Content-Length: +1\r\n\r\na"),
        ),
        (
            "a negative length",
            format!("{ok}Content-Length: -1\r\n\r\n"),
        ),
        ("a hex length", format!("{ok}Content-Length: 0x1\r\n\r\na")),
        (
            "a length with zeros",
            format!("{ok}Content-Length: 01\r\n\r\na"),
        ),
        (
            "an endless length",
            format!("{ok}Content-Length: 99999999999999999999\r\n\r\n"),
        ),
        ("an empty length", format!("{ok}Content-Length: \r\n\r\n")),
        (
            "two codings",
            format!("{ok}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "chunked twice",
            format!(
                "{ok}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
        ),
        (
            "not chunked",
            format!("{ok}Transfer-Encoding: identity\r\n\r\n"),
        ),
        (
            "a bad chunk",
            format!("{ok}Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
        ),
    ];
    asserts_all_are_400(&cases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_and_paths_with_more_than_one_reading_are_answered_400() {
    let ok = "POST /webhooks/stripe HTTP/1.1\r\nHost: a\r\n";
    let cases = [
        (
            "a space before the colon",
            format!("{ok}X-A : b\r\nContent-Length: 0\r\n\r\n"),
        ),
        (
            "a folded line",
            format!("{ok}X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n"),
        ),
        (
            "a bare line feed in a value",
            format!("{ok}X-A: b\nc\r\n\r\n"),
        ),
        (
            "a zero byte",
            format!("{ok}X-A: b\0c\r\nContent-Length: 0\r\n\r\n"),
        ),
        (
            "two slashes",
            "POST //webhooks/stripe HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".to_owned(),
        ),
        (
            "a dot segment",
            "POST /x/../webhooks/stripe HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
                .to_owned(),
        ),
        (
            "an escaped slash",
            "POST /webhooks%2Fstripe HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".to_owned(),
        ),
        (
            "another host in the target",
            "POST http://b/webhooks/stripe HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
                .to_owned(),
        ),
        ("not HTTP", "hello\r\n\r\n".to_owned()),
    ];
    asserts_all_are_400(&cases).await;
}

async fn asserts_all_are_400(cases: &[(&str, String)]) {
    let (_setup, app, gate) = gate().await;
    for (what, request) in cases {
        let answer = ask(&gate, request).await;
        assert_eq!(answer.status, 400, "{what}: {answer:?}");
    }
    gate.stop().await;
    assert_eq!(app.stop().await.len(), 0);
}

/// RFC 9112 §6.3: such a request may be an attempt to smuggle another one, which nobody genuine
/// makes, and the connection must not be used again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_request_with_a_length_and_chunks_nothing_more_is_taken() {
    let (_setup, app, gate) = gate().await;
    let smuggled = bytes(&Sender::new("stripe").event("evt_1"));
    let length = "Content-Length: 5\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n";
    for both in [[length, chunked].concat(), [chunked, length].concat()] {
        let head = format!("POST /webhooks/stripe HTTP/1.1\r\nHost: a\r\n{both}\r\n0\r\n\r\n");
        let mut connection = Connection::open(&gate.address).await;
        connection
            .write(&[head.as_bytes(), &smuggled].concat())
            .await;
        assert_eq!(connection.answer().await.status, 400);
        assert_eq!(connection.until_closed().await, b"");
    }
    gate.stop().await;
    assert_eq!(app.stop().await.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_over_the_limit_are_answered_431() {
    let (_setup, _app, gate) = gate().await;
    let many = "X-A: b\r\n".repeat(65);
    let large = format!("X-A: {}\r\n", "b".repeat(40_000));
    for headers in [many, large] {
        let request = format!(
            "POST /webhooks/stripe HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: 0\r\n\r\n"
        );
        let answer = ask(&gate, request).await;
        assert_eq!(answer.status, 431, "{answer:?}");
    }
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_stops_arriving_is_answered_408() {
    let stripe = Sender::new("stripe");
    let (setup, app) = Setup::scene(&[&stripe]).await;
    let mut config = setup.config();
    config.ingress.body_deadlines.idle = Duration::from_millis(20);
    let gate = Gate::start(config).await;
    let request = bytes(&stripe.event("evt_1"));

    let answer = ask(&gate, &request[..request.len() - 1]).await;

    assert_eq!(answer.status, 408, "{answer:?}");
    assert_eq!(answer.text(), "the body did not arrive in time");
    gate.stop().await;
    assert_eq!(app.stop().await.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_trickles_is_answered_408_when_its_whole_time_is_over() {
    let stripe = Sender::new("stripe");
    let (setup, _app) = Setup::scene(&[&stripe]).await;
    let mut config = setup.config();
    config.ingress.body_deadlines.total = Duration::from_millis(50);
    let gate = Gate::start(config).await;
    let mut connection = Connection::open(&gate.address).await;
    let head = "POST /webhooks/stripe HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n";
    connection.write(head.as_bytes()).await;

    // Byte after byte until the gate has had enough: then it closes, or at least stops reading.
    let mut trickle = tokio::time::interval(Duration::from_millis(1));
    let mut failed = false;
    for _ in 0..10_000 {
        trickle.tick().await;
        failed = connection.try_write(b"x").await.is_err();
        if failed {
            break;
        }
    }

    assert!(failed, "the gate went on reading");
    assert!(
        gate.metric(r#"hookgate_requests_total{outcome="rejected",source="stripe"}"#)
            .await
            == Some(1.0)
    );
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_breaks_off_is_not_an_event() {
    let (_setup, app, gate) = gate().await;
    let request = bytes(&Sender::new("stripe").event("evt_1"));
    let mut connection = Connection::open(&gate.address).await;
    connection.write(&request[..request.len() - 1]).await;
    drop(connection);
    let rejected = r#"hookgate_requests_total{outcome="rejected",source="stripe"}"#;
    gate.counted(rejected, 1.0).await;
    assert_eq!(gate.events("").await.len(), 0);
    gate.stop().await;
    assert_eq!(app.stop().await.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_requests_are_answered_in_order() {
    let (_setup, app, gate) = gate().await;
    let stripe = Sender::new("stripe");
    let both = [
        bytes(&stripe.event("evt_1")),
        bytes(&stripe.event("evt_2")),
        bytes(&stripe.event("evt_1")),
    ];
    let mut connection = Connection::open(&gate.address).await;
    connection.write(&both.concat()).await;

    let first = connection.answer().await.acknowledged("stored");
    let second = connection.answer().await.acknowledged("stored");
    let repeat = connection.answer().await.acknowledged("duplicate");

    assert!(first < second && repeat == first);
    assert_eq!(app.received(2).await.len(), 2);
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_that_asks_before_it_sends_the_body_is_told_to_go_on() {
    let (_setup, _app, gate) = gate().await;
    let request = bytes(&Sender::new("stripe").event("evt_1"));
    let request = String::from_utf8(request).unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut connection = Connection::open(&gate.address).await;

    let head = format!("{head}\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(connection.ask(head.as_bytes()).await.status, 100);
    connection.ask(body.as_bytes()).await.acknowledged("stored");

    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verified_events_over_the_rate_of_a_source_are_answered_429_with_retry_after() {
    let stripe = Sender::new("stripe");
    let (mut setup, _app) = Setup::scene(&[&stripe]).await;
    setup.set("sources.stripe.rate.per_second", "1");
    setup.set("sources.stripe.rate.burst", "2");
    let gate = setup.start().await;
    let mut statuses = Vec::new();
    for n in 0..20 {
        let answer = gate.post(&stripe.event(&format!("evt_{n}"))).await;
        if answer.status == 429 {
            let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=2).contains(&seconds), "{seconds}");
        }
        statuses.push(answer.status);
    }
    assert_eq!(statuses[..2], [200, 200]);
    assert!(statuses.contains(&429), "{statuses:?}");
    gate.stop().await;
}
