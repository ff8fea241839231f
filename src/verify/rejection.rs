//! Why a request was refused: for the operator only, never for the sender.

use std::borrow::Cow;

/// A refused request. Neither field holds a secret or a computed signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", reason.as_str())]
pub struct Rejection {
    /// The reason, from a closed list.
    pub reason: Reason,
    /// What exactly, for a log line.
    pub detail: Cow<'static, str>,
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
        }
    }
}
