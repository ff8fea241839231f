//! Spans, as a collector gets them: a real listener that decodes what comes, or takes nothing.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::support::app::{App, Reply};
use crate::support::eventually;
use crate::support::gate::{Gate, Setup};
use crate::support::http::find;
use crate::support::sender::{Sender, tampered};

const SENDERS_TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SENDERS_SPAN: &str = "b7ad6b7169203331";

/// One export.
#[derive(Clone)]
struct Export {
    head: String,
    bytes: Vec<u8>,
    request: ExportTraceServiceRequest,
}

/// A collector on a free port.
struct Collector {
    port: u16,
    exports: Arc<Mutex<Vec<Export>>>,
    task: JoinHandle<()>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Collector {
    /// Answers each export with this status.
    async fn start(status: u16) -> Self {
        Self::answering(vec![status]).await
    }

    /// Answers with these statuses, one after the other, and from then on with the last.
    async fn answering(mut statuses: Vec<u16>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let exports: Arc<Mutex<Vec<Export>>> = Arc::default();
        let kept = Arc::clone(&exports);
        #[expect(clippy::disallowed_methods, reason = "ends with the collector")]
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut read = Vec::new();
                let (head, length) = loop {
                    assert!(stream.read_buf(&mut read).await.expect("more") > 0);
                    if let Some(end) = find(&read, b"\r\n\r\n") {
                        let head = String::from_utf8(read.drain(..end + 4).collect());
                        let head = head.expect("text").to_lowercase();
                        let (_, length) = head.split_once("content-length: ").expect("a length");
                        let length = length.split("\r\n").next().and_then(|n| n.parse().ok());
                        break (head.clone(), length.expect("a number"));
                    }
                };
                while read.len() < length {
                    assert!(stream.read_buf(&mut read).await.expect("more") > 0);
                }
                let request = ExportTraceServiceRequest::decode(&*read).expect("spans");
                let (head, bytes) = (head, read);
                kept.lock().unwrap().push(Export {
                    head,
                    bytes,
                    request,
                });
                let status = statuses[0];
                if statuses.len() > 1 {
                    statuses.remove(0);
                }
                let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes()).await; // it may have gone
            }
        });
        Self {
            port,
            exports,
            task,
        }
    }

    fn exports(&self) -> Vec<Export> {
        self.exports.lock().unwrap().clone()
    }

    fn spans(&self) -> Vec<Span> {
        let exports = self.exports().into_iter();
        let resources = exports.flat_map(|export| export.request.resource_spans);
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }

    /// Waits for so many spans: those that receive, then attempts by their numbers.
    async fn collected(&self, count: usize) -> Vec<Span> {
        eventually(&format!("{count} spans"), async || {
            self.spans().len() >= count
        })
        .await;
        let mut spans = self.spans();
        assert_eq!(spans.len(), count, "{spans:#?}");
        spans.sort_by_key(|span| {
            let is_number = |attribute: &&KeyValue| attribute.key == "hookgate.attempt";
            let number = span.attributes.iter().find(is_number);
            number.map(|_| value(&span.attributes, "hookgate.attempt"))
        });
        spans
    }
}

