//! What the store has promised, and what it may or may not have done.
//!
//! An operation that was answered has happened. One that failed may turn out to have happened, but
//! only at the next start. A settlement that was not yet flushed may get lost. Nothing else is
//! allowed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::Duration;

use crate::clock::UnixMillis;
use crate::event::{Event, EventId};
use crate::store::*;
use crate::verify::Verified;

/// What a sender sends: source, id and which body.
pub(super) type Sent = (&'static str, u8, usize);

/// From small ones to some that need pages of their own.
pub(super) static BODIES: LazyLock<Vec<&'static [u8]>> = LazyLock::new(|| {
    let body = |(n, size): (u8, usize)| -> &'static [u8] { vec![b'a' + n; size].leak() };
    [(0, 20), (1, 700), (2, 5_000), (3, 9_000)].map(body).into()
});

pub(super) fn verified((source, id, body): Sent) -> Verified {
    Verified::for_test(source, &id.to_string(), BODIES[body])
}

/// Where an event can stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stand {
    Pending,
    Delivered,
    Dead,
    /// Forgotten, in its time.
    Gone,
}

impl From<State> for Stand {
    fn from(state: State) -> Self {
        match state {
            State::Pending => Self::Pending,
            State::Delivered => Self::Delivered,
            State::Dead => Self::Dead,
        }
    }
}

/// What is known of one event.
#[derive(Debug)]
struct Item {
    /// `None`: nobody was answered, and no start has found it.
    id: Option<EventId>,
    /// More than one where it is not known what became of the last operation.
    stands: BTreeSet<Stand>,
    settled_at: UnixMillis,
    /// Somebody asked to erase it, whatever the answer.
    erased: bool,
}

impl Item {
    /// It is due once more. A settlement that is on its way may come after that.
    fn again(&mut self) {
        if self.stands.len() == 1 && !self.erased {
            self.stands.clear();
        }
        self.stands.insert(Stand::Pending);
    }
}

/// All events that were ever sent.
#[derive(Debug, Default)]
pub(super) struct Model {
    items: BTreeMap<Sent, Item>,
    /// Settlements that are not known to be durable.
    unflushed: Vec<(Sent, Stand)>,
    pub(super) acknowledged: u64,
}

impl Model {
    fn item(&mut self, sent: Sent) -> &mut Item {
        self.items.entry(sent).or_insert_with(|| Item {
            id: None,
            stands: BTreeSet::new(),
            settled_at: UnixMillis(0),
            erased: false,
        })
    }

    fn of(&mut self, id: EventId) -> Option<(Sent, &mut Item)> {
        let mut items = self.items.iter_mut();
        let found = items.find(|(_, item)| item.id == Some(id));
        found.map(|(sent, item)| (*sent, item))
    }

    /// The n-th event that exists.
    pub(super) fn nth(&self, n: usize) -> Option<EventId> {
        let ids: Vec<_> = self.items.values().filter_map(|item| item.id).collect();
        ids.get(n % ids.len().max(1)).copied()
    }

    /// What was sent and not acknowledged: its sender will try again.
    pub(super) fn refused(&self) -> Vec<Sent> {
        let refused = self.items.iter().filter(|(_, item)| item.id.is_none());
        refused.map(|(sent, _)| *sent).collect()
    }

    pub(super) fn answered(&mut self, sent: Sent, answer: &Result<Receipt, StoreError>) {
        let (source, id, body) = sent;
        let other = self.items.iter().any(|(known, item)| {
            (known.0, known.1) == (source, id) && known.2 != body && item.id.is_some()
        });
        let item = self.item(sent);
        let Ok(receipt) = answer else {
            if item.stands.contains(&Stand::Dead) {
                item.stands.insert(Stand::Pending);
            }
            return;
        };
        let new = Some(receipt.event_id());
        match receipt.kind() {
            ReceiptKind::Duplicate => {
                assert!(item.id.is_some(), "{sent:?} repeats what is not stored");
                let gone = item.stands.contains(&Stand::Gone);
                assert!(
                    gone || item.id == new,
                    "{sent:?} is {item:?}, not {receipt:?}"
                );
                if item.stands.contains(&Stand::Dead) {
                    item.again();
                    self.unflushed.retain(|(settled, _)| *settled != sent);
                }
            }
            kind @ (ReceiptKind::Stored | ReceiptKind::Conflict) => {
                assert_eq!(item.id, None, "{sent:?} is stored twice");
                let expected = if other {
                    ReceiptKind::Conflict
                } else {
                    ReceiptKind::Stored
                };
                assert_eq!(kind, expected, "{sent:?}");
                item.id = new;
                item.stands = [Stand::Pending].into();
            }
        }
        self.acknowledged += 1;
    }

