//! The disk takes seconds for a flush, or never comes back. Needs `strace`, which may attach to a process of
//! ours.
//!
//! `HOOKGATE_TEST_SLOW_SYNCS` (3) flushes of two seconds each.

use std::time::Duration;

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
    let program = scene.start();
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
    attached.killed_with(program); // as its orchestrator would

    let program = scene.start();
    scene.home.ready().await;
    assert_eq!(scene.ledger.post_many(5).await, 5);
    let tally = scene.settle(program, &[]).await;
    println!("hanging disk: {tally}");
}
