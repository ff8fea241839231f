//! Bodies and addresses with bits changed, where the signature covers them.

use super::*;
use crate::providers::{Piece, Template};

/// What a proof covers of the body.
enum Cover {
    Nothing,
    /// Every byte.
    Bytes,
    /// The fields of a form, whatever their order and spelling.
    Form,
    /// Some fields of a form.
    Fields(Vec<String>),
    /// Values at these pointers.
    Values(Vec<String>),
}

fn cover(scheme: &Scheme) -> Cover {
    let by_check = scheme
        .checks
        .iter()
        .filter_map(|check| check.equals_value.as_ref());
    let by_check = by_check
        .clone()
        .any(|value| value.as_str().starts_with("body_sha256"));
    let values = |pointers: &[&str]| Cover::Values(pointers.iter().map(|&p| p.into()).collect());
    match (scheme.kind, scheme.code) {
        (Kind::Each, _) => of_elements(scheme),
        (Kind::Jwt, _) if by_check => Cover::Bytes,
        (_, Some(Procedure::Sns)) => values(&[
            "/Message",
            "/MessageId",
            "/Subject",
            "/Timestamp",
            "/TopicArn",
            "/Type",
        ]),
        (_, Some(Procedure::SegmentBatch)) => values(&["/0"]),
        (_, Some(Procedure::PlivoV3)) => Cover::Form,
        (_, Some(_)) => Cover::Bytes,
        (Kind::Mac | Kind::Hash | Kind::Asym, None) => of_content(scheme, by_check),
        _ => Cover::Nothing,
    }
}

fn of_content(scheme: &Scheme, by_check: bool) -> Cover {
    let content = &scheme.content.as_ref().unwrap().0[0];
    let pieces = || content.parts().iter().map(|part| &part.piece);
    let mut fields = Vec::new();
    let mut pointers = Vec::new();
    for piece in pieces() {
        if let Piece::Value(Place::Form(name)) = piece {
            fields.push(name.to_string());
        } else if let Piece::Value(Place::Json(steps)) = piece {
            pointers.push(format!("/{}", steps.join("/")));
        }
    }
    if content.covers(&Piece::SortedForm) {
        Cover::Form
    } else if content.covers_body() || content.covers(&Piece::BodyCrc32Dec) || by_check {
        Cover::Bytes
    } else if !fields.is_empty() {
        Cover::Fields(fields)
    } else if !pointers.is_empty() {
        Cover::Values(pointers)
    } else {
        Cover::Nothing
    }
}

/// The signed values of the first element.
fn of_elements(scheme: &Scheme) -> Cover {
    let inner = scheme.inner.as_ref().unwrap();
    let items = scheme.items.as_deref().unwrap();
    let content = inner.content.iter().flat_map(|content| &content.0);
    let pointers: Vec<_> = content
        .flat_map(Template::parts)
        .filter_map(|part| {
            if let Piece::Value(Place::Item(steps)) = &part.piece {
                return Some(format!("{items}/0/{}", steps.join("/")));
            }
            None
        })
        .collect();
    match pointers.is_empty() {
        true => Cover::Nothing,
        false => Cover::Values(pointers),
    }
}

impl Cover {
    /// Whether another body says something else where it is covered.
    fn differs(&self, genuine: &[u8], other: &[u8]) -> bool {
        match self {
            Self::Nothing => false,
            Self::Bytes => true,
            Self::Form => {
                let sorted = |body| {
                    let mut fields = fields_of(body);
                    fields.sort();
                    fields
                };
                sorted(genuine) != sorted(other)
            }
            Self::Fields(names) => {
                let of = |body| {
                    let fields = fields_of(body).into_iter();
                    let covered =
                        |(name, _): &(Vec<u8>, _)| names.iter().any(|n| n.as_bytes() == name);
                    fields.filter(covered).collect::<Vec<_>>()
                };
                of(genuine) != of(other)
            }
            Self::Values(pointers) => {
                // What is not covered may be odd, and no text at all.
                let other = String::from_utf8_lossy(other);
                let Ok(changed) = serde_json::from_str::<Value>(&other) else {
                    return true;
                };
                let genuine: Value = serde_json::from_slice(genuine).unwrap();
                // In content, an absent value is an empty one.
                let empty = Value::from("");
                let value = |body: &'_ Value, pointer: &str| {
                    body.pointer(pointer).unwrap_or(&empty).clone()
                };
                let differs =
                    |pointer: &String| value(&genuine, pointer) != value(&changed, pointer);
                pointers.iter().any(differs)
            }
        }
    }
}

fn fields_of(body: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let decoded = |text: &[u8]| -> Vec<u8> {
        let plain: Vec<u8> = text
            .iter()
            .map(|b| if *b == b'+' { b' ' } else { *b })
            .collect();
        percent_encoding::percent_decode(&plain).collect()
    };
    let pairs = body.split(|byte| *byte == b'&');
    pairs
        .map(|pair| {
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let mut half = || decoded(halves.next().unwrap_or_default());
            (half(), half())
        })
        .collect()
}

