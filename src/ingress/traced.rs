//! What of a request becomes a span: those that are about an event, which was verified and is stored.

use std::time::Duration;

use super::ack::Refusal;
use super::gate::Taken;
use super::outcome::Outcome;
use super::source::Source;
use crate::clock::UnixMillis;
use crate::store::{Receipt, ReceiptKind};
use crate::trace::{self, SpanContext, Tracer};

/// One that is over.
pub(super) struct Traced {
    receipt: Receipt,
    outcome: &'static str,
    took: Duration,
    sender: Option<SpanContext>,
}

impl Traced {
    /// `None` where there is no event.
    pub(super) fn of(
        result: &Result<Taken, Refusal>,
        took: Duration,
        sender: Option<SpanContext>,
    ) -> Option<Self> {
        let receipt = match result {
            Ok(Taken::Stored(receipt, _) | Taken::Passed(receipt, _))
            | Err(Refusal::Unhandled(receipt) | Refusal::Unspeakable(receipt)) => *receipt,
            Ok(Taken::Answered(_)) | Err(_) => return None,
        };
        Some(Self {
            receipt,
            outcome: Outcome::of(result).label(),
            took,
            sender,
        })
    }

    /// Records it.
    pub(super) fn record(
        self,
        tracer: &Tracer,
        source: &Source,
        status: u16,
        ended_at: UnixMillis,
    ) {
        tracer.received(&trace::Receipt {
            source: source.name.as_str(),
            provider: &source.about.provider.id,
            route: &source.path,
            event: self.receipt.event_id(),
            is_repeat: self.receipt.kind() == ReceiptKind::Duplicate,
            outcome: self.outcome,
            status,
            ended_at,
            took: self.took,
            sender: self.sender,
        });
    }
}
