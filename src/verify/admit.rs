//! What a request is: an event, or a handshake of the provider, told apart in one place.

use bytes::Bytes;
use http::{HeaderMap, Method};

use super::rejection::Rejection;
use super::rule::{Proof, Rule};
use super::verified::Verified;
use super::view::View;
use super::{Config, Fault, Verifier, foreign_address};
use crate::clock::UnixMillis;
use crate::event::Received;
use crate::providers::Place;
use crate::secret::Secret;

/// What a request turned out to be.
pub enum Admission {
    /// A verified event, and what its acknowledgement says.
    Event(Box<Verified>, AckBody),
    /// A handshake, with its answer; there is no event in it.
    Challenge(Reply),
    /// A handshake that hands over the source's secret.
    Handover(Handover),
    /// Neither: an event is a POST, and this is not.
    NoEvent,
}

/// What an acknowledgement says beside its status; mostly nothing.
#[derive(Default)]
pub struct AckBody {
    /// Its media type, if there is anything.
    pub content_type: &'static str,
    /// The body.
    pub bytes: Bytes,
}

/// The answer to a handshake. Only `verify` makes one, and none acknowledges an event.
pub struct Reply {
    /// What the provider takes for success.
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) verified: bool,
}

impl Reply {
    /// The status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether the request was signed and verified, and not anybody's.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.verified
    }

    /// Headers and body.
    #[must_use]
    pub fn into_parts(self) -> (HeaderMap, Bytes) {
        (self.headers, self.body)
    }
}

/// A secret that was handed over, and the answer for when it is kept.
pub struct Handover {
    pub(super) secret: Secret,
    pub(super) reply: Reply,
}

impl Handover {
    /// The secret, by the name `captured`.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The answer: to be given only when the secret is on stable storage.
    #[must_use]
    pub fn into_reply(self) -> Reply {
        self.reply
    }
}

impl Verifier {
    /// What a request is at `now` (wall time): an event, or a handshake and its answer.
    ///
    /// A signature that holds makes it an event, or a handshake that is signed like one, whatever
    /// else it looks like. Where events bring nothing of their own, handshakes are looked for first.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn admit(&self, received: Received, now: UnixMillis) -> Result<Admission, Rejection> {
        let handshake = self.handshake(&received, now);
        if received.method != Method::POST {
            return handshake.unwrap_or(Ok(Admission::NoEvent));
        }
        match (self.verify(received, now), handshake) {
            (Ok(verified), None) => self.signed_challenge(verified, now),
            (Ok(verified), Some(_)) if self.is_event(&verified) => {
                self.signed_challenge(verified, now)
            }
            (_, Some(handshake)) => handshake,
            (Err(rejection), None) => Err(rejection),
        }
    }

    /// The outcome of a handshake that is not signed, if it is one.
    fn handshake(
        &self,
        received: &Received,
        now: UnixMillis,
    ) -> Option<Result<Admission, Rejection>> {
        let view = View::of(received, &self.values, &self.public_url);
        let challenge = self.challenges.find(&view, false)?;
        if !self.allows(received.peer) {
            return Some(Err(foreign_address()));
        }
        Some(self.challenges.answer(challenge, &view, now))
    }

    fn signed_challenge(
        &self,
        verified: Verified,
        now: UnixMillis,
    ) -> Result<Admission, Rejection> {
        let view = View::of(verified.received(), &self.values, &self.public_url);
        let is_proven = verified.observed().is_none();
        match self.challenges.find(&view, true).filter(|_| is_proven) {
            Some(challenge) => self.challenges.answer(challenge, &view, now),
            None => {
                let ack = self.challenges.ack(&view, now);
                Ok(Admission::Event(Box::new(verified), ack))
            }
        }
    }

    /// Whether what was checked is in events only: a signature, or a token in the body, but not
    /// one that is part of the address and comes with every request.
    fn is_event(&self, verified: &Verified) -> bool {
        let tells = |rule: &Rule| match &rule.proof {
            Proof::Nothing | Proof::Basic(_) => false,
            Proof::Token(reader) => reader.places().iter().all(Place::is_in_body),
            Proof::Signed(_) => true,
        };
        verified.observed().is_none() && self.rules.iter().all(tells)
    }

    /// This source with the secret that the provider handed over, or again with none; `None` if
    /// it does not take its secret from there.
    ///
    /// # Errors
    /// The secret does not have the form that the scheme says.
    pub fn with_captured(&self, secret: Option<Secret>) -> Option<Result<Self, Vec<Fault>>> {
        let recipe = self.recipe.as_deref()?;
        Some(Self::new(Config {
            secrets: secret.into_iter().collect(),
            ..recipe.clone()
        }))
    }

    /// Whether its secret comes from the provider's handshake.
    #[must_use]
    pub fn captures(&self) -> bool {
        self.recipe.is_some()
    }

    /// Whether a request with this method may be for it: events are POST, handshakes of any.
    #[must_use]
    pub fn takes(&self, method: &Method) -> bool {
        method == Method::POST || self.challenges.methods().any(|known| known == method)
    }

    /// Handshakes of the provider that are not answered, and what they lack.
    #[must_use]
    pub fn idle_challenges(&self) -> &[String] {
        self.challenges.idle()
    }
}
