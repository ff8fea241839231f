//! What the app says while a sender waits for it: a verdict (`ack = "handled"`) or its own answer
//! (`ack = "app"`). The event is on disk before anybody waits, so nothing here can lose it.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::ack::Refusal;
use super::bodies::BodyShare;
use crate::store::{AppAnswer, Expectation, Receipt, Said, Spoken};

/// The senders that wait for the app. There are only so many: each keeps a connection, or a stream of one.
pub(super) struct Waiters {
    places: Arc<Semaphore>,
    dismissed: CancellationToken,
}

impl Waiters {
    pub(super) fn new(max: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(max)),
            dismissed: CancellationToken::new(),
        }
    }

    /// From now on nobody waits: the app will not speak any more.
    pub(super) fn dismiss(&self) {
        self.dismissed.cancel();
    }

    /// Resolves when whoever waits has waited long enough.
    async fn patience(&self, until: Instant) {
        tokio::select! {
            () = sleep_until(until) => {}
            () = self.dismissed.cancelled() => {}
        }
    }

    /// Waits for the app's verdict on an event that is stored. Without one the sender is to come again: its
    /// repeat waits for the same verdict.
    pub(super) async fn verdict(
        &self,
        receipt: Receipt,
        expectation: Expectation,
        until: Instant,
    ) -> Result<(), Refusal> {
        let fulfilled = async {
            // A repeat of what is settled waits for nobody.
            if !expectation.was_settled().await.ok()? {
                let _place = self.places.try_acquire().ok()?;
                expectation.fulfilled().await.ok()?;
            }
            Some(())
        };
        let fulfilled = tokio::select! {
            biased;
            fulfilled = fulfilled => fulfilled,
            () = self.patience(until) => None,
        };
        fulfilled.ok_or(Refusal::Unhandled(receipt))
    }

    /// Waits for the app's own answer to an event that is stored; `None`: it was settled before, and what the
    /// app said is not known any more. Without an answer the sender is to come again, which has the event
    /// tried again; or it gets the answer that the app has given meanwhile.
    ///
    /// What was heard goes out: the event's fate is that its sender knows. So whoever was told by the time that
    /// there is no place gets it, and there is no refusal for lack of memory; the answer counts against the
    /// budget.
    pub(super) async fn answer(
        &self,
        receipt: Receipt,
        expectation: Expectation,
        until: Instant,
        mut share: BodyShare,
    ) -> Result<Option<PassedOn>, Refusal> {
        let said = tokio::select! {
            biased;
            // If that cannot be read, whoever waits may still have been told.
            said = expectation.said() => said.unwrap_or_default(),
            () = self.patience(until) => None,
        };
        let (answer, place) = match said {
            Some(Said::Forgotten) => return Ok(None),
            Some(Said::Answer(answer)) => {
                share.complete();
                share.grow_by(answer.size_bytes()).await?;
                (answer, None)
            }
            None => {
                let place = Arc::clone(&self.places).try_acquire_owned().ok();
                let patience = async {
                    if place.is_some() {
                        self.patience(until).await;
                    }
                };
                let answer = match expectation.answered(patience).await {
                    Spoken::Answer(answer) => answer,
                    Spoken::Unfit => return Err(Refusal::Unspeakable(receipt)),
                    Spoken::NotYet => return Err(Refusal::Unhandled(receipt)),
                };
                share.complete();
                share.occupy(answer.size_bytes());
                (answer, place)
            }
        };
        Ok(Some(PassedOn {
            answer,
            _share: share,
            _place: place,
        }))
    }
}

/// An answer of the app's, with what it takes until the sender has read it.
pub(super) struct PassedOn {
    pub(super) answer: AppAnswer,
    _share: BodyShare,
    _place: Option<OwnedSemaphorePermit>,
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
