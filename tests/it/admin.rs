//! What operators see and do, and who may.

use serde_json::Value;

use crate::support::app::{App, Reply, every_state};
use crate::support::gate::{Gate, Setup};
use crate::support::http::Answer;
use crate::support::sender::Sender;

/// `{"error":{"code","message"}}`, and nothing else.
#[track_caller]
fn asserts_error(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    let kind = answer.header("content-type");
    assert_eq!(kind, Some("application/json"), "{answer:?}");
    let json = answer.json();
    assert_eq!(json["error"]["code"], code, "{json}");
    assert!(!json["error"]["message"].as_str().unwrap().is_empty());
    assert_eq!(json.as_object().unwrap().len(), 1);
    assert_eq!(json["error"].as_object().unwrap().len(), 2);
}

/// Request headers, the status, and the error's code if it is one.
type Case<'a> = (&'a [(&'a str, &'a str)], u16, &'a str);

fn ids(events: &[Value]) -> Vec<&str> {
    let ids = events.iter().map(|event| event["id"].as_str().unwrap());
    ids.collect()
}

/// Two sources with events in every state: the ids of each, oldest first.
async fn scene() -> (Setup, App, Gate, Vec<String>) {
    let (stripe, github) = (Sender::new("stripe"), Sender::new("github"));
    let (setup, app) = Setup::scene(&[&stripe, &github]).await;
    app.script(every_state);
    let gate = setup.start().await;
    let mut ids = Vec::new();
    for (sender, id, state) in [
        (&stripe, "evt_delivered", "delivered"),
        (&stripe, "evt_dead", "dead"),
        (&stripe, "evt_pending", "pending"),
        (&github, "delivery-1", "delivered"),
    ] {
        let id = gate.post(&sender.event(id)).await.acknowledged("stored");
        crate::support::eventually("the first attempt", async || {
            let event = gate.event(&id).await;
            event["attempts"] == 1 && event["state"] == state
        })
        .await;
        ids.push(id);
    }
    (setup, app, gate, ids)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_newest_first_and_filtered() {
    let (_setup, _app, gate, all) = scene().await;
    let at = |n: usize| gate.event(&all[n]);
    let third = at(2).await["received_at"].as_str().unwrap().to_owned();

    for (query, expected) in [
        (String::new(), vec![3, 2, 1, 0]),
        ("source=stripe".into(), vec![2, 1, 0]),
        ("source=github".into(), vec![3]),
        ("source=nobody".into(), vec![]),
        ("state=pending".into(), vec![2]),
        ("state=delivered".into(), vec![3, 0]),
        ("state=dead".into(), vec![1]),
        ("source=stripe&state=delivered".into(), vec![0]),
        ("type=invoice.paid".into(), vec![2, 1, 0]),
        ("type=push".into(), vec![3]),
        ("id=evt_dead".into(), vec![1]),
        (format!("id={}", all[2]), vec![2]),
        ("id=nothing".into(), vec![]),
        (format!("since={third}"), vec![3, 2]),
        (format!("until={third}"), vec![1, 0]),
        ("limit=1".into(), vec![3]),
    ] {
        let expected: Vec<_> = expected.into_iter().map(|n: usize| &*all[n]).collect();
        assert_eq!(ids(&gate.events(&query).await), expected, "{query}");
    }
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_follow_each_other_to_the_end() {
    let (_setup, _app, gate, all) = scene().await;
    let (mut seen, mut path) = (Vec::new(), "/api/v1/events?limit=3".to_owned());
    loop {
        let page = gate.get(&path).await.json();
        let events = page["events"].as_array().unwrap().clone();
        assert!(events.len() <= 3);
        seen.extend(ids(&events).into_iter().map(ToOwned::to_owned));
        match page["next"].as_str() {
            Some(cursor) => path = format!("/api/v1/events?limit=3&cursor={cursor}"),
            None => break,
        }
    }
    let newest_first: Vec<_> = all.into_iter().rev().collect();
    assert_eq!(seen, newest_first);
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_shown_with_everything_but_credentials() {
    let cloudglue = Sender::new("cloudglue"); // its header is its secret
    let (setup, _app) = Setup::scene(&[&cloudglue]).await;
    let gate = setup.start().await;
    let mut request = cloudglue.event("evt_1");
    request
        .headers
        .push(("Authorization".into(), "Bearer hush".into()));
    request.headers.push(("Cookie".into(), "hush=hush".into()));
    let id = gate.post(&request).await.acknowledged("stored");

    let event = gate.settled(&id, "delivered").await;

    assert_eq!(event["source"], "cloudglue");
    assert_eq!(event["provider_event_id"], "evt_1");
    assert_eq!(event["type"], "file.job.completed");
    assert_eq!(event["content"], "whole");
    assert_eq!(
        (&event["method"], &event["target"]),
        (&"POST".into(), &"/webhooks/cloudglue".into())
    );
    assert_eq!(event["verified"], "token");
    assert_eq!(event["body_bytes"], request.body.len());
    assert_eq!(event["attempts_made"][0]["outcome"], "delivered");
    let text = event.to_string();
    assert!(
        !text.contains("hush") && !text.contains(cloudglue.secret()),
        "{text}"
    );
    assert!(text.contains("(not shown)") && text.contains("hooks.example.com"));
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_is_a_download_of_the_raw_bytes() {
    let standard = Sender::new("standard-webhooks");
    let (setup, _app) = Setup::scene(&[&standard]).await;
    let gate = setup.start().await;
    let body: Vec<u8> = (0..=255).collect();
    let headers = vec![("content-type".into(), "text/html".into())];
    let request = standard.signed(&standard.target(), headers, &body, "msg_1");
    let id = gate.post(&request).await.acknowledged("stored");

    let answer = gate.get(&format!("/api/v1/events/{id}/body")).await;

    assert_eq!((answer.status, &answer.body), (200, &body));
    assert_eq!(
        answer.header("content-type"),
        Some("application/octet-stream")
    );
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    let disposition = answer.header("content-disposition").unwrap();
    assert!(disposition.starts_with("attachment"), "{disposition}");
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_delivers_again_and_says_so() {
    let stripe = Sender::new("stripe");
    let (setup, app) = Setup::scene(&[&stripe]).await;
    let gate = setup.start().await;
    let request = stripe.event("evt_1");
    let id = gate.post(&request).await.acknowledged("stored");
    gate.settled(&id, "delivered").await;

    let answer = gate
        .ask("POST", &format!("/api/v1/events/{id}/replay"), &[])
        .await;

    assert_eq!(
        (answer.status, answer.json()["replayed"].as_u64()),
        (202, Some(1))
    );
    app.delivery(1).await;
    let event = gate.settled(&id, "delivered").await;
    assert_eq!(event["replay"], true);
    gate.stop().await;
    let deliveries = app.stop().await;
    let replays: Vec<_> = deliveries
        .iter()
        .map(|delivery| delivery.header("hookgate-replay"))
        .collect();
    assert_eq!(replays, [None, Some("true".to_owned())]);
    for delivery in deliveries {
        assert_eq!(
            (delivery.event_id(), &delivery.body[..]),
            (id.clone(), &request.body[..])
        );
        assert_eq!(delivery.attempt(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_is_delivered_by_a_replay() {
    let (_setup, app, gate, all) = scene().await;
    app.script(|_| Reply::ok());
    let dead = &all[1];

    let answer = gate
        .ask("POST", &format!("/api/v1/events/{dead}/replay"), &[])
        .await;

    assert_eq!(answer.status, 202);
    let event = gate.settled(dead, "delivered").await;
    assert_eq!(event["attempts_made"].as_array().unwrap().len(), 2);
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_are_told_in_one_form() {
    let (_setup, _app, gate, all) = scene().await;
    let unknown = "evt_00000000000070008000000000000000";
    for (method, path, status, code) in [
        ("GET", "/api/v1/events?limit=0", 400, "bad_request"),
        ("GET", "/api/v1/events?limit=501", 400, "bad_request"),
        ("GET", "/api/v1/events?limit=x", 400, "bad_request"),
        ("GET", "/api/v1/events?state=failed", 400, "bad_request"),
        ("GET", "/api/v1/events?since=yesterday", 400, "bad_request"),
        ("GET", "/api/v1/events?cursor=zz", 400, "bad_request"),
        ("GET", "/api/v1/events?cursor=", 400, "bad_request"),
        ("GET", "/api/v1/events?cursor=%2B1", 400, "bad_request"),
        ("GET", "/api/v1/events?cursor=FF", 400, "bad_request"),
        (
            "GET",
            "/api/v1/events?cursor=10000000000000000",
            400,
            "bad_request",
        ),
        (
            "GET",
            "/api/v1/events?cursor=1&cursor=2",
            400,
            "bad_request",
        ),
        ("GET", "/api/v1/events?colour=red", 400, "bad_request"),
        ("GET", "/api/v1/events/nonsense", 400, "bad_request"),
        // Was the framework's own text/plain answer: the only one of the API in another form.
        ("GET", "/api/v1/events/%FF", 400, "bad_request"),
        (
            "GET",
            &format!("/api/v1/events/{unknown}"),
            404,
            "not_found",
        ),
        (
            "GET",
            &format!("/api/v1/events/{unknown}/body"),
            404,
            "not_found",
        ),
        (
            "POST",
            &format!("/api/v1/events/{unknown}/replay"),
            404,
            "not_found",
        ),
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/api/v1/nowhere", 404, "not_found"),
        ("POST", "/api/v1/events", 405, "method_not_allowed"),
        (
            "GET",
            &format!("/api/v1/events/{}/replay", all[0]),
            405,
            "method_not_allowed",
        ),
        ("POST", "/metrics", 405, "method_not_allowed"),
    ] {
        let answer = gate.ask(method, path, &[]).await;
        asserts_error(&answer, status, code);
    }
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_token_the_api_asks_for_it_and_health_and_metrics_do_not() {
    let stripe = Sender::new("stripe");
    let (mut setup, _app) = Setup::scene(&[&stripe]).await;
    let file = setup.file("token");
    std::fs::write(&file, "s3cret\n").unwrap();
    setup.set("admin.token_file", &file.display().to_string());
    let gate = setup.start().await;
    let list = "/api/v1/events";

    for given in [
        None,
        Some(""),
        Some("Bearer "),
        Some("Bearer s3cre"),
        Some("Bearer s3cret2"),
        Some("Bearer S3cret"),
        Some("Basic s3cret"),
        Some("s3cret"),
    ] {
        let headers: Vec<_> = given
            .map(|given| ("authorization", given))
            .into_iter()
            .collect();
        let answer = gate.ask("GET", list, &headers).await;
        asserts_error(&answer, 401, "unauthorized");
        assert!(!answer.text().contains("s3cret"));
        let replay = gate
            .ask("POST", &format!("{list}/x/replay"), &headers)
            .await;
        asserts_error(&replay, 401, "unauthorized");
    }
    let token = ("authorization", "Bearer s3cret");
    assert_eq!(gate.ask("GET", list, &[token]).await.status, 200);
    // With a token the name does not matter; a page of another site still must not.
    let elsewhere = ("host", "gate.internal:9090");
    assert_eq!(gate.ask("GET", list, &[token, elsewhere]).await.status, 200);
    let foreign = ("origin", "https://evil.example");
    asserts_error(
        &gate.ask("GET", list, &[token, foreign]).await,
        403,
        "cross_site",
    );
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(
            gate.ask("GET", path, &[elsewhere]).await.status,
            200,
            "{path}"
        );
    }
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_token_no_foreign_page_can_use_the_api() {
    let stripe = Sender::new("stripe");
    let (setup, _app) = Setup::scene(&[&stripe]).await;
    let gate = setup.start().await;
    let own = gate.admin.to_string();
    let origin = format!("http://{own}");
    let cases: [Case<'_>; 9] = [
        (&[("host", "localhost")], 200, ""),
        (&[("host", &own)], 200, ""),
        (&[("host", &own), ("origin", &origin)], 200, ""),
        (
            &[("host", &own), ("sec-fetch-site", "same-origin")],
            200,
            "",
        ),
        (&[("host", "evil.example")], 403, "foreign_host"),
        (&[("host", "127.0.0.1.evil.example")], 403, "foreign_host"),
        (
            &[("host", &own), ("origin", "http://evil.example")],
            403,
            "cross_site",
        ),
        (&[("host", &own), ("origin", "null")], 403, "cross_site"),
        (
            &[("host", &own), ("sec-fetch-site", "cross-site")],
            403,
            "cross_site",
        ),
    ];
    for (headers, status, code) in cases {
        let answer = gate.ask("GET", "/api/v1/events", headers).await;
        if status == 200 {
            assert_eq!(answer.status, 200);
        } else {
            asserts_error(&answer, status, code);
        }
    }
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_gate_is_live_and_ready() {
    let (setup, _app) = Setup::scene(&[]).await;
    let gate = setup.start().await;
    for path in ["/livez", "/readyz"] {
        let answer = gate.get(path).await;
        assert_eq!((answer.status, answer.text()), (200, "ok\n"), "{path}");
    }
    gate.stop().await;
}
