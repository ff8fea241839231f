//! The disk takes seconds for a flush, or never comes back. Needs `strace`, which may attach to a process of
//! ours.
//!
//! `HOOKGATE_TEST_SLOW_SYNCS` (3) flushes of two seconds each.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::UnixDatagram;
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

use crate::oracle::{Load, Scene};
use crate::program::Home;
use crate::sized;
use crate::strace::{self, SYNC_CALLS, Trace, WRITER};
use crate::support::eventually;
use crate::support::sender::Sender;

/// Microseconds of one flush, below the deadline of an answer.
const SLOW: u32 = 2_000_000;
/// The same of a disk that does not come back while anybody waits.
const NEVER: u32 = 3_600_000_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_disk_of_seconds_it_answers_200_or_503_and_recovers() {
    if strace::is_there().is_none() {
        return;
    }
    let syncs = sized("HOOKGATE_TEST_SLOW_SYNCS", 3);
    let mut scene = Scene::new(Home::new(&Sender::new("stripe"))).await;
    let program = scene.start();
    scene.home.ready().await;
    let load = Load::start(&scene.ledger, 16, Duration::ZERO);
    let injection = format!("{SYNC_CALLS}:delay_enter={SLOW}");
    let trace = Trace::of(&scene.home, SYNC_CALLS, Some(&injection));

    let attached = trace.attach(&program, WRITER).await;
    eventually("the slow flushes", async || {
        u64::try_from(trace.calls().len()).expect("few") >= syncs
    })
    .await;
    drop(attached);
    let refused = scene.ledger.refused();
    scene.ledger.acknowledges(100).await;
    load.end().await;
    scene.home.ready().await;
    let tally = scene.settle(program, &[]).await;
    println!("slow disk: {syncs} flushes of 2 s, {refused} refused meanwhile: {tally}");
}

/// The process that hangs in a flush is of no use: its orchestrator has to see that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_disk_that_hangs_it_answers_503_and_says_that_it_should_be_restarted() {
    if strace::is_there().is_none() {
        return;
    }
    let mut scene = Scene::new(Home::new(&Sender::new("stripe"))).await;
    // A watchdog, which wants to hear of it every two seconds.
    let socket = scene.home.path().join("notify");
    let watchdog = Watchdog::at(&socket);
    let notify = format!("NOTIFY_SOCKET={}", socket.display());
    let program =
        scene.start_under(&["env".to_owned(), notify, "WATCHDOG_USEC=2000000".to_owned()]);
    scene.home.ready().await;
    assert_eq!(scene.ledger.post_many(5).await, 5);
    let injection = format!("{SYNC_CALLS}:delay_enter={NEVER}");
    let trace = Trace::of(&scene.home, SYNC_CALLS, Some(&injection));
    let attached = trace.attach(&program, WRITER).await;

    assert_eq!(scene.ledger.post().await, Some(false));
    assert_eq!(scene.home.get("/livez").await.status, 200);
    eventually("the end of readiness", async || {
        !scene.home.is_ready().await
    })
    .await;
    eventually("the end of liveness", async || {
        scene.home.get("/livez").await.status == 503
    })
    .await;
    assert_eq!(scene.ledger.post().await, Some(false));
    let before = watchdog.beats();
    assert!(before > 20, "one each second while it was alive: {before}");
    let one_more = async {
        while watchdog.beats() == before {
            yield_now().await
        }
    };
    assert!(timeout(Duration::from_secs(3), one_more).await.is_err());
    attached.killed_with(program); // as its orchestrator would

    let program = scene.start();
    scene.home.ready().await;
    assert_eq!(scene.ledger.post_many(5).await, 5);
    let tally = scene.settle(program, &[]).await;
    println!("hanging disk: {tally}");
}

/// Counts signs of life.
struct Watchdog {
    beats: Arc<AtomicU64>,
    _listening: JoinSet<()>,
}

impl Watchdog {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).expect("a socket");
        let beats = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&beats);
        let mut listening = JoinSet::new();
        listening.spawn(async move {
            let mut text = [0; 256];
            while let Ok(length) = socket.recv(&mut text).await {
                if &text[..length] == b"WATCHDOG=1\n" {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Self {
            beats,
            _listening: listening,
        }
    }

    fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }
}
