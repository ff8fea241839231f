//! Handshakes: what they are told, and what can never become one or come out of one.

use super::*;

/// A provider that signs the body, with more in its file.
fn signing(more: &str) -> Arc<Provider> {
    let text = format!(
        "title = 'T'\ndocs = 'd'\n[[scheme]]\nkind = 'mac'\nalgorithm = 'hmac-sha256'\n\
         signature = {{ from = 'header:X-Signature' }}\n{more}"
    );
    Arc::new(Provider::from_toml("test", &text).unwrap())
}

const CONTENT: &str = "content = '{body}'\n";

fn get(target: &str) -> Received {
    Received {
        method: Method::GET,
        ..received(target, &[], "")
    }
}

/// A request whose body is signed.
fn signed(provider: &Arc<Provider>, headers: &[(&str, &str)], body: &'static str) -> Received {
    let mut request = Unsigned {
        method: Method::POST,
        url: "/".to_owned(),
        headers: Vec::new(),
        body: body.into(),
    };
    let (secret, values) = (Secret::new("s", "key"), BTreeMap::new());
    sign(provider, None, &secret, &values, &mut request, NOW, "1").unwrap();
    let mut signed: Received = request.into();
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        signed.headers.insert(name, value.parse().unwrap());
    }
    signed
}

/// What became of a request, in a word: with a handshake, the answer's body.
fn outcome(verifier: &Verifier, request: Received) -> String {
    match verifier.admit(request, NOW, None) {
        Ok(Admission::Event(..)) => "event".to_owned(),
        Ok(Admission::Confirmation(_)) => "confirmation".to_owned(),
        Ok(Admission::NoEvent) => "no event".to_owned(),
        Ok(Admission::Challenge(reply)) => {
            String::from_utf8(reply.into_parts().1.to_vec()).unwrap()
        }
        Ok(Admission::Handover(handover)) => {
            String::from_utf8(handover.secret().expose().to_vec()).unwrap()
        }
        Err(refused) => refused.rejection.reason.as_str().to_owned(),
    }
}

/// The expected values were computed with Python's hmac.
#[test]
fn the_functions_use_the_secret_as_the_scheme_decodes_it() {
    for (key, secret, answer, value, expected) in [
        (
            "utf8",
            "linkedin-client-secret",
            "{hmac_sha256_hex:query:c}",
            "890e4665-4dfe-4ab1-b689-ed553bceeed0",
            "e9567c49fee6d803311de224f2be5dc1b7f61cae1810ae05866223f4caa1724f",
        ),
        (
            "hex",
            "782d636f6e73756d65722d736563726574",
            "sha256={hmac_sha256_base64:query:c}",
            "9b4507b3-9040-4669-9ca3-6b94edb50553",
            "sha256=HLRNL5jbBZW6HnzFIXx9CW1LlR6LSisHbu7P316mNI4=",
        ),
        (
            "sha1",
            "integration_private_key",
            "{config:public_key}|{hmac_sha1_hex:query:c}",
            "20f9f8ed05f77439fe955c977e4c8a53",
            "a_public_key|d9b899556c966b3f06945ec21311865d35df3ce4",
        ),
    ] {
        let provider = signing(&format!(
            "{CONTENT}key = '{key}'\n[[challenge]]\nmethod = 'GET'\nwhen = 'query:c'\nbody = '{answer}'"
        ));
        let verifier = verifier(Config {
            values: [("public_key".to_owned(), "a_public_key".into())].into(),
            ..config(provider, &[secret])
        });
        let target = format!("/?c={value}");
        assert_eq!(outcome(&verifier, get(&target)), expected, "{key}");
    }
}

#[test]
fn the_first_secret_that_is_active_signs_answers() {
    let provider = signing(&format!(
        "{CONTENT}[[challenge]]\nmethod = 'GET'\nbody = '{{hmac_sha256_hex:query:c}}'"
    ));
    let alone = verifier(config(Arc::clone(&provider), &["new"]));
    let mut both = config(provider, &["old", "new"]);
    let ask = || get("/?c=abc");
    assert_ne!(
        outcome(&verifier(both.clone()), ask()),
        outcome(&alone, ask())
    );
    both.secrets[0].not_after = Some(NOW.minus(Duration::from_secs(1)));
    assert_eq!(
        outcome(&verifier(both.clone()), ask()),
        outcome(&alone, ask())
    );
    both.secrets[1].not_after = both.secrets[0].not_after;
    assert_eq!(outcome(&verifier(both), ask()), "expired");
}

