//! The disk fills up, and has room again. Needs root, for file systems in memory.
//!
//! `HOOKGATE_TEST_FULL_DISKS` (1) times: with room for settlements kept back, and to the last byte.

use crate::disk::Disk;
use crate::oracle::{Scene, Tally};
use crate::program::Home;
use crate::support::eventually;
use crate::support::sender::Sender;
use crate::{Round, sized};

/// Sends until the gate refuses, then makes room until it takes events again.
async fn full_and_recovered(low_space: &str, left: u64) -> Option<(Tally, u64)> {
    let mut home = Home::new(&Sender::new("stripe"));
    let disk = Disk::in_memory(&mut home, "48m")?;
    home.set("store.low_space", low_space);
    let mut scene = Scene::new(home).await;
    let mut program = scene.start_under(&disk.wrapper());
    scene.home.ready().await;
    assert_eq!(scene.ledger.post_many(20).await, 20);

    disk.fill(left);
    eventually("a refusal", async || {
        scene.ledger.post().await == Some(false)
    })
    .await;
    for _ in 0..20 {
        scene.ledger.post().await;
    }
    assert_eq!(scene.home.get("/readyz").await.status, 503);
    let kept_back = disk.free_bytes();
    disk.make_room();
    eventually("room", async || scene.ledger.post().await == Some(true)).await;
    assert!(program.runs(), "{}", scene.home.log());
    let tally = scene.settle(program, &disk.wrapper()).await;
    Some((tally, kept_back))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_disk_that_is_nearly_full_it_refuses_and_recovers_without_a_restart() {
    let disks = sized("HOOKGATE_TEST_FULL_DISKS", 1);
    let mut tally = Tally::default();
    for mut round in Round::all("full-disks", disks, 1) {
        let left = round.random.u64(2 << 20..4 << 20);
        let Some((more, kept_back)) = full_and_recovered("4MiB", left).await else {
            return;
        };
        // Below the mark nothing new comes in: that is for settlements and dead letters.
        assert!(kept_back > left / 2, "{kept_back} bytes are left of {left}");
        tally += more;
    }
    println!("full disks: {disks} with less than store.low_space left: {tally}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_disk_that_is_full_to_the_last_byte_it_refuses_and_recovers_without_a_restart() {
    let disks = sized("HOOKGATE_TEST_FULL_DISKS", 1);
    let mut tally = Tally::default();
    for mut round in Round::all("full-disks", disks, 1) {
        // No mark, so that the writes themselves fail.
        let left = round.random.u64(0..128 << 10);
        let Some((more, _)) = full_and_recovered("0B", left).await else {
            return;
        };
        tally += more;
    }
    println!("full disks: {disks} to the last byte: {tally}");
}
