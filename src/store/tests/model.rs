//! Random histories, with restarts and kills, against a map.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::support::*;
use crate::event::EventId;
use crate::store::*;
use crate::verify::Verified;

#[derive(Clone, Debug)]
enum Step {
    Accept { source: u8, id: u8, body: bool },
    Settle { how: u8 },
    Advance { seconds: u8 },
    Replay { which: u8 },
    Reopen,
    Kill,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..2u8, 0..5u8, any::<bool>()).prop_map(|(source, id, body)| Step::Accept { source, id, body }),
        6 => (0..4u8).prop_map(|how| Step::Settle { how }),
        2 => (1..20u8).prop_map(|seconds| Step::Advance { seconds }),
        1 => any::<u8>().prop_map(|which| Step::Replay { which }),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
    ];
    proptest::collection::vec(step, 1..40)
}

/// What the store should know of one event.
#[derive(Clone, Debug, PartialEq)]
struct Known {
    state: State,
    body: bool,
    attempts: u32,
    due: i64,
}

type Id = (u8, u8, bool);

/// The store beside what it should know.
struct World {
    store: Fixture,
    events: BTreeMap<EventId, Known>,
    ids: BTreeMap<Id, EventId>,
    /// Which body came first under an id.
    firsts: BTreeMap<(u8, u8), bool>,
}

fn body(which: bool) -> &'static [u8] {
    if which { b"one" } else { b"two" }
}

impl World {
    fn now(&self) -> i64 {
        self.store.clock.steady().0
    }

    async fn accept(&mut self, id @ (source, name, which): Id) {
        let source_name = if source == 0 { "a" } else { "b" };
        let verified = Verified::for_test(source_name, &name.to_string(), body(which));
        let receipt = self.store.store.accept(verified).await.unwrap();
        let first = *self.firsts.entry((source, name)).or_insert(which);
        let now = self.now();
        if let Some(known) = self.ids.get(&id) {
            let expected = (ReceiptKind::Duplicate, *known);
            assert_eq!((receipt.kind(), receipt.event_id()), expected);
            let known = self.events.get_mut(known).unwrap();
            if known.state == State::Dead {
                (known.state, known.attempts, known.due) = (State::Pending, 0, now);
            }
            return;
        }
        let kind = if first == which {
            ReceiptKind::Stored
        } else {
            ReceiptKind::Conflict
        };
        assert_eq!(receipt.kind(), kind);
        self.ids.insert(id, receipt.event_id());
        let known = Known {
            state: State::Pending,
            body: which,
            attempts: 0,
            due: now,
        };
        self.events.insert(receipt.event_id(), known);
    }

    async fn settle(&mut self, how: u8) {
        let now = self.now();
        let due = |known: &Known| known.state == State::Pending && known.due <= now;
        if !self.events.values().any(due) {
            return;
        }
        self.store.store.nudge();
        let lease = self.store.lease().await;
        let known = self
            .events
            .get_mut(&lease.event.id)
            .expect("only what was stored is leased");
        assert!(due(known), "{known:?}");
        assert_eq!(lease.attempt, known.attempts + 1);
        assert_eq!(&lease.event.body[..], body(known.body));
        let later = self.store.clock.steady().plus(Duration::from_secs(10));
        let settlement = match how {
            0 => {
                known.state = State::Delivered;
                delivered()
            }
            1 => {
                known.due = later.0;
                retry(later)
            }
            2 => {
                known.state = State::Dead;
                dead()
            }
            _ => return, // dropped untried
        };
        known.attempts += 1;
        self.store.store.settle(lease, settlement);
        self.store.store.flush().await.unwrap();
    }

    async fn replay(&mut self, which: u8) {
        let now = self.now();
        let nth = usize::from(which) % self.events.len().max(1);
        let Some((id, known)) = self.events.iter_mut().nth(nth) else {
            return;
        };
        // A pending one that is due may be in memory already, and then keeps its attempts.
        if known.state == State::Pending && known.due <= now {
            return;
        }
        assert_eq!(self.store.store.replay(vec![*id]).await.unwrap(), 1);
        (known.state, known.attempts, known.due) = (State::Pending, 0, now);
    }

    async fn check(self) {
        let Self { store, events, .. } = self;
        store.store.flush().await.unwrap();
        for (id, known) in &events {
            let shown = store
                .store
                .show(*id)
                .await
                .unwrap()
                .expect("nothing is lost");
            let found = (shown.summary.state, shown.summary.attempts);
            assert_eq!(found, (known.state, known.attempts));
        }
        let pending = events
            .values()
            .filter(|known| known.state == State::Pending)
            .count();
        let counts = store.store.counts();
        let counted: u64 = counts.sources.iter().map(|of| of.pending).sum();
        assert_eq!(counted, pending as u64);
        store.advance(Duration::from_secs(3600));
        for _ in 0..pending {
            store.deliver_next().await;
        }
        assert!(store.nothing_due().await);
    }
}

async fn run(steps: Vec<Step>) {
    // Some events fit into memory, some do not.
    let mut world = World {
        store: Fixture::with(|config| config.backlog_bytes_max = 1_500),
        events: BTreeMap::new(),
        ids: BTreeMap::new(),
        firsts: BTreeMap::new(),
    };
    for step in steps {
        match step {
            Step::Accept { source, id, body } => world.accept((source, id, body)).await,
            Step::Settle { how } => world.settle(how).await,
            Step::Advance { seconds } => world.store.advance(Duration::from_secs(seconds.into())),
            Step::Replay { which } => world.replay(which).await,
            Step::Reopen => world.store = world.store.reopen().await,
            Step::Kill => world.store = world.store.killed_copy(),
        }
    }
    world.check().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn histories_match_the_model(steps in steps()) {
        tokio::runtime::Runtime::new().unwrap().block_on(run(steps));
    }
}
