//! A second process beside the first on one store. The part with another namespace of process ids needs
//! root.

use std::process::Command;

use crate::disk::skipped;
use crate::oracle::Scene;
use crate::program::Home;
use crate::support::sender::Sender;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_is_refused_also_where_it_cannot_see_the_first() {
    let stripe = Sender::new("stripe");
    let mut scene = Scene::new(Home::new(&stripe)).await;
    let mut first = scene.start();
    scene.home.ready().await;
    let mut other = Home::new(&stripe); // addresses of its own
    other.set("store.path", &scene.home.store().display().to_string());

    assert_eq!(other.start().ended().await, Some(1));
    assert!(other.log().contains("in use by pid"), "{}", other.log());
    let alone = ["unshare", "--pid", "--fork"];
    let may = Command::new(alone[0])
        .args(&alone[1..])
        .arg("true")
        .output();
    if may.is_ok_and(|output| output.status.success()) {
        assert_eq!(other.start_under(&alone).ended().await, Some(1));
        let refusals = other.log().matches("in use by pid").count();
        assert_eq!(refusals, 2, "{}", other.log());
    } else {
        skipped::<()>("no namespace of process ids without root");
    }
    assert!(first.runs());
    assert_eq!(scene.ledger.post().await, Some(true));
}
