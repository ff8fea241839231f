//! `/metrics`: what is there from the start, and that nobody outside can make it grow.

use std::collections::BTreeSet;

use crate::support::gate::Setup;
use crate::support::http::Connection;
use crate::support::sender::Sender;
use crate::support::setting;

/// The families that dashboards and alerts are made of, and their types.
const FAMILIES: [(&str, &str); 39] = [
    ("hookgate_requests_total", "counter"),
    ("hookgate_rejections_total", "counter"),
    ("hookgate_diagnoses_total", "counter"),
    ("hookgate_secret_matches_total", "counter"),
    ("hookgate_ack_duration_seconds", "histogram"),
    ("hookgate_store_commit_duration_seconds", "histogram"),
    ("hookgate_store_commit_events", "histogram"),
    ("hookgate_attempts_total", "counter"),
    ("hookgate_attempt_duration_seconds", "histogram"),
    ("hookgate_delivery_latency_seconds", "histogram"),
    ("hookgate_events", "gauge"),
    ("hookgate_oldest_pending_timestamp_seconds", "gauge"),
    ("hookgate_store_bytes", "gauge"),
    ("hookgate_store_bytes_max", "gauge"),
    ("hookgate_store_durable", "gauge"),
    ("hookgate_store_ids", "gauge"),
    ("hookgate_store_damaged_total", "counter"),
    ("hookgate_app_up", "gauge"),
    ("hookgate_build_info", "gauge"),
    ("hookgate_connections", "gauge"),
    ("hookgate_connections_refused_total", "counter"),
    ("hookgate_accept_errors_total", "counter"),
    ("hookgate_panics_total", "counter"),
    ("hookgate_draining", "gauge"),
    ("hookgate_ready", "gauge"),
    ("hookgate_refusals_total", "counter"),
    ("hookgate_source_info", "gauge"),
    ("hookgate_source_held", "gauge"),
    ("hookgate_event_body_bytes", "histogram"),
    ("hookgate_requests_in_flight", "gauge"),
    ("hookgate_attempts_in_flight", "gauge"),
    ("hookgate_attempts_in_flight_max", "gauge"),
    ("hookgate_dead_letters_total", "counter"),
    ("hookgate_replays_total", "counter"),
    ("hookgate_store_commit_failures_total", "counter"),
    ("hookgate_connections_max", "gauge"),
    ("hookgate_trace_spans_exported_total", "counter"),
    ("hookgate_trace_spans_dropped_total", "counter"),
    ("process_open_fds", "gauge"),
];

/// How a request of a sender can end.
const OUTCOMES: [&str; 10] = [
    "stored",
    "duplicate",
    "conflict",
    "challenge",
    "rejected",
    "limited",
    "unavailable",
    "unhandled",
    "refused",
    "left",
];

/// Why verification can fail, whatever the provider.
const REASONS: [&str; 6] = [
    "no_header",
    "malformed",
    "stale",
    "future",
    "mismatch",
    "no_secret",
];

/// Why a request can get no success.
const REFUSALS: [&str; 18] = [
    "malformed",
    "method",
    "slow",
    "too_large",
    "unverified",
    "rate",
    "peer_rate",
    "unhandled",
    "closing",
    "store_full",
    "store",
    "store_slow",
    "no_room",
    "no_secret",
    "no_key",
    "not_kept",
    "not_confirmed",
    "panicked",
];

/// Name and labels of every series.
fn series(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.rsplit_once(' ').expect("a value").0.to_owned())
        .collect()
}

