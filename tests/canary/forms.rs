//! How a secret may be spelled where it does not belong, and the search for all spellings at once.

use std::collections::HashMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// Something that must not be found.
pub(crate) struct Canary {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    /// The sinks in which it is by right.
    pub(crate) by_right: &'static [&'static str],
}

/// Names of the spellings; base64 has three, since what stands in front of a secret shifts it.
pub(crate) const FORMS: [&str; 12] = [
    "raw",
    "hex",
    "HEX",
    "percent",
    "base64",
    "base64 shifted by one",
    "base64 shifted by two",
    "base64url",
    "base64url shifted by one",
    "base64url shifted by two",
    "a list of numbers",
    "escaped",
];

/// The bytes in every form, in the order of [`FORMS`].
fn spelled(bytes: &[u8]) -> Vec<Vec<u8>> {
    let list = |each: fn(u8) -> String, between: &str| {
        let parts: Vec<_> = bytes.iter().map(|byte| each(*byte)).collect();
        parts.join(between).into_bytes()
    };
    let mut forms = vec![
        bytes.to_vec(),
        hex::encode(bytes).into_bytes(),
        hex::encode_upper(bytes).into_bytes(),
        list(|byte| format!("%{byte:02X}"), ""),
    ];
    for engine in [&STANDARD, &URL_SAFE] {
        forms.extend((0..3).map(|shift| base64(engine, bytes, shift)));
    }
    forms.push(list(|byte| byte.to_string(), ", "));
    let mut escaped = String::new();
    for byte in bytes {
        let _ = write!(escaped, "{}", byte.escape_ascii());
    }
    forms.push(escaped.into_bytes());
    forms
}

/// The characters of base64 that depend on nothing but the bytes, with `shift` others in front.
fn base64(engine: &GeneralPurpose, bytes: &[u8], shift: usize) -> Vec<u8> {
    let padded = [&vec![0; shift], bytes].concat();
    let text = engine.encode(&padded);
    let text = text.trim_end_matches('=');
    let first = (shift * 8).div_ceil(6);
    let last = padded.len() * 8 / 6;
    text.as_bytes()[first..last].to_vec()
}

/// A half of a canary in one form.
type Needle<'a> = (Vec<u8>, &'a Canary, &'static str);

/// Looks for halves of canaries, so that what was cut short is found too.
pub(crate) struct Search<'a> {
    /// By their first eight bytes.
    needles: HashMap<[u8; 8], Vec<Needle<'a>>>,
    /// Whether any needle begins with these two.
    begins: Vec<bool>,
}

/// A secret where it does not belong.
pub(crate) struct Hit<'a> {
    pub(crate) canary: &'a Canary,
    pub(crate) form: &'static str,
    pub(crate) at: usize,
}

impl<'a> Search<'a> {
    pub(crate) fn new(canaries: &'a [Canary]) -> Self {
        let mut search = Self {
            needles: HashMap::new(),
            begins: vec![false; 1 << 16],
        };
        for canary in canaries {
            assert!(canary.bytes.len() >= 20, "{} is too short", canary.name);
            let (one, other) = canary.bytes.split_at(canary.bytes.len() / 2);
            for half in [one, other] {
                for (needle, form) in spelled(half).into_iter().zip(FORMS) {
                    let start = *needle.first_chunk().expect("no shorter than this");
                    search.begins[pair(&needle)] = true;
                    let known = search.needles.entry(start).or_default();
                    known.push((needle, canary, form));
                }
            }
        }
        search
    }

    pub(crate) fn find(&self, text: &[u8]) -> Vec<Hit<'a>> {
        let mut hits = Vec::new();
        for at in 0..text.len().saturating_sub(7) {
            let rest = &text[at..];
            if !self.begins[pair(rest)] {
                continue;
            }
            let start: &[u8; 8] = rest.first_chunk().expect("at least eight");
            for (needle, canary, form) in self.needles.get(start).into_iter().flatten() {
                if rest.starts_with(needle) {
                    let (canary, form) = (*canary, *form);
                    hits.push(Hit { canary, form, at });
                }
            }
        }
        hits
    }
}

fn pair(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

#[test]
fn every_form_of_a_secret_is_found_wherever_it_stands() {
    let bytes = b"\x01canary\xffCANARY~0123456789?>abcdefg".to_vec();
    let halves = bytes.split_at(bytes.len() / 2);
    let name = "a secret".to_owned();
    let canaries = [Canary {
        name,
        bytes: bytes.clone(),
        by_right: &[],
    }];
    let search = Search::new(&canaries);
    for (at, form) in FORMS.iter().enumerate() {
        for half in [halves.0, halves.1] {
            let text = [b"in front ", &spelled(half)[at][..], b" behind"].concat();
            let found = search.find(&text);
            assert!(found.iter().any(|hit| hit.form == *form), "{form}");
        }
    }
    for shift in 0..3 {
        let text = STANDARD.encode([&b"ab"[..shift.min(2)], &bytes, b"behind"].concat());
        assert!(!search.find(text.as_bytes()).is_empty(), "{shift}");
    }
    assert!(search.find(b"canary, but not this one").is_empty());
}
