//! Peers that crowd: what they cannot take from others.

use crate::support::gate::Setup;
use crate::support::http::Connection;
use crate::support::sender::{Sender, bytes};

/// Before there was an order of leaving, a full house was full until deadlines passed: ten silent
/// connections out of ten kept every sender waiting for ten seconds, and were opened again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_house_of_strangers_makes_room_for_a_sender() {
    let stripe = Sender::new("stripe");
    let (mut setup, app) = Setup::scene(&[&stripe]).await;
    setup.set("server.connections_max", "10");
    let gate = setup.start().await;
    let mut strangers = Vec::new();
    for _ in 0..30 {
        strangers.push(Connection::open(&gate.address).await);
    }

    gate.post(&stripe.event("evt_1"))
        .await
        .acknowledged("stored");

    app.received(1).await;
    assert!(gate.metric("hookgate_connections").await <= Some(10.0));
    let crowded_out = gate.metric("hookgate_connections_crowded_out_total").await;
    assert!(crowded_out >= Some(20.0), "{crowded_out:?}");
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_that_has_proved_itself_keeps_its_connection_while_strangers_come_and_go() {
    let stripe = Sender::new("stripe");
    let (mut setup, _app) = Setup::scene(&[&stripe]).await;
    setup.set("server.connections_max", "5");
    let gate = setup.start().await;
    let mut genuine = Connection::open(&gate.address).await;
    let first = genuine.ask(&bytes(&stripe.event("evt_1"))).await;
    first.acknowledged("stored");
    let mut strangers = Vec::new();
    for _ in 0..20 {
        strangers.push(Connection::open(&gate.address).await);
    }
    gate.counted("hookgate_connections_crowded_out_total", 16.0)
        .await;

    let again = genuine.ask(&bytes(&stripe.event("evt_2"))).await;

    again.acknowledged("stored");
    gate.stop().await;
}
