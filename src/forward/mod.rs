//! Deliver: lease an event, attempt to hand it to the app, settle the outcome.
//!
//! A fixed number of workers, each with one keep-alive connection of its own, so that the number
//! of attempts under way and of connections is bounded by construction. When the app cannot be
//! reached, that is not the event's fault: it goes back untried, all workers pause, and one probe
//! waits for the app to accept connections again.

mod backoff;
mod breaker;
mod client;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod metrics;
mod outcome;
mod request;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

pub use backoff::{HURRY, RetryPolicy};
pub use metrics::Metrics;
pub use request::Signing;

use tokio::time::Instant;

use crate::clock::{Clock, UnixMillis};
use crate::entropy::Entropy;
use crate::event::SourceName;
use crate::net::Address;
use crate::planted::{Bug, planted};
use crate::shutdown::Stage;
use crate::store::{AppAnswer, Attempt, Lease, Settlement, Store};
use crate::trace::{AttemptEnd, AttemptSpan};
use breaker::Breaker;
use client::{Client, SendError};
use outcome::{Judgement, Rules};
use request::Parent;

/// How events are handed to the app.
pub struct Config {
    /// Where the app listens.
    pub app: Address,
    /// Longest attempt, from connecting to the end of the answer's head.
    pub timeout: Duration,
    /// Attempts under way at once.
    pub concurrency: usize,
    /// When to try again.
    pub retry: RetryPolicy,
    /// Statuses that make an event a dead letter at once.
    pub dead_letter_on: Vec<u16>,
    /// Signs requests to the app as well, if set.
    pub signing: Option<Signing>,
    /// Paths for the app, of the sources that do not pass theirs on.
    pub app_paths: HashMap<SourceName, Box<str>>,
    /// Sources whose senders get the app's own answer.
    pub answering: HashSet<SourceName>,
}

/// Hands events to the app until its stage stops.
pub struct Forwarder {
    config: Config,
    store: Store,
    clock: Clock,
    entropy: Entropy,
    breaker: Breaker,
    metrics: Metrics,
    stage: Stage,
}

impl Forwarder {
    /// Starts the workers and the probe in `stage`.
    pub fn start(
        config: Config,
        store: Store,
        clock: Clock,
        entropy: Entropy,
        metrics: Metrics,
        stage: &Stage,
    ) {
        let breaker = Breaker::new(config.concurrency, metrics.app_up.clone());
        let concurrency = config.concurrency;
        metrics.may_run(concurrency);
        let forwarder = Arc::new(Self {
            config,
            store,
            clock,
            entropy,
            breaker,
            metrics,
            stage: stage.clone(),
        });
        for index in 0..concurrency {
            stage.spawn(Arc::clone(&forwarder).work(index));
        }
        stage.spawn(forwarder.probe());
    }

    /// One worker: event after event over its own connection.
    async fn work(self: Arc<Self>, index: usize) {
        let mut client = Client::new(self.config.app.clone(), self.stage.clone());
        loop {
            let next = async {
                self.breaker.admits(index).await;
                self.store.lease().await
            };
            let lease = tokio::select! {
                biased;
                () = self.stage.stopping() => return,
                lease = next => lease,
            };
            self.attempt(lease, &mut client).await;
        }
    }

    /// One attempt. Once begun it runs to its end; a shutdown that cannot wait drops the lease,
    /// which leaves the event pending.
    async fn attempt(&self, lease: Lease, client: &mut Client) {
        let (started, started_at) = (Instant::now(), self.clock.wall());
        let in_flight = self.metrics.begun();
        let span = self.metrics.tracer.attempt(lease.event.id);
        let parent = match &span {
            Some(span) => Parent::Own(span.traceparent()),
            None => Parent::Any(self.entropy.number()),
        };
        let request = request::build(&self.config, &lease, started_at, parent);
        let result = client.send(request, self.config.timeout).await;
        let took = started.elapsed();
        drop(in_flight);
        if let Err(SendError::Unreachable(error)) = &result {
            if self.breaker.open() {
                tracing::warn!(app = %self.config.app, %error, "the app cannot be reached; deliveries pause");
            }
            self.store.release(lease);
            return;
        }
        self.breaker.answered();
        let now = match planted(Bug::WallClockRetry) {
            true => self.clock.wall(),
            false => self.clock.steady(),
        };
        let policy = match self.stage.is_retiring() {
            true => self.config.retry.in_a_hurry(),
            false => self.config.retry,
        };
        let rules = Rules {
            policy: &policy,
            dead_letter_on: &self.config.dead_letter_on,
            heard: self.pass_on(&lease, &result),
        };
        let judgement = outcome::judge(
            &result,
            &rules,
            &lease,
            now,
            started_at.plus(took),
            self.entropy.share(),
        );
        self.metrics
            .attempted(&lease.event.source, judgement.label, took);
        if let Some(span) = span {
            self.trace(span, &lease, &judgement, &result, (started_at, took));
        }
        self.settle(lease, judgement, result.ok(), (started_at, took));
    }

