//! `ack = "app"`: the event is on disk, and the sender gets the app's own answer, whose body it needs (slash
//! commands, interactions, TwiML).

use hookgate::verify::Unsigned;
use serde_json::Value;

use crate::support::app::{App, Reply};
use crate::support::gate::{Gate, Setup};
use crate::support::http::{Answer, Connection};
use crate::support::sender::{Sender, bytes, tampered};
use crate::support::{eventually, within};

const TWIML: &str = "<Response><Say>Hello</Say></Response>";

async fn answering(sender: &Sender, patience: &str) -> (Setup, App) {
    let (mut setup, app) = Setup::scene(&[sender]).await;
    setup.set(&format!("sources.{}.ack", sender.source), "app");
    setup.set(&format!("sources.{}.ack_timeout", sender.source), patience);
    (setup, app)
}

/// The app's answer on the wire.
fn wire(head: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
}

fn twiml() -> Reply {
    Reply::Answer(wire("200 OK\r\ncontent-type: text/xml", TWIML))
}

#[track_caller]
fn is_twiml(answer: &Answer, how: &str) -> String {
    assert_eq!(
        answer.header("content-type"),
        Some("text/xml"),
        "{answer:?}"
    );
    assert_eq!(answer.text(), TWIML);
    answer.acknowledged(how)
}

#[track_caller]
fn comes_again(answer: &Answer, why: &str) {
    let retry_after = answer.header("retry-after");
    assert_eq!((answer.status, retry_after), (503, Some("5")), "{answer:?}");
    assert_eq!(answer.text(), why);
}

const NOT_YET: &str = "the event is kept and has not been handled yet";
const UNFIT: &str = "the app's answer cannot be passed on";

