//! What a forger can do to a genuine request: none of it is accepted, for any provider.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::providers::{Encoding, Kind, Scheme};

const ID: &str = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W";

impl Sender {
    fn scheme(&self) -> &Scheme {
        self.provider.pinned(self.variant).next().unwrap()
    }

    fn genuine(&self) -> Unsigned {
        self.request(self.sample(), NOW, ID)
    }

    /// Where the credential is in a genuine request: the text before it, and the text itself.
    fn credential(&self, request: &Unsigned) -> Option<(String, String)> {
        let rule = self.scheme().signature.as_ref()?;
        let text = match rule.from.0[0].place.header() {
            Some(name) => header(request, name.as_str()),
            None => request.url.clone(),
        };
        let (_, assign) = rule.parse.separators();
        let lead = match rule.tag.0.first() {
            Some(tag) => format!("{tag}{assign}"),
            None if text.starts_with('/') => "webhookKey=".to_owned(),
            None => rule.prefix.clone(),
        };
        let at = text.find(&lead).unwrap() + lead.len();
        Some((text[..at].to_owned(), text[at..].to_owned()))
    }

    /// The header that the credential is in; otherwise it is in the query.
    fn signed_header(&self) -> Option<&HeaderName> {
        self.scheme().signature.as_ref()?.from.0[0].place.header()
    }

    fn with_credential(&self, request: &Unsigned, text: &str) -> Unsigned {
        let (before, _) = self.credential(request).unwrap();
        let text = format!("{before}{text}");
        match self.signed_header() {
            Some(name) => with_header(request, name.as_str(), &text),
            None => Unsigned {
                url: text,
                ..request.clone()
            },
        }
    }
}

fn header(request: &Unsigned, wanted: &str) -> String {
    let found = request.headers.iter().find(|(name, _)| name == wanted);
    found.unwrap().1.clone()
}

fn with_header(request: &Unsigned, wanted: &str, value: &str) -> Unsigned {
    let mut request = request.clone();
    let found = request.headers.iter_mut().find(|(name, _)| name == wanted);
    found.unwrap().1 = value.to_owned();
    request
}

/// Every text that differs from `text` in one bit and can stand in a header.
fn bit_flips(text: &str) -> Vec<String> {
    let mut flips = Vec::new();
    for at in 0..text.len() {
        for bit in 0..8 {
            let mut bytes = text.as_bytes().to_vec();
            bytes[at] ^= 1 << bit;
            if bytes[at].is_ascii_graphic() {
                flips.push(String::from_utf8(bytes).unwrap());
            }
        }
    }
    flips
}

fn accepts(verifier: &Verifier, request: Unsigned) -> bool {
    verifier.verify(request.into(), NOW).is_ok()
}

/// The senders that prove something, each with its verifier and a request that it accepts.
fn provers() -> Vec<(Sender, Verifier, Unsigned)> {
    let provers = Sender::all()
        .into_iter()
        .filter(|s| s.scheme().kind != Kind::None);
    let provers: Vec<_> = provers
        .map(|sender| {
            let (verifier, request) = (sender.verifier(), sender.genuine());
            assert!(accepts(&verifier, request.clone()), "{}", sender.name());
            (sender, verifier, request)
        })
        .collect();
    assert!(provers.len() >= 10);
    provers
}

#[test]
fn no_bit_of_a_signature_can_be_flipped() {
    for (sender, verifier, request) in provers() {
        let (_, text) = sender.credential(&request).unwrap();
        if !sender.signs_body() {
            for flipped in bit_flips(&text).iter() {
                let forged = sender.with_credential(&request, flipped);
                assert!(!accepts(&verifier, forged), "{} {flipped}", sender.name());
            }
            continue;
        }
        let base64 = sender.scheme().signature.as_ref().unwrap().encoding == Encoding::Base64;
        let decoded = if base64 {
            STANDARD.decode(&text).unwrap()
        } else {
            hex::decode(&text).unwrap()
        };
        for at in 0..decoded.len() * 8 {
            let mut flipped = decoded.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            let spelled = if base64 {
                STANDARD.encode(&flipped)
            } else {
                hex::encode(&flipped)
            };
            let forged = sender.with_credential(&request, &spelled);
            assert!(!accepts(&verifier, forged), "{} bit {at}", sender.name());
        }
    }
}