    /// An event was handed out.
    pub(super) fn leased(&mut self, event: &Event) {
        let (sent, item) = self
            .of(event.id)
            .expect("only what is stored is handed out");
        assert!(
            item.stands.contains(&Stand::Pending),
            "{sent:?} again: {item:?}"
        );
        assert_eq!(&event.body[..], BODIES[sent.2], "{sent:?}");
    }

    pub(super) fn settled(&mut self, id: EventId, stand: Stand, now: UnixMillis) {
        let (sent, item) = self.of(id).expect("it was leased");
        item.stands.insert(stand);
        item.settled_at = now;
        self.unflushed.push((sent, stand));
    }

    pub(super) fn flushed(&mut self) {
        for (sent, stand) in std::mem::take(&mut self.unflushed) {
            let item = self.item(sent);
            item.stands = [stand].into();
        }
    }

    /// A replay was answered with how many are due, or failed.
    pub(super) fn replayed(&mut self, id: EventId, answer: Option<u64>) {
        let (sent, item) = self.of(id).expect("it exists");
        let whole = !item.erased && !item.stands.contains(&Stand::Gone);
        match answer {
            Some(due) => {
                assert!(due == 1 || !whole, "{sent:?} cannot be replayed: {item:?}");
                if due == 1 {
                    item.again();
                }
            }
            None => drop(item.stands.insert(Stand::Pending)),
        }
        self.unflushed.retain(|(settled, _)| *settled != sent);
    }

    pub(super) fn erased(&mut self, id: EventId, now: UnixMillis) {
        let (sent, item) = self.of(id).expect("it exists");
        item.erased = true;
        item.settled_at = now;
        item.stands.extend([Stand::Pending, Stand::Dead]);
        self.unflushed.retain(|(settled, _)| *settled != sent);
    }

    /// Time has passed: what was settled long ago may be forgotten.
    pub(super) fn aged(&mut self, now: UnixMillis, keep: Keep) {
        let old = |item: &Item, after: Duration| now.since(item.settled_at) > after;
        for item in self.items.values_mut().filter(|item| item.id.is_some()) {
            let delivered = item.stands.contains(&Stand::Delivered) && old(item, keep.delivered);
            let dead = item.stands.contains(&Stand::Dead) && old(item, keep.dead);
            if delivered || dead {
                item.stands.insert(Stand::Gone);
            }
        }
    }

    /// What a start has found, all of it: it is durable now, and nothing else is.
    pub(super) fn found(&mut self, events: &[StoredEvent]) {
        self.unflushed.clear();
        let mut seen = BTreeSet::new();
        for event in events {
            let summary = &event.summary;
            let sent = self.sent(event);
            let item = self.item(sent);
            assert!(seen.insert(sent), "{sent:?} is there twice");
            let stand = Stand::from(summary.state);
            match item.id {
                Some(id) => {
                    assert_eq!(id, summary.id, "{sent:?} has another id");
                    assert!(
                        item.stands.contains(&stand),
                        "{sent:?} is {stand:?}: {item:?}"
                    );
                }
                None => assert_eq!(stand, Stand::Pending, "{sent:?} was never handed out"),
            }
            item.id = Some(summary.id);
            item.stands = [stand].into();
            if item.erased {
                item.stands.extend([Stand::Pending, Stand::Dead]);
            }
        }
        for (sent, item) in &mut self.items {
            if item.id.is_some() && !seen.contains(sent) {
                assert!(
                    item.stands.contains(&Stand::Gone),
                    "{sent:?} is lost: {item:?}"
                );
                item.stands = [Stand::Gone].into();
            }
        }
    }

    /// Which of the events that were sent this is, byte for byte.
    fn sent(&mut self, event: &StoredEvent) -> Sent {
        let summary = &event.summary;
        let named = |sent: &Sent| {
            sent.0 == summary.source.as_str()
                && summary.provider_event_id.as_deref() == Some(&*sent.1.to_string())
        };
        let found = match &event.content {
            Content::Whole(whole) => {
                let same = |sent: &&Sent| named(sent) && BODIES[sent.2] == &whole.body[..];
                self.items.keys().find(same).copied()
            }
            Content::Erased => {
                let (sent, item) = self.of(summary.id).expect("only what was stored is erased");
                assert!(item.erased, "{sent:?} has lost its body");
                Some(sent)
            }
            Content::Damaged => None,
        };
        found.unwrap_or_else(|| panic!("nobody sent {summary:?}"))
    }

    /// Everything has been delivered that could be.
    pub(super) fn drained(&self) {
        for (sent, item) in &self.items {
            let waits = item.stands.iter().eq([&Stand::Pending]);
            assert!(!waits, "{sent:?} was not handed out: {item:?}");
        }
    }
}
