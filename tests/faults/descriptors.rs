//! Descriptors run out. Needs `prlimit`.
//!
//! On a busy machine this test once waited for ever: it took eight connections to the app for the most, and
//! more than eight of the 32 workers had got to work. It says how many workers there are now.

use crate::disk::skipped;
use crate::oracle::Scene;
use crate::program::{Home, Program};
use crate::support::eventually;
use crate::support::http::Connection;
use crate::support::sender::Sender;

const DESCRIPTORS: usize = 64;
/// Each keeps one connection to the app.
const WORKERS: usize = 4;

fn open_files(program: &Program) -> usize {
    let files = std::fs::read_dir(format!("/proc/{}/fd", program.pid()));
    files.expect("a program that runs").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn out_of_descriptors_it_serves_whom_it_has_and_recovers() {
    if std::process::Command::new("prlimit")
        .arg("-V")
        .output()
        .is_err()
    {
        return skipped("there is no prlimit").unwrap_or(());
    }
    let mut home = Home::new(&Sender::new("stripe"));
    home.set("app.concurrency", &WORKERS.to_string());
    let mut scene = Scene::new(home).await;
    let wrapper = ["prlimit".to_owned(), format!("--nofile={DESCRIPTORS}")];
    let program = scene.start_under(&wrapper);
    scene.home.ready().await;
    assert_eq!(scene.ledger.post_many(5).await, 5);
    scene.app.received(5).await;
    let before = open_files(&program);

    let mut kept = Connection::open(&scene.home.gate()).await;
    assert_eq!(
        scene.ledger.ask(&mut kept, scene.ledger.next()).await,
        Some(true)
    );
    let mut idle = Vec::new();
    while open_files(&program) < DESCRIPTORS {
        idle.push(
            scene
                .home
                .gate()
                .connect()
                .await
                .expect("room in the system's queue"),
        );
    }
    // One more than there are descriptors for, so that taking it fails.
    idle.push(
        scene
            .home
            .gate()
            .connect()
            .await
            .expect("room in the system's queue"),
    );
    for _ in 0..20 {
        assert_eq!(
            scene.ledger.ask(&mut kept, scene.ledger.next()).await,
            Some(true)
        );
    }
    eventually("a word about it", async || {
        scene.home.log().contains("cannot accept a connection")
    })
    .await;

    let connections = idle.len();
    drop(idle);
    eventually("an answer", async || {
        scene.ledger.post().await == Some(true)
    })
    .await;
    assert!(scene.home.metric("hookgate_accept_errors_total").await > 0.0);
    drop(kept);
    // The app's connections stay, one for each worker at most.
    eventually("the end of connections", async || {
        open_files(&program) <= before + WORKERS
    })
    .await;
    let after = open_files(&program);
    let tally = scene.settle(program, &[]).await;
    println!(
        "descriptors: {before} of {DESCRIPTORS} open, all with {connections} idle connections, {after} in the end: {tally}"
    );
}
