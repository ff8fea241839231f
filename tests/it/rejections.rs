//! "Why was this rejected?": operators learn it, senders do not.

use hookgate::clock::Clock;
use hookgate::verify::Unsigned;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::time::Duration;

use crate::support::eventually;
use crate::support::gate::{Gate, Setup};
use crate::support::http::Answer;
use crate::support::sender::{Sender, tampered};

async fn rejections(gate: &Gate, query: &str) -> Vec<Value> {
    let answer = gate.get(&format!("/api/v1/rejections?{query}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let list = answer.json()["rejections"].as_array().cloned();
    list.expect("a list")
}

/// The newest rejection, once its mistake has been looked for.
async fn examined(gate: &Gate, count: usize) -> Value {
    let mut newest = Value::Null;
    eventually("the examination", async || {
        let all = rejections(gate, "limit=500").await;
        newest = all.first().cloned().unwrap_or_default();
        all.len() == count && newest["examination"] != "pending"
    })
    .await;
    newest
}

/// Signed with another source's secret, but posted to the path of the first.
fn misdirected(from: &Sender, to: &Sender) -> Unsigned {
    let mut request = from.event("evt_1");
    request.url = to.path();
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_secret_is_named_to_the_operator() {
    let (stripe, other) = (Sender::new("stripe"), Sender::named("stripe", "other"));
    let (setup, app) = Setup::scene(&[&stripe, &other]).await;
    let gate = setup.start().await;
    let request = misdirected(&other, &stripe);

    let answer = gate.post(&request).await;

    assert_eq!(answer.status, 401);
    let shown = examined(&gate, 1).await;
    let expected = [
        ("/source", "stripe"),
        ("/method", "POST"),
        ("/target", "/webhooks/stripe"),
        ("/peer", "127.0.0.1"),
        ("/reason", "mismatch"),
        ("/examination", "done"),
        ("/diagnosis/mistake", "other_source_secret"),
        ("/diagnosis/clue", "other"),
        ("/body_sha256", &hex::encode(Sha256::digest(&request.body))),
        (
            "/request_id",
            answer.header("hookgate-request-id").expect("an id"),
        ),
    ];
    for (pointer, value) in expected {
        let found = shown.pointer(pointer).and_then(Value::as_str);
        assert_eq!(found, Some(value), "{pointer} in {shown}");
    }
    assert_eq!(shown["body_bytes"], request.body.len());
    assert_eq!(shown["observed"], false);
    let headers = shown["headers"].as_array().expect("a list");
    assert!(headers.contains(&"stripe-signature".into()), "{shown}");
    for part in ["explanation", "way_out"] {
        assert!(shown["diagnosis"][part].as_str().expect("a text").len() > 20);
    }
    let series = r#"hookgate_diagnoses_total{mistake="other_source_secret",source="stripe"}"#;
    assert_eq!(gate.metric(series).await, Some(1.0));
    gate.stop().await;
    assert_eq!(app.stop().await.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_newest_first_and_filtered() {
    let (stripe, github) = (Sender::new("stripe"), Sender::new("github"));
    let (setup, _app) = Setup::scene(&[&stripe, &github]).await;
    let gate = setup.start().await;
    let day = Duration::from_secs(24 * 3600);
    let yesterday = Clock::real().wall().minus(day);
    let mut unsigned = github.event("1");
    unsigned.headers.clear();
    for request in [
        tampered(&stripe.event("evt_1")),
        unsigned,
        stripe.signed_at("/webhooks/stripe", vec![], b"{}", "evt_2", yesterday),
    ] {
        assert_eq!(gate.post(&request).await.status, 401);
    }

    for (query, expected) in [
        ("", &["stale", "no_header", "mismatch"][..]),
        ("source=stripe", &["stale", "mismatch"]),
        ("source=github", &["no_header"]),
        ("source=nobody", &[]),
        ("reason=stale", &["stale"]),
        ("reason=expired", &[]),
        ("source=github&reason=stale", &[]),
        ("limit=1", &["stale"]),
    ] {
        let list = rejections(&gate, query).await;
        let reasons: Vec<_> = list.iter().map(|one| one["reason"].as_str()).collect();
        let expected: Vec<_> = expected.iter().map(|reason| Some(*reason)).collect();
        assert_eq!(reasons, expected, "{query}");
    }
    for query in [
        "reason=bad_luck",
        "limit=0",
        "limit=501",
        "limit=x",
        "sauce=stripe",
    ] {
        let answer = gate.get(&format!("/api/v1/rejections?{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
        assert_eq!(answer.json()["error"]["code"], "bad_request", "{query}");
    }
    gate.stop().await;
}

/// All that a sender sees, but what differs between any two answers.
fn seen(answer: &Answer) -> Answer {
    let mut answer = answer.clone();
    let varies = |name: &str| matches!(name, "date" | "hookgate-request-id");
    answer.headers.retain(|(name, _)| !varies(name));
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_is_the_same_whatever_mistake_is_found() {
    let (stripe, other) = (Sender::new("stripe"), Sender::named("stripe", "other"));
    let github = Sender::new("github");
    let (setup, _app) = Setup::scene(&[&stripe, &other, &github]).await;
    let gate = setup.start().await;
    let now = Clock::real().wall();
    let day = Duration::from_secs(24 * 3600);
    let signed_at = |at| stripe.signed_at("/webhooks/stripe", vec![], b"{}", "evt_1", at);
    let mut unsigned = signed_at(now);
    unsigned.headers.clear();
    let mut empty = signed_at(now);
    empty.headers[0].1.clear();
    let mut with_line_break = signed_at(now);
    with_line_break.body = b"{}\n"[..].into();
    let mut answers = Vec::new();
    for (request, mistake) in [
        (tampered(&signed_at(now)), None),
        (misdirected(&other, &stripe), Some("other_source_secret")),
        (misdirected(&github, &stripe), Some("wrong_path")),
        (with_line_break, Some("body_line_ends")),
        (signed_at(now.minus(day)), Some("clock_skew")),
    ] {
        answers.push(seen(&gate.post(&request).await));
        let shown = examined(&gate, answers.len()).await;
        assert_eq!(shown["diagnosis"]["mistake"].as_str(), mistake, "{shown}");
    }
    // Past the burst these may go without an examination; the answer does not depend on it.
    for request in [signed_at(now.plus(day)), unsigned, empty] {
        answers.push(seen(&gate.post(&request).await));
    }

    assert_eq!(answers[0].status, 401);
    assert_eq!(answers[0].text(), "the request could not be verified");
    for answer in &answers {
        assert_eq!(answer, &answers[0]);
    }
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_secrets_nor_signatures_nor_values_are_shown() {
    let (stripe, other) = (Sender::new("stripe"), Sender::named("stripe", "other"));
    let jigsaw = Sender::new("jigsawstack");
    let (setup, _app) = Setup::scene(&[&stripe, &other, &jigsaw]).await;
    let gate = setup.start().await;
    let body = br#"{"note":"private-note"}"#;
    let header = ("x-api-key".to_owned(), "private-value".to_owned());
    let mut request = other.signed("/webhooks/stripe", vec![header], body, "evt_1");
    // A token that belongs to another source.
    request.url = format!("/webhooks/stripe?webhookKey={}&plain", jigsaw.secret());
    let mut right = stripe.signed("/webhooks/stripe", vec![], body, "evt_1");
    let signature = |request: &Unsigned| {
        let named = |(name, _): &&(String, String)| name.eq_ignore_ascii_case("stripe-signature");
        let value = &request.headers.iter().find(named).expect("a signature").1;
        let (_, signature) = value.split_once("v1=").expect("v1");
        signature.to_owned()
    };
    let (sent, computed) = (signature(&request), signature(&right));
    right.body = b"tampered"[..].into();
    let unknown = format!("{}?webhookKey=private-guess", jigsaw.path());
    let guessed = Unsigned {
        url: unknown,
        ..jigsaw.event("1")
    };

    for (count, request) in [request, right, guessed].iter().enumerate() {
        assert_eq!(gate.post(request).await.status, 401);
        examined(&gate, count + 1).await;
    }

    let answer = gate.get("/api/v1/rejections?limit=500").await;
    let text = answer.text();
    assert!(text.contains("x-api-key") && text.contains("/webhooks/stripe?webhookKey=..."));
    for private in [
        stripe.secret(),
        other.secret(),
        jigsaw.secret(),
        &sent,
        &computed,
        "private-note",
        "private-value",
        "private-guess",
        "plain",
    ] {
        assert!(!text.contains(private), "{private} in {text}");
    }
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_on_one_source_is_bounded_and_pushes_nobody_out() {
    let (stripe, github) = (Sender::new("stripe"), Sender::new("github"));
    let (setup, app) = Setup::scene(&[&stripe, &github]).await;
    let gate = setup.start().await;
    let first = gate.post(&tampered(&github.event("1"))).await;
    let forged = tampered(&stripe.event("evt_1"));

    for _ in 0..300 {
        assert_eq!(gate.post(&forged).await.status, 401);
    }

    let flooded = rejections(&gate, "source=stripe&limit=500").await;
    assert!((20..=100).contains(&flooded.len()), "{}", flooded.len());
    let skipped = flooded.iter().filter(|one| one["examination"] == "skipped");
    assert!(skipped.count() > flooded.len() / 2);
    let kept = rejections(&gate, "source=github").await;
    let id = first.header("hookgate-request-id");
    assert_eq!(kept[0]["request_id"].as_str(), id);
    // Everything is counted, and a genuine event still gets through.
    let series = r#"hookgate_rejections_total{reason="mismatch",source="stripe"}"#;
    assert_eq!(gate.metric(series).await, Some(300.0));
    gate.post(&stripe.event("evt_1"))
        .await
        .acknowledged("stored");
    app.received(1).await;
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_observe_mode_lets_through_is_recorded_as_such() {
    let (stripe, other) = (Sender::new("stripe"), Sender::named("stripe", "other"));
    let (mut setup, _app) = Setup::scene(&[&stripe, &other]).await;
    setup.set("sources.stripe.mode", "observe");
    let gate = setup.start().await;

    gate.post(&misdirected(&other, &stripe))
        .await
        .acknowledged("stored");
    gate.post(&stripe.event("evt_2"))
        .await
        .acknowledged("stored");

    let shown = examined(&gate, 1).await;
    assert_eq!(shown["observed"], true);
    assert_eq!(shown["diagnosis"]["mistake"], "other_source_secret");
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejections_are_behind_the_token_too() {
    let stripe = Sender::new("stripe");
    let (mut setup, _app) = Setup::scene(&[&stripe]).await;
    let file = setup.file("token");
    std::fs::write(&file, "s3cret\n").unwrap();
    setup.set("admin.token_file", &file.display().to_string());
    let gate = setup.start().await;

    let path = "/api/v1/rejections";
    assert_eq!(gate.get(path).await.status, 401);
    let token = ("authorization", "Bearer s3cret");
    assert_eq!(gate.ask("GET", path, &[token]).await.status, 200);
    assert_eq!(gate.ask("POST", path, &[token]).await.status, 405);
    gate.stop().await;
}
