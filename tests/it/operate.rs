//! Steering a running gate: hold and release, replay of many, erasure, the live tail.

use serde_json::Value;

use crate::support::app::{App, Reply};
use crate::support::gate::{Gate, Setup};
use crate::support::http::{Answer, Connection};
use crate::support::sender::Sender;
use crate::support::{eventually, within};

async fn call(gate: &Gate, method: &str, path: &str, status: u16) -> Value {
    let answer = gate.ask(method, path, &[]).await;
    assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
    answer.json()
}

fn code(answer: &Answer) -> String {
    answer.json()["error"]["code"].as_str().unwrap().to_owned()
}

/// The source of this name as the API shows it.
async fn source(gate: &Gate, name: &str) -> Value {
    let list = call(gate, "GET", "/api/v1/sources", 200).await;
    let mut sources = list["sources"].as_array().unwrap().iter();
    let found = sources.find(|source| source["name"] == name);
    found.unwrap_or_else(|| panic!("{name} in {list}")).clone()
}

/// `count` dead letters of Stripe and one delivered event of GitHub; their ids, oldest first.
async fn dead_letters(count: usize) -> (Setup, App, Gate, Vec<String>) {
    let (stripe, github) = (Sender::new("stripe"), Sender::new("github"));
    let (setup, app) = Setup::scene(&[&stripe, &github]).await;
    app.script(
        |delivery| match delivery.request_line().contains("stripe") {
            true => Reply::status(410),
            false => Reply::ok(),
        },
    );
    let gate = setup.start().await;
    let mut ids = Vec::new();
    for n in 0..count {
        let event = stripe.event(&format!("evt_{n}"));
        ids.push(gate.post(&event).await.acknowledged("stored"));
    }
    let other = gate.post(&github.event("delivery")).await;
    gate.settled(&other.acknowledged("stored"), "delivered")
        .await;
    for id in &ids {
        gate.settled(id, "dead").await;
    }
    (setup, app, gate, ids)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_source_takes_events_and_delivers_them_when_it_is_released() {
    let (stripe, github) = (Sender::new("stripe"), Sender::new("github"));
    let (setup, app) = Setup::scene(&[&stripe, &github]).await;
    let gate = setup.start().await;
    let held = call(&gate, "POST", "/api/v1/sources/stripe/hold", 200).await;
    assert_eq!(held["held"], true);
    let waiting = gate
        .post(&stripe.event("evt_1"))
        .await
        .acknowledged("stored");
    let other = gate
        .post(&github.event("delivery"))
        .await
        .acknowledged("stored");
    gate.settled(&other, "delivered").await;
    assert_eq!(gate.event(&waiting).await["state"], "pending");
    let stripe_now = source(&gate, "stripe").await;
    assert_eq!(
        (&stripe_now["held"], &stripe_now["pending"]),
        (&true.into(), &1.into())
    );
    assert_eq!(source(&gate, "github").await["held"], false);
    assert_eq!(app.deliveries().len(), 1, "nothing of what is held");

    let released = call(&gate, "POST", "/api/v1/sources/stripe/release", 200).await;
    assert_eq!(released["held"], false);
    gate.settled(&waiting, "delivered").await;
    let unknown = gate.ask("POST", "/api/v1/sources/nobody/hold", &[]).await;
    assert_eq!((unknown.status, &*code(&unknown)), (404, "not_found"));
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sources_say_what_came_in_and_which_secret_matched() {
    let stripe = Sender::new("stripe");
    let (setup, _app) = Setup::scene(&[&stripe]).await;
    let gate = setup.start().await;
    let before = source(&gate, "stripe").await;
    assert_eq!(before["last_accepted_at"], Value::Null);
    assert_eq!(before["provider"], "stripe");
    assert_eq!(before["path"], "/webhooks/stripe");
    assert!(
        before["public_url"]
            .as_str()
            .unwrap()
            .ends_with("/webhooks/stripe")
    );
    let event = stripe.event("evt_1");
    gate.post(&event).await.acknowledged("stored");
    gate.post(&event).await.acknowledged("duplicate");
    let mut forged = event;
    forged.body = b"{}".to_vec().into();
    assert_eq!(gate.post(&forged).await.status, 401);

    let after = source(&gate, "stripe").await;
    let requests = &after["requests"];
    assert_eq!(requests["stored"], 1);
    assert_eq!(requests["duplicate"], 1);
    assert_eq!(requests["rejected"], 1);
    let secret = &after["secrets"][0];
    assert_eq!(
        (&secret["label"], &secret["matched"]),
        (&"secret".into(), &2.into())
    );
    for instant in [
        &after["last_accepted_at"],
        &after["last_rejected_at"],
        &secret["last_matched_at"],
    ] {
        assert!(instant.as_str().unwrap().ends_with('Z'), "{after}");
    }
    assert!(!after.to_string().contains(stripe.secret()));
    let send = after["send"].as_str().unwrap();
    assert!(
        send.starts_with("hookgate send --provider stripe --secret '"),
        "{send}"
    );
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fits_a_filter_is_replayed_oldest_first_and_nothing_else() {
    let (_setup, app, gate, ids) = dead_letters(5).await;
    let dry = call(
        &gate,
        "POST",
        "/api/v1/replay?source=stripe&state=dead&dry_run=true",
        200,
    )
    .await;
    assert_eq!(
        (&dry["state"], &dry["matched"]),
        (&"dry_run".into(), &5.into())
    );
    assert_eq!(
        gate.ask("GET", "/api/v1/replay", &[]).await.status,
        404,
        "a dry run starts nothing"
    );
    app.script(|_| Reply::ok());
    let seen = app.deliveries().len();
    call(
        &gate,
        "POST",
        "/api/v1/replay?source=stripe&state=dead&rate=1000",
        202,
    )
    .await;
    eventually("the end of the replay", async || {
        call(&gate, "GET", "/api/v1/replay", 200).await["state"] == "done"
    })
    .await;
    let done = call(&gate, "GET", "/api/v1/replay", 200).await;
    let counts = ["matched", "replayed", "skipped"].map(|name| done[name].as_u64().unwrap());
    assert_eq!(counts, [5, 5, 0]);
    for id in &ids {
        assert_eq!(gate.settled(id, "delivered").await["replay"], true);
    }
    let mut replayed: Vec<_> = app.deliveries()[seen..]
        .iter()
        .map(|delivery| delivery.event_id())
        .collect();
    replayed.sort();
    assert_eq!(replayed, ids, "each once, and nothing of the other source");
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bulk_replay_runs_at_a_time_and_can_be_stopped() {
    let (_setup, _app, gate, ids) = dead_letters(3).await;
    // One event per second: it is still running when the next one comes.
    let all = "/api/v1/replay?state=dead&rate=1";
    assert_eq!(call(&gate, "POST", all, 202).await["state"], "running");
    let second = gate.ask("POST", all, &[]).await;
    assert_eq!((second.status, &*code(&second)), (409, "already_running"));
    let stopped = call(&gate, "DELETE", "/api/v1/replay", 200).await;
    assert_eq!(stopped["state"], "stopped");
    let replayed = stopped["replayed"].as_u64().unwrap();
    assert!(replayed < 3, "{stopped}");
    let mut due = 0;
    for id in &ids {
        due += u64::from(gate.event(id).await["replay"] == true);
    }
    assert_eq!(replayed, due, "what was counted and what is due");
    assert_eq!(call(&gate, "POST", all, 202).await["state"], "running");
    within("an orderly stop in the middle of a replay", gate.stop()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bulk_replay_that_could_mean_more_than_was_said_is_refused() {
    let (_setup, app, gate, _ids) = dead_letters(1).await;
    let seen = app.deliveries().len();
    for query in [
        "",
        "rate=5",
        "sate=dead",
        "state=dead&sorce=stripe",
        "state=dead&state=delivered",
        "state=deadly",
        "state=dead&rate=0",
        "state=dead&rate=10001",
        "state=dead&rate=fast",
        "state=dead&dry_run=maybe",
        "since=yesterday",
        "state=dead&limit=1",
    ] {
        let answer = gate
            .ask("POST", &format!("/api/v1/replay?{query}"), &[])
            .await;
        assert_eq!(
            (answer.status, &*code(&answer)),
            (400, "bad_request"),
            "{query}"
        );
    }
    assert_eq!(gate.ask("GET", "/api/v1/replay", &[]).await.status, 404);
    assert_eq!(app.deliveries().len(), seen);
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_found_by_its_senders_id_without_looking_through_the_others() {
    let senders = ["stripe", "standard-webhooks", "github"].map(Sender::new);
    let (setup, _app) = Setup::scene(&senders.each_ref()).await;
    let gate = setup.start().await;
    let mut ids = Vec::new();
    for n in 0..3 {
        for sender in &senders {
            let event = sender.event(&format!("evt_{n}"));
            ids.push(gate.post(&event).await.acknowledged("stored"));
        }
    }
    for source in ["", "&source=stripe", "&source=github"] {
        let path = format!("/api/v1/events?id=evt_1{source}");
        let mut page = call(&gate, "GET", &path, 200).await;
        let found = page["events"].as_array().unwrap();
        let mut found: Vec<_> = found.iter().map(|event| event["id"].clone()).collect();
        assert_eq!(
            found.len(),
            if source.is_empty() { 3 } else { 1 },
            "{source}"
        );
        // A page of its own: everything else has not been looked at yet.
        while let Some(next) = page["next"].as_str() {
            let path = format!("{path}&cursor={next}");
            page = call(&gate, "GET", &path, 200).await;
            assert_eq!(page["events"].as_array().unwrap().len(), 0);
            found.push(Value::Null);
        }
        assert!(found.contains(&Value::Null), "{source}");
    }
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_event_keeps_its_id_and_nothing_of_its_content() {
    let stripe = Sender::new("stripe");
    let (setup, app) = Setup::scene(&[&stripe]).await;
    app.script(|_| Reply::with(503, &[("Retry-After", "3000")]));
    let gate = setup.start().await;
    let event = stripe.event("evt_1");
    let id = gate.post(&event).await.acknowledged("stored");
    let path = format!("/api/v1/events/{id}");
    assert_eq!(call(&gate, "DELETE", &path, 200).await["erased"], true);

    let shown = gate.settled(&id, "dead").await;
    assert_eq!(shown["content"], "erased");
    assert_eq!(shown["dead_reason"], "erased");
    assert_eq!(shown["provider_event_id"], "evt_1");
    assert_eq!(shown["headers"], Value::Array(Vec::new()));
    let body = gate.get(&format!("{path}/body")).await;
    assert_eq!((body.status, &*code(&body)), (410, "erased"));
    let replay = gate.ask("POST", &format!("{path}/replay"), &[]).await;
    assert_eq!((replay.status, &*code(&replay)), (409, "cannot_replay"));
    gate.post(&event).await.acknowledged("duplicate");
    assert_eq!(
        gate.ask(
            "DELETE",
            "/api/v1/events/evt_00000000000000000000000000000000",
            &[]
        )
        .await
        .status,
        404
    );
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_live_tail_tells_what_happens_to_an_event_and_what_was_refused() {
    let (stripe, github) = (Sender::new("stripe"), Sender::new("github"));
    let (setup, app) = Setup::scene(&[&stripe, &github]).await;
    app.script(|delivery| match delivery.attempt() {
        1 => Reply::status(500),
        _ => Reply::ok(),
    });
    let gate = setup.start().await;
    let mut quiet = Connection::open(&gate.admin).await;
    let get = "GET /api/v1/stream?rejections=false HTTP/1.1\r\nhost: localhost\r\n\r\n";
    quiet.write(get.as_bytes()).await;
    quiet.until("\r\n\r\n").await;
    let mut tail = Connection::open(&gate.admin).await;
    let get = "GET /api/v1/stream?source=stripe HTTP/1.1\r\nhost: localhost\r\n\r\n";
    tail.write(get.as_bytes()).await;
    let head = tail.until("\r\n\r\n").await;
    assert!(head.contains("content-type: text/event-stream"), "{head}");

    gate.post(&github.event("delivery"))
        .await
        .acknowledged("stored");
    let id = gate
        .post(&stripe.event("evt_1"))
        .await
        .acknowledged("stored");
    gate.settled(&id, "delivered").await;
    let mut forged = stripe.event("evt_2");
    forged.body = b"{}".to_vec().into();
    assert_eq!(gate.post(&forged).await.status, 401);
    call(&gate, "POST", &format!("/api/v1/events/{id}/replay"), 202).await;
    tail.until("\"change\":\"replayed\"").await;
    call(&gate, "DELETE", &format!("/api/v1/events/{id}"), 200).await;
    tail.until("event: rejection").await;
    let told = tail.until("\"change\":\"erased\"").await;
    for change in ["stored", "retry", "delivered", "replayed"] {
        assert!(
            told.contains(&format!("\"change\":\"{change}\"")),
            "{change} in {told}"
        );
    }
    assert!(told.contains(&id) && !told.contains("github"), "{told}");
    let told = quiet.until("\"change\":\"erased\"").await;
    assert!(
        told.contains("github") && !told.contains("event: rejection"),
        "{told}"
    );
    // A reader that stays does not hold up the end.
    within("an orderly stop beside a reader", gate.stop()).await;
    tail.until_closed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_of_live_tails_is_bounded() {
    let (setup, _app) = Setup::scene(&[]).await;
    let gate = setup.start().await;
    let get = "GET /api/v1/stream HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut readers = Vec::new();
    let refused = loop {
        let mut reader = Connection::open(&gate.admin).await;
        reader.write(get.as_bytes()).await;
        let head = reader.until("\r\n\r\n").await;
        if !head.starts_with("HTTP/1.1 200") {
            break head;
        }
        readers.push(reader);
        assert!(readers.len() <= 16, "one reader too many");
    };
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    drop(readers.pop());
    eventually("the place of a reader that left", async || {
        let mut reader = Connection::open(&gate.admin).await;
        reader.write(get.as_bytes()).await;
        reader.until("\r\n\r\n").await.starts_with("HTTP/1.1 200")
    })
    .await;
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_says_how_the_gate_and_its_app_are_doing() {
    let stripe = Sender::new("stripe");
    let (setup, app) = Setup::scene(&[&stripe]).await;
    let gate = setup.start().await;
    let id = gate
        .post(&stripe.event("evt_1"))
        .await
        .acknowledged("stored");
    gate.settled(&id, "delivered").await;
    let status = call(&gate, "GET", "/api/v1/status", 200).await;
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        (&status["ready"], &status["problem"]),
        (&true.into(), &Value::Null)
    );
    assert_eq!(status["app"]["address"], setup.app_address().to_string());
    assert_eq!(status["app"]["up"], true);
    assert_eq!(status["listen"][0], format!("http://{}", gate.address));
    assert_eq!(status["access"], "full");
    drop(app);
    gate.stop().await;
}
