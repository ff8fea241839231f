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
