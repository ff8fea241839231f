//! When the disk is full, slow or broken.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::support::*;
use crate::clock::{Clock, UnixMillis};
use crate::event::SourceName;
use crate::store::engine::*;
use crate::store::keys::DedupKey;
use crate::store::view::SourceCounts;
use crate::store::*;
use crate::verify::Verified;

/// What the next commits meet, and whether there is room.
#[derive(Default)]
struct Weather {
    commits: Mutex<VecDeque<EngineError>>,
    shortage: Mutex<Option<Shortage>>,
    /// Commits wait while this is held.
    stuck: Mutex<()>,
    /// Commits that were tried.
    tried: AtomicUsize,
    /// A commit panics.
    bug: AtomicBool,
}

/// The embedded engine in bad weather.
struct Faulty {
    inner: Box<dyn Engine>,
    weather: Arc<Weather>,
}

impl Engine for Faulty {
    fn commit(&mut self, batch: &Batch<'_>) -> Result<Committed, EngineError> {
        self.weather.tried.fetch_add(1, Ordering::Relaxed);
        assert!(!self.weather.bug.load(Ordering::Relaxed), "a bug");
        drop(self.weather.stuck.lock().unwrap());
        match self.weather.commits.lock().unwrap().pop_front() {
            Some(error) => Err(error),
            None => self.inner.commit(batch),
        }
    }
    fn claim_due(
        &mut self,
        now: UnixMillis,
        claim: &Claim<'_>,
    ) -> Result<Vec<Claimed>, EngineError> {
        self.inner.claim_due(now, claim)
    }
    fn waiting(&self, source: &SourceName) -> bool {
        self.inner.waiting(source)
    }
    fn find(&self, keys: &[DedupKey]) -> Vec<u64> {
        self.inner.find(keys)
    }
    fn due_at(&self) -> Option<UnixMillis> {
        self.inner.due_at()
    }
    fn prune(&mut self, policy: &Policy, now: UnixMillis) -> Result<Pruned, EngineError> {
        self.inner.prune(policy, now)
    }
    fn room(&mut self, policy: &Policy) -> Result<(), Shortage> {
        match *self.weather.shortage.lock().unwrap() {
            Some(shortage) => Err(shortage),
            None => self.inner.room(policy),
        }
    }
    fn maintain(&mut self, now: UnixMillis) -> Result<bool, EngineError> {
        self.inner.maintain(now)
    }
    fn counts(&mut self) -> Result<Vec<SourceCounts>, EngineError> {
        self.inner.counts()
    }
    fn stats(&self) -> EngineStats {
        self.inner.stats()
    }
    fn close(self: Box<Self>) -> Result<(), EngineError> {
        self.inner.close()
    }
}

fn in_weather(dir: &tempfile::TempDir) -> (Store, Arc<Weather>) {
    let weather = Arc::new(Weather::default());
    let config = config(dir.path());
    let clock = Clock::manual(START);
    let mut opened = embedded::open(&config, &clock).unwrap();
    opened.engine = Box::new(Faulty {
        inner: opened.engine,
        weather: Arc::clone(&weather),
    });
    let store = Store::start(&config, opened, clock, &tokio::runtime::Handle::current()).unwrap();
    (store, weather)
}

/// The program ends when the store has failed: what the writer left behind is unknown.
#[tokio::test]
async fn a_writer_that_panics_has_failed_and_nobody_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let (store, weather) = in_weather(&dir);
    weather.bug.store(true, Ordering::Relaxed);
    let refused = store.accept(event("stripe", "a")).await;
    assert!(matches!(refused, Err(StoreError::Fatal(_))), "{refused:?}");
    assert!(matches!(store.failed().await, StoreError::Fatal(_)));
    let refused = store.accept(event("stripe", "b")).await;
    assert!(matches!(refused, Err(StoreError::Fatal(_))), "{refused:?}");
}

