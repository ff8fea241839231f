//! What an attempt's result means for the event. Pure: time and randomness are passed in.

use std::time::Duration;

use http::header::RETRY_AFTER;

use super::backoff::RetryPolicy;
use super::client::{Answer, SendError};
use crate::clock::UnixMillis;
use crate::planted::{Bug, planted};
use crate::store::{DeadReason, Lease};

/// The rules that the configuration sets.
pub(super) struct Rules<'a> {
    pub(super) policy: &'a RetryPolicy,
    pub(super) dead_letter_on: &'a [u16],
    /// A sender waited for the app's answer, and gets it.
    pub(super) heard: bool,
}

/// What becomes of the event, and what to call the attempt.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Judgement {
    pub(super) label: Label,
    pub(super) fate: Fate,
    /// Why it was not delivered, for people.
    pub(super) error: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Delivered,
    /// To be tried again at this instant (steady time).
    Retry(UnixMillis),
    Dead(DeadReason),
}

/// How an attempt ended: a closed list, used in metrics and in the record of the attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    Delivered,
    FailedStatus,
    FinalStatus,
    Aborted,
    TimedOut,
    Disconnected,
}

impl Label {
    pub(super) const ALL: [Self; 6] = [
        Self::Delivered,
        Self::FailedStatus,
        Self::FinalStatus,
        Self::Aborted,
        Self::TimedOut,
        Self::Disconnected,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::FailedStatus => "failed_status",
            Self::FinalStatus => "final_status",
            Self::Aborted => "aborted",
            Self::TimedOut => "timeout",
            Self::Disconnected => "disconnected",
        }
    }
}

const DELIVERED: Judgement = Judgement {
    label: Label::Delivered,
    fate: Fate::Delivered,
    error: None,
};

/// Judges a result. `now` is steady time, for the schedule; `wall` is for dates in `Retry-After`.
pub(super) fn judge(
    result: &Result<Answer, SendError>,
    rules: &Rules<'_>,
    lease: &Lease,
    now: UnixMillis,
    wall: UnixMillis,
    random: f64,
) -> Judgement {
    let (label, error, asked) = match result {
        Ok(answer) if answer.status.is_success() => return DELIVERED,
        Err(SendError::TimedOut) if planted(Bug::SettleBeforeAnswer) => return DELIVERED,
        Err(SendError::Broken(error))
            if planted(Bug::HalfAnswerIsSuccess) && error.is_incomplete_message() =>
        {
            return DELIVERED;
        }
        Ok(answer) => {
            let error = Some(format!("the app answered {}", answer.status.as_u16()));
            if rules.dead_letter_on.contains(&answer.status.as_u16()) {
                return Judgement {
                    label: Label::FinalStatus,
                    fate: Fate::Dead(DeadReason::Refused),
                    error,
                };
            }
            // Standard Webhooks lets a receiver say that trying again is pointless.
            let delivery = answer.headers.get("webhook-delivery");
            if delivery.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"abort-message"))
            {
                return Judgement {
                    label: Label::Aborted,
                    fate: Fate::Dead(DeadReason::Refused),
                    error,
                };
            }
            if rules.heard {
                // The sender knows, and may come again: then it is tried again.
                return Judgement {
                    label: Label::FinalStatus,
                    fate: Fate::Dead(DeadReason::Refused),
                    error: error.map(|error| error + ", which the sender was told"),
                };
            }
            (Label::FailedStatus, error, retry_after(answer, wall))
        }
        Err(SendError::TimedOut) => (
            Label::TimedOut,
            Some("the app did not answer in time".to_owned()),
            None,
        ),
        Err(error @ (SendError::Broken(_) | SendError::Unreachable(_))) => {
            (Label::Disconnected, Some(error.to_string()), None)
        }
    };
    let next_at = now.plus(rules.policy.delay(lease.attempt, random, asked));
    let fate = if next_at > lease.pending_since.plus(rules.policy.give_up_after) {
        Fate::Dead(DeadReason::GaveUp)
    } else {
        Fate::Retry(next_at)
    };
    Judgement { label, fate, error }
}

/// `Retry-After` as seconds or as a date (RFC 9110 §10.2.3).
pub(super) fn retry_after(answer: &Answer, wall: UnixMillis) -> Option<Duration> {
    let value = answer.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value)
        .ok()?
        .duration_since(std::time::UNIX_EPOCH)
        .ok()?;
    Some(UnixMillis(i64::try_from(date.as_millis()).ok()?).since(wall))
}
