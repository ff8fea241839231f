//! What a verified request says: ids, types, dedup ids, and the target without tokens.

use serde_json::json;

use super::*;
use crate::providers::Fallback;

const LATER: UnixMillis = UnixMillis(NOW.0 + 3_600_000);

fn verify(sender: &Sender, sample: &Sample, at: UnixMillis, id: &str) -> Verified {
    accepted(sender, sender.request(sample, at, id), at)
}

fn accepted(sender: &Sender, request: Unsigned, at: UnixMillis) -> Verified {
    let outcome = sender.verifier().verify(request.into(), at);
    outcome.unwrap_or_else(|rejection| panic!("{}: {rejection:?}", sender.source))
}

/// Whether nothing tells the provider's events apart, so that every request is one of its own.
fn tells_nothing_apart(sender: &Sender) -> bool {
    let rule = &sender.provider.event;
    rule.fallback == Fallback::Nothing && rule.id.0.is_empty() && rule.key.is_empty()
}

/// Verifies a body as the generic provider signs it.
fn verify_body(dedup_key: Option<&[&str]>, body: &str) -> Verified {
    let sender = Sender::new("hmac");
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

/// Samples whose type is not where the provider's rule looks: the rule serves most of its events.
const OTHER_TYPE: [&str; 0] = [];

#[test]
fn what_is_signed_for_any_provider_is_verified_with_its_facts() {
    let (mut senders, mut surprises) = (0, Vec::new());
    for sender in Sender::all() {
        senders += 1;
        assert!(sender.samples().len() >= 2, "{}", sender.source);
        for sample in sender.samples() {
            let verified = verify(&sender, sample, NOW, "evt_7");
            let secret = (sender.scheme().kind != Kind::None).then_some("secrets[0]");
            assert_eq!(verified.secret(), secret, "{}", sender.source);
            assert_eq!(verified.observed(), None);
            let event = verified.into_event(EventId::new(NOW));
            assert!(event.target.starts_with("/webhooks/test?keep=1"));
            let place = format!("{} {}", sender.source, sample.kind);
            let has_type = !sender.provider.event.kind.0.is_empty();
            let (kind, wanted) = (
                event.event_type.as_deref(),
                has_type.then_some(&*sample.kind),
            );
            if kind != wanted && !OTHER_TYPE.contains(&&*place) {
                surprises.push(format!("{place}: type {kind:?}"));
            }
            let has_id = !sender.provider.event.id.0.is_empty();
            let id = event.provider_event_id.as_deref();
            // Some providers put more into the id than the part that a copy changes.
            let own = sample.id.as_deref().unwrap_or("evt_7");
            let is_own = |id: &str| id.contains(own) || id == "evt_7";
            if has_id != id.is_some_and(is_own) {
                surprises.push(format!("{place}: id {id:?} {:?}", sample.id));
            }
        }
    }
    assert_eq!(surprises, Vec::<String>::new());
    assert!(senders >= 200, "{senders}");
}

#[test]
fn the_scheme_is_named_by_a_closed_list() {
    let labels: std::collections::BTreeSet<_> = Sender::all()
        .iter()
        .map(|sender| verify(sender, sender.sample(), NOW, "x").scheme())
        .collect();
    let known = [
        "basic",
        "detached-jws",
        "ecdsa-p256-sha256",
        "ed25519",
        "hmac-sha1",
        "hmac-sha256",
        "hmac-sha512",
        "hubspot-v3",
        "jwt",
        "keygen",
        "plivo-v3",
        "rsa-pkcs1-sha1",
        "rsa-pkcs1-sha256",
        "segment-batch",
        "sha1",
        "sha256",
        "sns",
        "token",
        "unsigned",
    ];
    assert_eq!(labels.into_iter().collect::<Vec<_>>(), known);
}

/// Plaid signs when the event happened, and says so in the token: a time that is part of the key,
/// since the same body can be news again.
const SIGNED_ONCE: [&str; 1] = ["plaid"];

#[test]
fn a_retry_with_a_fresh_timestamp_and_signature_is_the_same_event() {
    let mut surprises = Vec::new();
    for sender in Sender::all() {
        for sample in sender.samples() {
            let request = sender.request(sample, NOW, "msg_1");
            let first = accepted(&sender, request.clone(), NOW);
            let again = accepted(&sender, request, NOW);
            let anew = verify(&sender, sample, LATER, "msg_1");
            let same = [again, anew].map(|retry| first.dedup_id() == retry.dedup_id());
            let expected = match tells_nothing_apart(&sender) {
                true => [false, false],
                false => [true, !SIGNED_ONCE.contains(&&*sender.source)],
            };
            if same != expected {
                surprises.push(format!("{}: {same:?}", sender.source));
            }
        }
    }
    assert_eq!(surprises, Vec::<String>::new());
}

#[test]
fn documented_events_of_a_provider_are_different_events() {
    let mut surprises = Vec::new();
    for sender in Sender::all() {
        let samples = sender.samples().into_iter();
        let ids: std::collections::BTreeSet<_> = samples
            .enumerate()
            .map(|(at, sample)| {
                let id = format!("msg_{at}");
                verify(&sender, sample, NOW, &id).dedup_id().to_vec()
            })
            .collect();
        if ids.len() != sender.samples().len() {
            surprises.push(sender.source.clone());
        }
    }
    assert_eq!(surprises, Vec::<String>::new());
}

#[test]
fn copies_of_a_sample_with_ids_of_their_own_are_different_events() {
    let mut surprises = Vec::new();
    for sender in Sender::all() {
        let (mut seen, mut count) = (std::collections::BTreeSet::new(), 0);
        for (number, sample) in sender.samples().into_iter().enumerate() {
            for id in ["1", "2", "12", "31"] {
                let id = format!("9{number}{id}");
                let verified = verify(&sender, &sample.with_id(&id), NOW, &id);
                count += usize::from(sample.id.is_some() || sender.provider.event.key.is_empty());
                seen.insert(verified.dedup_id().to_vec());
            }
        }
        if seen.len() < count {
            surprises.push(format!("{}: {} of {count}", sender.source, seen.len()));
        }
    }
    assert_eq!(surprises, Vec::<String>::new());
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
        let sender = Sender::new(id);
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
        let senders = Sender::each(&provider(name), 0);
        let sender = &senders[1];
        let request = sender.request(sender.sample(), NOW, "msg");
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
