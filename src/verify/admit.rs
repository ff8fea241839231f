//! What a request is: an event, or a handshake of the provider, told apart in one place.

use bytes::Bytes;
use http::{HeaderMap, Method};

use super::code::subscribe_url;
use super::rejection::{Refused, Rejection};
use super::rule::Rule;
use super::verified::Verified;
use super::view::View;
use super::{Config, Fault, Verifier, foreign_address};
use crate::clock::UnixMillis;
use crate::event::Received;
use crate::keys::{KeySource, Target};
use crate::secret::Secret;

/// What a request turned out to be.
pub enum Admission {
    /// A verified event, and what its acknowledgement says.
    Event(Box<Verified>, AckBody),
    /// A handshake, with its answer; there is no event in it.
    Challenge(Reply),
    /// A handshake that hands over the source's secret.
    Handover(Box<Handover>),
    /// A verified request to confirm a subscription.
    Confirmation(Box<Confirmation>),
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
    secret: Secret,
    reply: Reply,
    received: Received,
}

impl Handover {
    /// The request that hands it over.
    #[must_use]
    pub fn received(&self) -> &Received {
        &self.received
    }

    /// The request refused, since the secret is not taken.
    #[must_use]
    pub fn refused(self, rejection: Rejection) -> Refused {
        Refused {
            received: self.received,
            rejection,
        }
    }

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

/// A subscription that waits for its confirmation, and the answer for when that is done.
pub struct Confirmation {
    target: Target,
    received: Received,
}

impl Confirmation {
    /// The address that confirms it: it was signed, and is one of the provider's own.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The request that asks for it.
    #[must_use]
    pub fn received(&self) -> &Received {
        &self.received
    }

    /// The answer: to be given only when the address was called.
    #[must_use]
    pub fn into_reply(self) -> Reply {
        Reply {
            status: 200,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            verified: true,
        }
    }
}

/// What became of a handshake: its answer, and the secret that it hands over, if it does.
pub(super) type Outcome = Result<(Reply, Option<Secret>), Rejection>;

fn concluded(outcome: Outcome, received: Received) -> Result<Admission, Box<Refused>> {
    match outcome {
        Ok((reply, None)) => Ok(Admission::Challenge(reply)),
        Ok((reply, Some(secret))) => Ok(Admission::Handover(Box::new(Handover {
            secret,
            reply,
            received,
        }))),
        Err(rejection) => Err(Box::new(Refused {
            received,
            rejection,
        })),
    }
}

impl Verifier {
    /// What a request is at `now` (wall time): an event, or a handshake and its answer. Keys that
    /// senders publish are looked for in `keys`.
    ///
    /// A signature that holds makes it an event, or a handshake that is signed like one, whatever
    /// else it looks like. Where events bring nothing of their own, handshakes are looked for first.
    ///
    /// # Errors
    /// The request and why it is refused.
    pub fn admit(
        &self,
        received: Received,
        now: UnixMillis,
        keys: Option<&KeySource>,
    ) -> Result<Admission, Box<Refused>> {
        let handshake = self.handshake(&received, now);
        if received.method != Method::POST {
            return match handshake {
                Some(outcome) => concluded(outcome, received),
                None => Ok(Admission::NoEvent),
            };
        }
        match (self.judge(received, now, keys), handshake) {
            (Ok(verified), None) => self.signed_challenge(verified, now),
            (Ok(verified), Some(_)) if self.is_event(&verified) => {
                self.signed_challenge(verified, now)
            }
            (Ok(verified), Some(outcome)) => concluded(outcome, verified.into_received()),
            (Err(refused), Some(outcome)) => concluded(outcome, refused.received),
            (Err(refused), None) => Err(refused),
        }
    }

    /// The outcome of a handshake that is not signed, if it is one.
    fn handshake(&self, received: &Received, now: UnixMillis) -> Option<Outcome> {
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
    ) -> Result<Admission, Box<Refused>> {
        let view = View::of(verified.received(), &self.values, &self.public_url);
        let is_proven = verified.observed().is_none();
        if let Some(target) = self.confirmation(&verified).filter(|_| is_proven) {
            let received = verified.into_received();
            let confirmation = Confirmation { target, received };
            return Ok(Admission::Confirmation(Box::new(confirmation)));
        }
        match self.challenges.find(&view, true).filter(|_| is_proven) {
            Some(challenge) => {
                let outcome = self.challenges.answer(challenge, &view, now);
                concluded(outcome, verified.into_received())
            }
            None => {
                let ack = self.challenges.ack(&view, now);
                Ok(Admission::Event(Box::new(verified), ack))
            }
        }
    }

    /// Where to confirm the subscription that a genuine request is about.
    fn confirmation(&self, verified: &Verified) -> Option<Target> {
        let url = subscribe_url(verified).filter(|_| self.config.confirm)?;
        Target::requested(&url, &["sns.*.amazonaws.com", "sns.*.amazonaws.com.cn"]).ok()
    }

    /// Whether what was checked is in events only: a signature, or a token in the body, but not
    /// one that is part of the address and comes with every request.
    fn is_event(&self, verified: &Verified) -> bool {
        let tells = |rule: &Rule| rule.proof.is_in_events_only();
        verified.observed().is_none() && self.rules.iter().all(tells)
    }

    /// This source with the secret that the provider handed over, or again with none; `None` if
    /// it does not take its secret from there.
    ///
    /// # Errors
    /// The secret does not have the form that the scheme says.
    pub fn with_captured(&self, secret: Option<Secret>) -> Option<Result<Self, Vec<Fault>>> {
        self.captures().then(|| {
            Self::new(Config {
                secrets: secret.into_iter().collect(),
                ..self.config.clone()
            })
        })
    }

    /// Whether its secret comes from the provider's handshake.
    #[must_use]
    pub fn captures(&self) -> bool {
        self.config.capture
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