#[test]
fn no_signature_can_be_cut_or_grown() {
    for (sender, verifier, request) in provers() {
        let (_, text) = sender.credential(&request).unwrap();
        let cut = (0..text.len()).flat_map(|at| [&text[..at], &text[text.len() - at..]]);
        let grown = [
            format!("{text}0"),
            format!("{text}="),
            format!("0{text}"),
            text.repeat(2),
        ];
        for forged in cut.chain(grown.iter().map(String::as_str)) {
            // The rest of a query token's value is another parameter.
            let request = sender.with_credential(&request, forged);
            assert!(!accepts(&verifier, request), "{} {forged}", sender.name());
        }
    }
}

#[test]
fn no_digit_of_a_signed_timestamp_can_be_changed() {
    let mut signed = 0;
    for (sender, verifier, request) in provers() {
        let Some(rule) = &sender.scheme().timestamp else {
            continue;
        };
        signed += 1;
        let stamp = NOW.seconds().to_string();
        let mut forged = bit_flips(&stamp);
        forged.extend([
            format!("0{stamp}"),
            format!("+{stamp}"),
            stamp[..9].to_owned(),
        ]);
        forged.push((NOW.seconds() + 1).to_string());
        for text in forged {
            let request = match rule.from.0[0].place.header() {
                Some(name) => with_header(&request, name.as_str(), &text),
                None => {
                    let value = header(&request, "stripe-signature");
                    with_header(&request, "stripe-signature", &value.replace(&stamp, &text))
                }
            };
            assert!(!accepts(&verifier, request), "{} {text}", sender.name());
        }
    }
    assert!(signed >= 5);
}

#[test]
fn no_bit_of_a_signed_body_can_be_flipped() {
    for (sender, verifier, request) in provers().iter().filter(|(s, ..)| s.signs_body()) {
        // Public-key checks are slow in debug builds: there one bit of each byte.
        let step = if sender.scheme().kind == Kind::Asym {
            7
        } else {
            1
        };
        for at in (0..request.body.len() * 8).step_by(step) {
            let mut body = request.body.to_vec();
            body[at / 8] ^= 1 << (at % 8);
            let body = body.into();
            let forged = Unsigned {
                body,
                ..request.clone()
            };
            assert!(!accepts(verifier, forged), "{} bit {at}", sender.name());
        }
        let shorter = request.body.slice(..request.body.len() - 1);
        let longer = [&request.body[..], b" "].concat().into();
        for body in [shorter, longer, Bytes::new()] {
            let forged = Unsigned {
                body,
                ..request.clone()
            };
            assert!(!accepts(verifier, forged), "{}", sender.name());
        }
    }
}

#[test]
fn a_signed_id_cannot_be_changed_or_shifted_over_its_delimiter() {
    let mut signed = 0;
    for (sender, verifier, request) in provers() {
        for name in ["svix-id", "webhook-id"] {
            if !request.headers.iter().any(|(known, _)| known == name) {
                continue;
            }
            signed += 1;
            for id in [&ID[1..], "", "other", &format!("{ID}.{}", NOW.seconds())] {
                let forged = with_header(&request, name, id);
                assert!(!accepts(&verifier, forged), "{} {id}", sender.name());
            }
        }
    }
    assert!(signed >= 4);
}

#[test]
fn an_id_or_timestamp_with_the_delimiter_in_it_is_refused_even_if_the_signature_holds() {
    let sender = Sender::new(&provider("svix"), None);
    let request = sender.request(sender.sample(), NOW, "a");
    let (id, stamp) = ("a", NOW.seconds().to_string());
    // The same signed bytes, cut elsewhere: id "a.1735689600", and the timestamp from the body.
    let body = [stamp.as_bytes(), b".", &request.body].concat();
    let mut honest = Unsigned {
        body: body.clone().into(),
        ..request.clone()
    };
    honest.headers.clear();
    let secret = Secret::new("secret", sender.signs_with);
    sign(
        &sender.provider,
        None,
        &secret,
        &sender.values,
        &mut honest,
        NOW,
        id,
    )
    .unwrap();
    let mut shifted = with_header(&honest, "svix-id", &format!("{id}.{stamp}"));
    shifted.body = request.body;
    let rejection = sender.verifier().verify(shifted.into(), NOW).err().unwrap();
    assert_eq!(rejection.reason, Reason::Malformed);
}

