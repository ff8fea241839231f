//! The procedures that are code, against vectors that other implementations made.
//!
//! Those of Plivo and `HubSpot` come from the providers' own libraries, those of Segment from Node's
//! `JSON.stringify`, the others from Python's cryptography and jwcrypto.

mod bodies;
mod sns;

use serde::Deserialize;
use serde_json::json;

use super::*;

#[derive(Clone, Deserialize)]
struct Vector {
    code: String,
    name: String,
    secret: String,
    method: String,
    url: String,
    headers: BTreeMap<String, String>,
    body: String,
    /// The reason for a refusal, as its label.
    expect: Option<String>,
}

fn vectors() -> Vec<Vector> {
    let text = include_str!("../../../../tests/code/vectors.json");
    serde_json::from_str(text).unwrap()
}

/// The vectors of a procedure that have to pass.
fn genuine(code: &str) -> Vec<Vector> {
    let wanted = |vector: &Vector| vector.code == code && vector.expect.is_none();
    let found: Vec<_> = vectors().into_iter().filter(wanted).collect();
    assert!(!found.is_empty(), "{code}");
    found
}

fn scheme(code: &str) -> Arc<Provider> {
    let key = match code {
        "sns" => "pem",
        "keygen" => "ed25519_hex",
        "detached_jws" => "jwk",
        _ => "utf8",
    };
    let mut scheme = json!({ "kind": "code", "code": code, "key": key });
    if code == "detached_jws" {
        scheme["signature"] = json!({ "from": "header:X-Jws" });
    }
    own_scheme(&scheme)
}

impl Vector {
    fn config(&self) -> Config {
        let authority = self.url["https://".len()..].find('/').unwrap();
        Config {
            public_url: Some(self.url[.."https://".len() + authority].to_owned()),
            ..config(scheme(&self.code), &[&self.secret])
        }
    }

    fn received(&self) -> Received {
        let headers = self.headers.iter();
        let headers: Vec<_> = headers.map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let mut received = received(&self.url, &headers, self.body.clone());
        received.method = self.method.parse().unwrap();
        received
    }

    /// Why it is refused, as a label; `None` if it is not.
    fn outcome(&self) -> Option<&'static str> {
        reason(&verifier(self.config()), self.received()).map(Reason::as_str)
    }

    fn header(&mut self, name: &str) -> &mut String {
        self.headers.get_mut(name).unwrap()
    }
}

const CODES: [&str; 6] = [
    "sns",
    "plivo_v3",
    "hubspot_v3",
    "segment_batch",
    "keygen",
    "detached_jws",
];

#[test]
fn every_vector_has_the_expected_outcome() {
    for vector in vectors() {
        let outcome = vector.outcome();
        let name = format!("{}: {}", vector.code, vector.name);
        assert_eq!(outcome, vector.expect.as_deref(), "{name}");
    }
    for code in CODES {
        genuine(code);
    }
}

#[test]
fn another_key_makes_none_of_them_genuine() {
    let rsa = genuine("sns").remove(0).secret;
    for code in CODES {
        for mut vector in genuine(code) {
            vector.secret = match code {
                "sns" => super::code::sns::public_pem(),
                "keygen" => {
                    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a".into()
                }
                // The same modulus but for one bit.
                "detached_jws" => vector.secret.replacen("\"n\": \"x", "\"n\": \"w", 1),
                _ => format!("{}x", vector.secret),
            };
            assert_ne!(vector.secret, rsa);
            assert_eq!(
                vector.outcome(),
                Some("mismatch"),
                "{code}: {}",
                vector.name
            );
        }
    }
}

#[test]
fn a_request_without_one_of_its_headers_is_refused() {
    let needless = [
        "Content-Type",
        "x-amz-sns-message-type",
        "x-amz-sns-message-id",
        "Host",
    ];
    for code in CODES {
        for vector in genuine(code) {
            for name in vector
                .headers
                .keys()
                .filter(|name| !needless.contains(&name.as_str()))
            {
                let mut changed = vector.clone();
                changed.headers.remove(name);
                assert_eq!(
                    changed.outcome(),
                    Some("no_header"),
                    "{code} without {name}"
                );
            }
        }
    }
}

