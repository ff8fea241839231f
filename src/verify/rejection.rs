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
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Every secret of the source is past its `not_after`.
    Expired,
    /// The sender's address is not in `allow_from`.
    Address,
}

impl Reason {
    /// All reasons, so that every metric series starts at 0.
    pub const ALL: &[Self] = &[
        Self::NoHeader,
        Self::Malformed,
        Self::Stale,
        Self::Future,
        Self::Mismatch,
        Self::Expired,
        Self::Address,
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
            Self::Expired => "expired",
            Self::Address => "address",
        }
    }

    /// The rejection for this reason.
    pub(super) fn because(self, detail: impl Into<Cow<'static, str>>) -> Rejection {
        Rejection {
            reason: self,
            detail: detail.into(),
            age_seconds: None,
        }
    }
}