#[test]
fn an_answer_is_never_the_signature_of_an_event() {
    let challenge =
        "[[challenge]]\nmethod = 'GET'\nwhen = 'query:c'\nbody = '{hmac_sha256_hex:query:c}'";
    for (content, values) in [
        (
            "content = '{body}'\n",
            &["abc", "1", "PG5vdGU+PC9ub3RlPg=="][..],
        ),
        ("content = 'hmacsha256={body}'\n", &["abc"]),
    ] {
        let provider = signing(&format!("{content}{challenge}"));
        let verifier = verifier(config(Arc::clone(&provider), &["key"]));
        for body in values {
            assert_eq!(
                outcome(&verifier, signed(&provider, &[], body)),
                "malformed"
            );
        }
        for body in ["{}", r#"{"a":1}"#, "a b"] {
            assert_eq!(outcome(&verifier, signed(&provider, &[], body)), "event");
            let escaped: String = body.bytes().map(|b| format!("%{b:02x}")).collect();
            assert_eq!(
                outcome(&verifier, get(&format!("/?c={escaped}"))),
                "malformed"
            );
        }
    }
    // Where nobody can ask for signatures, every body is an event.
    let provider = signing(CONTENT);
    let verifier = verifier(config(Arc::clone(&provider), &["key"]));
    assert_eq!(outcome(&verifier, signed(&provider, &[], "abc")), "event");
}

#[test]
fn a_signature_that_holds_makes_it_an_event_whatever_it_looks_like() {
    let provider = signing(&format!(
        "{CONTENT}[[challenge]]\nmethod = 'POST'\nwhen = 'header:X-Challenge'\nbody = 'header'\n\
         [[challenge]]\nmethod = 'POST'\nwhen = 'json:/challenge'\njson = {{ challenge = '{{json:/challenge}}' }}"
    ));
    let verifier = verifier(config(Arc::clone(&provider), &["key"]));
    let marked = [("x-challenge", "1")];
    let only = r#"{"challenge":"a"}"#;
    assert_eq!(
        outcome(&verifier, signed(&provider, &marked, "{}")),
        "event"
    );
    assert_eq!(outcome(&verifier, signed(&provider, &[], only)), "event");
    assert_eq!(outcome(&verifier, received("/", &marked, "{}")), "header");
    assert_eq!(outcome(&verifier, received("/", &[], only)), only);
    for more in [
        r#"{"challenge":"a","event":1}"#,
        r#"{"challenge":"a","challenge":"b"}"#,
        r#"[{"challenge":"a"}]"#,
        r#"{"challenge":{"challenge":"a"}}"#,
    ] {
        assert_eq!(
            outcome(&verifier, received("/", &[], more)),
            "no_header",
            "{more}"
        );
    }
}

#[test]
fn a_form_with_a_single_field_holds_no_event() {
    let provider = signing(&format!(
        "{CONTENT}[[challenge]]\nmethod = 'POST'\nwhen = 'form:webhook_id'\nbody = 'pong {{form:webhook_id}}'"
    ));
    let verifier = verifier(config(provider, &["key"]));
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let post = |body| outcome(&verifier, received("/", &form, body));
    assert_eq!(post("webhook_id=1"), "pong 1");
    assert_eq!(post("webhook_id=1&event=2"), "no_header");
    assert_eq!(
        outcome(&verifier, received("/", &[], "webhook_id=1")),
        "no_header"
    );
}

/// Such a token comes with every request, so it does not tell events from handshakes.
#[test]
fn where_requests_bring_no_signature_handshakes_are_looked_for_first() {
    let text = "title = 'T'\ndocs = 'd'\n[[scheme]]\nkind = 'token'\n\
                signature = { from = 'query:token' }\n\
                [[challenge]]\nmethod = 'POST'\nwhen = 'json:/challenge'\nbody = '{json:/challenge}'";
    let provider = Arc::new(Provider::from_toml("test", text).unwrap());
    let verifier = verifier(config(provider, &["key"]));
    let only = r#"{"challenge":"a"}"#;
    assert_eq!(outcome(&verifier, received("/?token=key", &[], only)), "a");
    assert_eq!(
        outcome(&verifier, received("/?token=key", &[], "{}")),
        "event"
    );
}