/// Asks with `Connection: close`, for the whole answer as it is on the wire.
async fn raw(gate: &Gate, event: &Unsigned) -> String {
    let mut event = event.clone();
    event.headers.push(("Connection".into(), "close".into()));
    let mut connection = Connection::open(&gate.address).await;
    connection.write(&bytes(&event)).await;
    let answer = connection.until_closed().await;
    String::from_utf8(answer).expect("text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_gets_the_apps_status_headers_and_body_and_so_does_its_repeat() {
    let stripe = Sender::new("stripe");
    let (setup, app) = answering(&stripe, "30s").await;
    app.script(|_| {
        let head = "203 Whatever\r\nContent-Type: text/xml\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2";
        Reply::Answer(wire(head, TWIML))
    });
    let gate = setup.start().await;
    let event = stripe.event("evt_1");

    let first = gate.post(&event).await;

    let id = first.acknowledged_with(203, "stored");
    let cookies = first
        .headers
        .iter()
        .filter(|(name, _)| name == "set-cookie");
    let cookies: Vec<_> = cookies.map(|(_, value)| value.as_str()).collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    assert_eq!(
        (first.header("content-type"), first.text()),
        (Some("text/xml"), TWIML)
    );
    assert!(first.header("hookgate-request-id").is_some());
    gate.settled(&id, "delivered").await;

    let repeat = gate.post(&event).await;
    assert_eq!(repeat.acknowledged_with(203, "duplicate"), id);
    assert_eq!(
        (repeat.header("content-type"), repeat.text()),
        (Some("text/xml"), TWIML)
    );
    assert_eq!(app.deliveries().len(), 1);
    let stored = r#"hookgate_requests_total{outcome="stored",source="stripe"}"#;
    assert_eq!(gate.metric(stored).await, Some(1.0));
    gate.stop().await;
}

/// The app can neither frame the answer, nor end the connection, nor speak in our name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_app_says_about_its_connection_stays_there() {
    let stripe = Sender::new("stripe");
    let (setup, app) = answering(&stripe, "30s").await;
    app.script(|_| {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-late\r\nConnection: x-hop\r\n\
            X-Hop: 1\r\nKeep-Alive: timeout=1\r\nUpgrade: h2c\r\nTransfer_Encoding: chunked\r\n\
            Hookgate-Event-Id: evt_forged\r\nhookgate_status: forged\r\nHookgate-Request-Id: forged\r\n\
            X-Mine: kept\r\n\r\n5\r\nhello\r\n0\r\nX-Late: 1\r\n\r\n";
        Reply::Answer(head.as_bytes().to_vec())
    });
    let gate = setup.start().await;

    let answer = raw(&gate, &stripe.event("evt_1")).await;

    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert_eq!(body, "hello");
    let mut names: Vec<_> = head
        .lines()
        .skip(1)
        .map(|line| line.split(':').next())
        .collect();
    names.sort_unstable();
    let expected = [
        "connection",
        "content-length",
        "date",
        "hookgate-event-id",
        "hookgate-request-id",
        "hookgate-status",
        "x-mine",
    ];
    assert_eq!(names, expected.map(Some), "{head}");
    assert!(!answer.contains("forged"), "{answer}");

    // On a connection that stays, the next answer begins where this one ends.
    let mut connection = Connection::open(&gate.address).await;
    for id in ["evt_2", "evt_3"] {
        let answer = connection.ask(&bytes(&stripe.event(id))).await;
        answer.acknowledged("stored");
        assert_eq!(answer.text(), "hello");
    }
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_of_the_apps_is_the_senders_and_its_repeat_is_tried_again() {
    let stripe = Sender::new("stripe");
    let (setup, app) = answering(&stripe, "30s").await;
    let mut refused = 0;
    app.script(move |_| {
        refused += 1;
        match refused {
            1 => Reply::Answer(wire(
                "400 Bad\r\ncontent-type: text/plain",
                "no such command",
            )),
            2 => Reply::Answer(wire("503 Busy\r\nretry-after: 77", "busy")),
            _ => twiml(),
        }
    });
    let gate = setup.start().await;
    let event = stripe.event("evt_1");

    let first = gate.post(&event).await;
    let id = first.acknowledged_with(400, "stored");
    assert_eq!(first.text(), "no such command");
    let dead = gate.settled(&id, "dead").await;
    assert_eq!(dead["dead_reason"], "refused");
    assert_eq!(dead["attempts_made"][0]["status"], 400);
    assert_eq!(dead["attempts_made"][0]["outcome"], "final_status");

    let second = gate.post(&event).await;
    assert_eq!(second.acknowledged_with(503, "duplicate"), id);
    assert_eq!(
        (second.header("retry-after"), second.text()),
        (Some("77"), "busy")
    );
    gate.settled(&id, "dead").await;

    assert_eq!(is_twiml(&gate.post(&event).await, "duplicate"), id);
    gate.settled(&id, "delivered").await;
    assert_eq!(app.deliveries().len(), 3);
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_who_wait_for_one_event_get_the_answer_of_one_attempt() {
    let stripe = Sender::new("stripe");
    let (setup, app) = answering(&stripe, "30s").await;
    app.script(|_| Reply::AnswerOnceReleased(wire("418 Teapot", "short and stout")));
    let gate = setup.start().await;
    let event = stripe.event("evt_1");

    let (first, second) = tokio::join!(gate.post(&event), async {
        app.received(1).await;
        let (second, ()) = tokio::join!(gate.post(&event), async {
            gate.counted("hookgate_connections", 2.0).await;
            // The repeat is known to wait once the store has counted a second commit.
            let commits = "hookgate_store_commit_duration_seconds_count";
            eventually("a second commit", async || {
                gate.metric(commits).await >= Some(2.0)
            })
            .await;
            app.release();
        });
        second
    });

    let id = first.acknowledged_with(418, "stored");
    assert_eq!(second.acknowledged_with(418, "duplicate"), id);
    assert_eq!(
        (first.text(), second.text()),
        ("short and stout", "short and stout")
    );
    assert_eq!(app.deliveries().len(), 1);
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_that_cannot_wait_comes_again_for_the_answer_that_came_late() {
    let stripe = Sender::new("stripe");
    let (setup, app) = answering(&stripe, "50ms").await;
    let late = wire("200 OK\r\ncontent-type: text/xml", TWIML);
    app.script(move |_| Reply::AnswerOnceReleased(late.clone()));
    let gate = setup.start().await;
    let event = stripe.event("evt_1");

    for _ in 0..2 {
        comes_again(&gate.post(&event).await, NOT_YET);
    }
    let unhandled = r#"hookgate_requests_total{outcome="unhandled",source="stripe"}"#;
    assert_eq!(gate.metric(unhandled).await, Some(2.0));
    let id = gate.events("").await[0]["id"].as_str().unwrap().to_owned();
    app.release();
    gate.settled(&id, "delivered").await;

    assert_eq!(is_twiml(&gate.post(&event).await, "duplicate"), id);
    assert_eq!(app.deliveries().len(), 1);
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_app_is_away_senders_come_again_and_the_event_is_kept_for_it() {
    let stripe = Sender::new("stripe");
    let (setup, app) = answering(&stripe, "50ms").await;
    let address = setup.app_address();
    app.stop().await;
    let gate = setup.start().await;
    let event = stripe.event("evt_1");
    for _ in 0..2 {
        comes_again(&gate.post(&event).await, NOT_YET);
    }
    assert_eq!(gate.metric("hookgate_app_up").await, Some(0.0));

    let app = App::start(&address).await;
    app.script(|_| twiml());

    let id = app.delivery(0).await.event_id();
    gate.settled(&id, "delivered").await;
    assert_eq!(is_twiml(&gate.post(&event).await, "duplicate"), id);
    gate.stop().await;
}

/// What nobody heard is judged like any other answer, and a sender that comes again does not wait for the
/// next try.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_nobody_heard_is_tried_again_at_once_when_the_sender_comes_again() {
    let stripe = Sender::new("stripe");
    let (setup, app) = answering(&stripe, "30s").await;
    app.script(|_| {
        Reply::AnswerOnceReleased(wire("400 Bad\r\nretry-after: 3000", "who heard that?"))
    });
    let gate = setup.start().await;
    let event = stripe.event("evt_1");
    let mut connection = Connection::open(&gate.address).await;
    connection.write(&bytes(&event)).await;
    let id = app.delivery(0).await.event_id();
    drop(connection);
    gate.counted("hookgate_connections", 0.0).await;
    app.release();
    let mut attempt = Value::Null;
    eventually("a failed attempt on disk", async || {
        let event = gate.event(&id).await;
        attempt = event["attempts_made"].get(0).cloned().unwrap_or_default();
        !attempt.is_null()
    })
    .await;
    assert_eq!(attempt["outcome"], "failed_status");

    app.script(|_| twiml());

    assert_eq!(is_twiml(&gate.post(&event).await, "duplicate"), id);
    let attempts: Vec<_> = app.deliveries().iter().map(|one| one.attempt()).collect();
    assert_eq!(attempts, [1, 2]);
    gate.settled(&id, "delivered").await;
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_cannot_travel_whole_does_not_travel_at_all() {
    let stripe = Sender::new("stripe");
    let (setup, app) = answering(&stripe, "30s").await;
    let gate = setup.start().await;
    let long = "x".repeat(64 * 1024);
    let head = format!("x: {}\r\n", "y".repeat(200)).repeat(100);
    for (n, (reply, fits)) in [
        (Reply::Answer(wire("200 OK", &long)), true),
        (Reply::Answer(wire("200 OK", &format!("{long}x"))), false),
        (
            Reply::Answer(wire(&format!("200 OK\r\n{}", head.trim_end()), "")),
            false,
        ),
        (
            Reply::AnswerThenClose(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".to_vec()),
            false,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        app.script(move |_| reply.clone());
        let event = stripe.event(&format!("evt_{n}"));
        let answer = gate.post(&event).await;
        let id = if fits {
            assert_eq!(answer.text(), long);
            answer.acknowledged("stored")
        } else {
            comes_again(&answer, UNFIT);
            app.delivery(n).await.event_id()
        };
        // The app took it.
        gate.settled(&id, "delivered").await;
        let repeat = gate.post(&event).await;
        assert_eq!(repeat.acknowledged("duplicate"), id);
        assert_eq!(repeat.body.len(), if fits { long.len() } else { 0 }, "{n}");
    }
    assert_eq!(app.deliveries().len(), 4);
    gate.stop().await;
}

/// 101 hands the connection over to another protocol, and 999 is none that a client knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_that_is_no_last_answer_is_a_failure_of_the_apps() {
    let stripe = Sender::new("stripe");
    let (setup, app) = answering(&stripe, "30s").await;
    let mut answers = 0;
    app.script(move |_| {
        answers += 1;
        match answers {
            1 => Reply::AnswerThenClose(
                b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n".to_vec(),
            ),
            2 => Reply::Answer(wire("999 What", "")),
            _ => twiml(),
        }
    });
    let gate = setup.start().await;

    // It goes on waiting, for the third attempt.
    let id = is_twiml(&gate.post(&stripe.event("evt_1")).await, "stored");

    let event = gate.settled(&id, "delivered").await;
    assert_eq!(event["attempts"], 3, "{event}");
    gate.stop().await;
}

/// A restart forgets what the app said, not that it took the event.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_a_repeat_is_told_as_the_provider_wants_that_the_event_was_taken() {
    let discord = Sender::new("discord");
    let (setup, app) = answering(&discord, "30s").await;
    app.script(|_| Reply::Answer(wire("200 OK\r\ncontent-type: application/json", "{}")));
    let gate = setup.start().await;
    let event = discord.event("1");
    let id = gate.post(&event).await.acknowledged("stored");
    gate.settled(&id, "delivered").await;
    gate.stop().await;

    let gate = setup.start().await;
    let repeat = gate.post(&event).await;

    assert_eq!(repeat.acknowledged_with(204, "duplicate"), id);
    assert!(repeat.body.is_empty());
    assert_eq!(app.deliveries().len(), 1);
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_verified_and_an_event_reaches_the_app() {
    let slack = Sender::new("slack");
    let (setup, app) = answering(&slack, "30s").await;
    app.script(|_| twiml());
    let gate = setup.start().await;

    let forged = gate.post(&tampered(&slack.event("Ev1"))).await;
    assert_eq!(forged.status, 401, "{forged:?}");
    let challenge = br#"{"type":"url_verification","challenge":"abc"}"#;
    let json = vec![("content-type".to_owned(), "application/json".to_owned())];
    let handshake = slack.signed(&slack.target(), json, challenge, "x");
    let echoed = gate.post(&handshake).await;
    assert_eq!((echoed.status, echoed.text()), (200, "abc"));
    assert_eq!(app.deliveries().len(), 0);

    is_twiml(&gate.post(&slack.event("Ev1")).await, "stored");
    gate.stop().await;
}

/// Answers on their way to senders share the memory for requests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_was_heard_goes_out_though_there_is_no_room_for_it() {
    let stripe = Sender::new("stripe");
    let (mut setup, app) = answering(&stripe, "30s").await;
    setup.set("server.body_max", "16KiB");
    setup.set("server.bodies_in_flight_max", "32KiB");
    let long = "x".repeat(60 * 1024);
    app.script(move |_| Reply::Answer(wire("200 OK", &long)));
    let gate = setup.start().await;

    let answer = within("an answer", gate.post(&stripe.event("evt_1"))).await;

    assert_eq!(answer.text().len(), 60 * 1024);
    let id = answer.acknowledged("stored");
    gate.settled(&id, "delivered").await;
    app.script(|_| twiml());
    is_twiml(&gate.post(&stripe.event("evt_2")).await, "stored");
    gate.stop().await;
}
