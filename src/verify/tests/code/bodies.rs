//! What each procedure does not let through although a signature would hold.

use super::*;

fn changed(code: &str, name: &str, change: impl Fn(&mut Vector)) -> Option<&'static str> {
    let mut vectors = genuine(code);
    vectors.retain(|vector| vector.name == name);
    let mut vector = vectors.remove(0);
    change(&mut vector);
    vector.outcome()
}

#[test]
fn plivo_does_not_sign_bodies_other_than_forms() {
    let outcome = |change: fn(&mut Vector)| changed("plivo_v3", "post, nothing", change);
    assert_eq!(outcome(|_| {}), None);
    // A GET and a bare POST have the same content.
    assert_eq!(outcome(|vector| vector.method = "GET".to_owned()), None);
    let json = |vector: &mut Vector| BODY.clone_into(&mut vector.body);
    assert_eq!(outcome(json), Some("malformed"));
    let in_get = |vector: &mut Vector| {
        vector.method = "GET".to_owned();
        BODY.clone_into(&mut vector.body);
    };
    assert_eq!(outcome(in_get), Some("malformed"));
    assert_eq!(
        outcome(|vector| vector.method = "PUT".to_owned()),
        Some("malformed")
    );
    let form = |vector: &mut Vector| {
        let kind = "application/x-www-form-urlencoded".to_owned();
        vector.headers.insert("Content-Type".to_owned(), kind);
        "A=1".clone_into(&mut vector.body);
    };
    assert_eq!(outcome(form), Some("mismatch"));
}

#[test]
fn plivos_parameters_count_whatever_their_order() {
    let reordered = |vector: &mut Vector| {
        vector.url = vector.url.replace("z=1&y=", "y=&z=1");
        vector.body = "A=1&C=&B=1&B=2".to_owned();
    };
    assert_eq!(changed("plivo_v3", "post, query and form", reordered), None);
    let moved = |vector: &mut Vector| {
        vector.url = vector.url.replace("z=1&", "");
        vector.body.push_str("&z=1");
    };
    let outcome = changed("plivo_v3", "post, query and form", moved);
    assert_eq!(outcome, Some("mismatch"));
}

#[test]
fn a_flood_of_plivos_signatures_is_refused() {
    let flood = |vector: &mut Vector| {
        let list = vector.header("X-Plivo-Signature-V3");
        *list = vec![list.clone(); 17].join(",");
    };
    let outcome = changed("plivo_v3", "post, form only", flood);
    assert_eq!(outcome, Some("malformed"));
}

#[test]
fn segment_signs_the_first_event_and_nothing_else() {
    let outcome = |body: &str| {
        let change = |vector: &mut Vector| body.clone_into(&mut vector.body);
        changed("segment_batch", "compact", change)
    };
    let first = r#"{"messageId":"m1","type":"track"}"#;
    assert_eq!(outcome(&format!(r#"{{"batch":[{first}]}}"#)), None);
    assert_eq!(outcome(&format!(r#"{{"batch":[ {first} , 7]}}"#)), None);
    assert_eq!(outcome(&format!("[{first},{{}}]")), None);
    for (body, expected) in [
        (format!("[{{}},{first}]"), "mismatch"),
        (
            r#"[{"type":"track","messageId":"m1"}]"#.to_owned(),
            "mismatch",
        ),
        (
            r#"[{"messageId":"m1","messageId":"m1","type":"track"}]"#.to_owned(),
            "malformed",
        ),
        (format!("[{first}][{first}]"), "malformed"),
        (first.to_owned(), "malformed"),
        ("[]".to_owned(), "malformed"),
        (format!("[{{}},{first}]"), "mismatch"),
    ] {
        assert_eq!(outcome(&body), Some(expected), "{body}");
    }
}

#[test]
fn keygen_has_to_sign_exactly_its_four_parts() {
    for (from, to, expected) in [
        (
            "(request-target) host date digest",
            "date digest",
            "malformed",
        ),
        ("host date digest", "host date", "malformed"),
        (
            "(request-target) host",
            "host (request-target)",
            "malformed",
        ),
        ("algorithm=\"ed25519\"", "algorithm=\"hmac\"", "malformed"),
        ("algorithm=\"ed25519\", ", "", "malformed"),
        ("algorithm", "algorithm=\"ed25519\", algorithm", "malformed"),
        ("signature=\"", "signature=\"A", "malformed"),
    ] {
        let change = |vector: &mut Vector| {
            let header = vector.header("Keygen-Signature");
            *header = header.replacen(from, to, 1);
        };
        assert_eq!(changed("keygen", "plain", change), Some(expected), "{to}");
    }
}

#[test]
fn keygens_digest_has_to_be_that_of_the_body() {
    let body = |vector: &mut Vector| vector.body.push(' ');
    assert_eq!(changed("keygen", "plain", body), Some("mismatch"));
    let both = |vector: &mut Vector| {
        vector.body = "{}".to_owned();
        // SHA-256 of `{}`.
        let digest = "sha-256=RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=";
        digest.clone_into(vector.header("Digest"));
    };
    assert_eq!(changed("keygen", "plain", both), Some("mismatch"));
}

#[test]
fn a_detached_signature_carries_no_payload_and_demands_nothing_else() {
    let odd = |change: &dyn Fn(&str) -> String| {
        changed("detached_jws", "with a key name", |vector| {
            let value = vector.header("X-Jws");
            *value = change(value);
        })
    };
    let with_header = |header: &str| {
        let header = header.to_owned();
        odd(&move |value| {
            let rest = value.split_once('.').unwrap().1;
            let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
            format!("{}.{rest}", base64::Engine::encode(&engine, &header))
        })
    };
    assert_eq!(
        odd(&|value| value.replace("..", ".e30.")),
        Some("malformed")
    );
    assert_eq!(odd(&|value| value.replace("..", ".")), Some("malformed"));
    assert_eq!(odd(&|value| format!("{value}.")), Some("malformed"));
    // Sound, but not what was signed.
    let sound = r#"{"alg":"RS256","b64":false,"crit":["b64"] }"#;
    assert_eq!(with_header(sound), Some("mismatch"));
    for header in [
        r#"{"alg":"RS256","b64":false}"#,
        r#"{"alg":"RS256","crit":["b64"]}"#,
        r#"{"alg":"RS256","b64":true,"crit":["b64"]}"#,
        r#"{"alg":"RS256","b64":false,"crit":["b64","exp"]}"#,
        r#"{"alg":"RS256","b64":false,"b64":false,"crit":["b64"]}"#,
        r#"{"alg":"HS256","b64":false,"crit":["b64"]}"#,
        r#"{"alg":"none","b64":false,"crit":["b64"]}"#,
        "[]",
    ] {
        assert_eq!(with_header(header), Some("malformed"), "{header}");
    }
}

#[test]
fn hubspots_signature_and_time_have_one_form() {
    for (name, value, expected) in [
        ("X-HubSpot-Signature-v3", "AAAA", "malformed"),
        ("X-HubSpot-Signature-v3", "not base64", "malformed"),
        ("X-HubSpot-Request-Timestamp", "", "malformed"),
        ("X-HubSpot-Request-Timestamp", "-1", "malformed"),
        (
            "X-HubSpot-Request-Timestamp",
            "99999999999999999999",
            "malformed",
        ),
        ("X-HubSpot-Request-Timestamp", "1735689600001", "mismatch"),
    ] {
        let change = |vector: &mut Vector| value.clone_into(vector.header(name));
        assert_eq!(
            changed("hubspot_v3", "plain", change),
            Some(expected),
            "{value}"
        );
    }
}
