//! What a source can set: secrets, networks, observe mode, schemes of its own, and their faults.

use serde_json::json;

use super::*;

const BODY: &str = r#"{"type":"order.created"}"#;

/// A sender that signs with the generic provider's scheme and these overrides.
fn own_scheme(overrides: &serde_json::Value) -> Arc<Provider> {
    Arc::new(provider("hmac").with_scheme(overrides).unwrap())
}

fn signed(provider: &Provider, secret: &str, url: &str, headers: &[(&str, &str)]) -> Unsigned {
    let headers = headers.iter();
    let mut request = Unsigned {
        method: Method::POST,
        url: url.to_owned(),
        headers: headers
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect(),
        body: BODY.into(),
    };
    let values = [("name".to_owned(), "value".to_owned())].into();
    let secret = Secret::new("secret", secret);
    sign(provider, None, &secret, &values, &mut request, NOW, "msg_1").unwrap();
    request
}

fn reason(verifier: &Verifier, request: impl Into<Received>) -> Option<Reason> {
    verifier
        .verify(request.into(), NOW)
        .err()
        .map(|rejection| rejection.reason)
}

#[test]
fn every_secret_verifies_until_it_expires_and_the_one_that_matched_is_named() {
    let github = provider("github");
    let mut config = config(Arc::clone(&github), &["old", "new"]);
    config.secrets[0].not_after = Some(NOW);
    let verifier = verifier(config);
    for (secret, at, expected) in [
        ("old", NOW, Ok("secrets[0]")),
        ("new", NOW, Ok("secrets[1]")),
        (
            "old",
            NOW.plus(Duration::from_millis(1)),
            Err(Reason::Mismatch),
        ),
        ("new", NOW.plus(Duration::from_millis(1)), Ok("secrets[1]")),
        ("none", NOW, Err(Reason::Mismatch)),
    ] {
        let request = signed(&github, secret, "/", &[]);
        let outcome = verifier.verify(request.into(), at);
        let label = outcome.as_ref().map(|verified| verified.secret().unwrap());
        assert_eq!(label.map_err(|rejection| rejection.reason), expected);
    }
}

#[test]
fn a_source_whose_secrets_all_expired_says_so() {
    let github = provider("github");
    let mut config = config(Arc::clone(&github), &["old"]);
    config.secrets[0].not_after = Some(NOW.minus(Duration::from_secs(1)));
    let request = signed(&github, "old", "/", &[]);
    assert_eq!(reason(&verifier(config), request), Some(Reason::Expired));
}

#[test]
fn faults_name_the_key_and_the_way_out() {
    let standard = || provider("standard-webhooks");
    let url = own_scheme(&json!({ "content": "{url}{body}" }));
    let tag = own_scheme(&json!({ "content": "{config:name}{body}" }));
    let cases: Vec<(Config, &str)> = vec![
        (config(provider("stripe"), &[]), "secret: is missing"),
        (config(provider("stripe"), &[""]), "secrets[0]: is empty"),
        (
            config(provider("svix"), &["whsec_AAAA", "whsec_!"]),
            "secrets[1]: must be base64",
        ),
        (
            config(standard(), &["whpk_AAAA"]),
            "secrets[0]: is an Ed25519 key; set the provider's variant",
        ),
        (
            config(provider("sieve"), &["x"]),
            "secrets[0]: the provider does not sign",
        ),
        (
            config(url, &["x"]),
            "scheme.content: the sender signs the URL: set server.public_url",
        ),
        (config(tag, &["x"]), "values.name: is missing"),
        (
            Config {
                variant: Some("v2".into()),
                ..config(standard(), &["whsec_AAAA"])
            },
            "variant: `v2` is not a variant; use one of v1, v1a",
        ),
        (
            Config {
                variant: Some("derived".into()),
                ..config(provider("jigsawstack"), &["x"])
            },
            "values.message: is missing",
        ),
        (
            Config {
                dedup_key: Some(vec!["cookie:x".into()]),
                ..config(provider("hmac"), &["x"])
            },
            "dedup.key: `cookie:x` is not a value source",
        ),
        (
            Config {
                dedup_key: Some(vec![]),
                ..config(provider("hmac"), &["x"])
            },
            "dedup.key: is empty",
        ),
    ];
    for (config, expected) in cases {
        let faults = faults(config);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].starts_with(expected), "{faults:?}");
    }
}

