//! Senders that stop at a point where no bytes can tell: in the TLS handshake, before they read
//! an answer; and connections that last.

use std::time::Duration;

use hookgate::net::Stream;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::frames::outcomes;
use crate::http2;
use crate::scene::Scene;
use crate::wire::{Wire, in_real_time, pass, settle};

const MOMENT: Duration = Duration::from_millis(1);

/// A sender with TLS that writes only what it is told to.
fn tls_client() -> ClientConnection {
    let authority = include_bytes!("../keys/tls/authority.pem");
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(authority).expect("a certificate");
    roots.add(authority).expect("a root");
    let provider = rustls::crypto::ring::default_provider();
    let config = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("keys.example.com").expect("a name");
    ClientConnection::new(config.into(), name).expect("a client")
}

async fn over_tls() -> Scene {
    let file = |name| format!("{}/tests/keys/tls/{name}", env!("CARGO_MANIFEST_DIR"));
    Scene::with(&[
        ("server.tls.certificate", &file("certificate.pem")),
        ("server.tls.key", &file("key.pem")),
    ])
    .await
}

/// The connection lasts until this time has passed, and no longer.
async fn ends_after(wire: &mut Wire, time: Duration) {
    settle().await;
    pass(time - MOMENT).await;
    assert!(!wire.seen().closed, "ended before {time:?}");
    pass(2 * MOMENT).await;
    wire.until(|seen| seen.closed).await;
    assert!(wire.seen().closed, "lasts longer than {time:?}");
}

#[tokio::test(start_paused = true)]
async fn a_tls_handshake_that_stops_ends_after_five_seconds_wherever_it_stops() {
    let scene = over_tls().await;
    let mut hello = Vec::new();
    tls_client().write_tls(&mut hello).expect("a flight");
    // Nothing, a record's head, half the first flight, all of it and no second one.
    for flight in [&[][..], &hello[..5], &hello[..hello.len() / 2], &hello[..]] {
        let mut wire = Wire::open(scene.address()).await;
        wire.write(flight).await;
        let answers = flight.len() == hello.len();
        wire.until(|seen| seen.closed || !answers || !seen.bytes.is_empty())
            .await;
        ends_after(&mut wire, Duration::from_secs(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_says_nothing_after_the_tls_handshake_has_ten_seconds() {
    let scene = over_tls().await;
    let mut client = tls_client();
    let mut wire = Wire::open(scene.address()).await;
    let mut known = 0;
    while client.is_handshaking() {
        let mut flight = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut flight).expect("a flight");
        }
        wire.write(&flight).await;
        if client.is_handshaking() {
            wire.until(|seen| seen.closed || seen.bytes.len() > known)
                .await;
            let bytes = wire.seen().bytes[known..].to_vec();
            known += bytes.len();
            client.read_tls(&mut &bytes[..]).expect("a flight");
            client.process_new_packets().expect("a flight");
        }
    }
    let mut flight = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut flight).expect("a flight");
    }
    wire.write(&flight).await;
    ends_after(&mut wire, Duration::from_secs(10)).await;
}

/// Writes more and more requests, until the gate takes none because nobody reads its answers.
async fn fill(scene: &Scene, stream: &mut Stream, mut requests: impl FnMut() -> Vec<u8>) {
    let stuck = async {
        let (mut before, mut now) = (0, 0);
        while now == 0 || now > before {
            for _ in 0..5 {
                settle().await;
            }
            (before, now) = (now, scene.unknown_paths().await);
        }
    };
    let written = async {
        loop {
            let written = stream.write_all(&requests()).await;
            written.expect("the gate is there");
            settle().await;
        }
    };
    tokio::select! {
        biased;
        () = written => {}
        () = stuck => {}
    }
}

/// Whoever asks and never reads lasts for ten seconds; its answers are there, and then the end.
async fn asked_and_never_read(requests: impl FnMut() -> Vec<u8>) -> Vec<u8> {
    let scene = Scene::new().await;
    let mut stream = scene.address().connect().await.expect("a connection");
    fill(&scene, &mut stream, requests).await;
    pass(Duration::from_secs(10) - MOMENT).await;
    assert_eq!(scene.connections().await, 1);
    pass(2 * MOMENT).await;
    let mut answers = Vec::new();
    let read = in_real_time(stream.read_to_end(&mut answers)).await;
    assert!(read.is_some(), "the connection lasts");
    assert_eq!(scene.connections().await, 0);
    answers
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_does_not_read_answers_for_ten_seconds_is_cut_off() {
    let requests = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000);
    let answers = asked_and_never_read(|| requests.clone().into()).await;
    assert!(answers.starts_with(b"HTTP/1.1 404 "));
}

