//! Whoever waits until the app has spoken: it took the event, or said that it never will.
//!
//! They are told when the attempt is settled, without the commit that it rides in: what the app has taken
//! it has, and a settlement that is lost repeats a delivery. After the commit they are told once more,
//! for one who asked in between.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::lease::Settlement;
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
            told: sender.subscribe(),
            home: self.clone(),
        }
    }

    /// Tells those who wait, if this was the last word.
    pub(super) fn settled(&self, id: EventId, settlement: &Settlement) {
        if !matches!(settlement, Settlement::Retry { .. })
            && let Some(sender) = lock(&self.0).remove(&id)
        {
            sender.send_replace(true);
        }
    }
}

/// An event that the app is to speak about.
pub(super) struct Expected {
    id: EventId,
    told: watch::Receiver<bool>,
    home: Handled,
}

impl Expected {
    /// Resolves once it has.
    pub(super) async fn told(&mut self) {
        if self.told.wait_for(|told| *told).await.is_err() {
            // Whoever dropped the sender has said so before.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        let mut waiting = lock(&self.home.0);
        let alone = |sender: &watch::Sender<bool>| sender.receiver_count() == 1;
        if waiting.get(&self.id).is_some_and(alone) {
            waiting.remove(&self.id);
        }
    }
}
