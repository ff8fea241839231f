//! The configured endpoints, found by path.

use std::collections::HashMap;
use std::fmt::Display;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::StatusCode;
use tokio::sync::broadcast;

use super::limits::{Rate, SourceRate};
use super::metrics::{Metrics, SourceMetrics};
use super::rejections::{Finding, Noted, Record, Ring};
use crate::clock::UnixMillis;
use crate::event::SourceName;
use crate::providers::Provider;
use crate::secret::Secret;
use crate::verify::{Verified, Verifier};

/// Last segment of a path that carries the source's token.
const TOKEN_SEGMENT: &str = "/{token}";

/// Lines about refused requests that one source may write: anybody can cause them.
const LOG_LINES: Rate = Rate {
    per_second: match NonZeroU32::new(5) {
        Some(rate) => rate,
        None => NonZeroU32::MIN,
    },
    burst: match NonZeroU32::new(20) {
        Some(burst) => burst,
        None => NonZeroU32::MIN,
    },
};

/// When a sender is answered that an event was taken, and with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// When it is on disk.
    Stored,
    /// When the app has spoken, too (`ack = "handled"`); for so long a sender waits for that.
    Handled(Duration),
    /// The same, with the app's own answer (`ack = "app"`).
    App(Duration),
}

impl Ack {
    /// The word for `sources.NAME.ack`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Handled(_) => "handled",
            Self::App(_) => "app",
        }
    }
}

/// One inbound endpoint, as configured.
pub struct SourceConfig {
    /// The name in `[sources.NAME]`.
    pub name: SourceName,
    /// The path it is reached at; the last segment may be `{token}`.
    pub path: String,
    /// A larger body is refused.
    pub body_bytes_max: usize,
    /// When a sender is answered.
    pub ack: Ack,
    /// Limit for verified events.
    pub rate: Option<Rate>,
    /// Labels of the source's secrets, for metrics.
    pub secret_labels: Vec<Box<str>>,
    /// Checks the requests.
    pub verifier: Arc<Verifier>,
    /// What people are told of it.
    pub about: About,
}

/// What people are told of a source; nothing here is secret.
#[derive(Clone)]
pub struct About {
    /// Who sends.
    pub provider: Arc<Provider>,
    /// Requests that fail verification are let through (`mode = "observe"`).
    pub observe: bool,
    /// Where the provider reaches the gate (`server.public_url`), without the path.
    pub public_url: Option<String>,
}

/// One inbound endpoint, ready for requests.
pub(super) struct Source {
    pub(super) name: SourceName,
    pub(super) path: Box<str>,
    pub(super) about: About,
    pub(super) body_bytes_max: usize,
    pub(super) ack: Ack,
    /// Replaced when a secret is handed over.
    pub(super) verifier: ArcSwap<Verifier>,
    /// The secret that was handed over, if the source waits for one.
    pub(super) captured: Mutex<Option<Secret>>,
    pub(super) metrics: SourceMetrics,
    rate: Option<SourceRate>,
    rejections: Mutex<Ring>,
    /// Whoever looks on.
    told: broadcast::Sender<Record>,
    rejection_lines: Lines,
    /// Apart, so that forgers cannot silence what an operator must see.
    trouble_lines: Lines,
    handshake_lines: Lines,
}

impl Source {
    fn new(
        config: SourceConfig,
        sources: usize,
        metrics: &Metrics,
        told: broadcast::Sender<Record>,
    ) -> Self {
        Self {
            metrics: metrics.source(&config),
            name: config.name,
            path: config.path.into(),
            about: config.about,
            body_bytes_max: config.body_bytes_max,
            ack: config.ack,
            verifier: ArcSwap::new(config.verifier),
            captured: Mutex::default(),
            rate: config.rate.map(SourceRate::new),
            rejections: Mutex::new(Ring::new(sources)),
            told,
            rejection_lines: Lines::new(),
            trouble_lines: Lines::new(),
            handshake_lines: Lines::new(),
        }
    }

    /// What checks requests now.
    pub(super) fn verifier(&self) -> Arc<Verifier> {
        self.verifier.load_full()
    }

    /// The status that the provider takes for success.
    pub(super) fn ack_status(&self) -> StatusCode {
        StatusCode::from_u16(self.verifier.load().ack_status()).unwrap_or(StatusCode::OK)
    }

