//! Whoever waits until the app has spoken: it took the event, or said that it never will.
//!
//! They are told when the attempt is settled, without the commit that it rides in: what the app has taken
//! it has, and a settlement that is lost repeats a delivery. After the commit they are told once more,
//! for one who asked in between.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::lease::{DeadReason, Settlement};
use super::shared::lock;
use crate::event::EventId;

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

    /// Tells those who wait, if this was the last word. It is none that the event cannot be read any
    /// more: the sender has the only whole copy.
    pub(super) fn settled(&self, id: EventId, settlement: &Settlement) {
        let is_last = match settlement {
            Settlement::Delivered(_) => true,
            Settlement::Dead { reason, .. } => *reason != DeadReason::Unreadable,
            Settlement::Retry { .. } => false,
        };
        if is_last && let Some(sender) = lock(&self.0).remove(&id) {
            sender.send_replace(true);
        }
    }
}

/// An event that the app is to speak about.
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
