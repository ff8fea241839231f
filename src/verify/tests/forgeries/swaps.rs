//! Genuine requests where they do not belong, without their credential, or with two of them.

use super::*;
use crate::providers::KeyForm;

#[test]
pub(super) fn no_sender_is_taken_for_another() {
    let mut tally = Tally::default();
    for prover in provers() {
        for other in provers() {
            if other.sender.source == prover.sender.source {
                continue;
            }
            tally.count(other, prover.request.clone(), &prover.sender.source);
        }
    }
    let count = provers().len();
    tally.assert_none(count * (count - 1));
}

/// Secrets that are nearly this one: cut, grown, in another case, or what stands for none.
fn nearly(secret: &str) -> Vec<String> {
    let cuts = (1..secret.len()).filter(|at| secret.is_char_boundary(*at));
    let cuts = cuts.flat_map(|at| [secret[..at].to_owned(), secret[at..].to_owned()]);
    let grown = [" ", "\n", "\0", "=", "0"].into_iter();
    let grown = grown.flat_map(|more| [format!("{secret}{more}"), format!("{more}{secret}")]);
    let others = [
        secret.to_uppercase(),
        secret.chars().rev().collect(),
        secret.repeat(2),
        "secret".to_owned(),
        "null".to_owned(),
        "undefined".to_owned(),
    ];
    cuts.chain(grown)
        .chain(others)
        .filter(|other| other != secret)
        .collect()
}

#[test]
pub(super) fn nearly_the_secret_is_another_one() {
    let mut tally = Tally::default();
    for prover in provers() {
        let sender = &prover.sender;
        // Another spelling of a key that is decoded may well be the same key.
        let (scheme, text) = (sender.scheme(), &sender.signing);
        let signs = matches!(scheme.kind, Kind::Mac | Kind::Hash | Kind::Jwt);
        let as_it_is = scheme.key.unwrap_or_default() == KeyForm::Utf8;
        if !signs || !as_it_is || *text != sender.verifying {
            continue;
        }
        for other in nearly(text) {
            // A null byte at the end of a key is padding to HMAC (RFC 2104), and so no other key.
            if other.trim_end_matches('\0') == text {
                continue;
            }
            let mut forger = sender.clone();
            forger.signing.clone_from(&other);
            let forged = forger.request(sender.sample(), NOW, ID);
            tally.count(prover, forged, format_args!("{other:?}"));
        }
    }
    tally.assert_none(5_000);
}

#[test]
fn another_secret_verifies_nothing() {
    for prover in provers() {
        let others = Sender::each(&prover.sender.provider, 1).into_iter();
        let mut others = others.filter(|other| other.source == prover.sender.source);
        let other = others.next().unwrap();
        assert_ne!(other.verifying, prover.sender.verifying);
        let rejection = reason(&other.verifier(), prover.request.clone());
        assert_eq!(rejection, Some(Reason::Mismatch), "{}", other.source);
    }
}

#[test]
fn a_request_without_its_credential_is_refused() {
    for prover in provers() {
        let mut request = prover.request.clone();
        let place = &prover.credential.place;
        request.headers.retain(|(name, _)| name == "content-type");
        request.url = format!("{PUBLIC_URL}/webhooks/test");
        if place.is_in_body() {
            request.body = if request.body.starts_with(b"{") {
                "{}"
            } else {
                ""
            }
            .into();
        }
        let reason = prover.reason(request);
        // In bodies that are taken apart, the parts are missed first.
        let in_parts = matches!(place, Place::Json(steps) if steps.len() > 2);
        let expected = match in_parts || *place == Place::Body {
            true => Reason::Malformed,
            false => Reason::NoHeader,
        };
        assert_eq!(reason, Some(expected), "{}", prover.sender.source);
    }
}

/// The request with another credential beside its own: in front of it, and behind.
fn doubled(prover: &Prover) -> Option<[Unsigned; 2]> {
    let request = &prover.request;
    let with_url = |url: String| Unsigned {
        url,
        ..request.clone()
    };
    let with_body = |body: String| Unsigned {
        body: body.into(),
        ..request.clone()
    };
    let body = std::str::from_utf8(&request.body).unwrap();
    let place = &prover.credential.place;
    Some(if let Place::Header(name) = place {
        [true, false].map(|first| {
            let mut headers = request.headers.clone();
            let at = if first { 0 } else { headers.len() };
            headers.insert(at, (name.to_string(), "other".to_owned()));
            Unsigned {
                headers,
                ..request.clone()
            }
        })
    } else if let Place::Query(name) = place {
        [
            with_url(request.url.replacen('?', &format!("?{name}=other&"), 1)),
            with_url(format!("{}&{name}=other", request.url)),
        ]
    } else if let Place::Form(name) = place {
        [
            with_body(format!("{name}=other&{body}")),
            with_body(format!("{body}&{name}=other")),
        ]
    } else if let Place::Json(steps) = place {
        let name = format!("\"{}\":", steps.last().unwrap());
        let other = format!("{name}\"other\"");
        let whole = format!("{name}\"{}\"", prover.credential.text);
        [
            with_body(body.replacen(&whole, &format!("{other},{whole}"), 1)),
            with_body(body.replacen(&whole, &format!("{whole},{other}"), 1)),
        ]
    } else {
        assert_eq!(*place, Place::Body);
        return None;
    })
}

#[test]
pub(super) fn two_different_credentials_of_one_name_are_refused() {
    let mut tally = Tally::default();
    // DocuSign numbers its headers, one for each key: any of them may be the right one.
    let single = |prover: &&Prover| prover.sender.source != "docusign";
    for prover in provers().iter().filter(single) {
        for request in doubled(prover).into_iter().flatten() {
            assert!(
                request.url != prover.request.url
                    || request.body != prover.request.body
                    || request.headers != prover.request.headers
            );
            tally.count(prover, request, "two credentials");
        }
    }
    tally.assert_none(2 * (provers().len() - 2));
}