#[tokio::test]
async fn after_a_failed_write_nothing_is_acknowledged_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let (store, weather) = in_weather(&dir);
    weather
        .commits
        .lock()
        .unwrap()
        .push_back(EngineError::Fatal("disk I/O error".into()));
    let refused = store.accept(event("stripe", "a")).await;
    assert!(matches!(refused, Err(StoreError::Fatal(_))), "{refused:?}");
    assert!(matches!(store.failed().await, StoreError::Fatal(_)));
    for refused in [
        store.accept(event("stripe", "a")).await.err(),
        store.accept(event("stripe", "b")).await.err(),
        store.writable().err(),
        store.flush().await.err(),
    ] {
        assert!(matches!(refused, Some(StoreError::Fatal(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn a_commit_that_fails_in_passing_keeps_settlements_and_refuses_its_events() {
    let dir = tempfile::tempdir().unwrap();
    let (store, weather) = in_weather(&dir);
    store.accept(event("stripe", "a")).await.unwrap();
    let lease = store.lease().await;
    weather.commits.lock().unwrap().push_back(EngineError::Full);
    store.settle(lease, delivered());
    let refused = store.accept(event("stripe", "b")).await;
    assert!(matches!(refused, Err(StoreError::Full(_))), "{refused:?}");
    store.nudge();
    while store.writable().is_err() {
        store.nudge();
        tokio::task::yield_now().await;
    }
    let receipt = store.accept(event("stripe", "b")).await.unwrap();
    assert_eq!(receipt.kind(), ReceiptKind::Stored);
    store.flush().await.unwrap();
    let counts = store.counts().of(&"stripe".into());
    assert_eq!((counts.pending, counts.delivered), (1, 1));
}

/// The last commit of an orderly end met a fault that was over at once, and what the app had taken
/// came to it again.
#[tokio::test]
async fn the_last_commit_before_the_end_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, weather) = in_weather(&dir);
    store.accept(event("stripe", "a")).await.unwrap();
    store.settle(store.lease().await, delivered());
    let failed = EngineError::Unavailable("busy".into());
    weather.commits.lock().unwrap().push_back(failed);
    store.close().await.unwrap();
    let (store, _) = in_weather(&dir);
    let counts = store.counts().of(&"stripe".into());
    assert_eq!((counts.pending, counts.delivered), (0, 1));
}

/// The last commit was given up, and the process said that it had stopped in order.
#[tokio::test]
async fn a_last_commit_that_fails_for_good_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (store, weather) = in_weather(&dir);
    store.accept(event("stripe", "a")).await.unwrap();
    let lease = store.lease().await;
    let failed = || EngineError::Unavailable("busy".into());
    let failures = std::iter::repeat_with(failed).take(100);
    weather.commits.lock().unwrap().extend(failures);
    store.settle(lease, delivered());
    let closed = store.close().await;
    assert!(
        matches!(closed, Err(StoreError::Unavailable(_))),
        "{closed:?}"
    );
    let (store, _) = in_weather(&dir);
    let counts = store.counts().of(&"stripe".into());
    assert_eq!((counts.pending, counts.delivered), (1, 0));
}

/// A hundred settlements are due at once, so the writer tried, failed and logged as fast as it
/// could for as long as the disk was full.
#[tokio::test]
async fn while_commits_fail_the_writer_rests() {
    let dir = tempfile::tempdir().unwrap();
    let (store, weather) = in_weather(&dir);
    let mut leases = Vec::new();
    for n in 0..120 {
        store.accept(event("stripe", &n.to_string())).await.unwrap();
        leases.push(store.lease().await);
    }
    let failed = EngineError::Unavailable("busy".into());
    weather.commits.lock().unwrap().extend(vec![failed; 10_000]);
    let before = weather.tried.load(Ordering::Relaxed);
    for lease in leases {
        store.settle(lease, delivered());
    }
    tokio::time::sleep(Duration::from_millis(600)).await;
    let tried = weather.tried.load(Ordering::Relaxed) - before;
    assert!((1..=5).contains(&tried), "{tried}");
    weather.commits.lock().unwrap().clear();
    store.flush().await.unwrap();
    assert_eq!(store.counts().of(&"stripe".into()).delivered, 120);
}

/// With a disk that hangs in a sync `/readyz` said yes for ever: the queue was open, and only a
/// full one or an error closed it.
#[tokio::test]
async fn a_disk_that_hangs_is_not_writable() {
    let dir = tempfile::tempdir().unwrap();
    let (store, weather) = in_weather(&dir);
    let in_seconds = |seconds| {
        let then = Instant::now() + Duration::from_secs(seconds);
        store.shared().writable(then)
    };
    store.accept(event("stripe", "a")).await.unwrap();
    store.flush().await.unwrap();
    let (accepted, ()) = tokio::join!(store.accept(event("stripe", "b")), async {
        let stuck = weather.stuck.lock().unwrap();
        in_seconds(0).unwrap();
        while in_seconds(3).is_ok() {
            std::thread::yield_now();
        }
        in_seconds(0).unwrap();
        drop(stuck);
    });
    accepted.unwrap();
    while in_seconds(3).is_err() {
        tokio::task::yield_now().await;
    }
}

/// `/livez` said yes for ever while a sync hung: nobody restarted the process, and senders got 503 until
/// somebody looked.
#[tokio::test]
async fn a_disk_that_hangs_for_half_a_minute_is_not_alive() {
    let dir = tempfile::tempdir().unwrap();
    let (store, weather) = in_weather(&dir);
    let in_seconds = |seconds| {
        let then = Instant::now() + Duration::from_secs(seconds);
        store.shared().alive(then)
    };
    let (accepted, ()) = tokio::join!(store.accept(event("stripe", "a")), async {
        let stuck = weather.stuck.lock().unwrap();
        while in_seconds(31).is_ok() {
            std::thread::yield_now();
        }
        in_seconds(25).unwrap();
        drop(stuck);
    });
    accepted.unwrap();
    while in_seconds(31).is_err() {
        tokio::task::yield_now().await;
    }
}

/// A retry that was claimed before the scan came to it was erased, and its settlement then taken
/// for the first news of the event: a second row, and the end of the store.
#[tokio::test]
async fn a_leased_retry_that_is_erased_after_a_restart_can_be_settled() {
    let mut store = Fixture::new();
    let mut leases = Vec::new();
    let mut last = None;
    for n in 0..100 {
        last = Some(store.accept("stripe", &n.to_string()).await.event_id());
        leases.push(store.lease().await);
    }
    let due = START.plus(Duration::from_secs(1));
    store.store.settle(leases.pop().unwrap(), retry(due));
    drop(leases);
    store.advance(Duration::from_secs(2));
    store.store.flush().await.unwrap();
    // One at a time, so that the scan stops early.
    store.config.backlog_bytes_max = 1;
    let store = store.reopen().await;
    let lease = loop {
        let lease = store.lease().await;
        if id_of(&lease) == "99" {
            break lease;
        }
        store.store.settle(lease, delivered());
    };
    assert!(store.store.erase(last.unwrap()).await.unwrap());
    store.store.settle(lease, delivered());
    store.store.flush().await.unwrap();
    assert_eq!(store.counts("stripe").2, 0);
}

#[tokio::test]
async fn with_too_little_space_deliveries_go_on_and_intake_resumes_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (store, weather) = in_weather(&dir);
    let receipt = store.accept(event("stripe", "a")).await.unwrap();
    let shortage = Shortage::Disk { free: 1, needed: 2 };
    *weather.shortage.lock().unwrap() = Some(shortage);
    assert!(matches!(
        store.accept(event("stripe", "b")).await,
        Err(StoreError::Full(_))
    ));
    assert!(matches!(store.writable(), Err(StoreError::Full(_))));
    let lease = store.lease().await;
    store.settle(lease, dead());
    store.flush().await.unwrap();
    assert_eq!(store.counts().of(&"stripe".into()).dead, 1);
    assert_eq!(store.replay(vec![receipt.event_id()]).await.unwrap(), 1);
    *weather.shortage.lock().unwrap() = None;
    // No nudge: the store looks again by itself.
    let resumed = async {
        while store.writable().is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), resumed)
        .await
        .unwrap();
    store.accept(event("stripe", "b")).await.unwrap();
}

