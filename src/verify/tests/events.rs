//! What a verified request says: ids, types, dedup ids, and the target without tokens.

use serde_json::json;

use super::*;

const LATER: UnixMillis = UnixMillis(NOW.0 + 3_600_000);

fn verify(sender: &Sender, sample: &Sample, at: UnixMillis, id: &str) -> Verified {
    let request = sender.request(sample, at, id);
    let outcome = sender.verifier().verify(request.into(), at);
    outcome.unwrap_or_else(|rejection| panic!("{}: {rejection:?}", sender.name()))
}

/// Verifies a body as the generic provider signs it.
fn verify_body(dedup_key: Option<&[&str]>, body: &str) -> Verified {
    let sender = Sender::new(&provider("hmac"), None);
    let key = dedup_key.map(|key| key.iter().map(|part| (*part).to_owned()).collect());
    let verifier = verifier(Config {
        dedup_key: key,
        ..sender.config()
    });
    let sample = Sample {
        body: body.to_owned(),
        ..sender.sample().clone()
    };
    verifier
        .verify(sender.request(&sample, NOW, "id").into(), NOW)
        .unwrap()
}

#[test]
fn what_is_signed_for_any_provider_is_verified_with_its_facts() {
    for sender in Sender::all() {
        for sample in &sender.provider.samples {
            let verified = verify(&sender, sample, NOW, "evt_7");
            let secret = (!sender.verifies_with.is_empty()).then_some("secrets[0]");
            assert_eq!(verified.secret(), secret, "{}", sender.name());
            assert_eq!(verified.observed(), None);
            let event = verified.into_event(EventId::new(NOW));
            assert_eq!(&*event.target, "/webhooks/test?keep=1", "{}", sender.name());
            assert_eq!(event.body, sample.body);
            if !sender.provider.event.kind.0.is_empty() {
                assert_eq!(
                    event.event_type.as_deref(),
                    Some(&*sample.kind),
                    "{}",
                    sender.name()
                );
            }
            if !sender.provider.event.id.0.is_empty() {
                assert!(event.provider_event_id.is_some(), "{}", sender.name());
            }
        }
    }
}

#[test]
fn the_scheme_is_named_by_a_closed_list() {
    let labels: Vec<_> = Sender::all()
        .iter()
        .map(|sender| verify(sender, sender.sample(), NOW, "x").scheme())
        .collect();
    for label in &labels {
        assert!(
            ["hmac-sha256", "ed25519", "token", "unsigned"].contains(label),
            "{label}"
        );
    }
}

#[test]
fn a_retry_with_a_fresh_timestamp_and_signature_is_the_same_event() {
    for sender in Sender::all() {
        for sample in &sender.provider.samples {
            let first = verify(&sender, sample, NOW, "msg_1");
            let retry = verify(&sender, sample, LATER, "msg_1");
            assert_eq!(first.dedup_id(), retry.dedup_id(), "{}", sender.name());
        }
    }
}

#[test]
fn different_events_of_a_provider_have_different_dedup_ids() {
    for sender in Sender::all() {
        let mut seen = std::collections::BTreeSet::new();
        let mut count = 0;
        for sample in &sender.provider.samples {
            for id in ["1", "2", "12", "x1"] {
                let verified = verify(
                    &sender,
                    &sample.with_id(id),
                    NOW,
                    &format!("{id}{}", sample.kind.replace('.', "-")),
                );
                count += usize::from(sample.id.is_some() || sender.provider.event.key.is_empty());
                seen.insert(verified.dedup_id().to_vec());
            }
        }
        assert_eq!(seen.len(), count, "{}", sender.name());
    }
}

#[test]
fn events_of_one_job_or_task_are_told_apart() {
    for (id, bodies) in [
        (
            "sieve",
            [
                r#"{"type":"job.new_output","body":{"job_id":"j","status":"processing","outputs":[1]}}"#,
                r#"{"type":"job.new_output","body":{"job_id":"j","status":"processing","outputs":[2]}}"#,
                r#"{"type":"job.complete","body":{"job_id":"j","status":"finished","outputs":[]}}"#,
                r#"{"type":"job.complete","body":{"job_id":"k","status":"finished","outputs":[]}}"#,
            ],
        ),
        (
            "sharpapi",
            [
                r#"{"id":"a","status":"success","type":"t"}"#,
                r#"{"id":"a","status":"failed","type":"t"}"#,
                r#"{"id":"b","status":"failed","type":"t"}"#,
                r#"{"id":"b","type":"t"}"#,
            ],
        ),
        (
            "jigsawstack",
            [
                r#"{"id":"a","text":"one"}"#,
                r#"{"id":"a","text":"two"}"#,
                r#"{"text":"two"}"#,
                r#"{"success":false, not JSON"#,
            ],
        ),
    ] {
        let provider = provider(id);
        let variant = provider.variants().next();
        let sender = Sender::new(&provider, variant);
        let ids: std::collections::BTreeSet<_> = bodies
            .iter()
            .map(|body| {
                let sample = Sample {
                    body: (*body).to_owned(),
                    ..sender.sample().clone()
                };
                verify(&sender, &sample, NOW, "x").dedup_id().to_vec()
            })
            .collect();
        assert_eq!(ids.len(), bodies.len(), "{id}");
    }
}

