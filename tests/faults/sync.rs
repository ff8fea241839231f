//! A flush fails. Needs root, for a mount namespace and a loop device; `mkfs.ext4`, `strace`.
//!
//! `HOOKGATE_TEST_FAILED_SYNCS` (4) times, half of them by a real file system whose image lies on a disk that
//! is full, half by an error put into the n-th call. Linux marks pages as clean after a failed flush: a second
//! one of the same file succeeds and means nothing. So nothing may be acknowledged, no file may be flushed
//! again by that process, and it must end with a failure.

use std::collections::{HashMap, HashSet};

use crate::disk::{Disk, fill};
use crate::oracle::{Load, Scene, Tally};
use crate::program::Home;
use crate::strace::{self, CHECKPOINTER, SYNC_CALLS, Trace, WRITER};
use crate::support::app::Reply;
use crate::support::eventually;
use crate::support::sender::Sender;
use crate::{Round, sized};

/// The files that were flushed once more after a flush of them had failed; how many flushes failed.
fn flushed_again(trace: &str) -> (Vec<&str>, usize) {
    let mut under_way = HashMap::new();
    let mut failed = HashSet::new();
    let mut again = Vec::new();
    let mut failures = 0;
    for line in trace.lines() {
        // `7 fsync(3</path>) = -1 EIO (...)`, in two lines if another thread came between; one thread, no 7.
        let thread = line
            .split(' ')
            .next()
            .filter(|word| word.parse::<u32>().is_ok());
        if let Some((_, file)) = line.split_once('<').filter(|_| line.contains("sync(")) {
            let file = file.split('>').next().expect("a path");
            if failed.contains(file) {
                again.push(file);
            }
            under_way.insert(thread, file);
        }
        if line.contains("= -1 E") {
            failures += 1;
            failed.insert(under_way[&thread]);
        }
    }
    (again, failures)
}

/// The disk below the file system fills up.
async fn on_a_full_disk(round: &mut Round) -> Option<Tally> {
    let mut home = Home::new(&Sender::new("stripe"));
    let mut disk = Disk::in_image(&mut home, "ext4", "40m")?;
    let mut scene = Scene::new(home).await;
    let trace = Trace::of(&scene.home, SYNC_CALLS, None);
    let wrapper = [disk.wrapper(), trace.wrapper()].concat();
    let program = scene.start_under(&wrapper);
    scene.home.ready().await;
    let load = Load::start(&scene.ledger, 8, std::time::Duration::ZERO);
    scene.ledger.acknowledges(round.random.usize(1..100)).await;
    let filler = disk.below().join("filler");
    fill(&filler, round.random.u64(0..1 << 20));

    let code = program.ended().await;
    // A file that is mapped into memory may end it before it meets the error itself.
    assert_ne!(code, Some(0), "{}", scene.home.log());
    let trace = trace.text();
    let (again, failures) = flushed_again(&trace);
    assert!(again.is_empty(), "flushed again: {again:?}\n{trace}");
    assert!(failures > 0, "{trace}");
    std::fs::remove_file(filler).expect("the filler");
    disk.restore();
    let program = scene.start_under(&disk.wrapper());
    load.end().await;
    Some(scene.settle(program, &disk.wrapper()).await)
}

/// The n-th flush of a thread gets an error from the system.
async fn by_injection(round: &mut Round) -> Tally {
    let mut scene = Scene::new(Home::new(&Sender::new("stripe"))).await;
    let thread = if round.random.u8(0..4) == 0 {
        CHECKPOINTER
    } else {
        WRITER
    };
    // The other thread makes about one call a second.
    let n = if thread == CHECKPOINTER {
        1
    } else {
        round.random.u8(1..60)
    };
    let error = if round.random.bool() { "EIO" } else { "ENOSPC" };
    let injection = format!("{SYNC_CALLS}:error={error}:when={n}");
    let trace = Trace::of(&scene.home, SYNC_CALLS, Some(&injection));
    let program = scene.start();
    scene.home.ready().await;
    let attached = trace.attach(&program, thread).await;
    let load = Load::start(&scene.ledger, 4, std::time::Duration::ZERO);

    let code = program.ended().await;
    attached.ended();
    assert_eq!(code, Some(1), "{}", scene.home.log());
    let trace = trace.text();
    let (again, failures) = flushed_again(&trace);
    assert!(again.is_empty(), "flushed again: {again:?}\n{trace}");
    assert_eq!(failures, 1, "{trace}");
    let program = scene.start();
    load.end().await;
    scene.settle(program, &[]).await
}

/// The failure of the last commit went to the log only, and whoever had asked for the end read an exit
/// code of 0.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_that_fails_while_it_stops_is_told_by_the_exit_code() {
    if strace::is_there().is_none() {
        return;
    }
    let mut scene = Scene::new(Home::new(&Sender::new("stripe"))).await;
    scene.app.script(|_| Reply::Held); // so that the answer is the last to be written
    let injection = format!("{SYNC_CALLS}:error=EIO:when=1+");
    let trace = Trace::of(&scene.home, SYNC_CALLS, Some(&injection));
    let program = scene.start();
    scene.home.ready().await;
    assert_eq!(scene.ledger.post().await, Some(true));
    scene.app.received(1).await;
    let attached = trace.attach(&program, WRITER).await;
    program.terminate();
    eventually("the end of intake", async || {
        scene.home.gate().connect().await.is_err()
    })
    .await;
    scene.app.release();
    assert_eq!(program.ended().await, Some(1), "{}", scene.home.log());
    attached.ended();
    assert!(
        !scene.home.log().contains("stopped"),
        "{}",
        scene.home.log()
    );
    let program = scene.start();
    scene.settle(program, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_flush_that_fails_on_a_full_disk_it_ends_and_loses_nothing() {
    if strace::is_there().is_none() {
        return;
    }
    let syncs = sized("HOOKGATE_TEST_FAILED_SYNCS", 4).div_ceil(2);
    let mut tally = Tally::default();
    for mut round in Round::all("failed-syncs", syncs, 1) {
        let Some(more) = on_a_full_disk(&mut round).await else {
            return;
        };
        tally += more;
    }
    println!("failed syncs: {syncs} by a full disk below, 0 files flushed again: {tally}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_flush_that_fails_it_ends_and_loses_nothing() {
    if strace::is_there().is_none() {
        return;
    }
    let syncs = sized("HOOKGATE_TEST_FAILED_SYNCS", 4).div_ceil(2);
    let mut tally = Tally::default();
    for mut round in Round::all("failed-syncs", syncs, 1) {
        tally += by_injection(&mut round).await;
    }
    println!("failed syncs: {syncs} by injection, 0 files flushed again: {tally}");
}
