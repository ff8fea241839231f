//! Signatures and tokens with bits changed, cut, grown, or spelled otherwise.

use super::credential::Spelling;
use super::*;

#[test]
pub(super) fn no_bit_of_a_signature_can_be_flipped() {
    let mut tally = Tally::default();
    for prover in provers() {
        let Some(bytes) = prover.credential.bytes() else {
            continue;
        };
        for at in (0..bytes.len() * 8).step_by(prover.step()) {
            let mut flipped = bytes.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            let spelled = prover.credential.spelled(&flipped);
            tally.count(
                prover,
                prover.with_credential(&spelled),
                format_args!("bit {at}"),
            );
        }
    }
    tally.assert_none(50_000);
}

/// Signatures of this many other bytes are tried for each source.
const OTHER_BYTES: usize = 1_100;

#[test]
pub(super) fn no_byte_of_a_signature_can_be_replaced() {
    let mut tally = Tally::default();
    // Single bits have been flipped above.
    let masks = (1..=u8::MAX).filter(|mask| mask.count_ones() > 1);
    let masks: Vec<_> = masks.step_by(4).collect();
    for prover in provers() {
        let Some(bytes) = prover.credential.bytes() else {
            continue;
        };
        let each = OTHER_BYTES.div_ceil(bytes.len()).min(masks.len());
        for at in 0..bytes.len() {
            // Others at each place, so that all come up.
            for mask in masks.iter().cycle().skip(at).take(each) {
                let mut other = bytes.clone();
                other[at] ^= mask;
                let spelled = prover.credential.spelled(&other);
                let what = format_args!("byte {at} with {mask}");
                tally.count(prover, prover.with_credential(&spelled), what);
            }
        }
    }
    tally.assert_none(180_000);
}

#[test]
pub(super) fn no_signature_is_right_in_part() {
    let mut tally = Tally::default();
    for prover in provers() {
        let Some(bytes) = prover.credential.bytes() else {
            continue;
        };
        let length = bytes.len();
        let reversed = bytes.iter().rev().copied().collect();
        let mut others = vec![vec![0; length], vec![0xff; length], reversed];
        for kept in (0..length).step_by(length.div_ceil(32)) {
            let (front, back) = bytes.split_at(kept);
            others.push([front, &vec![0; length - kept]].concat());
            others.push([&vec![0; kept], back].concat());
            others.push([back, front].concat());
        }
        for other in others.iter().filter(|other| **other != bytes) {
            let spelled = prover.credential.spelled(other);
            tally.count(prover, prover.with_credential(&spelled), hex::encode(other));
        }
    }
    tally.assert_none(10_000);
}

#[test]
pub(super) fn no_letter_of_a_token_can_be_changed() {
    let mut tally = Tally::default();
    for prover in provers() {
        let is_text = matches!(prover.credential.spelling, Spelling::Text | Spelling::Token);
        if !is_text && prover.scheme().kind != Kind::Basic {
            continue;
        }
        for flipped in bit_flips(&prover.credential.text) {
            tally.count(prover, prover.with_credential(&flipped), &flipped);
        }
    }
    tally.assert_none(10_000);
}

#[test]
pub(super) fn no_signature_can_be_cut_or_grown() {
    let mut tally = Tally::default();
    for prover in provers() {
        let text = &prover.credential.text;
        let cut = (0..text.len()).flat_map(|at| [&text[..at], &text[text.len() - at..]]);
        let grown = [
            format!("{text}0"),
            format!("{text}00"),
            format!("{text}="),
            format!("{text}."),
            format!("0{text}"),
            format!("00{text}"),
            text.repeat(2),
        ];
        for forged in cut.chain(grown.iter().map(String::as_str)) {
            tally.count(prover, prover.with_credential(forged), forged);
        }
    }
    tally.assert_none(20_000);
}