    fn trace(
        &self,
        span: AttemptSpan,
        lease: &Lease,
        judgement: &Judgement,
        result: &Result<client::Answer, SendError>,
        (at, took): (UnixMillis, Duration),
    ) {
        let end = AttemptEnd {
            source: lease.event.source.as_str(),
            event: lease.event.id,
            number: lease.attempt,
            replay: lease.replay,
            outcome: judgement.label.as_str(),
            is_delivered: judgement.fate == outcome::Fate::Delivered,
            status: result.as_ref().ok().map(|answer| answer.status.as_u16()),
            at,
            took,
        };
        self.metrics.tracer.attempted(span, &end);
    }

    /// Hands the app's answer to the sender, of sources that do so. Whether one waited for it.
    fn pass_on(&self, lease: &Lease, result: &Result<client::Answer, SendError>) -> bool {
        let event = &lease.event;
        if !self.config.answering.contains(&event.source) {
            return false;
        }
        let Ok(answer) = result else {
            return self.store.pass_on(lease, None);
        };
        let fit = AppAnswer::new(answer.status, &answer.headers, &answer.body, answer.whole);
        if let Err(why) = &fit {
            tracing::warn!(source = %event.source, event = %event.id, status = answer.status.as_u16(), %why,
                "the app's answer cannot go to the sender");
        }
        self.store.pass_on(lease, fit.ok())
    }

    fn settle(
        &self,
        lease: Lease,
        judgement: Judgement,
        answer: Option<client::Answer>,
        (at, took): (UnixMillis, Duration),
    ) {
        let event = &lease.event;
        let (id, source, attempt_number) = (event.id, &event.source, lease.attempt);
        let (status, error) = (
            answer.as_ref().map(|answer| answer.status.as_u16()),
            judgement.error,
        );
        match &judgement.fate {
            outcome::Fate::Delivered => {
                self.metrics
                    .delivered(source, self.clock.steady().since(lease.pending_since));
                tracing::debug!(%source, event = %id, attempt = attempt_number, "delivered");
            }
            outcome::Fate::Retry(next_at) => {
                tracing::info!(%source, event = %id, attempt = attempt_number, status, error, next_at = %next_at.rfc3339(),
                    "attempt failed; the event will be tried again");
            }
            outcome::Fate::Dead(reason) => {
                self.metrics.died(source, *reason);
                tracing::error!(%source, event = %id, attempt = attempt_number, status, error, ?reason, "dead letter");
            }
        }
        let attempt = Attempt {
            at,
            took,
            outcome: judgement.label.as_str(),
            status,
            answer: answer.map(|answer| answer.body).unwrap_or_default(),
            error,
        };
        let settlement = match judgement.fate {
            outcome::Fate::Delivered => Settlement::Delivered(attempt),
            outcome::Fate::Retry(next_at) => Settlement::Retry { next_at, attempt },
            outcome::Fate::Dead(reason) => Settlement::Dead {
                attempt: Some(attempt),
                reason,
            },
        };
        self.store.settle(lease, settlement);
    }

    /// While the app cannot be reached: tries to connect, at first often, then every second.
    async fn probe(self: Arc<Self>) {
        const FIRST: Duration = Duration::from_millis(50);
        const LAST: Duration = Duration::from_secs(1);
        loop {
            tokio::select! {
                biased;
                () = self.stage.stopping() => return,
                () = self.breaker.opened() => {}
            }
            let mut wait = FIRST;
            loop {
                tokio::select! {
                    biased;
                    () = self.stage.stopping() => return,
                    () = tokio::time::sleep(wait) => {}
                }
                let connected = tokio::time::timeout(LAST, self.config.app.connect()).await;
                if matches!(connected, Ok(Ok(_))) {
                    break;
                }
                wait = (wait * 2).min(LAST);
            }
            tracing::info!(app = %self.config.app, "the app accepts connections again; deliveries resume");
            self.breaker.close();
            // The first worker may still hold on to a request that the old app never answers.
            while self.breaker.is_ramping() {
                tokio::select! {
                    biased;
                    () = self.stage.stopping() => return,
                    () = tokio::time::sleep(LAST) => self.breaker.answered(),
                }
            }
        }
    }
}