#[test]
fn faults_come_together_and_never_hold_the_secret() {
    let mut config = config(provider("svix"), &["whsec_not!base64", ""]);
    config.dedup_key = Some(vec!["x".into()]);
    let faults = faults(config);
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults.iter().all(|fault| !fault.contains("not!base64")));
}

#[test]
fn schemes_of_ones_own_sign_and_verify() {
    for overrides in [
        json!({ "algorithm": "hmac-sha1", "signature": { "prefix": "sha1=" } }),
        json!({ "algorithm": "hmac-sha512", "signature": { "encoding": "base64" } }),
        json!({ "signature": { "encoding": "base64url", "from": "header:X-Sig" } }),
        json!({ "key": "sha1" }),
        json!({ "kind": "hash", "algorithm": "sha256", "content": "{secret}{body}",
                "signature": { "from": "header:X-Hash" } }),
        json!({ "kind": "hash", "algorithm": "sha1", "content": "{body}:{secret}",
                "signature": { "from": "query:hash", "encoding": "base64url" } }),
        json!({ "kind": "token",
                "signature": { "from": "header:Authorization", "prefix": "Bearer " } }),
        json!({ "kind": "basic",
                "signature": { "from": "header:Authorization" } }),
        json!({ "content": "{method}\n{path_query|lower}\n{header:X-Event|lower}\n{body_sha256_hex}" }),
        json!({ "content": "{timestamp}:{config:name}:{body}",
                "timestamp": { "from": "header:X-Time", "unit": "ms" } }),
        json!({ "content": "{url}{sorted_form}" }),
        json!({ "content": "{timestamp}.{body}", "timestamp": { "from": "sig:0", "unit": "ms" },
                "signature": { "parse": "positional" } }),
        json!({ "content": "{timestamp}.{body}", "timestamp": { "from": "sig:ts", "unit": "s" },
                "signature": { "parse": "kv", "tag": "h1", "separator": ";" } }),
        json!({ "content": "{timestamp}|{body}", "timestamp": { "from": "query:at", "unit": "rfc3339" } }),
        json!({ "signature": { "parse": "kv", "tag": "config:name", "separator": "&", "assign": "|" } }),
    ] {
        let provider = own_scheme(&overrides);
        let url = "https://hooks.example.com/in?x=1";
        let verifier = verifier(Config {
            values: [("name".to_owned(), "value".to_owned())].into(),
            public_url: Some("https://hooks.example.com/".to_owned()),
            ..config(Arc::clone(&provider), &["user:s3cret"])
        });
        let headers = [("x-event", "Order.Created")];
        let genuine = signed(&provider, "user:s3cret", url, &headers);
        assert_eq!(reason(&verifier, genuine), None, "{overrides}");
        let forged = signed(&provider, "user:other", url, &headers);
        assert_eq!(
            reason(&verifier, forged),
            Some(Reason::Mismatch),
            "{overrides}"
        );
    }
}

#[test]
fn a_form_is_signed_by_its_sorted_fields_and_only_if_it_is_a_form() {
    let provider = own_scheme(&json!({
        "algorithm": "hmac-sha1", "content": "{url}{sorted_form}",
        "signature": { "from": "header:X-Signature", "encoding": "base64" },
    }));
    let verifier = verifier(Config {
        public_url: Some("https://mycompany.com".to_owned()),
        ..config(provider, &["12345"])
    });
    let form = "CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309\
                &To=%2B18005551212";
    let outcome = |kind: &str, body: &str| {
        // Published by Twilio for this body, token and URL.
        let signature = "RSOYDt4T1cUTdK1PDd93/VVr8B8=";
        let headers = [("content-type", kind), ("x-signature", signature)];
        reason(
            &verifier,
            received("/myapp.php?foo=1&bar=2", &headers, body.to_owned()),
        )
    };
    let form_type = "application/x-www-form-urlencoded; charset=utf-8";
    assert_eq!(outcome(form_type, form), None);
    let reordered = format!(
        "To=%2B18005551212&{}",
        form.replace("&To=%2B18005551212", "")
    );
    assert_eq!(outcome(form_type, &reordered), None);
    assert_eq!(
        outcome(form_type, &form.replace("1234&", "1235&")),
        Some(Reason::Mismatch)
    );
    assert_eq!(outcome("application/json", form), Some(Reason::Mismatch));
}

