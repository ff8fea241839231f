//! What the app says while a sender waits for it: a verdict (`ack = "handled"`) or its own answer
//! (`ack = "app"`). The event is on disk before anybody waits, so nothing here can lose it.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::ack::Refusal;
use super::bodies::BodyShare;
use crate::store::{AppAnswer, Expectation, Receipt, Spoken};

/// Waits for the app's verdict on an event that is stored. Without one the sender is to come again: its
/// repeat waits for the same verdict.
pub(super) async fn verdict(
    receipt: Receipt,
    expectation: Expectation,
    patience: Duration,
) -> Result<(), Refusal> {
    match timeout(patience, expectation.fulfilled()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Refusal::Unhandled(receipt)),
    }
}

/// An answer of the app's, with the memory that it takes until the sender has read it.
pub(super) struct PassedOn {
    pub(super) answer: AppAnswer,
    _share: BodyShare,
}

impl PassedOn {
    /// The body; the memory is given back with it.
    pub(super) fn into_body(self) -> Bytes {
        if self.answer.body().is_empty() {
            return Bytes::new();
        }
        Bytes::from_owner(Counted(self))
    }
}

struct Counted(PassedOn);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        self.0.answer.body()
    }
}

/// Waits for the app's own answer to an event that is stored; `None`: it was taken, and what the app said is
/// not known any more. Without an answer the sender is to come again, which has the event tried
/// again; or it gets the answer that the app has given meanwhile.
pub(super) async fn answer(
    receipt: Receipt,
    expectation: Expectation,
    patience: Duration,
    mut share: BodyShare,
) -> Result<Option<PassedOn>, Refusal> {
    let answer = match expectation.answered(patience).await {
        Ok(Spoken::Answer(answer)) => answer,
        Ok(Spoken::Settled) => return Ok(None),
        Ok(Spoken::Unfit) => return Err(Refusal::Unspeakable(receipt)),
        Ok(Spoken::NotYet) | Err(_) => return Err(Refusal::Unhandled(receipt)),
    };
    share.complete();
    share.grow_by(answer.size_bytes()).await?;
    Ok(Some(PassedOn {
        answer,
        _share: share,
    }))
}
