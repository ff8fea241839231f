//! Every known mistake is made here, and must be named.

use super::*;
use crate::providers::KeyForm;
use serde_json::json;

/// A source's own secret, and what else there is at the gate.
const SECRET: &str = "s3cret";
const WHSEC: &str = "whsec_aG9va2dhdGUtdGVzdC1zZWNyZXQtMDEyMzQ1Njc4OQ==";

/// A receiver among others.
struct Scene {
    own: Config,
    others: Vec<Config>,
}

impl Scene {
    fn of(own: Config) -> Self {
        Self {
            own,
            others: Vec::new(),
        }
    }

    fn beside(mut self, name: &str, provider: Arc<Provider>, secret: &str) -> Self {
        self.others.push(Config {
            source: name.into(),
            ..config(provider, &[secret])
        });
        self
    }

    /// The mistake that is named when the request is refused.
    #[track_caller]
    fn diagnosis(self, request: impl Into<Received>) -> Option<Diagnosis> {
        let configs = self.others.into_iter().chain([self.own]);
        let verifiers: Vec<_> = configs.map(|config| Arc::new(verifier(config))).collect();
        let own = verifiers.last().unwrap();
        let refused = own.judge(request.into(), NOW, None);
        let Err(refused) = refused else {
            panic!("a request that is refused");
        };
        let (received, rejection) = (&refused.received, &refused.rejection);
        let diagnostician = Diagnostician::new(Catalogue::embedded());
        diagnostician.diagnose(own, &verifiers, received, rejection, NOW)
    }

    #[track_caller]
    fn is(self, mistake: Mistake, clue: Option<&str>, request: impl Into<Received>) {
        let diagnosis = self.diagnosis(request);
        let found = diagnosis.as_ref().map(|d| (d.mistake, d.clue.as_deref()));
        assert_eq!(found, Some((mistake, clue)));
    }
}

fn stripe(secret: &str) -> Scene {
    Scene::of(config(provider("stripe"), &[secret]))
}

fn hmac(secret: &str) -> Scene {
    Scene::of(config(provider("hmac"), &[secret]))
}

fn with_body(mut request: Unsigned, body: &str) -> Unsigned {
    request.body = body.to_owned().into();
    request
}

/// Signed with `body`, as the provider does with `secret`.
fn signed_body(provider: &Provider, secret: &str, body: &str, at: UnixMillis) -> Unsigned {
    let mut request = Unsigned {
        method: Method::POST,
        url: "/webhooks/test".to_owned(),
        headers: Vec::new(),
        body: body.to_owned().into(),
    };
    let secret = Secret::new("secret", secret);
    let values = BTreeMap::new();
    sign(provider, None, &secret, &values, &mut request, at, "msg_1").unwrap();
    request
}

fn by(provider: &Provider, secret: &str) -> Unsigned {
    signed(provider, secret, "/webhooks/test", &[])
}

fn renamed(mut request: Unsigned, from: &str, to: &str) -> Unsigned {
    for (name, _) in &mut request.headers {
        if name.eq_ignore_ascii_case(from) {
            to.clone_into(name);
        }
    }
    request
}

fn respelt(mut request: Unsigned, change: impl Fn(&str) -> String) -> Unsigned {
    for (_, value) in &mut request.headers {
        *value = change(value);
    }
    request
}

#[test]
fn another_sources_secret() {
    let scene = stripe(SECRET).beside("billing", provider("github"), "other");
    let request = by(&provider("stripe"), "other");
    scene.is(Mistake::OtherSourceSecret, Some("billing"), request);
}

#[test]
fn a_request_for_another_source() {
    let scene = stripe(SECRET).beside("code", provider("github"), "other");
    let request = by(&provider("github"), "other");
    scene.is(Mistake::WrongPath, Some("code"), request);
}

#[test]
fn an_expired_secret_with_and_without_a_successor() {
    for active in [Some("new"), None] {
        let mut scene = stripe("old");
        scene.own.secrets[0].not_after = Some(UnixMillis(NOW.0 - 1));
        let more = active.map(|secret| Secret::new("secrets[1]", secret));
        scene.own.secrets.extend(more);
        let request = by(&provider("stripe"), "old");
        scene.is(Mistake::ExpiredSecret, Some("secrets[0]"), request);
    }
}

