//! What the signer makes is what the verifier accepts, for every kind, place and algorithm.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;

const URL: &str = "https://hooks.example.com/in?x=1";
const FORM: &str = "application/x-www-form-urlencoded";

/// A scheme, both sides' secrets, and the request to sign.
struct Case {
    provider: Arc<Provider>,
    signs_with: String,
    verifies_with: String,
    request: Unsigned,
}

impl Case {
    fn new(scheme: &Value, content_type: &str, body: &str) -> Self {
        let hmac = provider("hmac");
        let provider = Arc::new(Provider {
            schemes: vec![serde_json::from_value(scheme.clone()).unwrap()],
            ..(*hmac).clone()
        });
        let [signs_with, verifies_with] = match test_key(&provider, None) {
            Ok(key) => [key.private.to_string(), key.public],
            Err(_) => ["user:s3cret", "user:s3cret"].map(str::to_owned),
        };
        Self {
            provider,
            signs_with,
            verifies_with,
            request: Unsigned {
                method: Method::POST,
                url: URL.to_owned(),
                headers: vec![("content-type".to_owned(), content_type.to_owned())],
                body: body.to_owned().into(),
            },
        }
    }

    fn json(scheme: &Value) -> Self {
        Self::new(scheme, "application/json", r#"{"id":"evt_1", "sig": null}"#)
    }

    fn sign(&self) -> Result<Unsigned, String> {
        let mut request = self.request.clone();
        let secret = Secret::new("secret", self.signs_with.as_bytes());
        let values = values();
        sign(
            &self.provider,
            None,
            &secret,
            &values,
            &mut request,
            NOW,
            "msg_1",
        )
        .map(|()| request)
    }

    /// Signs, and gives the request to the verifier.
    fn round_trip(&self) -> Unsigned {
        let scheme = serde_json::to_string(&self.provider.schemes).unwrap();
        let signed = self
            .sign()
            .unwrap_or_else(|error| panic!("{error}: {scheme}"));
        let outcome = self.verifier().verify(signed.clone().into(), NOW);
        outcome.unwrap_or_else(|rejection| panic!("{rejection:?}: {scheme}"));
        signed
    }

    fn verifier(&self) -> Verifier {
        verifier(Config {
            values: values(),
            public_url: Some("https://hooks.example.com".to_owned()),
            ..config(Arc::clone(&self.provider), &[&self.verifies_with])
        })
    }
}

fn values() -> Values {
    let values = [
        ("name", "value"),
        ("header", "X-Named"),
        ("parameter", "named"),
    ];
    values
        .map(|(name, value)| (name.to_owned(), value.into()))
        .into()
}

fn mac(signature: &Value, content: &str, timestamp: &Value) -> Value {
    let mut scheme = json!({ "kind": "mac", "algorithm": "hmac-sha256", "signature": signature,
                             "content": content });
    if !timestamp.is_null() {
        scheme["timestamp"] = timestamp.clone();
    }
    scheme
}

#[test]
fn a_signature_goes_to_every_place_that_a_scheme_can_name() {
    for from in [
        "header:X-Signature",
        "headers:X-Signature-",
        "header:{config:header}",
        "query:sig",
        "query:x",
        "query:{config:parameter}",
        "json:/sig",
        "json:/new",
    ] {
        let case = Case::json(&mac(&json!({ "from": from }), "{json:/id}", &Value::Null));
        case.round_trip();
    }
    let scheme = mac(&json!({ "from": "form:sig" }), "{form:id}", &Value::Null);
    for body in ["id=a%20b&sig=old&z=1", "id=1", "sig=&id=1&sig=2"] {
        let signed = Case::new(&scheme, FORM, body).round_trip();
        let body = String::from_utf8(signed.body.to_vec()).unwrap();
        assert_eq!(body.matches("sig=").count(), 1, "{body}");
    }
    let scheme = mac(&json!({ "from": "form:sig" }), "{url}", &Value::Null);
    let fault = Case::new(&scheme, "application/json", "{}").sign().err();
    assert!(fault.unwrap().contains("must be a form"));
}

#[test]
fn a_separator_is_written_with_its_space_and_read_without_it_too() {
    let signature = json!({
        "from": "header:X-Signature", "parse": "kv", "tag": "v1", "separator": ", ",
    });
    let timestamp = json!({ "from": "sig:t", "unit": "s" });
    let case = Case::json(&mac(&signature, "{timestamp}.{body}", &timestamp));
    let signed = case.round_trip();
    assert!(
        signed
            .headers
            .iter()
            .any(|(_, value)| value.contains(", v1="))
    );
    for spelled in [",", " , "] {
        let mut other = signed.clone();
        for (_, value) in &mut other.headers {
            *value = value.replace(", ", spelled);
        }
        assert!(
            case.verifier().verify(other.into(), NOW).is_ok(),
            "{spelled}"
        );
    }
}

#[test]
fn a_token_goes_to_every_place_too() {
    for (kind, from) in [
        ("token", "json:/sig"),
        ("token", "header:{config:header}"),
        ("token", "query:x"),
        ("basic", "header:Authorization"),
    ] {
        Case::json(&json!({ "kind": kind, "signature": { "from": from } })).round_trip();
    }
    let case = Case::json(&json!({ "kind": "token", "signature": { "from": "path:token" } }));
    assert_eq!(
        case.sign().unwrap().url,
        "https://hooks.example.com/in/user:s3cret?x=1"
    );
}

#[test]
fn a_timestamp_is_written_in_its_place_and_unit() {
    let raw = json!({ "from": "header:X-Signature" });
    let kv = json!({ "from": "header:X-Signature", "parse": "kv", "tag": "v1" });
    let groups = json!({ "from": "header:X-Signature", "parse": "kv", "tag": "v1", "groups": " " });
    for unit in ["s", "ms", "rfc3339", "iso_utc"] {
        for (signature, content, from) in [
            (&raw, "{timestamp}.{body}", "header:X-Time"),
            (&raw, "v1|{header:X-Time}|{body}", "header:X-Time"),
            (&raw, "{timestamp}\n{body}", "query:at"),
            (&raw, "{body}", "json:/id"),
            (&raw, "{body}", "json:/at"),
            (&kv, "{timestamp}.{body}", "sig:t"),
            (&groups, "{timestamp}.{body}", "sig:t"),
        ] {
            let timestamp = json!({ "from": from, "unit": unit });
            Case::json(&mac(signature, content, &timestamp)).round_trip();
        }
        let timestamp = json!({ "from": "form:at", "unit": unit });
        let scheme = mac(&raw, "{body}", &timestamp);
        Case::new(&scheme, FORM, "at=0&id=1").round_trip();
    }
    let scheme = mac(&raw, "{body}", &json!({ "from": "json:/at", "unit": "ms" }));
    for (body, expected) in [
        (r#"{"at": 1}"#, r#"{"at": 1735689600000}"#),
        (r#"{"at": "1"}"#, r#"{"at": "1735689600000"}"#),
    ] {
        let signed = Case::new(&scheme, "application/json", body).round_trip();
        assert_eq!(signed.body, expected);
    }
}

#[test]
fn signed_values_beside_the_body_are_filled_in() {
    let raw = json!({ "from": "header:X-Signature" });
    let kv = json!({ "from": "header:X-Signature", "parse": "kv", "tag": "v1" });
    for (signature, content) in [
        (&raw, "{header:X-Id}.{query:id}.{body}"),
        (
            &raw,
            "[id:{query:data.id};][request-id:{header:x-request-id};]{body}",
        ),
        (
            &raw,
            "{header:x-signed}\n{signed_header_pairs:header:x-signed}\n{body}",
        ),
        (&kv, "{sig:h}.{signed_header_values:sig:h,.}.{body}"),
        (&kv, "{sig:nonce}.{body}"),
        (&raw, "{body_crc32_dec}|{config:name}|{url}"),
    ] {
        Case::json(&mac(signature, content, &Value::Null)).round_trip();
    }
    let optional = mac(&raw, "[{header:x-request-id};]{body}", &Value::Null);
    let signed = Case::json(&optional).round_trip();
    assert!(
        !signed
            .headers
            .iter()
            .any(|(name, _)| name == "x-request-id")
    );
}

#[test]
fn what_a_scheme_checks_is_put_in_before_it_is_signed() {
    let mut scheme = mac(
        &json!({ "from": "header:X-Signature" }),
        "{url}{sorted_form}",
        &Value::Null,
    );
    scheme["check"] = json!([
        { "from": "header:X-Version", "equals": "1" },
        { "from": "header:X-Owner?", "equals_value": "config:name" },
        { "from": "header:X-Url", "equals_value": "url_sha256" },
        { "from": "query:bodySHA256", "equals_value": "body_sha256", "without_body": true },
    ]);
    let signed = Case::json(&scheme).round_trip();
    assert!(signed.url.contains("&bodySHA256="), "{}", signed.url);
    let form = Case::new(&scheme, FORM, "a=1").round_trip();
    assert_eq!(form.url, URL);
}

#[test]
fn every_element_is_signed_for_itself_and_nothing_else_changes() {
    // The example of Adyen's documentation, with the key and the signature that it gives.
    let scheme = json!({
        "kind": "each", "items": "/notificationItems",
        "inner": {
            "kind": "mac", "algorithm": "hmac-sha256", "key": "hex",
            "signature": { "from": "item:/NotificationRequestItem/additionalData/hmacSignature",
                           "encoding": "base64" },
            "content": "{item:/NotificationRequestItem/pspReference}:\
                        {item:/NotificationRequestItem/originalReference?}:\
                        {item:/NotificationRequestItem/merchantAccountCode}:\
                        {item:/NotificationRequestItem/merchantReference?}:\
                        {item:/NotificationRequestItem/amount/value?}:\
                        {item:/NotificationRequestItem/amount/currency?}:\
                        {item:/NotificationRequestItem/eventCode}:\
                        {item:/NotificationRequestItem/success}",
        },
    });
    let item = |reference: &str, signature: &str| {
        format!(
            r#"{{"NotificationRequestItem": {{"pspReference":"{reference}","merchantAccountCode":"TestMerchant","merchantReference":"TestPayment-1407325143704","amount":{{"value":1130,"currency":"EUR"}},"eventCode":"AUTHORISATION","success":"true","additionalData":{{{signature}}}}}}}"#
        )
    };
    let [one, two] = ["7914073381342284", "8814073381342284"].map(|reference| item(reference, ""));
    let body = format!("{{ \"live\":1.0, \"notificationItems\":[{one} , {two}] }}");
    let mut case = Case::new(&scheme, "application/json", &body);
    let key = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";
    case.signs_with = key.to_owned();
    case.verifies_with = key.to_owned();
    let signed = case.round_trip();
    let signed = String::from_utf8(signed.body.to_vec()).unwrap();
    let first = item(
        "7914073381342284",
        r#""hmacSignature":"coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0=""#,
    );
    assert!(signed.starts_with(&format!(
        "{{ \"live\":1.0, \"notificationItems\":[{first} , {{"
    )));
    case.request.body = r#"{"notificationItems":[]}"#.into();
    assert!(case.sign().err().unwrap().contains("no array of elements"));

    let token = json!({ "kind": "each", "items": "",
                        "inner": { "kind": "token", "signature": { "from": "item:/state" } } });
    Case::new(&token, "application/json", r#"[{"state":"?"},{}]"#).round_trip();
}

#[test]
fn a_published_signature_comes_out() {
    // Twilio's documentation gives URL, fields, token and signature.
    let scheme = json!({
        "kind": "mac", "algorithm": "hmac-sha1", "content": "{url}{sorted_form}",
        "signature": { "from": "header:X-Twilio-Signature", "encoding": "base64" },
    });
    let body = "CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309\
                &To=%2B18005551212";
    let mut case = Case::new(&scheme, FORM, body);
    case.request.url = "https://mycompany.com/myapp.php?foo=1&bar=2".to_owned();
    case.signs_with = "12345".to_owned();
    let signed = case.sign().unwrap();
    let (_, signature) = signed.headers.last().unwrap();
    assert_eq!(signature, "RSOYDt4T1cUTdK1PDd93/VVr8B8=");
}

#[test]
fn test_keys_sign_for_every_public_key_scheme() {
    let p256 = ["pem", "spki_base64", "jwk"];
    for (algorithm, forms) in [
        (
            "ed25519",
            &["ed25519_hex", "ed25519_base64", "pem", "spki_base64", "jwk"][..],
        ),
        ("ecdsa-p256-sha256", &p256),
        ("rsa-pkcs1-sha256", &p256),
        ("rsa-pkcs1-sha1", &["pem"]),
    ] {
        for form in forms {
            let scheme = json!({
                "kind": "asym", "algorithm": algorithm, "key": form,
                "signature": { "from": "header:X-Signature", "encoding": "base64" },
                "content": "{timestamp}.{body}", "timestamp": { "from": "header:X-Time" },
            });
            let case = Case::json(&scheme);
            case.round_trip();
            let other = Case::json(&scheme);
            let forged = Case {
                signs_with: other.signs_with,
                ..case
            };
            let rejection = reason(&forged.verifier(), forged.sign().unwrap());
            assert_eq!(rejection, Some(Reason::Mismatch), "{algorithm} {form}");
        }
    }
    let fault = test_key(&provider("stripe"), None).err().unwrap();
    assert!(
        fault.contains("does not sign with a private key"),
        "{fault}"
    );
}

#[test]
fn a_private_key_that_does_not_fit_is_said_so() {
    let scheme = |algorithm: &str| {
        json!({ "kind": "asym", "algorithm": algorithm, "key": "pem",
                "signature": { "from": "header:X-Signature" }, "content": "{body}" })
    };
    let mut case = Case::json(&scheme("ecdsa-p256-sha256"));
    case.signs_with = include_str!("../../../tests/keys/rsa.pem").to_owned();
    assert!(case.sign().err().unwrap().contains("of another kind"));
    case.signs_with = "s3cret".to_owned();
    let fault = case.sign().err().unwrap();
    assert!(
        fault.contains("must be whsk_") && !fault.contains("s3cret"),
        "{fault}"
    );
}

/// What the token in the request says.
fn claims(request: &Unsigned) -> Value {
    let mut headers = request.headers.iter();
    let (_, token) = headers.find(|(name, _)| name == "authorization").unwrap();
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[test]
fn tokens_carry_the_claims_that_a_scheme_checks() {
    for (algorithms, key) in [
        (json!(["HS256"]), "utf8"),
        (json!(["HS512", "HS256"]), "utf8"),
        (json!(["ES256"]), "jwk"),
        (json!(["RS256"]), "pem"),
        (json!(["RS384", "RS512"]), "jwk"),
    ] {
        let scheme = json!({
            "kind": "jwt", "algorithms": algorithms, "key": key, "max_age_seconds": 60,
            "signature": { "from": "header:Authorization", "prefix": "Bearer " },
            "check": [
                { "from": "jwt:iss", "equals": "sender" },
                { "from": "jwt:verified", "equals": "true" },
                { "from": "jwt:aud", "equals_value": "config:name" },
                { "from": "jwt:request_body_sha256", "equals_value": "body_sha256_base64" },
                { "from": "jwt:sha256", "equals_value": "body_sha256" },
                { "from": "jwt:url", "equals_value": "url_sha256" },
            ],
        });
        let case = Case::json(&scheme);
        let mut forged = case.round_trip();
        let claims = claims(&forged);
        assert_eq!(claims["nbf"], claims["iat"]);
        assert_eq!(
            [&claims["iss"], &claims["verified"]],
            [&json!("sender"), &json!(true)]
        );
        forged.body = "{}".into();
        assert_eq!(reason(&case.verifier(), forged), Some(Reason::Check));
        let late = case.sign().unwrap();
        let later = NOW.plus(Duration::from_secs(400));
        let rejection = case.verifier().verify(late.into(), later).err().unwrap();
        assert_eq!(rejection.reason, Reason::Stale);
    }
}

#[test]
fn the_token_can_be_the_whole_body() {
    let scheme = json!({ "kind": "jwt", "algorithms": ["RS256"], "key": "jwk",
                         "signature": { "from": "body" } });
    let mut case = Case::new(
        &scheme,
        "application/jwt",
        r#"{"event_id":"e_1","type":"t"}"#,
    );
    let mut event = case.provider.event.clone();
    event.id = serde_json::from_value(json!("jwt:event_id")).unwrap();
    case.provider = Arc::new(Provider {
        event,
        ..(*case.provider).clone()
    });
    let signed = case.round_trip();
    assert!(signed.body.starts_with(b"eyJ"));
    let verified = case.verifier().verify(signed.clone().into(), NOW).unwrap();
    let event = verified.into_event(EventId::new(NOW));
    assert_eq!(event.provider_event_id.as_deref(), Some("e_1"));
    // A token is signed anew.
    case.request.body = signed.body;
    case.round_trip();
}

#[test]
fn values_that_are_missing_are_named() {
    let raw = json!({ "from": "header:{config:other_header}" });
    let fault = Case::json(&mac(&raw, "{config:other}{body}", &Value::Null))
        .sign()
        .err();
    assert_eq!(
        fault.unwrap(),
        "the scheme needs values that are not given: --value other=... --value other_header=..."
    );
    let mut case = Case::json(&mac(
        &json!({ "from": "header:x-s" }),
        "{url}{body}",
        &Value::Null,
    ));
    case.request.url = "/in".to_owned();
    assert!(case.sign().err().unwrap().contains("signs the URL"));
}
