//! The app gets what the sender sent, byte for byte, and then our own headers.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hookgate::clock::Clock;
use hookgate::event::Received;
use hookgate::providers::{Kind, Place};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::support::app::{App, Delivery};
use crate::support::gate::Setup;
use crate::support::http::Connection;
use crate::support::sender::{Sender, bytes};

/// What only the gate may say, in the order in which it says it.
const OURS: [&str; 7] = [
    "hookgate-event-id",
    "hookgate-source",
    "hookgate-provider-event-id",
    "hookgate-event-type",
    "hookgate-received-at",
    "hookgate-attempt",
    "hookgate-verified",
];

async fn one_delivery(setup: &Setup, app: &App, requests: &[&[u8]]) -> Arc<Delivery> {
    let gate = setup.start().await;
    let mut connection = Connection::open(&gate.address).await;
    for request in requests {
        connection.write(request).await;
    }
    connection.answer().await.acknowledged("stored");
    let delivery = app.delivery(0).await;
    gate.stop().await;
    delivery
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn body_method_path_query_and_headers_arrive_as_they_were_sent() {
    let stripe = Sender::new("stripe");
    let (setup, app) = Setup::scene(&[&stripe]).await;
    let body: Vec<u8> = [
        b"{\"id\":\"evt_1\",\"x\":\"",
        &(0x80..=0xff).collect::<Vec<_>>()[..],
        b"\0\r\n\r\n\"}",
    ]
    .concat();
    let target = "/webhooks/stripe?b=2&a=%7E~&&a=1+%2B?/;";
    let signed = stripe.signed(target, vec![], &body, "");
    let head = format!(
        "POST {target} HTTP/1.1\r\nX-Zebra: 1\r\nHost: hooks.example.com:8443\r\nX-Apple:   two  spaces\t\r\n\
         Stripe-Signature: {}\r\nX-Zebra: 2\r\nX-Empty:\r\nUser-Agent: a/1 (b; c)\r\nX-Raw: ",
        signed.headers[0].1
    );
    let rest = format!(
        "\r\nX-Zebra: 1\r\nAccept-Encoding: gzip\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\
         X-Forwarded-For: 203.0.113.7\r\nCookie: a=b\r\nContent-Type: application/json; charset=\"utf-8\"\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );

    let raw = [
        head.as_bytes(),
        b"caf\xc3\xa9 \xff\xfe",
        rest.as_bytes(),
        &body,
    ];
    let delivery = one_delivery(&setup, &app, &raw).await;

    assert_eq!(delivery.request_line(), format!("POST {target} HTTP/1.1"));
    assert_eq!(delivery.body, body);
    let headers = delivery.headers();
    let theirs: Vec<_> = headers
        .iter()
        .filter(|(name, _)| !name.starts_with("hookgate-") && name != "content-length")
        .map(|(name, value)| (name.as_str(), value.as_slice()))
        .collect();
    assert_eq!(
        theirs,
        [
            // Repeats stand together, where the first of them stood.
            ("x-zebra", &b"1"[..]),
            ("x-zebra", b"2"),
            ("x-zebra", b"1"),
            ("host", b"hooks.example.com:8443"),
            ("x-apple", b"two  spaces"),
            ("stripe-signature", signed.headers[0].1.as_bytes()),
            ("x-empty", b""),
            ("user-agent", b"a/1 (b; c)"),
            ("x-raw", b"caf\xc3\xa9 \xff\xfe"),
            ("accept-encoding", b"gzip"),
            (
                "traceparent",
                b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
            ),
            ("x-forwarded-for", b"203.0.113.7"),
            ("cookie", b"a=b"),
            ("content-type", b"application/json; charset=\"utf-8\""),
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_headers_come_last_with_the_right_values() {
    let stripe = Sender::new("stripe");
    let (setup, app) = Setup::scene(&[&stripe]).await;
    let before = Clock::real().wall();

    let delivery = one_delivery(&setup, &app, &[&bytes(&stripe.event("evt_1"))]).await;

    let headers = delivery.headers();
    let names = headers.iter().map(|(name, _)| name.as_str());
    let tail: Vec<_> = names
        .skip_while(|name| !name.starts_with("hookgate-"))
        .filter(|name| *name != "content-length") // written by the HTTP client at the very end
        .collect();
    assert_eq!(tail, OURS);
    assert_eq!(delivery.source(), "stripe");
    assert_eq!(delivery.attempt(), 1);
    let text = |name: &str| delivery.header(name).expect(name);
    assert_eq!(text("hookgate-provider-event-id"), "evt_1");
    assert_eq!(text("hookgate-event-type"), "invoice.paid");
    assert_eq!(text("hookgate-verified"), "hmac-sha256");
    assert_eq!(delivery.header("hookgate-replay"), None);
    let received: jiff::Timestamp = text("hookgate-received-at").parse().unwrap();
    let (received, after) = (received.as_millisecond(), Clock::real().wall());
    assert!((before.0..=after.0).contains(&received));
    // The trace is the event: version, its 16 bytes, a span, not sampled.
    let trace = text("traceparent");
    let id = delivery.event_id();
    assert!(trace.starts_with(&format!("00-{}-", &id[4..])), "{trace}");
    assert!(trace.ends_with("-00") && trace.len() == 55, "{trace}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_of_the_connection_and_pretended_ones_do_not_arrive() {
    let stripe = Sender::new("stripe");
    let (setup, app) = Setup::scene(&[&stripe]).await;
    let event = stripe.event("evt_1");
    let request = String::from_utf8(bytes(&event)).unwrap();
    let (line, rest) = request.split_once("\r\n").unwrap();
    let extra = "Connection: keep-alive, X-Hop\r\nConnection: x-other-hop\r\nX-Hop: 1\r\nX-Other-Hop: 2\r\n\
        Keep-Alive: timeout=5\r\nProxy-Authorization: Basic abc\r\nTE: trailers\r\nTrailer: X-T\r\nUpgrade: h2c\r\n\
        Proxy-Connection: close\r\nHookgate-Event-Id: forged\r\nhookgate_event_id: forged\r\nHOOKGATE-ATTEMPT: 9\r\n\
        Hookgate_Verified: forged\r\nHookgate-Replay: true\r\nHookgate-Anything: forged\r\nHookgate-Request-Id: forged\r\n\
        Hookgates-Own: kept\r\nX-Kept: kept\r\n";
    let raw = format!("{line}\r\n{extra}{rest}");

    let delivery = one_delivery(&setup, &app, &[raw.as_bytes()]).await;

    let head = String::from_utf8_lossy(&delivery.head).to_lowercase();
    for dropped in [
        "forged",
        "hop",
        "keep-alive",
        "proxy-",
        "\r\nte:",
        "trailer",
        "upgrade",
        "connection",
    ] {
        assert!(!head.contains(dropped), "{dropped} in {head}");
    }
    assert_eq!(delivery.header("hookgates-own").as_deref(), Some("kept"));
    assert_eq!(delivery.header("x-kept").as_deref(), Some("kept"));
    assert_eq!(delivery.header("hookgate-replay"), None);
    for name in OURS {
        assert_eq!(delivery.all(name).len(), 1, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_id_is_given_to_every_answer_and_never_to_the_app() {
    let stripe = Sender::new("stripe");
    let (setup, app) = Setup::scene(&[&stripe]).await;
    let gate = setup.start().await;
    let mut connection = Connection::open(&gate.address).await;
    let event = bytes(&stripe.event("evt_1"));
    let unknown = b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";

    let (one, two) = (connection.ask(&event).await, connection.ask(unknown).await);

    let id = |answer: &crate::support::http::Answer| {
        answer
            .header("hookgate-request-id")
            .expect("a request id")
            .to_owned()
    };
    assert_ne!(id(&one), id(&two));
    assert_eq!(app.delivery(0).await.header("hookgate-request-id"), None);
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_senders_own_signature_verifies_again_at_the_app() {
    let senders = Sender::all();
    let (setup, app) = Setup::scene(&senders.iter().collect::<Vec<_>>()).await;
    let gate = setup.start().await;
    let verifiers = setup.config().ingress.sources;
    for sender in &senders {
        let answer = gate.post(&sender.event("evt_1")).await;
        answer.acknowledged_with(sender.provider.ack.status, "stored");
    }
    let deliveries = app.received(senders.len()).await;

    for sender in &senders {
        let mine = |delivery: &&Arc<Delivery>| delivery.source() == sender.source;
        let delivery = deliveries.iter().find(mine).expect(&sender.source);
        let source = verifiers
            .iter()
            .find(|source| source.name.as_str() == sender.source)
            .unwrap();
        let now = Clock::real().wall();
        let holds = source.verifier.verify(received(delivery), now).is_ok();
        // A token in the URL is for the gate alone.
        let rule = sender.scheme().signature.as_ref();
        let in_query = |place: &Place| matches!(place, Place::Query(_) | Place::NamedQuery(_));
        let in_url = rule.is_none_or(|rule| in_query(&rule.from.0[0].place))
            && matches!(sender.kind(), Kind::None | Kind::Token);
        assert_eq!(holds, !in_url, "{}", sender.source);
    }
    gate.stop().await;
}

/// The delivery as the app would hand it to a verifier of its own.
fn received(delivery: &Delivery) -> Received {
    let mut headers = HeaderMap::new();
    for (name, value) in delivery.headers() {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_bytes(&value).unwrap());
    }
    let line = delivery.request_line();
    Received {
        received_at: Clock::real().wall(),
        peer: None,
        method: Method::POST,
        target: line.split(' ').nth(1).unwrap().into(),
        path_token: None,
        headers,
        body: delivery.body.clone().into(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_in_the_url_are_taken_out_and_the_rest_of_it_stays() {
    let jigsaw = Sender::new("jigsawstack");
    let sieve = Sender::new("sieve");
    let (setup, app) = Setup::scene(&[&jigsaw, &sieve]).await;
    let gate = setup.start().await;
    let mut event = jigsaw.event("evt_1");
    let key = event.url.split_once('?').unwrap().1.to_owned();
    event.url = format!("{}?a=%20&{key}&b=", jigsaw.path());
    gate.post(&event).await.acknowledged("stored");
    let mut event = sieve.event("evt_1");
    event.url = format!("{}?x=y", event.url);
    gate.post(&event).await.acknowledged("stored");

    let mut lines: Vec<_> = app
        .received(2)
        .await
        .iter()
        .map(|delivery| delivery.request_line())
        .collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            "POST /webhooks/jigsawstack-static?a=%20&b= HTTP/1.1",
            "POST /webhooks/sieve?x=y HTTP/1.1"
        ]
    );
    for delivery in app.deliveries() {
        let head = String::from_utf8_lossy(&delivery.head).into_owned();
        for sender in [&jigsaw, &sieve] {
            assert!(!head.contains(sender.secret()), "{head}");
        }
    }
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_app_path_the_app_gets_its_own_path_and_the_senders_query() {
    let stripe = Sender::new("stripe");
    let (mut setup, app) = Setup::scene(&[&stripe]).await;
    setup.set("sources.stripe.app_path", "/internal/stripe");
    let mut event = stripe.event("evt_1");
    event.url += "?a=b";

    let delivery = one_delivery(&setup, &app, &[&bytes(&event)]).await;

    assert_eq!(
        delivery.request_line(),
        "POST /internal/stripe?a=b HTTP/1.1"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_sign_secret_the_gate_signs_to_the_app_with_standard_webhooks() {
    use hmac::{Hmac, KeyInit, Mac};
    let standard = Sender::new("standard-webhooks");
    let (mut setup, app) = Setup::scene(&[&standard]).await;
    let key = b"a key between gate and app";
    setup.set(
        "app.sign_secret",
        &format!("whsec_{}", STANDARD.encode(key)),
    );

    let delivery = one_delivery(&setup, &app, &[&bytes(&standard.event("msg_1"))]).await;

    // In place of the sender's headers of the same names, over our id.
    let text = |name: &str| delivery.header(name).expect(name);
    assert_eq!(text("webhook-id"), delivery.event_id());
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
    mac.update(format!("{}.{}.", text("webhook-id"), text("webhook-timestamp")).as_bytes());
    mac.update(&delivery.body);
    let expected = STANDARD.encode(mac.finalize().into_bytes());
    assert_eq!(text("webhook-signature"), format!("v1,{expected}"));
    let age = Clock::real().wall().seconds() - text("webhook-timestamp").parse::<i64>().unwrap();
    assert!((0..60).contains(&age), "{age}");
}
