//! The app is down. Needs nothing; `HOOKGATE_TEST_OUTAGE_SECONDS` (5) makes it longer.

use std::time::Duration;

use crate::oracle::{Ledger, Load, drained};
use crate::program::Home;
use crate::sized;
use crate::support::app::App;
use crate::support::sender::Sender;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_app_is_down_every_event_is_acknowledged_and_waits_for_its_first_attempt() {
    let outage = Duration::from_secs(sized("HOOKGATE_TEST_OUTAGE_SECONDS", 5));
    let home = Home::new(&Sender::new("stripe"));
    let _program = home.start();
    home.ready().await;
    let ledger = Ledger::new(&home);
    let load = Load::start(&ledger, 8, Duration::from_millis(5));

    tokio::time::sleep(outage).await; // the length of the outage is what is tested
    let before = ledger.acknowledged();
    assert!(before > 0);
    assert_eq!(home.metric("hookgate_app_up").await, 0.0);
    let app = App::start(&home.app()).await;
    ledger.acknowledges(100).await; // it goes on while the backlog drains
    load.end().await;
    drained(&home).await;

    let deliveries = app.stop().await;
    let tally = ledger.check(&deliveries, 1);
    assert_eq!(tally.refused, 0);
    assert!(deliveries.iter().all(|delivery| delivery.attempt() == 1));
    println!("app down for {outage:?}: {before} acknowledged meanwhile: {tally}");
}