fn at(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn export_to(setup: &mut Setup, port: u16) {
    setup.variable("OTEL_EXPORTER_OTLP_ENDPOINT", &at(port));
}

fn value(attributes: &[KeyValue], key: &str) -> String {
    let mut found = attributes.iter().filter(|attribute| attribute.key == key);
    let value = found.next().and_then(|found| found.value.clone());
    match value {
        Some(AnyValue {
            value: Some(Value::StringValue(text)),
        }) => text,
        Some(AnyValue {
            value: Some(Value::IntValue(number)),
        }) => number.to_string(),
        other => panic!("{key}: {other:?}"),
    }
}

fn links(span: &Span) -> Vec<(String, String)> {
    let links = span.links.iter();
    links
        .map(|link| (hex::encode(&link.trace_id), hex::encode(&link.span_id)))
        .collect()
}

fn ids(span: &Span) -> (String, String) {
    (hex::encode(&span.trace_id), hex::encode(&span.span_id))
}

#[track_caller]
fn is_the_receipt(receive: &Span, id: &str) {
    assert_eq!(receive.name, "receive stripe");
    assert_eq!(
        format!("evt_{}", ids(receive).0),
        id,
        "the trace is the event"
    );
    let sender = (SENDERS_TRACE.to_owned(), SENDERS_SPAN.to_owned());
    assert_eq!(links(receive), [sender]);
    assert!(
        receive.parent_span_id.is_empty(),
        "a stranger is nobody's parent"
    );
    for (key, expected) in [
        ("hookgate.event.id", id),
        ("hookgate.outcome", "stored"),
        ("hookgate.source", "stripe"),
        ("hookgate.provider", "stripe"),
        ("http.route", "/webhooks/stripe"),
        ("http.response.status_code", "200"),
    ] {
        assert_eq!(value(&receive.attributes, key), expected);
    }
    assert!(receive.end_time_unix_nano > receive.start_time_unix_nano);
}

/// With its outcome, the app's status and the code of its own status.
async fn is_attempt(
    app: &App,
    n: usize,
    span: &Span,
    receive: &Span,
    [outcome, status, code]: [&str; 3],
) {
    let id = format!("evt_{}", ids(receive).0);
    assert_eq!(span.name, "attempt stripe");
    assert_eq!(links(span), [ids(receive)]);
    assert_eq!(value(&span.attributes, "hookgate.event.id"), id);
    assert_eq!(
        value(&span.attributes, "hookgate.attempt"),
        (n + 1).to_string()
    );
    assert_eq!(value(&span.attributes, "hookgate.outcome"), outcome);
    assert_eq!(value(&span.attributes, "http.response.status_code"), status);
    let found = span.status.as_ref().map_or(0, |status| status.code);
    assert_eq!(found.to_string(), code);
    // The app gets this span as its parent, and nothing that the sender said of another.
    let delivery = app.delivery(n).await;
    let (trace, own) = ids(span);
    assert_eq!(
        delivery.header("traceparent"),
        Some(format!("00-{trace}-{own}-01"))
    );
    assert_eq!(delivery.header("tracestate"), None);
    assert_eq!(delivery.header("x-canary").as_deref(), Some("canary"));
}

fn nothing_but_our_own_words(collector: &Collector, stripe: &Sender) {
    for export in collector.exports() {
        assert!(
            export.head.starts_with("post /v1/traces http/1.1\r\n"),
            "{}",
            export.head
        );
        assert!(export.head.contains("x-api-key: let me in\r\n"));
        assert!(
            export
                .head
                .contains("content-type: application/x-protobuf\r\n")
        );
        let resource = export.request.resource_spans[0].resource.as_ref().unwrap();
        assert_eq!(value(&resource.attributes, "service.name"), "hooks");
        assert!(
            find(&export.bytes, b"canary").is_none(),
            "only our own words"
        );
        assert!(find(&export.bytes, stripe.secret().as_bytes()).is_none());
    }
}

const DROPPED: &str = "hookgate_trace_spans_dropped_total";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_links_to_the_sender_and_each_attempt_to_the_receipt() {
    let stripe = Sender::new("stripe");
    let collector = Collector::start(200).await;
    let (mut setup, app) = Setup::scene(&[&stripe]).await;
    export_to(&mut setup, collector.port);
    setup.variable("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=let%20me%20in");
    setup.variable("OTEL_SERVICE_NAME", "hooks");
    let mut answers = 0;
    app.script(move |_| {
        answers += 1;
        Reply::status(if answers == 1 { 500 } else { 200 })
    });
    let gate = setup.start().await;
    let mut event = stripe.event("evt_canary");
    let traceparent = format!("00-{SENDERS_TRACE}-{SENDERS_SPAN}-01");
    event.headers.push(("traceparent".into(), traceparent));
    event
        .headers
        .push(("tracestate".into(), "vendor=canary".into()));
    event.headers.push(("x-canary".into(), "canary".into()));
    event.url += "?canary=1";

    let id = gate.post(&event).await.acknowledged("stored");
    gate.settled(&id, "delivered").await;

    let spans = collector.collected(3).await;
    let [receive, failed, delivered] = &spans[..] else {
        panic!("{spans:?}")
    };
    is_the_receipt(receive, &id);
    is_attempt(&app, 0, failed, receive, ["failed_status", "500", "2"]).await;
    is_attempt(&app, 1, delivered, receive, ["delivered", "200", "0"]).await;
    assert_ne!(failed.trace_id, delivered.trace_id);
    nothing_but_our_own_words(&collector, &stripe);
    gate.counted("hookgate_trace_spans_exported_total", 3.0)
        .await;
    assert_eq!(gate.metric(DROPPED).await, Some(0.0));
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_has_a_span_of_its_own_and_what_is_refused_has_none() {
    let stripe = Sender::new("stripe");
    let collector = Collector::start(200).await;
    let (mut setup, _app) = Setup::scene(&[&stripe]).await;
    export_to(&mut setup, collector.port);
    let gate = setup.start().await;
    let mut event = stripe.event("evt_1");
    assert_eq!(gate.post(&tampered(&event)).await.status, 401);
    event
        .headers
        .push(("traceparent".into(), "00-not-a-span".into()));

    let id = gate.post(&event).await.acknowledged("stored");
    assert_eq!(gate.post(&event).await.acknowledged("duplicate"), id);

    let spans = collector.collected(3).await;
    let receipts = |outcome: &str| {
        let is = |span: &&Span| value(&span.attributes, "hookgate.outcome") == outcome;
        spans.iter().find(is).cloned().unwrap()
    };
    let (first, repeat) = (receipts("stored"), receipts("duplicate"));
    assert_eq!(links(&first), []);
    assert_eq!(links(&repeat), [ids(&first)]);
    assert_eq!(value(&repeat.attributes, "hookgate.event.id"), id);
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_that_is_told_to_come_again_is_seen_with_its_event() {
    let stripe = Sender::new("stripe");
    let collector = Collector::start(200).await;
    let (mut setup, app) = Setup::scene(&[&stripe]).await;
    setup.set("sources.stripe.ack", "app");
    setup.set("sources.stripe.ack_timeout", "20ms");
    export_to(&mut setup, collector.port);
    app.script(|_| Reply::Held);
    let gate = setup.start().await;

    assert_eq!(gate.post(&stripe.event("evt_1")).await.status, 503);

    let spans = collector.collected(1).await;
    assert_eq!(value(&spans[0].attributes, "hookgate.outcome"), "unhandled");
    assert_eq!(
        value(&spans[0].attributes, "http.response.status_code"),
        "503"
    );
    let id = app.delivery(0).await.event_id();
    assert_eq!(value(&spans[0].attributes, "hookgate.event.id"), id);
    app.release();
    gate.stop().await;
}

/// What is not recorded says so to the app, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_sampler_leaves_out_has_no_spans() {
    let stripe = Sender::new("stripe");
    let collector = Collector::start(200).await;
    let (mut setup, app) = Setup::scene(&[&stripe]).await;
    export_to(&mut setup, collector.port);
    setup.variable("OTEL_TRACES_SAMPLER", "always_off");
    let gate = setup.start().await;

    let id = gate
        .post(&stripe.event("evt_1"))
        .await
        .acknowledged("stored");
    gate.settled(&id, "delivered").await;
    let parent = app.delivery(0).await.header("traceparent").unwrap();
    assert!(parent.len() == 55 && parent.ends_with("-00"), "{parent}");
    // What is queued would go out with the end of the gate.
    gate.stop().await;

    assert_eq!(collector.spans(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_that_are_queued_go_out_with_the_end_of_the_gate() {
    let stripe = Sender::new("stripe");
    let collector = Collector::start(200).await;
    let (mut setup, _app) = Setup::scene(&[&stripe]).await;
    export_to(&mut setup, collector.port);
    let gate = setup.start().await;
    let id = gate
        .post(&stripe.event("evt_1"))
        .await
        .acknowledged("stored");
    gate.settled(&id, "delivered").await;

    gate.stop().await;

    assert_eq!(collector.spans().len(), 2);
}

async fn delivers(gate: &Gate, stripe: &Sender, events: usize) {
    for n in 0..events {
        let id = gate.post(&stripe.event(&format!("evt_{n}"))).await;
        gate.settled(&id.acknowledged("stored"), "delivered").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_or_refuses_costs_spans_and_nothing_else() {
    let stripe = Sender::new("stripe");
    let refusing = Collector::start(400).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let away = closed.local_addr().unwrap().port();
    drop(closed);
    for port in [away, refusing.port] {
        let (mut setup, _app) = Setup::scene(&[&stripe]).await;
        export_to(&mut setup, port);
        let gate = setup.start().await;

        delivers(&gate, &stripe, 3).await;

        gate.counted(DROPPED, 6.0).await;
        let exported = gate.metric("hookgate_trace_spans_exported_total").await;
        assert_eq!(exported, Some(0.0));
        gate.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_that_a_collector_cannot_take_now_come_again() {
    let stripe = Sender::new("stripe");
    let restarting = Collector::answering(vec![503, 200]).await;
    let (mut setup, _app) = Setup::scene(&[&stripe]).await;
    export_to(&mut setup, restarting.port);
    let gate = setup.start().await;

    delivers(&gate, &stripe, 1).await;

    gate.counted("hookgate_trace_spans_exported_total", 2.0)
        .await;
    assert_eq!(gate.metric(DROPPED).await, Some(0.0));
    let exports = restarting.exports();
    assert!(exports.len() >= 2);
    assert_eq!(exports[0].bytes, exports[1].bytes);
    gate.stop().await;
}

/// It takes the connection and says nothing: the gate goes on, and ends in time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_hangs_holds_up_nobody_not_even_the_end() {
    let stripe = Sender::new("stripe");
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (mut setup, _app) = Setup::scene(&[&stripe]).await;
    export_to(&mut setup, silent.local_addr().unwrap().port());
    setup.variable("OTEL_EXPORTER_OTLP_TIMEOUT", "60000");
    let gate = setup.start().await;

    delivers(&gate, &stripe, 3).await;
    let (_held, _) = silent.accept().await.unwrap();
    delivers_more(&gate, &stripe).await;
    let stopping = Instant::now();
    gate.stop().await;

    let took = stopping.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
}

async fn delivers_more(gate: &Gate, stripe: &Sender) {
    let id = gate.post(&stripe.event("evt_more")).await;
    gate.settled(&id.acknowledged("stored"), "delivered").await;
}
