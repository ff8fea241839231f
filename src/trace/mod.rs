//! Traces: what became of an event, as spans for a collector that speaks OTLP (HTTP, protobuf).
//!
//! ```text
//!  sender's span ◄── link ── receive (its trace has the event's id) ◄── link ── attempt 1, attempt 2, ...
//!                                                                        which the app gets as its parent
//! ```
//!
//! Hours may lie between a receipt and an attempt, so they are traces of their own with links between them.
//! Only what was verified and stored has spans. In them are names from the configuration, ids of ours,
//! words from closed lists, and numbers: no path, query, header or body, and so no secret.
//!
//! What this module deliberately does not do: hold anybody up. A span is put into a bounded queue, or
//! dropped and counted.

mod client;
mod context;
mod export;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Uri};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use prometheus::IntCounter;
use tokio::sync::mpsc;

pub use context::{Sampling, SpanContext};

use crate::clock::UnixMillis;
use crate::entropy::Entropy;
use crate::event::EventId;
use crate::shutdown::Stage;
use client::Client;
use export::{Exporter, QUEUE_MAX};

/// Where spans go.
#[derive(Clone)]
pub struct Config {
    /// The collector's address for spans: http or https, and a host.
    pub endpoint: Uri,
    /// Further headers for it; some are credentials.
    pub headers: HeaderMap,
    /// Longest time for one request.
    pub timeout: Duration,
    /// Which events have spans.
    pub sampling: Sampling,
    /// What this process is called there, `service.name` included.
    pub resource: Vec<(String, String)>,
}

impl Config {
    /// Host and port of the collector.
    #[must_use]
    pub fn place(&self) -> &str {
        let authority = self.endpoint.authority();
        authority.map_or("", |authority| authority.as_str())
    }
}

/// What tracing counts.
#[derive(Clone)]
struct Metrics {
    exported: IntCounter,
    dropped: IntCounter,
}

/// Makes spans; without a collector it makes none, at no cost.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<Recorder>>);

struct Recorder {
    sampling: Sampling,
    entropy: Entropy,
    queue: mpsc::Sender<Span>,
    dropped: IntCounter,
}

/// A request that became an event, or repeated one.
pub struct Receipt<'a> {
    /// Its source.
    pub source: &'a str,
    /// Who sends there.
    pub provider: &'a str,
    /// Where it is received, as configured.
    pub route: &'a str,
    /// The event; of a repeat the first copy.
    pub event: EventId,
    /// It is a repeat.
    pub is_repeat: bool,
    /// How it ended, from the closed list of the metric.
    pub outcome: &'static str,
    /// What the sender was answered.
    pub status: u16,
    /// When the answer was there (wall time).
    pub ended_at: UnixMillis,
    /// How long the sender waited for it.
    pub took: Duration,
    /// The sender's own span.
    pub sender: Option<SpanContext>,
}

/// An attempt that has begun.
#[derive(Clone, Copy, Debug)]
pub struct AttemptSpan {
    context: SpanContext,
    is_sampled: bool,
}

impl AttemptSpan {
    /// The value of `traceparent` for the app.
    #[must_use]
    pub fn traceparent(&self) -> String {
        self.context.header(self.is_sampled)
    }
}

/// How an attempt ended.
pub struct AttemptEnd<'a> {
    /// The event's source.
    pub source: &'a str,
    /// The event.
    pub event: EventId,
    /// 1, 2, ...
    pub number: u32,
    /// A person asked for it.
    pub replay: bool,
    /// From the closed list of the metric.
    pub outcome: &'static str,
    /// Whether the app has it.
    pub is_delivered: bool,
    /// The app's status, if it answered.
    pub status: Option<u16>,
    /// When it began (wall time).
    pub at: UnixMillis,
    /// How long it took.
    pub took: Duration,
}

impl Tracer {
    /// With a collector: starts to export to it, in `stage`. Declares the families in any case.
    #[must_use]
    pub fn start(
        config: Option<Config>,
        metrics: &crate::metrics::Metrics,
        entropy: Entropy,
        stage: &Stage,
    ) -> Self {
        let metrics = Metrics {
            exported: metrics.counter(
                "hookgate_trace_spans_exported_total",
                "Spans that the trace collector has taken",
            ),
            dropped: metrics.counter(
                "hookgate_trace_spans_dropped_total",
                "Spans dropped because the queue was full or the trace collector did not take them",
            ),
        };
        let Some(config) = config else {
            return Self::default();
        };
        let (queue, spans) = mpsc::channel(QUEUE_MAX);
        let resource = config.resource.into_iter();
        let resource = resource.map(|(key, value)| text(&key, &value)).collect();
        let exporter = Exporter {
            client: Client::new(config.endpoint, config.headers, config.timeout),
            resource: Resource {
                attributes: resource,
                ..Resource::default()
            },
            metrics: metrics.clone(),
            quiet_until: None,
            fails: false,
            dropped: 0,
        };
        stage.spawn(exporter.run(spans, stage.clone()));
        Self(Some(Arc::new(Recorder {
            sampling: config.sampling,
            entropy,
            queue,
            dropped: metrics.dropped,
        })))
    }

    /// The span that a request says it belongs to, where that will be recorded.
    #[must_use]
    pub fn sender(&self, headers: &HeaderMap) -> Option<SpanContext> {
        self.0.as_ref()?;
        SpanContext::of_sender(headers)
    }

