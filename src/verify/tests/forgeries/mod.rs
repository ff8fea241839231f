//! What a forger can do to a genuine request: none of it is accepted, for any provider.
//!
//! Every scheme of the catalogue has a [`Prover`]: a request that is accepted, and where in it the
//! credential stands. A forgery is that request with one thing changed. Ed25519 is slow in builds
//! without optimization, so that only some bits are tried there ([`Prover::step`]); everywhere else
//! signatures and tokens are tried bit by bit.

mod bodies;
mod credential;
mod signatures;
mod swaps;
mod times;
mod tokens;

use std::cell::RefCell;
use std::sync::LazyLock;

use serde_json::Value;

use super::*;
use crate::providers::{Algorithm, Place, Procedure, Scheme};
use credential::Credential;

const ID: &str = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W";

/// A sender that proves something, with its verifier and a request that it accepts.
struct Prover {
    sender: Sender,
    verifier: Verifier,
    request: Unsigned,
    credential: Credential,
}

/// All of them.
fn provers() -> &'static [Prover] {
    static PROVERS: LazyLock<Vec<Prover>> = LazyLock::new(|| {
        let senders = Sender::all().into_iter();
        let provers = senders.filter(|sender| sender.scheme().kind != Kind::None);
        provers.map(Prover::new).collect()
    });
    &PROVERS
}

impl Prover {
    fn new(sender: Sender) -> Self {
        let request = sender.request(sender.sample(), NOW, ID);
        let prover = Self {
            verifier: sender.verifier(),
            credential: Credential::of(&sender, &request),
            request,
            sender,
        };
        // The one that the forgeries differ from is genuine, also when it is put together again.
        let again = prover.with_credential(&prover.credential.text);
        for genuine in [prover.request.clone(), again] {
            let rejection = prover.reason(genuine);
            assert_eq!(rejection, None, "{}", prover.sender.source);
        }
        prover
    }

    fn scheme(&self) -> &Scheme {
        self.sender.scheme()
    }

    fn reason(&self, request: impl Into<Received>) -> Option<Reason> {
        reason(&self.verifier, request)
    }

    fn accepts(&self, request: impl Into<Received>) -> bool {
        self.reason(request).is_none()
    }

    /// The request with another signature or token in place of its own.
    fn with_credential(&self, text: &str) -> Unsigned {
        let Credential { before, after, .. } = &self.credential;
        self.with(&self.credential.place, &format!("{before}{text}{after}"))
    }

    /// The request with another text at a place.
    fn with(&self, place: &Place, text: &str) -> Unsigned {
        let mut request = self.request.clone();
        request.put_at(place, text).unwrap();
        request
    }

    /// The text at a place of the request.
    fn text(&self, place: &Place) -> Option<String> {
        text_at(&self.sender, &self.request, place)
    }

    /// Of how many bits one is tried: all where that is quick.
    fn step(&self) -> usize {
        let scheme = self.scheme();
        let ed25519 =
            scheme.algorithm == Some(Algorithm::Ed25519) || scheme.code == Some(Procedure::Keygen);
        if ed25519 { 13 } else { 1 }
    }
}

fn text_at(sender: &Sender, request: &Unsigned, place: &Place) -> Option<String> {
    if let Place::Json(steps) = place {
        // However long it is.
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let value = body.pointer(&format!("/{}", steps.join("/")))?;
        return Some(
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned),
        );
    }
    let found = request.view(&sender.values, &[], |view| {
        let value = view.find(place, None).ok().flatten();
        value.map(|value| String::from_utf8(value.into_owned()).unwrap())
    });
    found.unwrap()
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

/// What was tried, and what of it was accepted.
#[derive(Default)]
struct Tally {
    tried: usize,
    accepted: Vec<String>,
}

impl Tally {
    fn count(
        &mut self,
        prover: &Prover,
        forged: impl Into<Received>,
        what: impl std::fmt::Display,
    ) {
        self.tried += 1;
        if counted(&prover.sender.source) {
            return;
        }
        if prover.accepts(forged) {
            let source = &prover.sender.source;
            self.accepted.push(format!("{source}: {what}"));
        }
    }

    /// Nothing was accepted, of at least so many forgeries.
    fn assert_none(self, least: usize) {
        assert_eq!(self.accepted, Vec::<String>::new(), "of {}", self.tried);
        assert!(self.tried >= least, "only {} were tried", self.tried);
    }
}

thread_local! {
    /// Forgeries by source, while they are only counted.
    static LEDGER: RefCell<Option<BTreeMap<String, usize>>> = const { RefCell::new(None) };
}

/// Whether a forgery is only to be counted, which then is done.
fn counted(source: &str) -> bool {
    LEDGER.with_borrow_mut(|ledger| {
        let Some(ledger) = ledger else {
            return false;
        };
        *ledger.entry(source.to_owned()).or_default() += 1;
        true
    })
}

/// The forgeries of one kind, each tried by the test that it is.
const FAMILIES: &[fn()] = &[
    bodies::no_bit_of_a_signed_body_can_be_flipped,
    bodies::no_signed_address_or_method_can_be_changed,
    signatures::no_bit_of_a_signature_can_be_flipped,
    signatures::no_byte_of_a_signature_can_be_replaced,
    signatures::no_signature_is_right_in_part,
    signatures::no_letter_of_a_token_can_be_changed,
    signatures::no_signature_can_be_cut_or_grown,
    signatures::base64_is_strict,
    signatures::hex_takes_both_cases_and_nothing_else,
    swaps::no_sender_is_taken_for_another,
    swaps::nearly_the_secret_is_another_one,
    swaps::two_different_credentials_of_one_name_are_refused,
    times::no_digit_of_a_signed_timestamp_can_be_changed,
    times::no_signed_header_can_be_changed_left_out_or_shifted_over_its_delimiter,
    tokens::unsigned_tokens_are_refused,
    tokens::a_public_key_is_never_taken_for_a_secret,
    tokens::the_algorithm_of_a_genuine_token_cannot_be_renamed,
    tokens::claims_cannot_be_exchanged,
];

#[test]
fn no_provider_that_signs_has_less_than_1500_forgeries() {
    LEDGER.set(Some(BTreeMap::new()));
    for family in FAMILIES {
        family();
    }
    let ledger = LEDGER.take().unwrap();
    let mut signing = Vec::new();
    for prover in provers() {
        // What only repeats a secret has less that can be changed.
        let signs = prover.scheme().kind != Kind::Basic && prover.credential.bytes().is_some();
        if signs {
            let source = &prover.sender.source;
            signing.push((ledger.get(source).copied().unwrap_or_default(), source));
        }
    }
    signing.sort_unstable();
    let all: usize = ledger.values().sum();
    let (least, most) = (signing[0], signing[signing.len() - 1]);
    println!(
        "forgeries: {all} of {} sources, of the {} that sign from {least:?} to {most:?}",
        ledger.len(),
        signing.len(),
    );
    assert!(least.0 >= 1500, "{signing:?}");
}

#[test]
fn there_is_a_prover_for_every_provider_that_proves_anything() {
    let catalogue = Catalogue::embedded();
    let signs = |one: &Arc<Provider>| one.schemes.iter().any(|s| s.kind != Kind::None);
    let wanted: Vec<_> = catalogue
        .iter()
        .filter(signs)
        .map(|one| one.id.clone())
        .collect();
    let mut found: Vec<_> = provers()
        .iter()
        .map(|one| one.sender.provider.id.clone())
        .collect();
    found.dedup();
    assert_eq!(found, wanted);
    assert!(provers().len() >= 200, "{}", provers().len());
}
