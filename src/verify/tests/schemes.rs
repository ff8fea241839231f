//! The scheme language at work: kinds, algorithms, encodings, places and structures.

use serde_json::json;

use super::*;

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
        json!({ "content": "{url}{sorted_form}{body}" }),
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
            values: [("name".to_owned(), "value".into())].into(),
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
    assert_eq!(outcome("application/json", form), Some(Reason::Malformed));
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
        request.body = r#"{"at":0}"#.into();
        let secret = Secret::new("secret", "s");
        let (values, at) = (BTreeMap::new(), UnixMillis(at));
        sign(&provider, None, &secret, &values, &mut request, at, "x").unwrap();
        assert_eq!(reason(&verifier, request), expected);
    }
    let without = signed(&own_scheme(&json!({})), "s", "/", &[]);
    assert_eq!(reason(&verifier, without), Some(Reason::NoHeader));
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
fn a_check_without_a_text_asks_only_that_the_value_is_there() {
    let provider = own_scheme(&serde_json::json!({ "check": [{ "from": "header:X-Kind" }] }));
    let verifier = verifier(config(Arc::clone(&provider), &["s"]));
    let request = |headers| signed(&provider, "s", "/", headers);
    assert_eq!(reason(&verifier, request(&[("x-kind", "any")])), None);
    let mut without = request(&[("x-kind", "any")]);
    without.headers.retain(|(name, _)| name != "x-kind");
    assert_eq!(reason(&verifier, without), Some(Reason::NoHeader));
}

/// A text of several characters between two values can overlap itself: `x-` and `b` around `--`
/// made the same content as `x` and `-b`, so that whoever had a request of the first kind could
/// send the second under its signature.
#[test]
fn the_border_between_two_signed_values_cannot_be_moved() {
    let template = "{header:x-a}--{header:x-b}".parse().unwrap();
    let content = |a: &str, b: &str| {
        let received = received("/", &[("x-a", a), ("x-b", b)], "");
        let values = BTreeMap::new();
        let view = View::of(&received, &values, "");
        let filled = content::fill(&template, &view, None, None);
        filled.map(|content| key::joined(&content)).ok()
    };
    assert_eq!(content("x", "b").as_deref(), Some(&b"x--b"[..]));
    assert_eq!(content("x-y", "b-").as_deref(), Some(&b"x-y--b-"[..]));
    for (a, b) in [("x-", "b"), ("x", "-b"), ("x--y", "b")] {
        assert_eq!(content(a, b), None, "{a} {b}");
    }
}
