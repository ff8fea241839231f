//! What the app answers decides what becomes of the event.

use std::time::Duration;

use hookgate::clock::Clock;
use serde_json::Value;

use crate::support::app::Reply;
use crate::support::gate::Setup;
use crate::support::sender::Sender;

fn outcomes(event: &Value) -> Vec<&str> {
    let attempts = event["attempts_made"].as_array().expect("attempts");
    attempts
        .iter()
        .map(|attempt| attempt["outcome"].as_str().expect("an outcome"))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_fails_is_tried_again_with_the_same_id_and_the_next_number() {
    let stripe = Sender::new("stripe");
    let (setup, app) = Setup::scene(&[&stripe]).await;
    app.script(|delivery| match delivery.attempt() {
        1 => Reply::status(500),
        2 => Reply::status(429),
        3 => Reply::status(404),
        4 => Reply::status(302),
        _ => Reply::status(204),
    });
    let gate = setup.start().await;
    let request = stripe.event("evt_1");
    let id = gate.post(&request).await.acknowledged("stored");

    let event = gate.settled(&id, "delivered").await;

    assert_eq!(event["attempts"], 5);
    let failed = "failed_status";
    assert_eq!(
        outcomes(&event),
        [failed, failed, failed, failed, "delivered"]
    );
    let first = &event["attempts_made"][0];
    assert_eq!(
        (&first["status"], &first["number"]),
        (&500.into(), &1.into())
    );
    assert_eq!(first["answer"], "the app says 500");
    gate.stop().await;
    let deliveries = app.stop().await;
    let attempts: Vec<_> = deliveries
        .iter()
        .map(|delivery| delivery.attempt())
        .collect();
    assert_eq!(attempts, [1, 2, 3, 4, 5]);
    for delivery in deliveries {
        assert_eq!(delivery.event_id(), id);
        assert_eq!(delivery.body, request.body);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_final_make_a_dead_letter_at_once() {
    let (gone, abort) = (
        Sender::named("stripe", "gone"),
        Sender::named("stripe", "abort"),
    );
    let (setup, app) = Setup::scene(&[&gone, &abort]).await;
    app.script(|delivery| match delivery.source().as_str() {
        "gone" => Reply::status(410),
        _ => Reply::with(500, &[("Webhook-Delivery", "abort-message")]),
    });
    let gate = setup.start().await;

    for (sender, outcome, status) in [(&gone, "final_status", 410), (&abort, "aborted", 500)] {
        let id = gate
            .post(&sender.event("evt_1"))
            .await
            .acknowledged("stored");
        let event = gate.settled(&id, "dead").await;
        assert_eq!(event["dead_reason"], "refused");
        assert_eq!(event["last_status"], status);
        assert_eq!(outcomes(&event), [outcome]);
        assert_eq!(event["next_attempt_at"], Value::Null);
    }
    gate.stop().await;
    assert_eq!(app.stop().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_out_of_time_is_a_dead_letter_and_the_senders_repeat_revives_it() {
    let stripe = Sender::new("stripe");
    let (mut setup, app) = Setup::scene(&[&stripe]).await;
    setup.set("app.retry.give_up_after", "1ms");
    setup.set("app.retry.max", "1h");
    app.script(|_| Reply::with(503, &[("Retry-After", "60")])); // past the time to give up
    let gate = setup.start().await;
    let id = gate
        .post(&stripe.event("evt_1"))
        .await
        .acknowledged("stored");
    let event = gate.settled(&id, "dead").await;
    assert_eq!(
        (&event["dead_reason"], outcomes(&event)),
        (&"gave_up".into(), vec!["failed_status"])
    );

    app.script(|_| Reply::ok());
    let again = gate.post(&stripe.event("evt_1")).await;

    assert_eq!(again.acknowledged("duplicate"), id);
    let event = gate.settled(&id, "delivered").await;
    assert_eq!(outcomes(&event), ["failed_status", "delivered"]);
    gate.stop().await;
    assert_eq!(app.stop().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_after_is_honoured_in_seconds_and_as_a_date_up_to_the_longest_wait() {
    let (seconds, date) = (
        Sender::named("stripe", "seconds"),
        Sender::named("stripe", "date"),
    );
    let long = Sender::named("stripe", "long");
    let (mut setup, app) = Setup::scene(&[&seconds, &date, &long]).await;
    setup.set("app.retry.max", "2h");
    let in_an_hour = httpdate::fmt_http_date(
        std::time::UNIX_EPOCH
            + Duration::from_millis(Clock::real().wall().0.unsigned_abs())
            + Duration::from_secs(3600),
    );
    app.script(move |delivery| {
        let wait = match delivery.source().as_str() {
            "seconds" => "3600",
            "date" => &in_an_hour,
            _ => "1000000",
        };
        Reply::with(503, &[("Retry-After", wait)])
    });
    let gate = setup.start().await;

    for (sender, expected) in [(&seconds, 3600), (&date, 3600), (&long, 7200)] {
        let id = gate
            .post(&sender.event("evt_1"))
            .await
            .acknowledged("stored");
        crate::support::eventually("the first attempt", async || {
            gate.event(&id).await["attempts"] == 1
        })
        .await;
        let event = gate.event(&id).await;
        assert_eq!(event["state"], "pending");
        let next: jiff::Timestamp = event["next_attempt_at"].as_str().unwrap().parse().unwrap();
        let wait = next.as_second() - Clock::real().wall().seconds();
        // The test itself takes time, and dates have whole seconds.
        assert!((expected - 60..=expected + 1).contains(&wait), "{wait}");
    }
    gate.stop().await;
    assert_eq!(app.stop().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_app_asks_for_more_time_and_is_not_asked_before() {
    let stripe = Sender::new("stripe");
    let (setup, app) = Setup::scene(&[&stripe]).await;
    app.script(|delivery| match delivery.attempt() {
        1 => Reply::with(503, &[("Retry-After", "1")]),
        _ => Reply::ok(),
    });
    let gate = setup.start().await;

    let id = gate
        .post(&stripe.event("evt_1"))
        .await
        .acknowledged("stored");

    let event = gate.settled(&id, "delivered").await;
    let at = |n: usize| -> jiff::Timestamp {
        let at = event["attempts_made"][n]["at"].as_str().unwrap();
        at.parse().unwrap()
    };
    let waited = at(1).as_millisecond() - at(0).as_millisecond();
    assert!(waited >= 1000, "{waited} ms");
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_does_not_answer_in_time_has_had_its_attempt() {
    let stripe = Sender::new("stripe");
    let (mut setup, app) = Setup::scene(&[&stripe]).await;
    setup.set("app.timeout", "50ms");
    app.script(|delivery| match delivery.attempt() {
        1 => Reply::Held,
        _ => Reply::ok(),
    });
    let gate = setup.start().await;

    let id = gate
        .post(&stripe.event("evt_1"))
        .await
        .acknowledged("stored");

    let event = gate.settled(&id, "delivered").await;
    // On a slow machine a good answer may be late too.
    let outcomes = outcomes(&event);
    assert_eq!(
        (outcomes[0], outcomes.last()),
        ("timeout", Some(&"delivered"))
    );
    assert_eq!(event["attempts_made"][0]["status"], Value::Null);
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_after_the_request_has_had_its_attempt() {
    let stripe = Sender::new("stripe");
    let (setup, app) = Setup::scene(&[&stripe]).await;
    app.script(|delivery| match delivery.attempt() {
        1 => Reply::Close,
        2 => Reply::Half,
        3 => Reply::Answer(b"nonsense\r\n\r\n".to_vec()),
        _ => Reply::ok(),
    });
    let gate = setup.start().await;

    let id = gate
        .post(&stripe.event("evt_1"))
        .await
        .acknowledged("stored");

    let event = gate.settled(&id, "delivered").await;
    let lost = "disconnected";
    assert_eq!(outcomes(&event), [lost, lost, lost, "delivered"]);
    gate.stop().await;
    assert_eq!(app.stop().await.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_counts_even_if_its_body_breaks_off() {
    let stripe = Sender::new("stripe");
    let (setup, app) = Setup::scene(&[&stripe]).await;
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_vec();
    app.script(move |_| Reply::AnswerThenClose(cut.clone()));
    let gate = setup.start().await;

    let id = gate
        .post(&stripe.event("evt_1"))
        .await
        .acknowledged("stored");

    let event = gate.settled(&id, "delivered").await;
    assert_eq!(event["attempts_made"][0]["answer"], "half");
    gate.stop().await;
    assert_eq!(app.stop().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_first_64_kib_of_an_answer_are_kept() {
    let stripe = Sender::new("stripe");
    let (setup, app) = Setup::scene(&[&stripe]).await;
    let body = "x".repeat(1 << 20);
    let answer = format!(
        "HTTP/1.1 410 Gone\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    app.script(move |_| Reply::Answer(answer.clone().into_bytes()));
    let gate = setup.start().await;

    let id = gate
        .post(&stripe.event("evt_1"))
        .await
        .acknowledged("stored");

    let event = gate.settled(&id, "dead").await;
    let kept = event["attempts_made"][0]["answer"].as_str().unwrap();
    assert_eq!(kept.len(), 64 * 1024);
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_whose_events_fail_does_not_hold_up_another() {
    let (bad, good) = (
        Sender::named("stripe", "bad"),
        Sender::named("stripe", "good"),
    );
    let (mut setup, app) = Setup::scene(&[&bad, &good]).await;
    setup.set("app.concurrency", "1"); // one worker has to do for both
    app.script(|delivery| match delivery.source().as_str() {
        "bad" => Reply::status(500),
        _ => Reply::ok(),
    });
    let gate = setup.start().await;
    for n in 0..50 {
        let event = bad.event(&format!("evt_{n}"));
        gate.post(&event).await.acknowledged("stored");
    }

    for n in 0..5 {
        let event = good.event(&format!("evt_{n}"));
        let id = gate.post(&event).await.acknowledged("stored");
        gate.settled(&id, "delivered").await;
    }

    assert_eq!(
        gate.events("source=bad&state=pending&limit=500")
            .await
            .len(),
        50
    );
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_hangs_on_one_event_gets_the_others_meanwhile() {
    let stripe = Sender::new("stripe");
    let (mut setup, app) = Setup::scene(&[&stripe]).await;
    setup.set("app.concurrency", "2");
    app.script(
        |delivery| match delivery.header("hookgate-provider-event-id").as_deref() {
            Some("evt_hangs") => Reply::Held,
            _ => Reply::ok(),
        },
    );
    let gate = setup.start().await;
    let hanging = gate
        .post(&stripe.event("evt_hangs"))
        .await
        .acknowledged("stored");
    app.delivery(0).await;

    for n in 0..20 {
        let event = stripe.event(&format!("evt_{n}"));
        let id = gate.post(&event).await.acknowledged("stored");
        gate.settled(&id, "delivered").await;
    }

    assert_eq!(gate.event(&hanging).await["state"], "pending");
    app.release();
    gate.settled(&hanging, "delivered").await;
    gate.stop().await;
    assert_eq!(app.stop().await.len(), 21);
}