#[test]
fn an_unsigned_id_beside_the_signed_one_changes_nothing() {
    for name in ["svix", "aspect"] {
        let sender = Sender::new(&provider(name), None);
        let secret = Secret::new("secret", sender.signs_with);
        let scheme = serde_json::to_value(&sender.provider.schemes[1]).unwrap();
        let by_webhook_headers = Provider {
            schemes: vec![serde_json::from_value(scheme).unwrap()],
            ..(*sender.provider).clone()
        };
        let mut request = Unsigned {
            method: Method::POST,
            url: "/".to_owned(),
            headers: Vec::new(),
            body: sender.sample().body.clone().into(),
        };
        sign(
            &by_webhook_headers,
            None,
            &secret,
            &sender.values,
            &mut request,
            NOW,
            "msg",
        )
        .unwrap();
        let mut copy = request.clone();
        copy.headers
            .push(("svix-id".to_owned(), "another".to_owned()));
        let [first, second] =
            [request, copy].map(|request| sender.verifier().verify(request.into(), NOW).unwrap());
        assert_eq!(first.dedup_id(), second.dedup_id(), "{name}");
        let event = second.into_event(EventId::new(NOW));
        assert_eq!(event.provider_event_id.as_deref(), Some("msg"));
    }
}

#[test]
fn composed_keys_keep_their_parts_apart() {
    let key: &[&str] = &["json:/a", "json:/b?"];
    let id = |body: serde_json::Value| {
        verify_body(Some(key), &body.to_string())
            .dedup_id()
            .to_vec()
    };
    let ids = [
        id(json!({ "a": "a", "b": "bc" })),
        id(json!({ "a": "ab", "b": "c" })),
        id(json!({ "a": "abc" })),
        id(json!({ "a": "abc", "b": 1.5 })),
        id(json!({ "b": "abc" })),
        id(json!({ "b": "abcd" })),
    ];
    // An optional part that is absent or unusable is one case; a needed one means the body.
    assert_eq!(ids[2], ids[3]);
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), 5);
}

#[test]
fn ambiguous_or_odd_ids_fall_back_to_the_body() {
    let id = |body: &str| verify_body(Some(&["json:/id"]), body).dedup_id().to_vec();
    let long = "x".repeat(257);
    for (one, two) in [
        (
            r#"{"id":"a","id":"b"}"#.to_owned(),
            r#"{"id":"b","id":"a"}"#.to_owned(),
        ),
        (
            r#"{"id":["a"],"n":1}"#.to_owned(),
            r#"{"id":["a"],"n":2}"#.to_owned(),
        ),
        (
            format!(r#"{{"id":"{long}1"}}"#),
            format!(r#"{{"id":"{long}2"}}"#),
        ),
        (
            r#"{"id":12345678901234567890123}"#.to_owned(),
            r#"{"id":12345678901234567890124}"#.to_owned(),
        ),
        ("{}".to_owned(), "[]".to_owned()),
    ] {
        assert_ne!(id(&one), id(&two), "{one}");
        assert_eq!(id(&one), id(&one));
    }
    assert_eq!(id(r#"{"id":"a","n":1}"#), id(r#"{"id":"a","n":2}"#));
    let event = verify_body(Some(&["json:/id"]), r#"{"id":"a"}"#).into_event(EventId::new(NOW));
    assert_eq!(event.provider_event_id.as_deref(), Some("a"));
}

#[test]
fn without_a_known_id_the_generic_provider_goes_by_the_body() {
    let one = verify_body(None, r#"{"id":"a","n":1}"#);
    let two = verify_body(None, r#"{"id":"a","n":2}"#);
    assert_ne!(one.dedup_id(), two.dedup_id());
}

#[test]
fn types_with_control_characters_or_of_great_length_are_none() {
    for (body, expected) in [
        (json!({ "type": "order.paid" }), Some("order.paid")),
        (json!({ "type": "a\r\nb" }), None),
        (json!({ "type": "x".repeat(300) }), None),
        (json!({ "type": {}, "event": "fallback" }), Some("fallback")),
    ] {
        let event = verify_body(None, &body.to_string()).into_event(EventId::new(NOW));
        assert_eq!(event.event_type.as_deref(), expected);
    }
}
