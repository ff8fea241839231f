//! The store's files are deleted, moved or replaced under a running program. Needs nothing.

use std::path::Path;

use crate::oracle::{Scene, Tally, drained};
use crate::program::Home;
use crate::support::app::App;
use crate::support::eventually;
use crate::support::sender::Sender;

/// With five events pending, `spoil` is done to the store's directory: what is new is refused, what was there is
/// delivered.
async fn spoilt(spoil: impl FnOnce(&Path)) -> Tally {
    let home = Home::new(&Sender::new("stripe"));
    let mut scene = Scene::new(home).await;
    let address = scene.home.app();
    assert!(scene.app.stop().await.is_empty());
    let mut program = scene.home.start();
    scene.home.ready().await;
    assert_eq!(scene.ledger.post_many(5).await, 5);

    spoil(scene.home.store());
    assert_eq!(scene.ledger.post().await, Some(false));
    assert!(!scene.home.is_ready().await);
    eventually("a word about it", async || {
        scene.home.log().contains("were deleted or replaced")
    })
    .await;
    scene.app = App::start(&address).await;
    scene.app.received(5).await;
    assert!(program.runs());
    program.terminate();
    assert_eq!(program.ended().await, Some(0));
    scene.ledger.check(&scene.app.stop().await, 1)
}

fn files(store: &Path) -> impl Iterator<Item = std::path::PathBuf> {
    let entries = std::fs::read_dir(store).expect("a store").flatten();
    let entries = entries.map(|entry| entry.path());
    entries.filter(|path| path.to_string_lossy().contains("hookgate.db"))
}

/// It went on to acknowledge events into files that no restart would find.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_its_files_deleted_or_replaced_it_takes_nothing_new_and_delivers_what_it_has() {
    let deleted = spoilt(|store| {
        files(store).for_each(|file| std::fs::remove_file(file).expect("a file"));
    });
    println!("files deleted: {}", deleted.await);
    let moved = spoilt(|store| {
        std::fs::rename(store, store.with_extension("old")).expect("a directory");
    });
    println!("directory moved away: {}", moved.await);
    let replaced = spoilt(|store| {
        for file in files(store) {
            let copy = file.with_extension("copy");
            std::fs::copy(&file, &copy).expect("a copy");
            std::fs::rename(copy, file).expect("another file");
        }
    });
    println!("files replaced by copies: {}", replaced.await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_its_files_back_in_their_place_it_takes_events_again() {
    let mut scene = Scene::new(Home::new(&Sender::new("stripe"))).await;
    let program = scene.start();
    scene.home.ready().await;
    assert_eq!(scene.ledger.post_many(5).await, 5);
    let (here, there) = (
        scene.home.store().to_owned(),
        scene.home.path().join("elsewhere"),
    );

    std::fs::rename(&here, &there).expect("a directory");
    assert_eq!(scene.ledger.post().await, Some(false));
    std::fs::rename(there, here).expect("a directory");
    eventually("an acknowledgement", async || {
        scene.ledger.post().await == Some(true)
    })
    .await;
    drained(&scene.home).await;
    println!(
        "directory moved and put back: {}",
        scene.settle(program, &[]).await
    );
}
