//! A provider that repeats everything: each event is kept once, and repeats write next to nothing.

use crate::machine::figure;
use crate::program::Home;
use crate::size;
use crate::support::app::App;
use crate::support::eventually;
use crate::support::http::Connection;
use crate::support::sender::{Sender, bytes};

/// Repeats of one event are sent over so many connections at once.
const CONNECTIONS: usize = 4;

/// Sends every event once; what was answered.
async fn round(home: &Home, sender: &Sender, ids: usize) -> Vec<String> {
    let mut senders = tokio::task::JoinSet::new();
    for lane in 0..CONNECTIONS {
        let (gate, sender) = (home.gate(), sender.clone());
        senders.spawn(async move {
            let mut connection = Connection::open(&gate).await;
            let mut kinds = Vec::new();
            for n in (lane..ids).step_by(CONNECTIONS) {
                let answer = connection
                    .ask(&bytes(&sender.event(&format!("evt_{n}"))))
                    .await;
                assert_eq!(answer.status, 200, "{answer:?}");
                kinds.push(answer.header("hookgate-status").expect("a kind").to_owned());
            }
            kinds
        });
    }
    senders.join_all().await.concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_repeats_keeps_one_record_of_each_event_and_writes_next_to_nothing() {
    let stripe = Sender::new("stripe");
    let home = Home::new(&stripe);
    let app = App::start(&home.app()).await;
    let program = home.start();
    home.ready().await;
    let written = || figure(program.pid(), "io", "wchar");
    let (ids, rounds) = (size("STORM_IDS", 100), size("STORM_ROUNDS", 10));

    let before = written();
    let first = round(&home, &stripe, ids).await;
    assert!(first.iter().all(|kind| kind == "stored"));
    app.received(ids).await;
    let pending = r#"hookgate_events{source="stripe",state="pending"}"#;
    eventually("all being settled", async || {
        home.metric(pending).await == 0.0
    })
    .await;
    let (events, settled) = (written() - before, written());
    for _ in 1..rounds {
        let kinds = round(&home, &stripe, ids).await;
        assert!(kinds.iter().all(|kind| kind == "duplicate"));
    }
    let repeats = written() - settled;

    let commits = home
        .metric("hookgate_store_commit_duration_seconds_count")
        .await;
    println!(
        "retry storm: {ids} events x {rounds}: {} stored once, {} repeats in {commits} commits in all; \
         written: {} bytes an event, {} bytes a repeat",
        home.metric("hookgate_store_ids").await,
        ids * (rounds - 1),
        events / ids as u64,
        repeats / (ids * (rounds - 1)) as u64,
    );
    let stored = r#"hookgate_requests_total{outcome="stored",source="stripe"}"#;
    #[expect(clippy::cast_precision_loss, reason = "a few")]
    let wanted = ids as f64;
    assert_eq!(home.metric(stored).await.to_bits(), wanted.to_bits());
    assert_eq!(app.stop().await.len(), ids);
    // The answers themselves are written too: about 200 bytes.
    assert!(repeats / ((ids * (rounds - 1)) as u64) < 1024, "{repeats}");
}
