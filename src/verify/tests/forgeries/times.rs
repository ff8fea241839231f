//! Signed timestamps, ids and other headers, changed; and genuine requests at another time.

use super::*;
use crate::providers::{Parse, Piece, Template};

impl Prover {
    /// Where the timestamp is, if a place of its own has one.
    fn stamp_place(&self) -> Option<Place> {
        let header = |name: &str| Some(Place::Header(name.parse().unwrap()));
        match self.scheme().code {
            Some(Procedure::HubspotV3) => return header("x-hubspot-request-timestamp"),
            Some(Procedure::Keygen) => return header("date"),
            Some(Procedure::Sns) => return Some(Place::Json(["Timestamp".into()].into())),
            _ => {}
        }
        let rule = self.scheme().timestamp.as_ref()?;
        Some(rule.from.0.first()?.place.clone())
    }

    /// The timestamp's text.
    fn stamp(&self, place: &Place) -> String {
        let Place::Sig(key) = place else {
            return self.text(place).unwrap();
        };
        let rule = self.scheme().signature.as_ref().unwrap();
        let (separator, assign) = rule.parse.separators();
        let separator = rule.separator.as_deref().unwrap_or(separator);
        let items = self.credential.before.split(separator);
        let mut items = items.map(|item| match rule.parse == Parse::Positional {
            true => ("0", item),
            false => item.split_once(assign).unwrap(),
        });
        let (_, stamp) = items.find(|(name, _)| name == &&**key).unwrap();
        stamp.to_owned()
    }

    /// The request with another timestamp.
    fn with_stamp(&self, place: &Place, stamp: &str) -> Unsigned {
        if !matches!(place, Place::Sig(_)) {
            return self.with(place, stamp);
        }
        let Credential {
            place: header,
            before,
            text,
            ..
        } = &self.credential;
        let before = before.replacen(&self.stamp(place), stamp, 1);
        self.with(header, &format!("{before}{text}"))
    }
}

#[test]
pub(super) fn no_digit_of_a_signed_timestamp_can_be_changed() {
    let (mut tally, mut signed) = (Tally::default(), 0);
    for prover in provers() {
        let Some(place) = prover.stamp_place() else {
            continue;
        };
        signed += 1;
        let stamp = prover.stamp(&place);
        let again = prover.with_stamp(&place, &stamp);
        if !matches!(place, Place::Json(_)) {
            assert!(prover.accepts(again), "{}", prover.sender.source);
        }
        let mut forged = bit_flips(&stamp);
        forged.extend([
            format!("0{stamp}"),
            format!("+{stamp}"),
            format!("{stamp}0"),
            format!("{stamp}.0"),
            stamp[..9].to_owned(),
            String::new(),
        ]);
        for text in forged {
            tally.count(prover, prover.with_stamp(&place, &text), &text);
        }
    }
    assert!(signed >= 85, "{signed}");
    tally.assert_none(5_000);
}

/// How far from now a genuine request is accepted, before and behind; `None`: at any time.
fn window(scheme: &Scheme) -> Option<[u64; 2]> {
    if scheme.kind == Kind::Jwt {
        let leeway = scheme.leeway_seconds.unwrap_or(60);
        // Our own tokens are valid for five minutes.
        let valid = scheme.max_age_seconds.unwrap_or(u32::MAX).min(300 + leeway);
        return Some([valid, leeway].map(u64::from));
    }
    let of_code = matches!(scheme.code, Some(Procedure::HubspotV3 | Procedure::Keygen));
    let rule = scheme.timestamp.as_ref();
    let seconds = rule.and_then(|rule| rule.tolerance_seconds).unwrap_or(300);
    let signed = rule.is_some() || of_code;
    signed.then(|| [u64::from(seconds); 2])
}

