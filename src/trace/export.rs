//! Takes spans out of their queue and to the collector, in batches. Nobody waits for it: what does not fit
//! into the queue, and what the collector does not take after some tries, is dropped and counted.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::Metrics;
use super::client::{Client, ExportError};
use crate::shutdown::Stage;

/// Spans that wait; each takes about a kilobyte.
pub(super) const QUEUE_MAX: usize = 2048;
/// Spans in one request.
const BATCH_MAX: usize = 512;
/// How long the first span of a batch waits for others.
const LINGER: Duration = Duration::from_secs(1);
/// How often a batch is tried that the collector may take a moment later,
const TRIES_MAX: u32 = 4;
/// and the pause after the first try; after the next it is twice as long.
const PAUSE: Duration = Duration::from_secs(1);
/// After a line about a collector that takes nothing, this long none.
const QUIET: Duration = Duration::from_secs(60);

pub(super) struct Exporter {
    pub(super) client: Client,
    pub(super) resource: Resource,
    pub(super) metrics: Metrics,
    /// Until then nothing is said about failures.
    pub(super) quiet_until: Option<Instant>,
    /// The last batch did not get there.
    pub(super) fails: bool,
    /// Spans dropped so far, when it was last looked.
    pub(super) dropped: u64,
}

impl Exporter {
    /// Runs until its stage stops, and then exports what is queued; whoever stops it waits only so long.
    pub(super) async fn run(mut self, mut spans: mpsc::Receiver<Span>, stage: Stage) {
        let mut batch = Vec::new();
        while !stage.is_stopping() {
            let taken = tokio::select! {
                biased;
                () = stage.stopping() => break,
                taken = spans.recv_many(&mut batch, BATCH_MAX) => taken,
            };
            if taken == 0 {
                return;
            }
            let mut linger = std::pin::pin!(sleep(LINGER));
            while batch.len() < BATCH_MAX {
                let room = BATCH_MAX - batch.len();
                tokio::select! {
                    biased;
                    () = stage.stopping() => break,
                    () = &mut linger => break,
                    taken = spans.recv_many(&mut batch, room) => {
                        if taken == 0 {
                            break;
                        }
                    }
                }
            }
            self.export(std::mem::take(&mut batch), &stage).await;
        }
        spans.close();
        while spans.recv_many(&mut batch, BATCH_MAX).await > 0 {
            self.export(std::mem::take(&mut batch), &stage).await;
        }
    }

    async fn export(&mut self, spans: Vec<Span>, stage: &Stage) {
        let count = u64::try_from(spans.len()).unwrap_or(u64::MAX);
        match self.send(self.request(spans).encode_to_vec(), stage).await {
            Ok(answer) => {
                // A collector may take a part of them; an answer that cannot be read takes all.
                let answer = ExportTraceServiceResponse::decode(answer).unwrap_or_default();
                let rejected = answer.partial_success.map_or(0, |part| part.rejected_spans);
                let rejected = u64::try_from(rejected).unwrap_or(0).min(count);
                self.metrics.exported.inc_by(count - rejected);
                self.metrics.dropped.inc_by(rejected);
                if rejected > 0 {
                    self.complain(&"it refused some of them");
                } else if self.metrics.dropped.get() > self.dropped {
                    self.complain(&"more came than it takes");
                }
                if std::mem::take(&mut self.fails) {
                    self.quiet_until = None;
                    let collector = self.client.place();
                    tracing::info!(collector, "the trace collector takes spans again");
                }
            }
            Err(error) => {
                self.metrics.dropped.inc_by(count);
                self.complain(&error);
                self.fails = true;
            }
        }
        self.dropped = self.metrics.dropped.get();
    }

    /// Sends a batch, several times where that may help and there is time.
    async fn send(&self, spans: Vec<u8>, stage: &Stage) -> Result<Bytes, ExportError> {
        let (spans, mut pause) = (Bytes::from(spans), PAUSE);
        for _ in 1..TRIES_MAX {
            match self.client.send(spans.clone()).await {
                Err(error) if error.may_pass() && !stage.is_stopping() => {}
                sent => return sent,
            }
            tokio::select! {
                () = stage.stopping() => {}
                () = sleep(pause) => {}
            }
            pause *= 2;
        }
        self.client.send(spans).await
    }

    fn complain(&mut self, why: &dyn fmt::Display) {
        let now = Instant::now();
        if self.quiet_until.is_some_and(|until| now < until) {
            return;
        }
        self.quiet_until = Some(now + QUIET);
        let (collector, dropped) = (self.client.place(), self.metrics.dropped.get());
        tracing::warn!(collector, %why, dropped, "spans could not be exported and were dropped; webhooks are not affected");
    }

    fn request(&self, spans: Vec<Span>) -> ExportTraceServiceRequest {
        let scope = InstrumentationScope {
            name: "hookgate".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        let scope_spans = ScopeSpans {
            scope: Some(scope),
            spans,
            schema_url: String::new(),
        };
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(self.resource.clone()),
                scope_spans: vec![scope_spans],
                schema_url: String::new(),
            }],
        }
    }
}
