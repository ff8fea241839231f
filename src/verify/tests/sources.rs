//! What a source can set: secrets, networks, observe mode, tokens, and the faults in them.

use serde_json::json;

use super::*;

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
            config(provider("svix"), &["whsec_AAAB", "whsec_!"]),
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
                ..config(standard(), &["whsec_AAAB"])
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
    let why = |verified: &Verified| verified.observed().map(|rejection| rejection.reason);
    assert_eq!((genuine.scheme(), why(&genuine)), ("hmac-sha256", None));
    let forged = || {
        verifier
            .verify(signed(&github, "x", "/", &id).into(), NOW)
            .ok()
            .unwrap()
    };
    let (first, second) = (forged(), forged());
    assert_eq!(
        (first.scheme(), why(&first)),
        ("observe", Some(Reason::Mismatch))
    );
    assert_eq!(first.secret(), None);
    assert_ne!(first.dedup_id(), second.dedup_id());
    assert_ne!(first.dedup_id(), genuine.dedup_id());
}

#[test]
fn check_says_what_protects_a_source() {
    let protection = |id, secrets: &[&str]| verifier(config(provider(id), secrets)).protection();
    assert_eq!(
        protection("svix", &["AAAB"]),
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