#[test]
fn no_changed_bit_of_a_signed_header_is_accepted() {
    for code in [
        "plivo_v3",
        "hubspot_v3",
        "segment_batch",
        "keygen",
        "detached_jws",
    ] {
        let vector = genuine(code).remove(0);
        let verifier = verifier(vector.config());
        for (name, value) in &vector.headers {
            // The public URL says what host it was.
            if name == "Host" {
                continue;
            }
            for (at, bit) in (0..value.len()).flat_map(|at| [0, 5].map(|bit| (at, bit))) {
                let mut bytes = value.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                let (name, Ok(flipped)) = (name.as_str(), HeaderValue::from_bytes(&bytes)) else {
                    continue;
                };
                let same = flipped.as_bytes().eq_ignore_ascii_case(value.as_bytes());
                // The name of the account, and the case of hex digits, mean nothing.
                let means_nothing = (code == "keygen" && at < value.find(',').unwrap_or(0))
                    || (code == "segment_batch" && same);
                if means_nothing {
                    continue;
                }
                let mut received = vector.received();
                received
                    .headers
                    .insert(name.parse::<HeaderName>().unwrap(), flipped.clone());
                assert!(
                    reason(&verifier, received).is_some(),
                    "{code}: {name}: {flipped:?}"
                );
            }
        }
    }
}

#[test]
fn no_other_body_target_or_method_is_accepted() {
    for code in ["plivo_v3", "hubspot_v3", "keygen", "detached_jws"] {
        for vector in genuine(code) {
            let mut longer = vector.clone();
            longer.body.push(' ');
            assert!(longer.outcome().is_some(), "{code}: {}", vector.name);
            if code == "detached_jws" {
                continue;
            }
            let mut elsewhere = vector.clone();
            elsewhere.url.push_str(if vector.url.contains('?') {
                "&zz=1"
            } else {
                "?zz=1"
            });
            assert_eq!(
                elsewhere.outcome(),
                Some("mismatch"),
                "{code}: {}",
                vector.name
            );
            let mut path = vector.clone();
            path.url = vector.url.replacen("com/", "com/x", 1);
            path.url = path.url.replacen("8443/", "8443/x", 1);
            assert_eq!(path.outcome(), Some("mismatch"), "{code}: {}", vector.name);
            let mut method = vector.clone();
            method.method = "PUT".to_owned();
            assert!(method.outcome().is_some(), "{code}: {}", vector.name);
        }
    }
}

#[test]
fn odd_requests_are_refused_and_never_a_panic() {
    let odd = [
        "", "\"", "{", "[]", "null", "=", ",", ".", "..", "%", "a=%", "é", "\u{0}", "1",
    ];
    for code in CODES {
        let vector = genuine(code).remove(0);
        let verifier = verifier(vector.config());
        let long = "[{\"batch\":".repeat(50_000);
        for text in odd.iter().copied().chain([long.as_str()]) {
            for name in vector.headers.keys().filter(|name| *name != "Host") {
                let mut received = vector.received();
                let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) else {
                    continue;
                };
                received
                    .headers
                    .insert(name.parse::<HeaderName>().unwrap(), value);
                if !matches!(name.as_str(), "Content-Type") {
                    assert!(
                        reason(&verifier, received).is_some(),
                        "{code}: {name}: {text:.20}"
                    );
                }
            }
            let mut received = vector.received();
            received.body = text.to_owned().into();
            let same = text == vector.body;
            assert_eq!(
                reason(&verifier, received).is_none(),
                same,
                "{code}: {text:.20}"
            );
        }
        for end in 0..vector.body.len() {
            let mut received = vector.received();
            received.body = vector.body.as_bytes()[..end].to_vec().into();
            assert!(reason(&verifier, received).is_some(), "{code}: {end}");
        }
    }
}