#[test]
fn stale_and_future_requests_are_refused_only_where_the_time_is_signed() {
    let (mut surprises, mut timed) = (Vec::new(), 0);
    for prover in provers() {
        let window = window(prover.scheme());
        timed += usize::from(window.is_some());
        let [behind, ahead] = window.unwrap_or([864_000; 2]).map(|seconds| seconds + 2);
        let moments = [
            NOW.plus(Duration::from_secs(behind)),
            NOW.minus(Duration::from_secs(ahead)),
        ];
        let reasons = moments.map(|now| {
            let outcome = prover.verifier.verify(prover.request.clone().into(), now);
            outcome.err().map(|rejection| rejection.reason)
        });
        let expected = match window {
            Some(_) => [Some(Reason::Stale), Some(Reason::Future)],
            None => [None, None],
        };
        if reasons != expected {
            surprises.push(format!("{}: {reasons:?}", prover.sender.source));
        }
    }
    assert_eq!(surprises, Vec::<String>::new());
    assert!(timed >= 94, "{timed}");
}

impl Prover {
    /// Headers whose value is signed, beside timestamp and signature.
    fn signed_headers(&self) -> Vec<HeaderName> {
        let fixed: &[&str] = match self.scheme().code {
            Some(Procedure::PlivoV3) => &["x-plivo-signature-v3-nonce"],
            Some(Procedure::Keygen) => &["digest"],
            _ => &[],
        };
        let mut names: Vec<HeaderName> = fixed.iter().map(|name| name.parse().unwrap()).collect();
        let first = self
            .scheme()
            .content
            .iter()
            .filter_map(|list| list.0.first());
        for part in first.flat_map(Template::parts) {
            if let Piece::Value(Place::Header(name)) = &part.piece {
                names.push(name.clone());
            } else if let Piece::SignedHeaderPairs(list) = &part.piece {
                let listed = self.text(list).unwrap();
                names.extend(listed.split(',').map(|name| name.parse().unwrap()));
                names.extend(list.header().cloned());
            } else if let Piece::SignedHeaderValues(list, _) = &part.piece {
                let listed = self.stamp(list);
                names.extend(listed.split(' ').map(|name| name.parse().unwrap()));
            }
        }
        names.retain(|name| self.request.has_header(name.as_str()));
        names
    }
}

#[test]
pub(super) fn no_signed_header_can_be_changed_left_out_or_shifted_over_its_delimiter() {
    let (mut tally, mut signed) = (Tally::default(), 0);
    for prover in provers() {
        for name in prover.signed_headers() {
            signed += 1;
            let place = Place::Header(name.clone());
            let value = prover.text(&place).unwrap();
            let mut forged = bit_flips(&value);
            forged.extend([
                value[1..].to_owned(),
                "other".to_owned(),
                format!("{value}.{}", NOW.seconds()),
                format!("{value}\t"),
                String::new(),
            ]);
            // Space around a header's value is none of it.
            for text in forged.iter().filter(|text| text.trim() != value) {
                tally.count(
                    prover,
                    prover.with(&place, text),
                    format_args!("{name}: {text}"),
                );
            }
            let mut without = prover.request.clone();
            without
                .headers
                .retain(|(known, _)| !known.eq_ignore_ascii_case(name.as_str()));
            tally.count(prover, without, format_args!("without {name}"));
        }
    }
    assert!(signed >= 40, "{signed}");
    tally.assert_none(5_000);
}

#[test]
fn an_id_or_timestamp_with_the_delimiter_in_it_is_refused_even_if_the_signature_holds() {
    let sender = Sender::new("svix");
    let stamp = NOW.seconds().to_string();
    // The same signed bytes, cut elsewhere: id "a.1735689600", and the timestamp from the body.
    let short = sender.sample();
    let long = Sample {
        body: format!("{stamp}.{}", short.body),
        ..short.clone()
    };
    let mut shifted = sender.request(&long, NOW, "a");
    shifted.set_header("svix-id", &format!("a.{stamp}"));
    shifted.body = short.body.clone().into();
    let rejection = sender.verifier().verify(shifted.into(), NOW).err().unwrap();
    assert_eq!(rejection.reason, Reason::Malformed);
}
