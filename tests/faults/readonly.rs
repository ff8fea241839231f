//! The file system turns read-only, as it does by itself after an error of its disk. Needs root, for a mount
//! namespace and a loop device; `mkfs.ext4`.
//!
//! `HOOKGATE_TEST_READ_ONLY` (2) times, between two flushes: to one that is under way ext4 may report success and
//! drop the data, which no program can see (see `power.rs`).

use std::time::Duration;

use crate::disk::Disk;
use crate::oracle::{Load, Scene, Tally, drained};
use crate::program::Home;
use crate::support::sender::Sender;
use crate::{Round, sized};

async fn turned_read_only(round: &mut Round) -> Option<Tally> {
    let mut home = Home::new(&Sender::new("stripe"));
    let mut disk = Disk::in_image(&mut home, "ext4", "300m")?;
    disk.order("mount -o remount,errors=remount-ro disk")
        .expect("an option");
    let mut scene = Scene::new(home).await;
    let program = scene.start_under(&disk.wrapper());
    scene.home.ready().await;
    let events = round.random.usize(1..60);
    assert_eq!(scene.ledger.post_many(events).await, events);
    drained(&scene.home).await;

    let device = "$(basename $(findmnt -nro SOURCE disk))";
    disk.order(&format!("echo 1 > /sys/fs/ext4/{device}/trigger_fs_error"))
        .expect("an error");
    let load = Load::start(&scene.ledger, 8, Duration::ZERO);
    let code = program.ended().await;
    assert_ne!(code, Some(0), "{}", scene.home.log());
    assert_eq!(scene.ledger.acknowledged(), events);

    disk.restore();
    let program = scene.start_under(&disk.wrapper());
    load.end().await;
    Some(scene.settle(program, &disk.wrapper()).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_file_system_that_turns_read_only_it_ends_and_loses_nothing() {
    let times = sized("HOOKGATE_TEST_READ_ONLY", 2);
    let mut tally = Tally::default();
    for mut round in Round::all("read-only", times, 1) {
        let Some(more) = turned_read_only(&mut round).await else {
            return;
        };
        tally += more;
    }
    println!("read-only: {times} file systems of ext4: {tally}");
}