/// Some series of a source, of each family that has its label.
fn of_source(source: &str) -> Vec<String> {
    let mut expected = Vec::new();
    for outcome in OUTCOMES {
        expected.push(format!(
            r#"hookgate_requests_total{{outcome="{outcome}",source="{source}"}}"#
        ));
    }
    for reason in REASONS {
        expected.push(format!(
            r#"hookgate_rejections_total{{reason="{reason}",source="{source}"}}"#
        ));
    }
    for mistake in ["other_source_secret", "body_rewritten", "unknown"] {
        expected.push(format!(
            r#"hookgate_diagnoses_total{{mistake="{mistake}",source="{source}"}}"#
        ));
    }
    for outcome in [
        "delivered",
        "failed_status",
        "final_status",
        "aborted",
        "timeout",
        "disconnected",
    ] {
        expected.push(format!(
            r#"hookgate_attempts_total{{outcome="{outcome}",source="{source}"}}"#
        ));
    }
    for reason in REFUSALS {
        expected.push(format!(
            r#"hookgate_refusals_total{{reason="{reason}",source="{source}"}}"#
        ));
    }
    for reason in ["gave_up", "refused"] {
        expected.push(format!(
            r#"hookgate_dead_letters_total{{reason="{reason}",source="{source}"}}"#
        ));
    }
    expected.push(format!(r#"hookgate_source_held{{source="{source}"}}"#));
    expected.push(format!(
        r#"hookgate_event_body_bytes_count{{source="{source}"}}"#
    ));
    for state in ["pending", "delivered", "dead"] {
        expected.push(format!(
            r#"hookgate_events{{source="{source}",state="{state}"}}"#
        ));
    }
    expected.push(format!(
        r#"hookgate_oldest_pending_timestamp_seconds{{source="{source}"}}"#
    ));
    expected.push(format!(
        r#"hookgate_ack_duration_seconds_count{{source="{source}"}}"#
    ));
    expected
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_family_is_there_from_the_start_with_all_its_labels_at_zero() {
    let senders = Sender::all();
    let (setup, _app) = Setup::scene(&senders.iter().collect::<Vec<_>>()).await;
    let gate = setup.start().await;

    let answer = gate.get("/metrics").await;

    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let text = answer.text();
    for (family, kind) in FAMILIES {
        assert!(
            text.contains(&format!("# TYPE {family} {kind}\n")),
            "{family}"
        );
        assert!(text.contains(&format!("# HELP {family} ")), "{family}");
    }
    let expected = senders.iter().flat_map(|sender| of_source(&sender.source));
    let lines: BTreeSet<_> = text.lines().collect();
    for series in expected {
        assert!(
            lines.contains(&*format!("{series} 0")),
            "{series} in {text}"
        );
    }
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_outside_can_add_a_series() {
    let stripe = Sender::new("stripe");
    let (setup, app) = Setup::scene(&[&stripe]).await;
    let gate = setup.start().await;
    let before = series(gate.get("/metrics").await.text());

    let mut connection = Connection::open(&gate.address).await;
    for n in 0..50 {
        for request in [
            format!("POST /random-{n} HTTP/1.1\r\nHost: h{n}\r\nContent-Length: 0\r\n\r\n"),
            format!(
                "POST /webhooks/stripe?{n} HTTP/1.1\r\nHost: a\r\nX-{n}: {n}\r\nContent-Length: 0\r\n\r\n"
            ),
            format!("M{n} /webhooks/stripe HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"),
        ] {
            assert!(connection.ask(request.as_bytes()).await.status >= 400);
        }
        let body = format!(r#"{{"id":"evt_{n}","type":"type-{n}"}}"#);
        let event = stripe.signed("/webhooks/stripe", vec![], body.as_bytes(), "");
        gate.post(&event).await.acknowledged("stored");
        assert_eq!(gate.get(&format!("/nowhere/{n}")).await.status, 404);
    }
    app.received(50).await;

    assert_eq!(series(gate.get("/metrics").await.text()), before);
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_is_counted_once() {
    let stripe = Sender::new("stripe");
    let (setup, _app) = Setup::scene(&[&stripe]).await;
    let gate = setup.start().await;
    let event = stripe.event("evt_1");
    let id = gate.post(&event).await.acknowledged("stored");
    gate.post(&event).await.acknowledged("duplicate");
    gate.settled(&id, "delivered").await;

    for (series, value) in [
        (
            r#"hookgate_requests_total{outcome="stored",source="stripe"}"#,
            1.0,
        ),
        (
            r#"hookgate_requests_total{outcome="duplicate",source="stripe"}"#,
            1.0,
        ),
        (
            r#"hookgate_requests_total{outcome="rejected",source="stripe"}"#,
            0.0,
        ),
        (
            r#"hookgate_secret_matches_total{secret="secret",source="stripe"}"#,
            2.0,
        ),
        (
            r#"hookgate_ack_duration_seconds_count{source="stripe"}"#,
            2.0,
        ),
        (
            r#"hookgate_attempts_total{outcome="delivered",source="stripe"}"#,
            1.0,
        ),
        (
            r#"hookgate_attempt_duration_seconds_count{source="stripe"}"#,
            1.0,
        ),
        (
            r#"hookgate_delivery_latency_seconds_count{source="stripe"}"#,
            1.0,
        ),
        (r#"hookgate_events{source="stripe",state="delivered"}"#, 1.0),
        (r#"hookgate_events{source="stripe",state="pending"}"#, 0.0),
        (
            r#"hookgate_oldest_pending_timestamp_seconds{source="stripe"}"#,
            0.0,
        ),
        ("hookgate_store_commit_events_sum", 2.0),
        (r#"hookgate_event_body_bytes_count{source="stripe"}"#, 2.0),
        (
            r#"hookgate_source_info{ack="stored",mode="enforce",provider="stripe",source="stripe"}"#,
            1.0,
        ),
        ("hookgate_requests_in_flight", 0.0),
        ("hookgate_attempts_in_flight", 0.0),
        ("hookgate_attempts_in_flight_max", 32.0),
        ("hookgate_connections_max", 1024.0),
        ("hookgate_ready", 1.0),
        ("hookgate_store_ids", 1.0),
        ("hookgate_app_up", 1.0),
    ] {
        assert_eq!(gate.metric(series).await, Some(value), "{series}");
    }
    gate.stop().await;
}

const PROMETHEUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/prometheus");

/// What Prometheus' own tool says of the metrics and of the alerts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promtool_finds_nothing_wrong() {
    let Some(promtool) = setting("HOOKGATE_TEST_PROMTOOL") else {
        return;
    };
    let stripe = Sender::new("stripe");
    let (setup, _app) = Setup::scene(&[&stripe]).await;
    let gate = setup.start().await;
    let id = gate
        .post(&stripe.event("evt_1"))
        .await
        .acknowledged("stored");
    gate.settled(&id, "delivered").await;
    let metrics = setup.file("metrics.txt");
    std::fs::write(&metrics, gate.get("/metrics").await.body).unwrap();
    let metrics = std::fs::File::open(metrics).unwrap();
    for (arguments, input) in [
        (
            &["check", "metrics"][..],
            std::process::Stdio::from(metrics),
        ),
        (
            &["check", "rules", "alerts.yaml"],
            std::process::Stdio::null(),
        ),
        (
            &["test", "rules", "alerts_test.yaml"],
            std::process::Stdio::null(),
        ),
    ] {
        let mut command = std::process::Command::new(&promtool);
        let command = command.args(arguments).current_dir(PROMETHEUS).stdin(input);
        let output = command.output().unwrap();
        let said = [&output.stdout[..], &output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(output.status.success(), "{arguments:?}: {said}");
    }
    gate.stop().await;
}
