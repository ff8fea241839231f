//! Why a request was refused: for the operator only, never for the sender.

use std::borrow::Cow;

use crate::event::Received;

/// A request that was refused, and why.
pub struct Refused {
    /// The request as it came.
    pub received: Received,
    /// Why it was refused.
    pub rejection: Rejection,
}

/// A refused request. Neither field holds a secret or a computed signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", reason.as_str())]
pub struct Rejection {
    /// The reason, from a closed list.
    pub reason: Reason,
    /// What exactly, for a log line.
    pub detail: Cow<'static, str>,
    /// `stale` and `future` only: the age of the timestamp, negative if it lies ahead.
    pub age_seconds: Option<i64>,
}

impl Rejection {
    pub(super) fn aged(self, seconds: i64) -> Self {
        Self {
            age_seconds: Some(seconds),
            ..self
        }
    }
}

/// The closed list of reasons, as metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The signature, token, timestamp or id that the scheme needs is missing.
    NoHeader,
    /// It is there, but not in the form that the scheme says, or there are two different ones.
    Malformed,
    /// Genuine, but the signed timestamp is older than the tolerance.
    Stale,
    /// Genuine, but the signed timestamp is further in the future than the tolerance.
    Future,
    /// No secret makes this signature or token.
    Mismatch,
    /// The signature is right, but a value beside it is not what it has to be.
    Check,
    /// The public key that the sender names, or should have, is not known.
    UnknownKey,
    /// The public key could not be fetched: nothing is known about the request yet.
    KeyUnavailable,
    /// Every secret of the source is past its `not_after`.
    Expired,
    /// The sender's address is not in `allow_from`.
    Address,
    /// The source has no secret yet: the provider has not handed one over.
    NoSecret,
}

impl Reason {
    /// All reasons, so that every metric series starts at 0.
    pub const ALL: &[Self] = &[
        Self::NoHeader,
        Self::Malformed,
        Self::Stale,
        Self::Future,
        Self::Mismatch,
        Self::Check,
        Self::UnknownKey,
        Self::KeyUnavailable,
        Self::Expired,
        Self::Address,
        Self::NoSecret,
    ];

    /// The metric label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoHeader => "no_header",
            Self::Malformed => "malformed",
            Self::Stale => "stale",
            Self::Future => "future",
            Self::Mismatch => "mismatch",
            Self::Check => "check",
            Self::UnknownKey => "unknown_key",
            Self::KeyUnavailable => "key_unavailable",
            Self::Expired => "expired",
            Self::Address => "address",
            Self::NoSecret => "no_secret",
        }
    }

    /// How much a reason says: of several ways to verify, the one that came furthest is told.
    pub(super) fn weight(self) -> u8 {
        match self {
            Self::NoHeader => 0,
            Self::Malformed => 1,
            Self::Mismatch | Self::Expired | Self::UnknownKey | Self::NoSecret => 2,
            Self::Check | Self::Stale | Self::Future | Self::Address => 3,
            Self::KeyUnavailable => 4,
        }
    }

    /// The rejection for this reason.
    pub fn because(self, detail: impl Into<Cow<'static, str>>) -> Rejection {
        Rejection {
            reason: self,
            detail: detail.into(),
            age_seconds: None,
        }
    }
}

/// The first success of several attempts; otherwise the rejection that says most, the first of
/// those. `None` if there was no attempt.
pub(super) fn first_success<T>(
    attempts: impl IntoIterator<Item = Result<T, Rejection>>,
) -> Option<Result<T, Rejection>> {
    let mut telling: Option<Rejection> = None;
    for attempt in attempts {
        match attempt {
            Ok(success) => return Some(Ok(success)),
            Err(rejection) => {
                let weight = telling.as_ref().map(|earlier| earlier.reason.weight());
                if weight.is_none_or(|weight| rejection.reason.weight() > weight) {
                    telling = Some(rejection);
                }
            }
        }
    }
    telling.map(Err)
}