    /// Records a request that is about an event.
    pub fn received(&self, receipt: &Receipt<'_>) {
        let Some(recorder) = self.recording(receipt.event) else {
            return;
        };
        let first = SpanContext::of_event(receipt.event);
        let mut links: Vec<_> = receipt.sender.iter().map(link).collect();
        let own = if receipt.is_repeat {
            links.push(link(&first));
            recorder.new_context()
        } else {
            first
        };
        let started_at = receipt.ended_at.minus(receipt.took);
        let mut span = span(own, SpanKind::Server, started_at, receipt.took);
        span.name = format!("receive {}", receipt.source);
        span.links = links;
        span.attributes = vec![
            text("http.request.method", "POST"),
            text("http.route", receipt.route),
            number("http.response.status_code", receipt.status.into()),
            text("hookgate.source", receipt.source),
            text("hookgate.provider", receipt.provider),
            text("hookgate.event.id", &receipt.event.to_string()),
            text("hookgate.outcome", receipt.outcome),
        ];
        if receipt.status >= 500 {
            span.status = failed(receipt.outcome);
        }
        recorder.record(span);
    }

    /// The span of an attempt that is about to begin, if there is a collector.
    #[must_use]
    pub fn attempt(&self, event: EventId) -> Option<AttemptSpan> {
        let recorder = self.0.as_ref()?;
        Some(AttemptSpan {
            context: recorder.new_context(),
            is_sampled: recorder.sampling.takes(event),
        })
    }

    /// Records an attempt.
    pub fn attempted(&self, attempt: AttemptSpan, end: &AttemptEnd<'_>) {
        let Some(recorder) = self.recording(end.event) else {
            return;
        };
        let mut span = span(attempt.context, SpanKind::Client, end.at, end.took);
        span.name = format!("attempt {}", end.source);
        span.links = vec![link(&SpanContext::of_event(end.event))];
        span.attributes = vec![
            text("hookgate.source", end.source),
            text("hookgate.event.id", &end.event.to_string()),
            number("hookgate.attempt", end.number.into()),
            text("hookgate.outcome", end.outcome),
        ];
        if end.replay {
            let value = Some(Value::BoolValue(true));
            span.attributes.push(attribute("hookgate.replay", value));
        }
        if let Some(status) = end.status {
            let status = number("http.response.status_code", status.into());
            span.attributes.push(status);
        }
        if !end.is_delivered {
            span.status = failed(end.outcome);
        }
        recorder.record(span);
    }

    /// If there is a collector and this event is among those that it gets.
    fn recording(&self, event: EventId) -> Option<&Recorder> {
        self.0
            .as_deref()
            .filter(|recorder| recorder.sampling.takes(event))
    }
}

impl Recorder {
    fn new_context(&self) -> SpanContext {
        SpanContext::of_numbers([(); 3].map(|()| self.entropy.number()))
    }

    fn record(&self, span: Span) {
        if self.queue.try_send(span).is_err() {
            self.dropped.inc();
        }
    }
}

fn span(own: SpanContext, kind: SpanKind, at: UnixMillis, took: Duration) -> Span {
    let start = u64::try_from(at.0).unwrap_or(0).saturating_mul(1_000_000);
    let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    Span {
        trace_id: own.trace.to_vec(),
        span_id: own.span.to_vec(),
        kind: kind.into(),
        start_time_unix_nano: start,
        end_time_unix_nano: start.saturating_add(took),
        flags: 1, // it is sampled, or it would not be here
        ..Span::default()
    }
}

fn link(to: &SpanContext) -> Link {
    Link {
        trace_id: to.trace.to_vec(),
        span_id: to.span.to_vec(),
        ..Link::default()
    }
}

fn failed(why: &str) -> Option<Status> {
    Some(Status {
        message: why.to_owned(),
        code: StatusCode::Error.into(),
    })
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Some(Value::StringValue(value.to_owned())))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, Some(Value::IntValue(value)))
}

fn attribute(key: &str, value: Option<Value>) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value }),
        ..KeyValue::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config {
            endpoint: Uri::from_static("http://127.0.0.1:9/v1/traces"),
            headers: HeaderMap::new(),
            timeout: Duration::from_secs(1),
            sampling: Sampling(1.0),
            resource: Vec::new(),
        }
    }

    /// The test never waits, so the task that would empty the queue never runs.
    #[tokio::test]
    async fn spans_beyond_the_queue_are_dropped_and_counted_and_nobody_waits() {
        let metrics = crate::metrics::Metrics::new();
        let stage = Stage::default();
        let tracer = Tracer::start(Some(config()), &metrics, Entropy::seeded(1), &stage);
        let event = EventId::new(UnixMillis(1));
        for _ in 0..QUEUE_MAX + 7 {
            let span = tracer.attempt(event).unwrap();
            let end = AttemptEnd {
                source: "stripe",
                event,
                number: 1,
                replay: false,
                outcome: "delivered",
                is_delivered: true,
                status: Some(200),
                at: UnixMillis(5),
                took: Duration::from_millis(2),
            };
            tracer.attempted(span, &end);
        }
        let text = metrics.text();
        assert!(
            text.contains("\nhookgate_trace_spans_dropped_total 7\n"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn without_a_collector_there_is_nothing_to_do() {
        let metrics = crate::metrics::Metrics::new();
        let tracer = Tracer::start(None, &metrics, Entropy::seeded(1), &Stage::default());
        assert!(tracer.attempt(EventId::new(UnixMillis(1))).is_none());
        assert!(
            metrics
                .text()
                .contains("\nhookgate_trace_spans_dropped_total 0\n")
        );
    }
}