#[tokio::test]
async fn the_watermark_of_the_disk_is_looked_at() {
    let store = Fixture::with(|config| config.low_space_bytes = u64::MAX / 16);
    let refused = store.store.accept(event("stripe", "a")).await;
    assert!(
        matches!(refused, Err(StoreError::Full(Shortage::Disk { .. }))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_full_budget_sacrifices_delivered_events_first_and_pending_ones_never() {
    static BODY: [u8; 20_000] = [7; 20_000];
    let store = Fixture::with(|config| config.bytes_max = 4 << 20);
    let big = |id: String| Verified::for_test("stripe", &id, &BODY);
    let first = store.store.accept(big("first".into())).await.unwrap();
    store.deliver_next().await;
    store.store.flush().await.unwrap();
    let mut stored = 0;
    let refused = loop {
        match store.store.accept(big(stored.to_string())).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 1000);
    };
    assert!(
        matches!(refused, StoreError::Full(Shortage::Budget { .. })),
        "{refused}"
    );
    assert_eq!(store.counts("stripe").0, stored);
    // The delivered one has gone, body first and then the record.
    assert!(store.store.show(first.event_id()).await.unwrap().is_none());
    for n in 0..stored {
        let lease = store.lease().await;
        assert_eq!(lease.event.body, &BODY[..], "{n}");
        store.store.settle(lease, delivered());
    }
    store.store.flush().await.unwrap();
    while store.store.writable().is_err() {
        store.store.nudge();
        tokio::task::yield_now().await;
    }
    store.store.accept(big("again".into())).await.unwrap();
    assert!(store.store.stats().used_bytes < 4 << 20);
}

#[tokio::test]
async fn what_is_old_is_forgotten_each_kind_after_its_own_time() {
    let store = Fixture::new();
    let day = Duration::from_secs(86_400);
    for id in ["delivered", "dead", "pending"] {
        store.accept("stripe", id).await;
    }
    store.deliver_next().await;
    let lease = store.lease().await;
    store.store.settle(lease, dead());
    store.store.flush().await.unwrap();
    store.advance(day * 8);
    while store.counts("stripe") != (1, 0, 1) {
        // A round that had begun before looks at the rest only; the next one sees all.
        store.advance(Duration::from_secs(11));
        store.store.flush().await.unwrap();
    }
    store.advance(day * 23);
    while store.counts("stripe") != (1, 0, 0) {
        // A round that had begun before looks at the rest only; the next one sees all.
        store.advance(Duration::from_secs(11));
        store.store.flush().await.unwrap();
    }
    let store = store.reopen().await;
    assert_eq!(store.counts("stripe"), (1, 0, 0));
    assert_eq!(store.deliver_next().await, "pending");
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let store = Fixture::new();
    let other = store.store.clone();
    store.store.close().await.unwrap();
    assert!(matches!(
        other.accept(event("stripe", "a")).await,
        Err(StoreError::Closing)
    ));
    assert!(matches!(other.flush().await, Err(StoreError::Closing)));
}

#[tokio::test]
async fn a_second_store_on_the_same_directory_is_refused() {
    let store = Fixture::new();
    let second = open(&store.config, &store.clock);
    assert!(matches!(second, Err(StoreError::Owned { .. })));
}
