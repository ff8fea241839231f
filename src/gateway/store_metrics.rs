//! The store's figures as metrics, read when somebody scrapes; the store knows nothing of metrics.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntGauge, IntGaugeVec, Opts};

use crate::clock::UnixMillis;
use crate::event::SourceName;
use crate::metrics::{COMMIT_BUCKETS, Metrics};
use crate::store::{State, Store};

/// How many events share a commit.
const COMMIT_EVENTS_BUCKETS: [f64; 8] = [1.0, 2.0, 4.0, 16.0, 64.0, 128.0, 256.0, 1024.0];

/// Adds the store's families; `sources` are there from the start, at zero.
pub(super) fn register(metrics: &Metrics, store: &Store, sources: Vec<SourceName>) {
    let duration = metrics.histogram(
        "hookgate_store_commit_duration_seconds",
        "Time of a commit, flush included",
        &COMMIT_BUCKETS,
    );
    let events = metrics.histogram(
        "hookgate_store_commit_events",
        "Events made durable by one commit",
        &COMMIT_EVENTS_BUCKETS,
    );
    store.observe_commits(move |took, count| {
        duration.observe(took.as_secs_f64());
        events.observe(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
    });
    let volume = metrics.gauges(
        "hookgate_store_volume_info",
        "Always 1; file system and kind of volume of store.path are in the labels",
        &["filesystem", "volume"],
    );
    let lies_on = store.volume();
    let labels = [lies_on.filesystem(), lies_on.kind().as_str()];
    volume.with_label_values(&labels).set(1);
    if let Ok(collector) = StoreCollector::new(store.clone(), sources) {
        metrics.register(collector);
    }
}

struct StoreCollector {
    store: Store,
    sources: Vec<SourceName>,
    events: IntGaugeVec,
    oldest: IntGaugeVec,
    bytes: IntGauge,
    bytes_max: IntGauge,
    durable: IntGauge,
    ids: IntGauge,
    damaged: IntCounter,
    failed_commits: IntCounter,
    held: IntGaugeVec,
}

impl StoreCollector {
    fn new(store: Store, sources: Vec<SourceName>) -> prometheus::Result<Self> {
        Ok(Self {
            store,
            sources,
            events: IntGaugeVec::new(
                Opts::new("hookgate_events", "Stored events by where they stand"),
                &["source", "state"],
            )?,
            oldest: IntGaugeVec::new(
                Opts::new(
                    "hookgate_oldest_pending_timestamp_seconds",
                    "When the oldest pending event was received; 0 if none is pending",
                ),
                &["source"],
            )?,
            bytes: IntGauge::new("hookgate_store_bytes", "Bytes the store uses on disk")?,
            bytes_max: IntGauge::new(
                "hookgate_store_bytes_max",
                "Bytes the store may use (store.bytes_max)",
            )?,
            durable: IntGauge::new(
                "hookgate_store_durable",
                "Whether the store's file system keeps what it flushed",
            )?,
            ids: IntGauge::new(
                "hookgate_store_ids",
                "Ids remembered for duplicate detection",
            )?,
            damaged: IntCounter::new(
                "hookgate_store_damaged_total",
                "Damaged records found since the start",
            )?,
            failed_commits: IntCounter::new(
                "hookgate_store_commit_failures_total",
                "Commits that failed: nothing of them was acknowledged",
            )?,
            held: IntGaugeVec::new(
                Opts::new(
                    "hookgate_source_held",
                    "Whether the source's events are kept from the app (hookgate hold)",
                ),
                &["source"],
            )?,
        })
    }
}

impl Collector for StoreCollector {
    fn desc(&self) -> Vec<&Desc> {
        [
            self.events.desc(),
            self.oldest.desc(),
            self.bytes.desc(),
            self.bytes_max.desc(),
            self.durable.desc(),
            self.ids.desc(),
            self.damaged.desc(),
            self.failed_commits.desc(),
            self.held.desc(),
        ]
        .concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (counts, stats) = (self.store.counts(), self.store.stats());
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let configured = self.sources.iter().map(|name| counts.of(name));
        let removed = counts
            .sources
            .iter()
            .filter(|counts| !self.sources.contains(&counts.source))
            .cloned();
        for of in configured.chain(removed) {
            let name = of.source.as_str();
            for (state, number) in State::ALL
                .into_iter()
                .zip([of.pending, of.delivered, of.dead])
            {
                self.events
                    .with_label_values(&[name, state.as_str()])
                    .set(whole(number));
            }
            self.oldest
                .with_label_values(&[name])
                .set(of.oldest_pending_at.map_or(0, UnixMillis::seconds));
        }
        self.bytes.set(whole(stats.used_bytes));
        self.bytes_max.set(whole(stats.bytes_max));
        self.durable.set(i64::from(stats.durable));
        self.ids.set(whole(stats.ids));
        self.damaged
            .inc_by(stats.damaged.saturating_sub(self.damaged.get()));
        self.failed_commits.inc_by(
            stats
                .failed_commits
                .saturating_sub(self.failed_commits.get()),
        );
        let held = self.store.held();
        for name in &self.sources {
            let held = i64::from(held.contains(name));
            self.held.with_label_values(&[name.as_str()]).set(held);
        }
        [
            self.events.collect(),
            self.oldest.collect(),
            self.bytes.collect(),
            self.bytes_max.collect(),
            self.durable.collect(),
            self.ids.collect(),
            self.damaged.collect(),
            self.failed_commits.collect(),
            self.held.collect(),
        ]
        .concat()
    }
}