#[test]
fn a_timestamp_in_a_signed_body_counts() {
    let provider = own_scheme(&json!({ "timestamp": { "from": "json:/at", "unit": "ms" } }));
    let verifier = verifier(config(Arc::clone(&provider), &["s"]));
    for (at, expected) in [
        (NOW.0, None),
        (NOW.0 - 300_001, Some(Reason::Stale)),
        (NOW.0 + 300_001, Some(Reason::Future)),
    ] {
        let mut request = signed(&provider, "s", "/", &[]);
        request.headers.clear();
        request.body = json!({ "at": at }).to_string().into();
        let secret = Secret::new("secret", "s");
        sign(
            &provider,
            None,
            &secret,
            &BTreeMap::new(),
            &mut request,
            NOW,
            "x",
        )
        .unwrap();
        assert_eq!(reason(&verifier, request), expected);
    }
    let rejection = reason(&verifier, signed(&provider, "s", "/", &[]));
    assert_eq!(rejection, Some(Reason::NoHeader));
}

#[test]
fn several_signature_headers_and_numbered_ones_are_all_tried() {
    let github_like = own_scheme(&json!({}));
    let genuine = signed(&github_like, "s", "/", &[]);
    let signature = genuine.headers.last().unwrap().1.clone();
    let zeros = "00".repeat(32);
    for (from, headers) in [
        (
            json!(["header:x-first", "header:x-second"]),
            ["x-first", "x-second"],
        ),
        (json!("headers:x-sig-"), ["x-sig-1", "x-sig-2"]),
    ] {
        let verifier = verifier(config(
            own_scheme(&json!({ "signature": { "from": from } })),
            &["s"],
        ));
        let outcome = |first: &str, second: &str| {
            let headers = [(headers[0], first), (headers[1], second)];
            reason(&verifier, received("/", &headers, BODY))
        };
        assert_eq!(outcome(&zeros, &signature), None);
        assert_eq!(outcome(&signature, &zeros), None);
        assert_eq!(outcome(&zeros, &zeros), Some(Reason::Mismatch));
        assert_eq!(outcome("", ""), Some(Reason::Malformed));
    }
}

#[test]
fn padding_may_be_missing_only_where_the_file_says_so() {
    for (optional, expected) in [(true, None), (false, Some(Reason::Malformed))] {
        let rule = json!({ "encoding": "base64", "padding_optional": optional });
        let provider = own_scheme(&json!({ "signature": rule }));
        let mut request = signed(&provider, "s", "/", &[]);
        let signature = &mut request.headers.last_mut().unwrap().1;
        *signature = signature.trim_end_matches('=').to_owned();
        assert_eq!(
            reason(&verifier(config(provider, &["s"])), request),
            expected
        );
    }
}

#[test]
fn a_flood_of_signatures_is_refused_before_it_costs_anything() {
    let stripe = provider("stripe");
    let mut request = signed(&stripe, "s", "/", &[]);
    let signature = &mut request.headers.last_mut().unwrap().1;
    signature.push_str(&format!(",v1={}", "00".repeat(32)).repeat(100));
    assert_eq!(
        reason(&verifier(config(stripe, &["s"])), request),
        Some(Reason::Malformed)
    );
}

