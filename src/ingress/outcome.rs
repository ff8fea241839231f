//! How a request of a sender ended: a closed list, which is a label of a metric and a word of a span.

use super::ack::Refusal;
use super::gate::Taken;
use crate::store::ReceiptKind;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Stored,
    Duplicate,
    Conflict,
    Challenge,
    Rejected,
    Limited,
    Unavailable,
    Unhandled,
    /// The app's own answer was no success.
    Refused,
    /// Its connection ended before it was answered.
    Left,
}

impl Outcome {
    pub(super) fn of(result: &Result<Taken, Refusal>) -> Self {
        match result {
            Ok(Taken::Answered(_)) => Self::Challenge,
            Ok(Taken::Passed(_, passed)) if !passed.answer.status().is_success() => Self::Refused,
            Ok(Taken::Stored(receipt, _) | Taken::Passed(receipt, _)) => match receipt.kind() {
                ReceiptKind::Stored => Self::Stored,
                ReceiptKind::Duplicate => Self::Duplicate,
                ReceiptKind::Conflict => Self::Conflict,
            },
            Err(Refusal::Limited(_) | Refusal::Failing(_)) => Self::Limited,
            Err(Refusal::Unavailable(_)) => Self::Unavailable,
            Err(Refusal::Unhandled(_) | Refusal::Unspeakable(_)) => Self::Unhandled,
            Err(
                Refusal::Malformed(_)
                | Refusal::TargetTooLong
                | Refusal::NotFound
                | Refusal::Method
                | Refusal::Slow
                | Refusal::TooLarge
                | Refusal::Unverified,
            ) => Self::Rejected,
        }
    }

    pub(super) const ALL: [Self; 10] = [
        Self::Stored,
        Self::Duplicate,
        Self::Conflict,
        Self::Challenge,
        Self::Rejected,
        Self::Limited,
        Self::Unavailable,
        Self::Unhandled,
        Self::Refused,
        Self::Left,
    ];

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Duplicate => "duplicate",
            Self::Conflict => "conflict",
            Self::Challenge => "challenge",
            Self::Rejected => "rejected",
            Self::Limited => "limited",
            Self::Unavailable => "unavailable",
            Self::Unhandled => "unhandled",
            Self::Refused => "refused",
            Self::Left => "left",
        }
    }
}