#[test]
pub(super) fn base64_is_strict() {
    let mut tally = Tally::default();
    for prover in provers() {
        let text = &prover.credential.text;
        let bare = text.trim_end_matches('=');
        let padding = "=".repeat((4 - bare.len() % 4) % 4);
        let (head, last) = bare.split_at(bare.len() - 1);
        let (standard, url_safe) = (
            bare.replace('-', "+").replace('_', "/"),
            bare.replace('+', "-"),
        );
        let url_safe = url_safe.replace('/', "_");
        let spaced = format!("{} {}", &text[..4], &text[4..]);
        let others = match prover.credential.spelling {
            Spelling::Hex | Spelling::Text => continue,
            Spelling::Base64 => [bare.to_owned(), format!("{url_safe}{padding}"), spaced],
            Spelling::Base64url | Spelling::Token => [format!("{bare}{padding}"), standard, spaced],
        };
        for other in others.iter().filter(|other| *other != text) {
            tally.count(prover, prover.with_credential(other), other);
        }
        // The same bytes in a lenient decoder: one of the unused bits is set.
        if bare.rsplit('.').next().unwrap().len() % 4 != 0 {
            let loose = format!("{head}{}{}", next_letter(last), &text[bare.len()..]);
            tally.count(prover, prover.with_credential(&loose), &loose);
        }
    }
    tally.assert_none(300);
}

/// The next one of the alphabet, of which the last two differ between the kinds of base64.
fn next_letter(letter: &str) -> char {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let at = alphabet.find(letter).expect("a letter with unused bits");
    alphabet.chars().nth(at + 1).unwrap()
}

/// What tells the event of a request from others; it has to be accepted.
fn dedup_id(prover: &Prover, request: Unsigned) -> Vec<u8> {
    let verified = prover.verifier.verify(request.into(), NOW);
    let verified = verified.unwrap_or_else(|why| panic!("{}: {why}", prover.sender.source));
    verified.dedup_id().to_vec()
}

#[test]
fn another_spelling_of_a_signature_makes_no_new_event_of_a_repeat() {
    let mut respelled = 0;
    let hex = |prover: &&Prover| prover.credential.spelling == Spelling::Hex;
    for prover in provers().iter().filter(hex) {
        let known = dedup_id(prover, prover.request.clone());
        // Some events are told from others by nothing, and are new each time.
        if known != dedup_id(prover, prover.request.clone()) {
            continue;
        }
        let upper = prover.with_credential(&prover.credential.text.to_uppercase());
        let mut more = prover.request.clone();
        more.headers
            .push(("x-forwarded-id".to_owned(), "an ingress's".to_owned()));
        for other in [upper, more] {
            assert_eq!(known, dedup_id(prover, other), "{}", prover.sender.source);
            respelled += 1;
        }
    }
    assert!(respelled >= 100, "{respelled}");
}

#[test]
pub(super) fn hex_takes_both_cases_and_nothing_else() {
    let mut tally = Tally::default();
    let hex = |prover: &&Prover| prover.credential.spelling == Spelling::Hex;
    for prover in provers().iter().filter(hex) {
        let text = &prover.credential.text;
        let upper = prover.with_credential(&text.to_uppercase());
        assert!(prover.accepts(upper), "{}", prover.sender.source);
        for other in [
            format!("0x{text}"),
            format!("{} {}", &text[..4], &text[4..]),
            format!("{}:{}", &text[..2], &text[2..]),
        ] {
            tally.count(prover, prover.with_credential(&other), &other);
        }
    }
    tally.assert_none(200);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(16))]

    #[test]
    fn noise_is_refused_and_never_a_panic(
        credential in "[ -~]{0,80}|(v1|t|v1a|sha256)[=, ][ -~]{0,60}([, ](t|v1|v1a)[=,][ -~]{0,90}){0,3}",
        stamp in "[ -~]{0,20}|[0-9]{0,25}",
        query in "[!-~]{0,60}",
        body in proptest::collection::vec(proptest::num::u8::ANY, 0..80),
    ) {
        for prover in provers() {
            let mut request: Received = prover.request.clone().into();
            let names: Vec<_> = request.headers.keys().cloned().collect();
            for name in names {
                let text = if name.as_str().contains("timestamp") { &stamp } else { &credential };
                request.headers.insert(name, HeaderValue::from_str(text).unwrap());
            }
            request.target = format!("/hook?{query}").into();
            request.body = body.clone().into();
            proptest::prop_assert!(!prover.accepts(request), "{}", prover.sender.source);
        }
    }
}