#[test]
fn what_is_sent_as_these_providers_is_accepted() {
    let whsk = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
    let whpk = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    for (code, method, body, [signs_with, verifies_with]) in [
        ("plivo_v3", Method::GET, "", ["s"; 2]),
        ("plivo_v3", Method::POST, "b=1&a=+2", ["s"; 2]),
        ("hubspot_v3", Method::POST, BODY, ["s"; 2]),
        ("segment_batch", Method::POST, r#"[{"a": 1.0}]"#, ["s"; 2]),
        ("keygen", Method::POST, BODY, [whsk, whpk]),
    ] {
        let provider = scheme(code);
        let form = (
            "content-type".to_owned(),
            "application/x-www-form-urlencoded".to_owned(),
        );
        let mut request = Unsigned {
            method: method.clone(),
            url: "https://h.example.com/in?u=%3F".to_owned(),
            headers: vec![form],
            body: body.into(),
        };
        let secret = Secret::new("secret", signs_with);
        let values = BTreeMap::new();
        sign(&provider, None, &secret, &values, &mut request, NOW, "id").unwrap();
        let verifier = verifier(Config {
            public_url: Some("https://h.example.com".to_owned()),
            ..config(
                provider,
                &["other", verifies_with][usize::from(code == "keygen")..],
            )
        });
        let mut received = Received::from(request);
        received.method = method;
        let verified = verifier
            .verify(received, NOW)
            .unwrap_or_else(|r| panic!("{code}: {r:?}"));
        assert_eq!(verified.scheme().replace('-', "_"), code);
        assert!(verified.secret().is_some());
    }
}

#[test]
fn a_source_is_told_what_its_procedure_needs() {
    for (code, needs_url) in [
        ("plivo_v3", true),
        ("hubspot_v3", true),
        ("segment_batch", false),
    ] {
        let without_url = faults(config(scheme(code), &["s"]));
        assert_eq!(
            !without_url.is_empty(),
            needs_url,
            "{code}: {without_url:?}"
        );
    }
    let found = faults(config(scheme("keygen"), &["not a key"]));
    assert_eq!(found, ["secrets[0]: must be an Ed25519 public key in hex"]);
    for (overrides, expected) in [
        (
            json!({ "code": "sns" }),
            "scheme.key: does not fit the code",
        ),
        (
            json!({ "code": "plivo_v3", "key": "pem" }),
            "scheme.key: does not fit the code",
        ),
        (
            json!({ "code": "detached_jws", "key": "jwk" }),
            "scheme.signature: is missing",
        ),
        (
            json!({ "code": "plivo_v3", "signature": { "from": "header:X" } }),
            "scheme.signature: is known to the code",
        ),
        (
            json!({ "code": "detached_jws", "key": "jwk",
                    "signature": { "from": "header:X", "parse": "kv", "tag": "v1" } }),
            "scheme.signature.parse: a token stands alone",
        ),
        (json!({ "key": "pem" }), "scheme.code: is missing"),
    ] {
        let mut scheme = overrides.clone();
        scheme["kind"] = json!("code");
        let message = provider("hmac").with_scheme(&scheme).unwrap_err();
        assert!(message.starts_with(expected), "{overrides}: {message}");
    }
}

#[test]
fn the_tolerance_is_the_sources_then_the_providers() {
    let mut vector = genuine("hubspot_v3").remove(0);
    vector
        .headers
        .retain(|name, _| name.starts_with("X-HubSpot"));
    let outcome = |tolerance: Option<u64>, age: i64| {
        let verifier = verifier(Config {
            tolerance: tolerance.map(Duration::from_secs),
            ..vector.config()
        });
        let now = UnixMillis(NOW.0 + age * 1000);
        let rejection = verifier.verify(vector.received(), now).err();
        rejection.map(|rejection| rejection.reason)
    };
    assert_eq!(outcome(None, 300), None);
    assert_eq!(outcome(None, 301), Some(Reason::Stale));
    assert_eq!(outcome(Some(10), 11), Some(Reason::Stale));
    assert_eq!(outcome(Some(1000), 999), None);
}

#[test]
fn protection_says_what_is_covered() {
    for (code, expected) in [
        (
            "segment_batch",
            "segment-batch over the first event of a batch and not the others",
        ),
        (
            "hubspot_v3",
            "hubspot-v3 over timestamp, method, URL and body",
        ),
        ("sns", "sns over the message"),
    ] {
        let verifier = verifier(genuine(code).remove(0).config());
        let sentence = verifier.protection();
        assert!(sentence.starts_with(expected), "{sentence}");
    }
}
