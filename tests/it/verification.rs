//! Nothing unverified gets in, and a forger learns nothing from the answer.

use hookgate::clock::Clock;
use hookgate::providers::Kind;
use hookgate::verify::Unsigned;
use std::time::Duration;

use crate::support::gate::Setup;
use crate::support::http::Answer;
use crate::support::sender::{Sender, tampered};

#[track_caller]
fn asserts_refused_without_a_reason(answer: &Answer) {
    assert_eq!(answer.status, 401, "{answer:?}");
    assert_eq!(answer.text(), "the request could not be verified");
    assert_eq!(answer.header("hookgate-status"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_provider_is_accepted_and_its_forgeries_are_refused() {
    let senders = Sender::all();
    let (setup, app) = Setup::scene(&senders.iter().collect::<Vec<_>>()).await;
    let gate = setup.start().await;

    let mut expected = Vec::new();
    for sender in &senders {
        let event = sender.event("evt_1");
        for forgery in [without_proof(sender, &event), with_another_secret(sender)] {
            let answer = gate.post(&forgery).await;
            match sender.provider.ack.bare {
                true => assert_eq!((answer.status, answer.text()), (401, "")),
                false => asserts_refused_without_a_reason(&answer),
            }
        }
        let answer = gate.post(&event).await;
        let id = answer.acknowledged_with(sender.provider.ack.status, "stored");
        expected.push((sender.source.clone(), id));
    }

    app.received(senders.len()).await;
    let mut delivered: Vec<_> = app
        .deliveries()
        .iter()
        .map(|delivery| (delivery.source(), delivery.event_id()))
        .collect();
    delivered.sort();
    expected.sort();
    assert_eq!(delivered, expected);
    assert_eq!(gate.events("limit=500").await.len(), senders.len());
    gate.stop().await;
    assert_eq!(app.stop().await.len(), senders.len());
}

/// What somebody sends who does not know that there is a secret.
fn without_proof(sender: &Sender, event: &Unsigned) -> Unsigned {
    let end = if sender.kind() == Kind::None { "/" } else { "" };
    Unsigned {
        url: format!("{}{end}", sender.path()),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: "{}".into(),
        ..event.clone()
    }
}

/// What somebody sends who guesses the secret.
fn with_another_secret(sender: &Sender) -> Unsigned {
    let others = Sender::each(&sender.provider, 1);
    let other = others.iter().find(|other| other.source == sender.source);
    let mut forged = other.expect("the same scheme").event("evt_1");
    if sender.kind() == Kind::None {
        forged.url = format!("{}/another", sender.path());
    }
    forged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgery_is_answered_the_same_whatever_is_wrong_with_it() {
    let (stripe, other) = (Sender::new("stripe"), Sender::named("stripe", "other"));
    let (setup, app) = Setup::scene(&[&stripe, &other]).await;
    let gate = setup.start().await;
    let now = Clock::real().wall();
    let day = Duration::from_secs(24 * 3600);
    let signed_at = |at| stripe.signed_at("/webhooks/stripe", vec![], b"{}", "evt_1", at);
    let mut malformed = signed_at(now);
    malformed.headers[0].1 = "t=,v1=zz".to_owned();
    let mut of_another_source = other.event("evt_1");
    of_another_source.url = stripe.path();

    for forgery in [
        tampered(&signed_at(now)),
        signed_at(now.minus(day)),
        signed_at(now.plus(day)),
        malformed,
        of_another_source,
    ] {
        asserts_refused_without_a_reason(&gate.post(&forgery).await);
    }
    for (reason, count) in [
        ("mismatch", 2.0),
        ("stale", 1.0),
        ("future", 1.0),
        ("malformed", 1.0),
    ] {
        let series = format!(r#"hookgate_rejections_total{{reason="{reason}",source="stripe"}}"#);
        assert_eq!(gate.metric(&series).await, Some(count), "{reason}");
    }
    assert_eq!(gate.events("").await.len(), 0);
    gate.stop().await;
    assert_eq!(app.stop().await.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_copy_neither_delays_nor_suppresses_the_genuine_event() {
    let standard = Sender::new("standard-webhooks");
    let (setup, app) = Setup::scene(&[&standard]).await;
    let gate = setup.start().await;
    let genuine = standard.event("msg_1");

    asserts_refused_without_a_reason(&gate.post(&tampered(&genuine)).await);
    let id = gate.post(&genuine).await.acknowledged("stored");
    asserts_refused_without_a_reason(&gate.post(&tampered(&genuine)).await);

    gate.settled(&id, "delivered").await;
    gate.stop().await;
    let deliveries = app.stop().await;
    assert_eq!(deliveries.len(), 1);
    assert_eq!(deliveries[0].body, genuine.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_in_observe_mode_lets_a_forgery_through_marked_as_such() {
    let stripe = Sender::new("stripe");
    let (mut setup, app) = Setup::scene(&[&stripe]).await;
    setup.set("sources.stripe.mode", "observe");
    let gate = setup.start().await;
    let genuine = stripe.event("evt_1");

    let forged = gate.post(&tampered(&genuine)).await;
    let real = gate.post(&genuine).await;

    let (forged, real) = (forged.acknowledged("stored"), real.acknowledged("stored"));
    app.received(2).await;
    for delivery in app.deliveries() {
        let verified = delivery.header("hookgate-verified").unwrap();
        assert_eq!(
            verified == "observe",
            delivery.event_id() == forged,
            "{verified}"
        );
        assert!([&forged, &real].contains(&&delivery.event_id()));
    }
    gate.stop().await;
}