#[test]
fn white_space_at_the_end_of_a_secret_on_either_side() {
    for (ours, theirs) in [("s", "s\n"), ("s\n", "s"), ("s", "s\r\n"), (" s ", "s")] {
        let request = by(&provider("stripe"), theirs);
        stripe(ours).is(Mistake::SecretWhiteSpace, None, request);
    }
}

#[test]
fn a_secret_in_quotes() {
    for quoted in ["\"s3cret\"", "'s3cret'"] {
        let request = by(&provider("stripe"), SECRET);
        stripe(quoted).is(Mistake::SecretQuotes, None, request);
    }
}

#[test]
fn a_secret_with_its_prefix_on_one_side_only() {
    for (ours, theirs) in [("whsec_abc", "abc"), ("abc", "whsec_abc")] {
        let request = by(&provider("stripe"), theirs);
        stripe(ours).is(Mistake::SecretPrefix, None, request);
    }
}

#[test]
fn a_secret_that_the_sender_does_not_decode() {
    let as_text = own_key("utf8");
    for theirs in [WHSEC, WHSEC.trim_start_matches("whsec_")] {
        let scene = Scene::of(config(own_key("whsec"), &[WHSEC]));
        scene.is(Mistake::SecretAsText, None, by(&as_text, theirs));
    }
}

#[test]
fn a_secret_that_the_sender_decodes_otherwise() {
    for (ours, theirs, secret, clue) in [
        ("utf8", "whsec", WHSEC, "base64"),
        ("utf8", "hex", "00ff00ff", "hex"),
        ("base64", "hex", "00ff00ff", "hex"),
        ("hex", "base64", "00ff00ff", "base64"),
    ] {
        let scene = Scene::of(config(own_key(ours), &[secret]));
        let request = by(&own_key(theirs), secret);
        scene.is(Mistake::SecretDecoded, Some(clue), request);
    }
}

/// The generic scheme with another form of key.
fn own_key(form: &str) -> Arc<Provider> {
    let provider = own_scheme(&json!({ "key": form }));
    let known = serde_json::to_value(provider.schemes[0].key).unwrap();
    assert_eq!(known, json!(form));
    assert_ne!(provider.schemes[0].key, Some(KeyForm::Sha1));
    provider
}