#[test]
fn tokens_in_path_and_query_do_not_travel_on() {
    let place = |from: &str| json!({ "kind": "token", "signature": { "from": from } });
    let sieve = provider("sieve");
    let path = Arc::new(sieve.with_scheme(&place("path:token")).unwrap());
    let query = Arc::new(sieve.with_scheme(&place("query:key")).unwrap());

    let mut request = received("/webhooks/sieve/s3cret?a=%20&b", &[], BODY);
    request.path_token = Some("s3cret".into());
    let verified = verifier(config(path.clone(), &["s3cret"]))
        .verify(request, NOW)
        .ok()
        .unwrap();
    assert_eq!(
        &*verified.into_event(EventId::new(NOW)).target,
        "/webhooks/sieve?a=%20&b"
    );

    let request = received("/webhooks/sieve?a=%20&key=s3cret&b", &[], BODY);
    let verified = verifier(config(query.clone(), &["s3cret"]))
        .verify(request, NOW)
        .ok()
        .unwrap();
    assert_eq!(
        &*verified.into_event(EventId::new(NOW)).target,
        "/webhooks/sieve?a=%20&b"
    );

    let request = received("/webhooks/sieve?%6bey=s3cre%74&b", &[], BODY);
    let verified = verifier(config(query, &["s3cret"]))
        .verify(request, NOW)
        .ok()
        .unwrap();
    assert_eq!(
        &*verified.into_event(EventId::new(NOW)).target,
        "/webhooks/sieve?b"
    );

    let mut request = received("/webhooks/sieve/wrong", &[], BODY);
    request.path_token = Some("wrong".into());
    let verifier = verifier(config(path, &["s3cret"]));
    assert_eq!(verifier.shown_target(&request), "/webhooks/sieve");
    assert_eq!(reason(&verifier, request), Some(Reason::Mismatch));
}

#[test]
fn headers_that_are_secrets_are_known() {
    let verifier = verifier(config(provider("cloudglue"), &["x"]));
    let names: Vec<_> = verifier
        .credential_headers()
        .iter()
        .map(HeaderName::as_str)
        .collect();
    assert_eq!(names, ["authorization", "x-cloudglue-webhook-secret"]);
}

#[test]
fn only_listed_networks_may_send() {
    let sieve = || Config {
        allow_from: vec!["10.0.0.0/8".parse().unwrap()],
        ..config(provider("sieve"), &[])
    };
    for (peer, expected) in [
        (Some("10.1.2.3"), None),
        (Some("::ffff:10.1.2.3"), None),
        (Some("192.0.2.1"), Some(Reason::Address)),
        (None, Some(Reason::Address)),
    ] {
        let mut request = received("/", &[], BODY);
        request.peer = peer.map(|peer| peer.parse().unwrap());
        assert_eq!(reason(&verifier(sieve()), request), expected, "{peer:?}");
    }
}

#[test]
fn observe_mode_lets_failures_through_where_they_match_nothing() {
    let github = provider("github");
    let verifier = verifier(Config {
        observe: true,
        ..config(Arc::clone(&github), &["s"])
    });
    let id = [("x-github-delivery", "d1")];
    let genuine = verifier
        .verify(signed(&github, "s", "/", &id).into(), NOW)
        .ok()
        .unwrap();
    assert_eq!(
        (genuine.scheme(), genuine.observed()),
        ("hmac-sha256", None)
    );
    let forged = || {
        verifier
            .verify(signed(&github, "x", "/", &id).into(), NOW)
            .ok()
            .unwrap()
    };
    let (first, second) = (forged(), forged());
    assert_eq!(
        (first.scheme(), first.observed()),
        ("observe", Some(Reason::Mismatch))
    );
    assert_eq!(first.secret(), None);
    assert!(first.observed_detail().is_some());
    assert_ne!(first.dedup_id(), second.dedup_id());
    assert_ne!(first.dedup_id(), genuine.dedup_id());
}

#[test]
fn check_says_what_protects_a_source() {
    let protection = |id, secrets: &[&str]| verifier(config(provider(id), secrets)).protection();
    assert_eq!(
        protection("svix", &["AAAA"]),
        "hmac-sha256 over timestamp and body"
    );
    assert_eq!(
        protection("github", &["a", "b"]),
        "hmac-sha256 over the body, without a timestamp, 2 secrets"
    );
    assert_eq!(
        protection("cloudglue", &["a"]),
        "a token that does not cover the body"
    );
    assert!(protection("sieve", &[]).contains("no proof"));
}

#[test]
fn reasons_have_distinct_labels() {
    let labels: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|r| r.as_str()).collect();
    assert_eq!(labels.len(), Reason::ALL.len());
}