    /// One more verified event; otherwise the time after which there is room for it.
    pub(super) fn admit(&self) -> Result<(), Duration> {
        self.rate.as_ref().map_or(Ok(()), SourceRate::admit)
    }

    pub(super) fn note_verified(&self, verified: &Verified, now: UnixMillis) {
        self.metrics.count_body(&verified.received().body);
        if let Some(label) = verified.secret() {
            self.metrics.count_secret_match(label, now);
        }
        if let Some(rejection) = verified.observed() {
            self.metrics.count_rejection(rejection.reason);
        }
    }

    /// The recent rejections.
    pub(super) fn rejections(&self) -> MutexGuard<'_, Ring> {
        self.rejections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what an examination found, writes it down and keeps it.
    pub(super) fn conclude(&self, noted: &Noted, finding: Finding, body_sha256: Option<Box<str>>) {
        self.metrics.count_finding(&finding);
        self.rejection_lines.write(|unlogged| {
            let peer = noted.peer.map(tracing::field::display);
            let (reason, detail) = (noted.rejection.reason.as_str(), &noted.rejection.detail);
            let (diagnosis, clue) = match &finding {
                Finding::Mistake(found) => (found.mistake.as_str(), found.clue.as_deref()),
                Finding::Unknown => ("unknown", None),
                Finding::Pending | Finding::Skipped => ("skipped", None),
            };
            let said = match noted.observed {
                true => "not verified, but let through: this source's mode is \"observe\"",
                false => "rejected",
            };
            tracing::warn!(source = %self.name, reason, %detail, diagnosis, clue, peer, unlogged, "{said}");
        });
        let mut ring = self.rejections();
        let record = ring.conclude(noted.number, finding, body_sha256);
        if let Some(record) = record.filter(|_| self.told.receiver_count() > 0).cloned() {
            // Nobody may be looking on.
            let _ = self.told.send(record);
        }
    }

    pub(super) fn note_handshake(&self, peer: Option<IpAddr>, what: &str) {
        self.handshake_lines.write(|unlogged| {
            let peer = peer.map(tracing::field::display);
            tracing::info!(source = %self.name, peer, unlogged, "{what}");
        });
    }

    pub(super) fn note_unavailable(&self, why: &dyn Display) {
        self.trouble_lines.write(
            |unlogged| tracing::error!(source = %self.name, %why, unlogged, "refused with 503"),
        );
    }
}

/// Log lines of one kind that a sender can cause.
pub(crate) struct Lines {
    rate: SourceRate,
    unlogged: AtomicU64,
}

impl Lines {
    pub(crate) fn new() -> Self {
        Self {
            rate: SourceRate::new(LOG_LINES),
            unlogged: AtomicU64::new(0),
        }
    }

    /// Writes a line unless there were too many; the next line says how many were left out.
    pub(crate) fn write(&self, write: impl FnOnce(u64)) {
        if self.rate.admit().is_ok() {
            write(self.unlogged.swap(0, Ordering::Relaxed));
        } else {
            self.unlogged.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// All endpoints by path.
pub(super) struct Sources {
    exact: HashMap<Box<str>, Arc<Source>>,
    /// Those whose last segment is a token, by what comes before it.
    with_token: HashMap<Box<str>, Arc<Source>>,
}

impl Sources {
    /// The configuration has made sure that no two have the same path.
    pub(super) fn new(
        configs: Vec<SourceConfig>,
        metrics: &Metrics,
        told: &broadcast::Sender<Record>,
    ) -> Self {
        let mut sources = Self {
            exact: HashMap::new(),
            with_token: HashMap::new(),
        };
        let count = configs.len();
        for config in configs {
            let path = config.path.clone();
            let source = Arc::new(Source::new(config, count, metrics, told.clone()));
            match path.strip_suffix(TOKEN_SEGMENT) {
                Some(before) => sources.with_token.insert(before.into(), source),
                None => sources.exact.insert(path.into(), source),
            };
        }
        sources
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Source>> {
        self.exact.values().chain(self.with_token.values())
    }

    /// The source at `path`, and the token if the path carries one.
    pub(super) fn find(&self, path: &str) -> Option<(Arc<Source>, Option<Box<str>>)> {
        if let Some(source) = self.exact.get(path) {
            return Some((Arc::clone(source), None));
        }
        let (before, token) = path.rsplit_once('/')?;
        let source = self.with_token.get(before)?;
        Some((Arc::clone(source), Some(token.into())))
    }
}