#[test]
fn a_body_that_was_written_again_on_its_way() {
    let arrived = r#"{"b": "caf\u00e9/1", "a": [1.50, {}]}"#;
    for (was, clue) in [
        (
            r#"{"b":"caf\u00e9/1","a":[1.50,{}]}"#,
            "signed as compact JSON",
        ),
        (
            "{\n  \"b\": \"caf\\u00e9/1\",\n  \"a\": [\n    1.50,\n    {}\n  ]\n}",
            "signed with an indent of 2",
        ),
        (
            "{\n    \"b\": \"caf\\u00e9/1\",\n    \"a\": [\n        1.50,\n        {}\n    ]\n}",
            "signed with an indent of 4",
        ),
        (
            r#"{"b":"café/1","a":[1.50,{}]}"#,
            "signed as compact JSON, characters plain",
        ),
        (
            r#"{"b":"caf\u00e9\/1","a":[1.50,{}]}"#,
            "signed as compact JSON, slashes and characters escaped",
        ),
        (
            r#"{"a":[1.5,{}],"b":"café/1"}"#,
            "signed with sorted keys, compact",
        ),
    ] {
        let request = signed_body(&provider("stripe"), SECRET, was, NOW);
        let request = with_body(request, arrived);
        stripe(SECRET).is(Mistake::BodyRewritten, Some(clue), request);
    }
    let compact = r#"{"b":"x","a":1}"#;
    let request = signed_body(&provider("stripe"), SECRET, r#"{"b": "x", "a": 1}"#, NOW);
    let clue = "signed with spaces behind commas and colons";
    let request = with_body(request, compact);
    stripe(SECRET).is(Mistake::BodyRewritten, Some(clue), request);
}

#[test]
fn a_body_whose_line_ends_changed() {
    for (was, arrived, clue) in [
        ("{}\n", "{}", "signed with a line break at the end"),
        ("{}\r\n", "{}", "signed with CR LF at the end"),
        ("{}", "{}\n", "signed without the line break at the end"),
        ("a\nb", "a\r\nb", "signed with LF, arrived with CR LF"),
        ("a\r\nb", "a\nb", "signed with CR LF, arrived with LF"),
    ] {
        let request = signed_body(&provider("stripe"), SECRET, was, NOW);
        let request = with_body(request, arrived);
        stripe(SECRET).is(Mistake::BodyLineEnds, Some(clue), request);
    }
}

#[test]
fn another_providers_way_of_signing() {
    let request = by(&provider("github"), SECRET);
    stripe(SECRET).is(
        Mistake::WrongProvider,
        Some("github, meta, whatsapp"),
        request,
    );
    let request = by(&provider("standard-webhooks"), WHSEC);
    let clue = "aspect, beehiiv, brex, clerk and 19 others";
    stripe(WHSEC).is(Mistake::WrongProvider, Some(clue), request);
}

#[test]
fn another_variant_of_the_provider() {
    let standard = provider("standard-webhooks");
    let own = Sender::each(&standard, 0).pop().unwrap();
    let request = own.request(own.sample(), NOW, "msg_1");
    // What is pinned has the same key, but wants a shared secret.
    let scene = Scene::of(Config {
        variant: Some("v1".to_owned()),
        ..config(standard, &[own.verifying.trim_start_matches("whpk_")])
    });
    scene.is(Mistake::WrongVariant, Some("v1a"), request);
}

#[test]
fn another_public_url() {
    let signs_url = own_scheme(&json!({ "content": "{url}{body}" }));
    for (ours, theirs, headers) in [
        ("https://a.example", "http://a.example", &[][..]),
        ("https://a.example", "https://a.example:443", &[]),
        ("http://a.example:8080", "https://a.example", &[]),
        (
            "https://a.example",
            "https://b.example:8443",
            &[("host", "b.example:8443")],
        ),
        (
            "http://a.example",
            "https://b.example",
            &[("x-forwarded-host", "b.example, proxy")],
        ),
        ("https://a.example/in", "https://a.example", &[]),
    ] {
        let url = format!("{theirs}/webhooks/test?x=1");
        let request = signed(&signs_url, SECRET, &url, headers);
        let mut request = Received::from(request);
        request.target = "/webhooks/test?x=1".into();
        let scene = Scene::of(Config {
            public_url: Some(ours.to_owned()),
            ..config(Arc::clone(&signs_url), &[SECRET])
        });
        scene.is(Mistake::PublicUrl, Some(theirs), request);
    }
}

#[test]
fn another_path_than_was_signed() {
    let signs_path = own_scheme(&json!({ "content": "{path_query}{body}" }));
    for (arrived, was, headers, clue) in [
        ("/in", "/in/", &[][..], "/in/"),
        ("/in/?x=1", "/in?x=1", &[], "/in"),
        ("/in?x=1", "/in", &[], "without the query"),
        (
            "/in",
            "/api/in",
            &[("x-forwarded-prefix", "/api/")],
            "/api/in",
        ),
        (
            "/in",
            "/v1/in?x=secret",
            &[("x-original-uri", "/v1/in?x=secret")],
            "/v1/in",
        ),
    ] {
        let mut request = Received::from(signed(&signs_path, SECRET, was, headers));
        request.target = arrived.into();
        let scene = Scene::of(config(Arc::clone(&signs_path), &[SECRET]));
        scene.is(Mistake::PathChanged, Some(clue), request);
    }
}

#[test]
fn a_timestamp_in_another_unit() {
    for (ours, theirs, clue) in [
        ("s", "ms", "milliseconds"),
        ("ms", "s", "seconds"),
        ("s", "rfc3339", "RFC 3339"),
    ] {
        let scheme = |unit: &str| {
            own_scheme(&json!({ "content": "{timestamp}.{body}",
                "timestamp": { "from": "header:x-timestamp", "unit": unit } }))
        };
        let scene = Scene::of(config(scheme(ours), &[SECRET]));
        let request = by(&scheme(theirs), SECRET);
        scene.is(Mistake::TimestampUnit, Some(clue), request);
    }
}

#[test]
fn a_clock_that_is_off_and_by_how_much() {
    for (seconds, clue) in [(-400, "400 s in the past"), (7200, "7200 s in the future")] {
        let at = UnixMillis(NOW.0 + seconds * 1000);
        let request = signed_body(&provider("stripe"), SECRET, "{}", at);
        stripe(SECRET).is(Mistake::ClockSkew, Some(clue), request);
    }
}

#[test]
fn a_prefix_that_is_missing_or_unexpected() {
    let bare = renamed(
        by(&provider("hmac"), SECRET),
        "x-signature",
        "x-hub-signature-256",
    );
    let github = Scene::of(config(provider("github"), &[SECRET]));
    github.is(Mistake::SignaturePrefix, Some("there is none"), bare);
    let prefixed = by(&provider("github"), SECRET);
    let prefixed = renamed(prefixed, "x-hub-signature-256", "x-signature");
    let clue = Some("there is `sha256=`");
    hmac(SECRET).is(Mistake::SignaturePrefix, clue, prefixed);
}

#[test]
fn another_encoding_or_algorithm() {
    let base64 = own_scheme(&json!({ "signature": { "encoding": "base64" } }));
    let clue = Some("base64");
    hmac(SECRET).is(Mistake::SignatureEncoding, clue, by(&base64, SECRET));
    let sha512 = own_scheme(&json!({ "algorithm": "hmac-sha512" }));
    let clue = Some("hmac-sha512");
    hmac(SECRET).is(Mistake::Algorithm, clue, by(&sha512, SECRET));
}

#[test]
fn an_empty_signature() {
    let request = respelt(by(&provider("hmac"), SECRET), |_| String::new());
    hmac(SECRET).is(Mistake::EmptySignature, None, request);
}

#[test]
fn a_signature_in_a_header_of_another_name() {
    let request = renamed(by(&provider("stripe"), SECRET), "stripe-signature", "x-sig");
    stripe(SECRET).is(Mistake::HeaderRenamed, Some("x-sig"), request);
}

#[test]
fn another_providers_header_with_a_secret_that_nobody_has() {
    let request = by(&provider("stripe"), "unknown");
    let github = Scene::of(config(provider("github"), &[SECRET]));
    let clue = Some("stripe-signature: stripe");
    github.is(Mistake::LooksLikeProvider, clue, request);
}

#[test]
fn no_signature_at_all() {
    let mut request = by(&provider("stripe"), SECRET);
    request.headers.clear();
    let clue = Some("stripe-signature is missing");
    stripe(SECRET).is(Mistake::HeaderDropped, clue, request);
}

#[test]
fn what_is_no_known_mistake_is_not_named() {
    let forged = by(&provider("stripe"), "a forger's");
    assert_eq!(stripe(SECRET).diagnosis(forged), None);
    let tampered = with_body(by(&provider("stripe"), SECRET), r#"{"type":"order.paid"}"#);
    assert_eq!(stripe(SECRET).diagnosis(tampered), None);
    // A source that believes everybody is no sign that the request is meant for it.
    let scene = stripe(SECRET);
    let mut anybody = config(provider("sieve"), &[]);
    anybody.source = "anybody".into();
    let scene = Scene {
        others: vec![anybody],
        ..scene
    };
    assert_eq!(scene.diagnosis(by(&provider("stripe"), "x")), None);
}

#[test]
fn large_bodies_and_refused_addresses_are_left_alone() {
    let body = "x".repeat(DIAGNOSED_BYTES_MAX);
    let signed_with_break = signed_body(&provider("stripe"), SECRET, &format!("{body}\n"), NOW);
    let fits = with_body(signed_with_break.clone(), &body);
    let clue = Some("signed with a line break at the end");
    stripe(SECRET).is(Mistake::BodyLineEnds, clue, fits);
    let larger = with_body(signed_with_break, &format!("{body} "));
    assert_eq!(stripe(SECRET).diagnosis(larger), None);

    let mut scene = stripe(SECRET).beside("billing", provider("stripe"), "other");
    scene.own.allow_from = vec!["192.0.2.0/24".parse().unwrap()];
    assert_eq!(scene.diagnosis(by(&provider("stripe"), "other")), None);
}

#[test]
fn every_mistake_has_a_name_a_sentence_and_a_way_out() {
    let mut names: Vec<_> = Mistake::ALL.iter().map(|m| m.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Mistake::ALL.len());
    for mistake in Mistake::ALL {
        for sentence in [mistake.explanation(), mistake.way_out()] {
            assert!(sentence.ends_with('.'), "{mistake:?}: {sentence}");
            assert!(!sentence.contains("  "), "{mistake:?}: {sentence}");
        }
    }
}
