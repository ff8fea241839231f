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