#[test]
fn another_secret_verifies_nothing() {
    let other = "whsec_b3RoZXItc2VjcmV0LW90aGVyLXNlY3JldC0wMTIzNDU=";
    for (sender, _, request) in provers() {
        let other = match sender.variant {
            Some("v1a") => "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
            _ => other,
        };
        let mut config = sender.config();
        config.secrets = vec![Secret::new("secret", other)];
        let rejection = verifier(config).verify(request.into(), NOW).err().unwrap();
        assert_eq!(rejection.reason, Reason::Mismatch, "{}", sender.name());
    }
}

#[test]
fn a_request_without_its_credential_is_refused() {
    for (sender, verifier, mut request) in provers() {
        request.headers.clear();
        request.url = "/webhooks/test".to_owned();
        let rejection = verifier.verify(request.into(), NOW).err().unwrap();
        assert_eq!(rejection.reason, Reason::NoHeader, "{}", sender.name());
    }
}

#[test]
fn stale_and_future_requests_are_refused_only_where_the_time_is_signed() {
    let six_minutes = Duration::from_secs(360);
    for (sender, verifier, request) in provers() {
        let later = verifier
            .verify(request.clone().into(), NOW.plus(six_minutes))
            .err();
        let earlier = verifier
            .verify(request.into(), NOW.minus(six_minutes))
            .err();
        let reasons = [later, earlier].map(|r| r.map(|rejection| rejection.reason));
        let expected = match sender.scheme().timestamp {
            Some(_) => [Some(Reason::Stale), Some(Reason::Future)],
            None => [None, None],
        };
        assert_eq!(reasons, expected, "{}", sender.name());
    }
}

#[test]
fn base64_is_strict_and_hex_takes_both_cases() {
    for (sender, verifier, request) in provers().iter().filter(|(s, ..)| s.signs_body()) {
        let (_, text) = sender.credential(request).unwrap();
        let encoding = sender.scheme().signature.as_ref().unwrap().encoding;
        let (variants, expected): (Vec<String>, bool) = match encoding {
            Encoding::Hex => (vec![text.to_uppercase()], true),
            Encoding::Base64 | Encoding::Base64url => {
                let bare = text.trim_end_matches('=');
                let (head, last) = bare.split_at(bare.len() - 1);
                // The same bytes in a lenient decoder: one of the unused bits is set.
                let loose = format!("{head}{}=", next_letter(last));
                let url_safe = text.replace('+', "-").replace('/', "_");
                let unpadded = bare.to_owned();
                let spaced = format!("{} {}", &text[..4], &text[4..]);
                let mut variants = vec![loose, unpadded, spaced];
                variants.extend(Some(url_safe).filter(|safe| *safe != text));
                (variants, false)
            }
        };
        for text in variants {
            let request = sender.with_credential(request, &text);
            assert_eq!(
                accepts(verifier, request),
                expected,
                "{} {text}",
                sender.name()
            );
        }
    }
}

fn next_letter(letter: &str) -> char {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    alphabet
        .chars()
        .nth(alphabet.find(letter).unwrap() + 1)
        .unwrap()
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn noise_is_refused_and_never_a_panic(
        credential in "[ -~]{0,80}|(v1|t|v1a|sha256)[=, ][ -~]{0,60}([, ](t|v1|v1a)[=,][ -~]{0,90}){0,3}",
        stamp in "[ -~]{0,20}|[0-9]{0,25}",
        query in "[!-~]{0,60}",
        body in proptest::collection::vec(proptest::num::u8::ANY, 0..80),
    ) {
        for (sender, verifier, request) in provers() {
            let mut request: Received = request.into();
            let names: Vec<_> = request.headers.keys().cloned().collect();
            for name in names {
                let text = if name.as_str().contains("timestamp") { &stamp } else { &credential };
                request.headers.insert(name, HeaderValue::from_str(text).unwrap());
            }
            request.target = format!("/hook?{query}").into();
            request.body = body.clone().into();
            proptest::prop_assert!(verifier.verify(request, NOW).is_err(), "{}", sender.name());
        }
    }
}

#[test]
fn two_different_credentials_of_one_name_are_malformed() {
    for (sender, verifier, mut request) in provers() {
        match sender.signed_header() {
            Some(name) => request.headers.push((name.to_string(), "other".to_owned())),
            None => request.url.push_str("&webhookKey=other"),
        }
        let rejection = verifier.verify(request.into(), NOW).err().unwrap();
        assert_eq!(rejection.reason, Reason::Malformed, "{}", sender.name());
    }
}
