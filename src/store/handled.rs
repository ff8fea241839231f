//! Whoever waits until the app has spoken: it took the event, or said that it never will.
//!
//! They are told when the attempt is settled, without the commit that it rides in: what the app has taken
//! it has, and a settlement that is lost repeats a delivery. After the commit they are told once more,
//! for one who asked in between.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::error::StoreError;
use super::lease::{DeadReason, Settlement};
use super::shared::lock;
use super::view::State;
use super::{Receipt, ReceiptKind, Store};
use crate::event::EventId;
use crate::verify::Verified;

/// The events that somebody waits for; as many as there are open requests.
#[derive(Clone, Default)]
pub(super) struct Handled(Arc<Mutex<HashMap<EventId, watch::Sender<bool>>>>);

impl Handled {
    /// Waits for this event from now on.
    pub(super) fn expect(&self, id: EventId) -> Expected {
        let mut waiting = lock(&self.0);
        let sender = waiting
            .entry(id)
            .or_insert_with(|| watch::Sender::new(false));
        Expected {
            id,
            told: Some(sender.subscribe()),
            home: self.clone(),
        }
    }

    /// Tells those who wait for one of these events, where this was the last word. It is none that the
    /// event cannot be read any more: the sender has the only whole copy.
    pub(super) fn tell<'a>(&self, settled: impl Iterator<Item = (EventId, &'a Settlement)>) {
        let mut waiting = lock(&self.0);
        if waiting.is_empty() {
            return;
        }
        for (id, settlement) in settled {
            let is_last = match settlement {
                Settlement::Delivered(_) => true,
                Settlement::Dead { reason, .. } => *reason != DeadReason::Unreadable,
                Settlement::Retry { .. } => false,
            };
            if is_last && let Some(sender) = waiting.remove(&id) {
                sender.send_replace(true);
            }
        }
    }
}

/// One who waits.
pub(super) struct Expected {
    id: EventId,
    /// Until it is dropped.
    told: Option<watch::Receiver<bool>>,
    home: Handled,
}

impl Expected {
    /// Resolves once it has.
    pub(super) async fn told(&mut self) {
        if let Some(told) = &mut self.told {
            // It does not fail: the sender is dropped only after it has said so.
            let _ = told.wait_for(|told| *told).await;
        }
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        let mut waiting = lock(&self.home.0);
        drop(self.told.take());
        let is_last = |sender: &watch::Sender<bool>| sender.receiver_count() == 0;
        if waiting.get(&self.id).is_some_and(is_last) {
            waiting.remove(&self.id);
        }
    }
}

impl Store {
    /// [`Store::accept`] for a sender that is answered only when the app has spoken: it took the event, or said
    /// that it never will.
    ///
    /// # Errors
    /// As [`Store::accept`].
    pub async fn accept_and_expect(
        &self,
        verified: Verified,
    ) -> Result<(Receipt, Expectation), StoreError> {
        self.shared().intake.open()?;
        let id = self.new_id();
        // Before it is stored: the app may be faster than the answer from the disk.
        let mut expected = self.shared().handled.expect(id);
        let receipt = self.submit(id, verified).await?;
        let is_new = receipt.kind() != ReceiptKind::Duplicate;
        if !is_new {
            expected = self.shared().handled.expect(receipt.event_id());
        }
        let expectation = Expectation {
            store: self.clone(),
            id: receipt.event_id(),
            is_new,
            expected,
        };
        Ok((receipt, expectation))
    }
}

/// An event that is stored, and that the app is to speak about.
pub struct Expectation {
    store: Store,
    id: EventId,
    is_new: bool,
    expected: Expected,
}

impl Expectation {
    /// Resolves once the app has taken the event, or it is a dead letter.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn fulfilled(mut self) -> Result<(), StoreError> {
        // A repeat: its first copy may have been settled before anybody waited.
        if !self.is_new && self.store.state(self.id).await? != Some(State::Pending) {
            return Ok(());
        }
        self.expected.told().await;
        Ok(())
    }
}