#[test]
pub(super) fn no_bit_of_a_signed_body_can_be_flipped() {
    let (mut tally, mut covered) = (Tally::default(), 0);
    for prover in provers() {
        let cover = cover(prover.scheme());
        covered += usize::from(!matches!(cover, Cover::Nothing));
        let genuine = &prover.request.body;
        // One bit of each byte, and not always the same one: hashes of all these bodies are slow in
        // builds without optimization.
        for at in (0..genuine.len() * 8).step_by(7 * prover.step()) {
            let mut body = genuine.to_vec();
            body[at / 8] ^= 1 << (at % 8);
            if cover.differs(genuine, &body) {
                tally.count(prover, with_body(prover, body), format_args!("bit {at}"));
            }
        }
        if matches!(cover, Cover::Bytes) {
            let shorter = genuine[..genuine.len() - 1].to_vec();
            let longer = [genuine, &b" "[..]].concat();
            let twice = genuine.repeat(2);
            for body in [shorter, longer, twice, Vec::new()] {
                tally.count(prover, with_body(prover, body), "another length");
            }
        }
    }
    assert!(covered >= 170, "{covered}");
    tally.assert_none(40_000);
}

fn with_body(prover: &Prover, body: Vec<u8>) -> Unsigned {
    Unsigned {
        body: body.into(),
        ..prover.request.clone()
    }
}

/// Anybody who has seen one genuine request can write it in another way where the signature does not
/// look: Plivo's and Mandrill's forms in another order, Braintree's signature in capitals. Where the
/// body as it came told events apart, each of these was a new event.
#[test]
fn what_is_not_signed_of_a_body_makes_no_new_event_of_a_repeat() {
    let mut changed = 0;
    let mut news = Vec::new();
    for prover in provers() {
        let dedup_id = |request: Unsigned| {
            let verified = prover.verifier.verify(request.into(), NOW).ok()?;
            Some(verified.dedup_id().to_vec())
        };
        let known = dedup_id(prover.request.clone());
        // Some events are told from others by nothing, and are new each time; where nothing of a body
        // is signed, it can be any other.
        // Segment signs the first event of a batch alone, and the rest can be any other too.
        let nothing = matches!(cover(prover.scheme()), Cover::Nothing);
        let nothing = nothing || prover.sender.source == "segment-batch";
        if nothing || known != dedup_id(prover.request.clone()) {
            continue;
        }
        let body = &prover.request.body;
        for more in [&b"&unsigned=1"[..], b"&", b" ", b"\n"] {
            let longer = dedup_id(with_body(prover, [body, more].concat()));
            if longer.is_some() {
                changed += 1;
                if longer != known {
                    news.push(format!(
                        "{} with {:?}",
                        prover.sender.source,
                        more.escape_ascii().to_string()
                    ));
                }
            }
        }
    }
    assert_eq!(news, Vec::<String>::new(), "of {changed}");
    assert!(changed >= 10, "{changed}");
}

/// Whether method, path and query are signed.
fn signs_address(scheme: &Scheme) -> [bool; 2] {
    if let Some(code) = scheme.code {
        let method = matches!(code, Procedure::HubspotV3 | Procedure::Keygen);
        return [method, method || code == Procedure::PlivoV3];
    }
    let by_check = |check: &crate::providers::Check| {
        let value = check.equals_value.as_ref();
        value.is_some_and(|value| value.place == Place::UrlSha256)
    };
    let content = scheme.content.iter().flat_map(|content| &content.0);
    let covers = |piece: &Piece| content.clone().any(|template| template.covers(piece));
    [
        covers(&Piece::Method),
        covers(&Piece::Url) || covers(&Piece::PathQuery) || scheme.checks.iter().any(by_check),
    ]
}

#[test]
pub(super) fn no_signed_address_or_method_can_be_changed() {
    let (mut tally, mut signed) = (Tally::default(), 0);
    for prover in provers() {
        let [method, url] = signs_address(prover.scheme());
        if method {
            for other in [Method::PUT, Method::GET, Method::PATCH] {
                let what = format!("{other}");
                let request = Unsigned {
                    method: other,
                    ..prover.request.clone()
                };
                tally.count(prover, request, what);
            }
        }
        if !url {
            continue;
        }
        signed += 1;
        let target = prover.request.url.strip_prefix(PUBLIC_URL).unwrap();
        let longer = [
            format!("{target}%20"),
            format!("{target}0"),
            format!("{target}&a=b"),
        ];
        for forged in bit_flips(target).into_iter().chain(longer) {
            let mut request = Received::from(prover.request.clone());
            request.target = forged.as_str().into();
            tally.count(prover, request, forged);
        }
    }
    assert!(signed >= 9, "{signed}");
    tally.assert_none(1_000);
}
