//! A store in a directory of its own, with a clock that the test moves.

use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;

use crate::clock::{Clock, UnixMillis};
use crate::event::SourceName;
use crate::store::*;
use crate::verify::Verified;

pub(super) const START: UnixMillis = UnixMillis(1_735_689_600_000);

/// A store and what it stands on.
pub(super) struct Fixture {
    pub(super) dir: TempDir,
    pub(super) clock: Clock,
    pub(super) config: Config,
    pub(super) store: Store,
}

pub(in crate::store) fn config(path: &std::path::Path) -> Config {
    let day = Duration::from_secs(86_400);
    Config {
        dedup_windows: std::collections::HashMap::new(),
        path: path.to_path_buf(),
        bytes_max: 0,
        keep: Keep {
            delivered: day * 7,
            dead: day * 30,
            ids: day * 30,
        },
        allow_volatile: true,
        low_space_bytes: 0,
        backlog_bytes_max: 8 << 20,
        disk: None,
    }
}

pub(super) fn open(config: &Config, clock: &Clock) -> Result<Store, StoreError> {
    Store::open(
        config.clone(),
        clock.clone(),
        &tokio::runtime::Handle::current(),
    )
}

impl Fixture {
    pub(super) fn new() -> Self {
        Self::with(|_| ())
    }

    pub(super) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual(START);
        let mut config = config(&dir.path().join("data"));
        change(&mut config);
        let store = open(&config, &clock).unwrap();
        Self {
            dir,
            clock,
            config,
            store,
        }
    }

    /// Closes in order and opens again.
    pub(super) async fn reopen(self) -> Self {
        let Self {
            dir,
            clock,
            config,
            store,
        } = self;
        store.close().await.unwrap();
        let store = open(&config, &clock).unwrap();
        Self {
            dir,
            clock,
            config,
            store,
        }
    }

    /// What a kill would leave behind: a copy of the files while the store is open.
    pub(super) fn killed_copy(&self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = self.config.clone();
        config.path = dir.path().join("data");
        std::fs::create_dir(&config.path).unwrap();
        for name in ["hookgate.db", "hookgate.db-wal", "high-water"] {
            std::fs::copy(self.config.path.join(name), config.path.join(name)).unwrap();
        }
        let clock = self.clock.clone();
        let store = open(&config, &clock).unwrap();
        Self {
            dir,
            clock,
            config,
            store,
        }
    }

    /// Moves time on, and tells the store.
    pub(super) fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.store.nudge();
    }

    pub(super) async fn accept(&self, source: &str, id: &str) -> Receipt {
        self.store.accept(event(source, id)).await.unwrap()
    }

    pub(super) async fn deliver_next(&self) -> String {
        let lease = self.lease().await;
        let id = id_of(&lease);
        self.store.settle(lease, delivered());
        id
    }

    /// The next lease; a test that would wait for ever fails instead.
    pub(super) async fn lease(&self) -> Lease {
        let lease = tokio::time::timeout(Duration::from_secs(20), self.store.lease());
        lease.await.expect("an event is due")
    }

    /// Nothing is ready to be leased once everything queued is written.
    pub(super) async fn nothing_due(&self) -> bool {
        self.store.flush().await.unwrap();
        next_due(&self.store).await.is_none()
    }

    pub(super) fn counts(&self, source: &str) -> (u64, u64, u64) {
        let counts = self.store.counts().of(&SourceName::from(source));
        (counts.pending, counts.delivered, counts.dead)
    }
}

/// How much a harness does.
pub(super) fn number_from_environment(name: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "not the program's configuration")]
    let text = std::env::var(name).ok()?;
    Some(text.replace('_', "").parse().unwrap())
}

/// A failed store keeps its lock until the process ends; here its files go on in another place.
pub(super) fn move_on(config: &mut Config, to: &std::path::Path) {
    assert!(config.path.join("hookgate.db").exists());
    for name in ["hookgate.db", "hookgate.db-wal", "high-water", "damaged"] {
        let copied = std::fs::copy(config.path.join(name), to.join(name));
        assert!(copied.is_ok() || !config.path.join(name).exists());
    }
    config.path = to.to_path_buf();
}

/// What is due now, one lease after the other; `None` when the writer has read back all there is, or
/// failed. No timer decides: a flush is answered by one turn of the writer, which also scans,
/// claims and prunes a slice.
pub(super) async fn next_due(store: &Store) -> Option<Lease> {
    // A turn scans 20 events in tests: enough for two thousand.
    for _ in 0..100 {
        tokio::select! {
            biased;
            lease = store.lease() => return Some(lease),
            () = std::future::ready(()) => {}
        }
        store.flush().await.ok()?;
    }
    None
}

pub(super) fn event(source: &str, id: &str) -> Verified {
    Verified::for_test(source, id, b"{\"hello\":\"world\"}")
}

pub(super) fn id_of(lease: &Lease) -> String {
    lease
        .event
        .provider_event_id
        .as_deref()
        .unwrap_or_default()
        .into()
}

pub(super) fn attempt(outcome: &'static str) -> Attempt {
    Attempt {
        at: START,
        took: Duration::from_millis(3),
        outcome,
        status: Some(if outcome == "delivered" { 200 } else { 500 }),
        answer: Bytes::from_static(b"ok"),
        error: None,
    }
}

pub(super) fn delivered() -> Settlement {
    Settlement::Delivered(attempt("delivered"))
}

pub(super) fn retry(at: UnixMillis) -> Settlement {
    Settlement::Retry {
        next_at: at,
        attempt: attempt("server_error"),
    }
}

pub(super) fn dead() -> Settlement {
    Settlement::Dead {
        attempt: Some(attempt("refused")),
        reason: DeadReason::Refused,
    }
}
