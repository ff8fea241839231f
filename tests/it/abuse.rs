//! Peers that crowd: what they cannot take from others.

use crate::support::gate::Setup;
use crate::support::http::Connection;
use crate::support::sender::{Sender, bytes, tampered};

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

/// Bodies that never end held the memory for bodies until their deadline: sixteen uploads of a
/// megabyte, a second before their end, kept every body of more than a few kilobytes out for half a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_that_do_not_end_give_their_memory_to_whoever_needs_less() {
    let stripe = Sender::new("stripe");
    let (mut setup, _app) = Setup::scene(&[&stripe]).await;
    setup.set("server.body_max", "1MiB");
    setup.set("server.bodies_in_flight_max", "2MiB");
    let gate = setup.start().await;
    let head = "POST /webhooks/stripe HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
    let mut uploads = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut upload = Connection::open(&gate.address).await;
        let unfinished = [head.as_bytes(), &vec![b'x'; 999_999]].concat();
        uploads.spawn(async move {
            let _ = upload.try_write(&unfinished).await; // it may be sent away meanwhile
            upload
        });
    }
    let uploads = uploads.join_all().await;

    let body = vec![b'y'; 300_000];
    let event = stripe.signed("/webhooks/stripe", vec![], &body, "evt_1");
    gate.post(&event).await.acknowledged("stored");

    drop(uploads);
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_requests_do_not_use_up_the_rate_of_their_source() {
    let stripe = Sender::new("stripe");
    let (mut setup, _app) = Setup::scene(&[&stripe]).await;
    setup.set("sources.stripe.rate.per_second", "1");
    setup.set("sources.stripe.rate.burst", "5");
    let gate = setup.start().await;
    for n in 0..50 {
        let forged = tampered(&stripe.event(&format!("evt_{n}")));
        assert_eq!(gate.post(&forged).await.status, 401);
    }
    for n in 0..5 {
        let event = stripe.event(&format!("evt_{n}"));
        gate.post(&event).await.acknowledged("stored");
    }
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_request_does_not_make_the_genuine_one_a_repeat() {
    let stripe = Sender::new("stripe");
    let (setup, app) = Setup::scene(&[&stripe]).await;
    let gate = setup.start().await;
    let event = stripe.event("evt_1");
    let mut unsigned = event.clone();
    unsigned.headers.clear();
    let mut another_secret = Sender::named("stripe", "another").event("evt_1");
    another_secret.url.clone_from(&event.url);
    for forged in [tampered(&event), unsigned, another_secret] {
        assert_eq!(gate.post(&forged).await.status, 401);
    }
    assert_eq!(gate.metric("hookgate_store_ids").await, Some(0.0));

    gate.post(&event).await.acknowledged("stored");

    assert_eq!(app.received(1).await[0].body, event.body);
    gate.stop().await;
}

/// The limit on failures comes before anything is kept of a failure, the limit on a source's events
/// after verification; so a peer that may not fail any more can still send what is genuine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_failed_too_often_is_still_heard_when_it_sends_what_is_genuine() {
    let stripe = Sender::new("stripe");
    let (mut setup, _app) = Setup::scene(&[&stripe]).await;
    setup.set("server.trusted_proxies", "127.0.0.0/8");
    setup.set("server.rejections_per_peer.per_second", "1");
    setup.set("server.rejections_per_peer.burst", "3");
    let gate = setup.start().await;
    let from = |peer: &str, mut request: hookgate::verify::Unsigned| {
        let hops = format!("198.51.100.77, {peer}");
        request.headers.push(("X-Forwarded-For".to_owned(), hops));
        request
    };
    let forge = async |peer: &str| {
        let forged = tampered(&stripe.event("evt_1"));
        gate.post(&from(peer, forged)).await.status
    };
    for _ in 0..3 {
        assert_eq!(forge("192.0.2.7").await, 401);
    }
    // At once, before there is room for another of the same peer.
    assert_eq!(forge("192.0.2.8").await, 401, "another peer");
    let more = [forge("192.0.2.7").await, forge("192.0.2.7").await];
    assert!(more.contains(&429), "{more:?}");

    let genuine = from("192.0.2.7", stripe.event("evt_1"));
    gate.post(&genuine).await.acknowledged("stored");
    gate.stop().await;
}
