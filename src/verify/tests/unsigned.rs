//! What a signature leaves out, or can be read in two ways: nothing passes for signed because of it.

use super::*;

const ID: &str = "msg_1";

/// The genuine first sample with a change to its body.
fn changed(sender: &Sender, from: &str, to: &str) -> Unsigned {
    let mut request = sender.request(sender.sample(), NOW, ID);
    let body = String::from_utf8(request.body.to_vec()).unwrap();
    assert!(body.contains(from), "{from}");
    request.body = body.replacen(from, to, 1).into();
    request
}

#[test]
fn a_signed_value_that_is_no_short_text_is_not_taken_for_an_absent_one() {
    let sender = Sender::new("adyen");
    let verifier = sender.verifier();
    let empty = r#""originalReference":"""#;
    let long = format!("\"{}\"", "x".repeat(257));
    for odd in [
        "1.5",
        "18446744073709551616",
        "{\"a\":1}",
        "[\"a\"]",
        r#""a\nb""#,
        r#""a","originalReference":"b""#,
        &long,
    ] {
        let request = changed(&sender, empty, &format!(r#""originalReference":{odd}"#));
        assert_eq!(reason(&verifier, request), Some(Reason::Malformed), "{odd}");
    }
    for absent in ["\"originalReference\":null", "\"a\":1"] {
        let request = changed(&sender, empty, absent);
        assert_eq!(reason(&verifier, request), None, "{absent}");
    }
}

#[test]
fn a_signature_over_the_fields_of_a_form_is_none_over_another_body() {
    for name in ["twilio", "mandrill"] {
        let sender = Sender::new(name);
        let verifier = sender.verifier();
        let mut unchecked = (*sender.provider).clone();
        unchecked.schemes[0].checks.clear();
        // The fields of a form can be moved into the query: this is the address with them.
        let mut request = Unsigned {
            method: Method::POST,
            url: format!("{PUBLIC_URL}/webhooks/test?keep=1AccountSidAC0000"),
            headers: Vec::new(),
            body: Bytes::new(),
        };
        let secret = Secret::new("test", sender.signing.as_bytes());
        let values = BTreeMap::new();
        sign(&unchecked, None, &secret, &values, &mut request, NOW, ID).unwrap();
        assert_eq!(reason(&verifier, request.clone()), None, "{name}");
        request.body = "{\"forged\":true}".into();
        assert!(reason(&verifier, request.clone()).is_some(), "{name}");
        let content_type = ("content-type".to_owned(), "application/json".to_owned());
        request.headers.push(content_type);
        assert!(reason(&verifier, request).is_some(), "{name}");
    }
}

/// The dedup id of a genuine request with this body and these headers.
fn dedup_id(sender: &Sender, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let headers = headers.iter();
    let mut request = Unsigned {
        method: Method::POST,
        url: format!("{PUBLIC_URL}/webhooks/test"),
        headers: headers
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        body: body.to_owned().into(),
    };
    sender.sign(&mut request, NOW, ID);
    let verified = sender.verifier().verify(request.into(), NOW);
    verified.ok().unwrap().dedup_id().to_vec()
}

#[test]
fn events_of_one_object_at_one_time_are_not_taken_for_repeats() {
    for (name, one, other) in [
        (
            "zoom",
            r#"{"event":"meeting.participant_left","event_ts":1,"payload":{"object":{"uuid":"m","participant":{"id":"1"}}}}"#,
            r#"{"event":"meeting.participant_left","event_ts":1,"payload":{"object":{"uuid":"m","participant":{"id":"2"}}}}"#,
        ),
        (
            "paystack",
            r#"{"event":"charge.dispute.remind","data":{"id":1,"status":"awaiting-merchant-feedback"}}"#,
            r#"{"event":"charge.dispute.remind","data":{"id":1,"status":"pending"}}"#,
        ),
        (
            "lemon-squeezy",
            r#"{"meta":{"event_name":"subscription_updated"},"data":{"id":"1","attributes":{"updated_at":"2025-01-01T00:00:00.000000Z","status":"on_trial"}}}"#,
            r#"{"meta":{"event_name":"subscription_updated"},"data":{"id":"1","attributes":{"updated_at":"2025-01-01T00:00:00.000000Z","status":"active"}}}"#,
        ),
        (
            "adyen-platform",
            r#"{"type":"balancePlatform.transfer.updated","timestamp":"2025-01-01T00:00:00+00:00","data":{"id":"1","status":"authorised"}}"#,
            r#"{"type":"balancePlatform.transfer.updated","timestamp":"2025-01-01T00:00:00+00:00","data":{"id":"1","status":"booked"}}"#,
        ),
        (
            "mongodb-atlas",
            r#"{"id":"1","status":"OPEN","lastNotified":"2025-01-01T00:00:00Z"}"#,
            r#"{"id":"1","status":"OPEN","lastNotified":"2025-01-01T01:00:00Z"}"#,
        ),
        (
            "docusign",
            r#"{"event":"recipient-sent","generatedDateTime":"2025-01-01T00:00:00.000Z","data":{"envelopeId":"e","recipientId":"1"}}"#,
            r#"{"event":"recipient-sent","generatedDateTime":"2025-01-01T00:00:00.000Z","data":{"envelopeId":"e","recipientId":"2"}}"#,
        ),
        (
            "mailersend",
            r#"{"type":"sender_identity.verified","data":{"id":"1"}}"#,
            r#"{"type":"sender_identity.removed","data":{"id":"1"}}"#,
        ),
    ] {
        let sender = Sender::new(name);
        let [one, again, other] = [one, one, other].map(|body| dedup_id(&sender, &[], body));
        assert_eq!(one, again, "{name}");
        assert_ne!(one, other, "{name}");
    }
}

#[test]
fn the_webhooks_of_triggers_are_told_apart_although_they_name_the_same_ticket() {
    let sender = Sender::new("zendesk");
    let id = |invocation: &str, body: &str| {
        let header = ("x-zendesk-webhook-invocation-id", invocation);
        dedup_id(&sender, &[header], body)
    };
    let open = id("1", r#"{"id":"35436","status":"open"}"#);
    assert_ne!(open, id("2", r#"{"id":"35436","status":"solved"}"#));
    assert_ne!(open, id("3", r#"{"id":"35436","status":"open"}"#));
    assert_eq!(open, id("1", r#"{"id":"35436","status":"open"}"#));
}

#[test]
fn a_batch_is_told_apart_by_all_of_it() {
    let sender = Sender::each(&provider("segment"), 0).remove(1);
    let id = |body: &str| dedup_id(&sender, &[], body);
    let one = id(r#"{"batch":[{"messageId":"1"}]}"#);
    assert_ne!(
        one,
        id(r#"{"batch":[{"messageId":"1"},{"messageId":"2"}]}"#)
    );
    assert_eq!(one, id(r#"{"batch":[{"messageId":"1"}]}"#));
}

#[test]
fn headers_under_their_other_names_make_no_new_event_of_a_repeat() {
    for name in ["svix", "incident-io"] {
        let sender = Sender::new(name);
        let verifier = sender.verifier();
        let request = sender.request(sender.sample(), NOW, ID);
        let mut renamed = request.clone();
        for (name, _) in &mut renamed.headers {
            *name = match name.to_lowercase().split_once('-') {
                Some(("svix", rest)) => format!("webhook-{rest}"),
                Some(("webhook", rest)) => format!("svix-{rest}"),
                _ => continue,
            };
        }
        let id = |request: Unsigned| {
            let verified = verifier.verify(request.into(), NOW);
            verified.ok().unwrap().dedup_id().to_vec()
        };
        assert_eq!(id(request), id(renamed), "{name}");
    }
}

#[test]
fn a_list_of_signed_headers_is_signed_itself() {
    let sender = Sender::new("contentful");
    let verifier = sender.verifier();
    let names = "content-type,x-contentful-environment-id,x-contentful-signed-headers,x-contentful-timestamp";
    let mut request = sender.request(sender.sample(), NOW, ID);
    let set = |request: &mut Unsigned, name: &str, value: &str| {
        request
            .headers
            .retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        request.headers.push((name.to_owned(), value.to_owned()));
    };
    set(&mut request, "content-type", "a/b");
    set(&mut request, "x-contentful-environment-id", "master");
    set(&mut request, "x-contentful-signed-headers", names);
    sender.sign(&mut request, NOW, ID);
    assert_eq!(reason(&verifier, request.clone()), None);
    // The same signed text, cut into other headers: the environment is free then.
    let swallowed =
        format!("a/b;x-contentful-environment-id:master;x-contentful-signed-headers:{names}");
    set(&mut request, "content-type", &swallowed);
    set(&mut request, "x-contentful-environment-id", "staging");
    set(
        &mut request,
        "x-contentful-signed-headers",
        "content-type,x-contentful-timestamp",
    );
    assert_eq!(reason(&verifier, request), Some(Reason::Malformed));
}

#[test]
fn a_timestamp_that_the_sender_did_not_sign_counts_for_nothing() {
    let sender = Sender::new("contentful");
    let verifier = sender.verifier();
    let names = "content-type,x-contentful-signed-headers";
    let mut request = sender.request(sender.sample(), NOW, ID);
    for (name, value) in &mut request.headers {
        if name.eq_ignore_ascii_case("x-contentful-signed-headers") {
            names.clone_into(value);
        }
    }
    sender.sign(&mut request, NOW, ID);
    let unsigned = request.headers.iter().any(|(name, value)| {
        name.eq_ignore_ascii_case("x-contentful-signed-headers") && value == names
    });
    assert!(unsigned, "{:?}", request.headers);
    let rejection = verifier.verify(request.into(), NOW).err();
    let rejection = rejection.expect("a time that nothing signs is refused");
    assert_eq!(rejection.reason, Reason::Malformed);
    assert!(
        rejection.detail.contains("timestamp is not signed"),
        "{rejection}"
    );
}

#[test]
fn a_nonce_does_not_take_the_end_of_a_form() {
    let sender = Sender::new("plivo");
    let verifier = sender.verifier();
    let form = ("content-type", "application/x-www-form-urlencoded");
    let nonce = ("x-plivo-signature-v3-nonce", "12345");
    let header = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let mut request = Unsigned {
        method: Method::POST,
        url: format!("{PUBLIC_URL}/webhooks/test"),
        headers: vec![header(form), header(nonce)],
        body: "Text=Pay%20now.Or%20not".into(),
    };
    sender.sign(&mut request, NOW, ID);
    assert_eq!(reason(&verifier, request.clone()), None);
    request.body = "Text=Pay%20now".into();
    for (name, value) in &mut request.headers {
        if name.eq_ignore_ascii_case(nonce.0) {
            *value = "Or not.12345".to_owned();
        }
    }
    assert_eq!(reason(&verifier, request), Some(Reason::Malformed));
}

#[test]
fn a_source_confirms_subscriptions_of_its_own_topic_only() {
    let sender = Sender::new("aws-sns");
    let confirming = |values: Values| Config {
        values,
        confirm: true,
        ..sender.config()
    };
    let faults = faults(confirming(BTreeMap::new()));
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(
        faults[0].starts_with("values.topic_arn: is missing"),
        "{faults:?}"
    );
    let topic = ("topic_arn".to_owned(), "arn:aws:sns:us-east-1:1:t".into());
    verifier(confirming([topic].into()));
}

#[test]
fn a_handshake_with_a_token_is_answered_and_no_event() {
    let sender = Sender::new("azure-event-grid");
    let mut request = Unsigned {
        method: Method::POST,
        url: format!("{PUBLIC_URL}/webhooks/test"),
        headers: vec![(
            "aeg-event-type".to_owned(),
            "SubscriptionValidation".to_owned(),
        )],
        body: r#"[{"data":{"validationCode":"512d38b6"}}]"#.into(),
    };
    sender.sign(&mut request, NOW, ID);
    let admission = sender.verifier().admit(request.into(), NOW, None);
    let Ok(Admission::Challenge(reply)) = admission else {
        panic!("not a handshake");
    };
    let (_, body) = reply.into_parts();
    assert_eq!(&*body, br#"{"validationResponse":"512d38b6"}"#);
}

#[test]
fn whoever_may_not_send_has_no_key_fetched() {
    let keys = KeySource::for_test(NOW);
    let sender = Sender::new("fal");
    let request = Received::from(sender.request(sender.sample(), NOW, ID));
    for (peer, expected) in [("192.0.2.1", true), ("198.51.100.1", false)] {
        let verifier = verifier(Config {
            secrets: Vec::new(),
            allow_from: vec!["192.0.2.0/24".parse().unwrap()],
            ..sender.config()
        });
        let received = Received {
            peer: Some(peer.parse().unwrap()),
            ..request.clone()
        };
        let wanted = verifier.wanted(&received, &keys);
        assert_eq!(!wanted.is_empty(), expected, "{peer}");
    }
}

#[test]
fn a_signed_value_has_no_double_in_another_case() {
    let sender = Sender::new("adyen");
    let verifier = sender.verifier();
    for (genuine, double) in [
        (
            r#""success":"true""#,
            r#""Success":"false","success":"true""#,
        ),
        (r#""amount":{"#, r#""Amount":{"value":1},"amount":{"#),
        (
            r#""notificationItems":["#,
            r#""NotificationItems":[],"notificationItems":["#,
        ),
    ] {
        let request = changed(&sender, genuine, double);
        assert_eq!(
            reason(&verifier, request),
            Some(Reason::Malformed),
            "{double}"
        );
    }
}
