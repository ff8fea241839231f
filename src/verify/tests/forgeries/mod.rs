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