#[test]
fn observe_mode_answers_handshakes_but_signs_nothing_unverified() {
    let provider = signing(&format!(
        "{CONTENT}[[challenge]]\nmethod = 'POST'\nwhen = 'header:X-Challenge'\nbody = '{{header:X-Challenge}}'\n\
         [[challenge]]\nmethod = 'POST'\nsigned = true\nwhen = 'json:/c'\nbody = '{{hmac_sha256_hex:json:/c}}'"
    ));
    let verifier = verifier(Config {
        observe: true,
        ..config(Arc::clone(&provider), &["key"])
    });
    let marked = [("x-challenge", "1")];
    assert_eq!(outcome(&verifier, received("/", &marked, "{}")), "1");
    let body = r#"{"c":"a"}"#;
    assert_eq!(outcome(&verifier, received("/", &[], body)), "event");
    assert_eq!(outcome(&verifier, signed(&provider, &[], body)).len(), 64);
}

#[test]
fn a_captured_secret_is_one_of_the_form_that_the_scheme_says() {
    let provider = signing(&format!(
        "{CONTENT}key = 'hex'\n[[challenge]]\nmethod = 'POST'\nwhen = 'header:X-Secret'\ncapture = 'header:X-Secret'"
    ));
    let waiting = verifier(Config {
        capture: true,
        ..config(Arc::clone(&provider), &[])
    });
    assert!(waiting.captures());
    let handover = received("/", &[("x-secret", "6b6579")], "");
    assert_eq!(outcome(&waiting, handover), "6b6579");
    for odd in ["", "a b", "a\u{e9}"] {
        let handover = received("/", &[("x-secret", odd)], "");
        assert_eq!(outcome(&waiting, handover), "malformed", "{odd}");
    }
    // `signed` signs with the bytes of "key", which is what the hex says.
    let plain = signing(CONTENT);
    assert_eq!(outcome(&waiting, signed(&plain, &[], "{}")), "no_secret");
    assert_eq!(outcome(&waiting, received("/", &[], "{}")), "no_header");

    let with = |secret: &str| waiting.with_captured(Some(Secret::new("captured", secret)));
    let faults = with("no hex").unwrap().err().unwrap();
    assert_eq!(faults[0].message, "must be hex");
    let knowing = with("6b6579").unwrap().unwrap_or_else(|_| panic!());
    assert!(knowing.captures());
    assert_eq!(outcome(&knowing, signed(&plain, &[], "{}")), "event");
    assert!(
        verifier(config(plain, &["key"]))
            .with_captured(None)
            .is_none()
    );
}

#[test]
fn a_secret_that_nobody_waits_for_is_no_handshake() {
    let provider = signing(&format!(
        "{CONTENT}[[challenge]]\nmethod = 'POST'\nwhen = 'header:X-Secret'\ncapture = 'header:X-Secret'"
    ));
    assert_eq!(
        faults(config(Arc::clone(&provider), &[])),
        ["secret: is missing: set secret, secret_file or secrets"]
    );
    let verifier = verifier(config(provider, &["key"]));
    let handover = received("/", &[("x-secret", "key")], "");
    assert_eq!(outcome(&verifier, handover), "no_header");
}

#[test]
fn what_a_handshake_proves_itself_with_is_not_shown() {
    let provider = signing(&format!(
        "{CONTENT}[[challenge]]\nmethod = 'POST'\nwhen = 'header:X-Secret'\ncapture = 'header:X-Secret'\n\
         [[challenge]]\nmethod = 'GET'\nbody = 'ok'\n\
         check = {{ from = 'query:token', equals_value = 'config:token' }}"
    ));
    let verifier = verifier(config(provider, &["key"]));
    let hidden = HeaderName::from_static("x-secret");
    assert!(verifier.credential_headers().contains(&hidden));
    let request = get("/hook?a=1&token=wrong");
    assert_eq!(verifier.shown_target(&request), "/hook?a=1");
}

#[test]
fn a_body_that_is_too_large_to_look_into_makes_no_handshake() {
    let provider = signing(&format!(
        "{CONTENT}[[challenge]]\nmethod = 'POST'\nwhen = 'header:X-Ping'\n\
         unless = 'json:/id'\nsigned = true\nbody = 'pong'"
    ));
    let verifier = verifier(config(Arc::clone(&provider), &["key"]));
    let ping = [("X-Ping", "1")];
    let large = format!(
        "{{\"id\": \"evt_1\", \"more\": \"{}\"}}",
        "x".repeat(20_000)
    );
    for (body, expected) in [
        ("{}", "pong"),
        ("{\"id\": \"evt_1\"}", "event"),
        (large.leak(), "event"),
    ] {
        assert_eq!(outcome(&verifier, signed(&provider, &ping, body)), expected);
    }
}