#[tokio::test(start_paused = true)]
async fn an_http2_sender_that_does_not_read_answers_for_ten_seconds_is_cut_off() {
    let mut requests = (0..).map(|n| match n {
        0 => http2::beginning(),
        _ => http2::bytes(&unknown(2 * n - 1)),
    });
    let answers = asked_and_never_read(|| requests.by_ref().take(16).flatten().collect()).await;
    assert!(outcomes(&answers).contains(&"1: 404".to_owned()));
}

/// A request on this stream that is answered 404.
fn unknown(stream: u32) -> String {
    format!("HEADERS {stream} ES+EH :method: GET | :scheme: http | :path: /x | :authority: a")
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_used_all_the_time_ends_within_330_seconds_between_two_requests() {
    let scene = Scene::new().await;
    let mut wire = Wire::open(scene.address()).await;
    let (mut seconds, mut answers) = (0, 0);
    while !wire.seen().closed {
        wire.write(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await;
        answers += 1;
        let all = |bytes: &[u8]| bytes.windows(5).filter(|window| window == b" 404 ").count();
        wire.until(|seen| all(&seen.bytes) == answers).await;
        assert_eq!(all(&wire.seen().bytes), answers, "a request had no answer");
        pass(Duration::from_secs(5)).await;
        seconds += 5;
    }
    assert!((300..=335).contains(&seconds), "{seconds}");
}

/// One that keeps asking after it has been told that the connection ends has another 35 seconds.
#[tokio::test(start_paused = true)]
async fn an_http2_connection_that_is_used_all_the_time_ends_within_365_seconds() {
    let scene = Scene::new().await;
    let mut wire = Wire::open(scene.address()).await;
    wire.write(&http2::beginning()).await;
    let (mut seconds, mut stream) = (0, 1);
    while !wire.seen().closed {
        wire.write(&http2::bytes(&unknown(stream))).await;
        let answered = |bytes: &[u8]| outcomes(bytes).contains(&format!("{stream}: 404"));
        wire.until(|seen| seen.closed || answered(&seen.bytes))
            .await;
        let told = outcomes(&wire.seen().bytes).contains(&"GOAWAY NO_ERROR".to_owned());
        assert!(
            told || answered(&wire.seen().bytes),
            "a request had no answer"
        );
        assert!(seconds >= 300 || !told, "told after {seconds} s");
        pass(Duration::from_secs(5)).await;
        (seconds, stream) = (seconds + 5, stream + 2);
    }
    assert!((300..=370).contains(&seconds), "{seconds}");
}

/// It has been told that the connection ends, and may not have read so when it asks.
#[tokio::test(start_paused = true)]
async fn a_request_on_its_way_when_an_idle_http2_connection_ends_may_wait_for_the_app() {
    let mut scene = Scene::with(&[
        ("sources.stripe.ack", "handled"),
        ("sources.stripe.ack_timeout", "25s"),
    ])
    .await;
    scene.hush();
    let mut wire = Wire::open(scene.address()).await;
    wire.write(&http2::beginning()).await;
    settle().await;
    pass(Duration::from_secs(11)).await;
    let told = |bytes: &[u8]| outcomes(bytes).iter().any(|o| o.starts_with("GOAWAY"));
    wire.until(|seen| told(&seen.bytes)).await;

    let event = scene.event();
    wire.write(&http2::request(&event)).await;
    scene.asked(1).await;
    for _ in 0..4 {
        pass(Duration::from_secs(6)).await;
        assert!(!wire.seen().closed, "cut off while the request waits");
    }
    pass(Duration::from_secs(2)).await;
    let answered = |bytes: &[u8]| outcomes(bytes).contains(&"1: 503".to_owned());
    wire.until(|seen| seen.closed || answered(&seen.bytes))
        .await;
    assert!(
        answered(&wire.seen().bytes),
        "{:?}",
        outcomes(&wire.seen().bytes)
    );
}
