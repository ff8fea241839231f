//! What happens to the gate from outside, beside senders and app: its clock, its disk, its operator.

use std::sync::Arc;

use hookgate::clock::Clock;
use hookgate::store::{Filter, State, Store};
use simdisk::Disk;

use crate::gate::LOW_SPACE;
use crate::history::{History, Timeline};
use crate::schedule::{Life, Schedule};

/// The troubles of one life.
#[derive(Clone)]
pub(crate) struct Trouble {
    pub(crate) schedule: Arc<Schedule>,
    pub(crate) history: History,
    pub(crate) timeline: Timeline,
}

impl Trouble {
    /// The wall clock is set wrong and right again.
    pub(crate) async fn of_the_clock(self, clock: Clock) {
        let born = self.timeline.now();
        let lasting = self.schedule.jumps.iter().filter(|jump| jump.back > born);
        let mut moves: Vec<_> = lasting
            .flat_map(|jump| [(jump.at.max(born), jump.millis), (jump.back, -jump.millis)])
            .collect();
        moves.sort_unstable();
        for (at, millis) in moves {
            self.timeline.until(at).await;
            clock.jump(millis);
        }
    }

    /// An operator makes the newest delivered event due again.
    pub(crate) async fn of_an_operator(self, store: Store) {
        let born = self.timeline.now();
        let to_come = self.schedule.replays.iter().filter(|at| **at >= born);
        let mut times: Vec<_> = to_come.copied().collect();
        times.sort_unstable();
        for at in times {
            self.timeline.until(at).await;
            let filter = Filter {
                state: Some(State::Delivered),
                ..Filter::default()
            };
            let Ok(page) = store.list(filter, 1, None).await else {
                continue;
            };
            if let Some(event) = page.events.first() {
                // It counts from now on: whether the answer came does not matter.
                let now = self.timeline.now();
                let replayed = (event.id.to_string(), now);
                self.history.seen().replayed.push(replayed);
                self.history
                    .note(now, format_args!("replay of {}", event.id));
                let _ = store.replay(vec![event.id]).await;
            }
        }
    }

    /// The disk runs full, an operation fails, and it heals.
    pub(crate) async fn of_the_disk(self, life: Life, disk: Disk) {
        let born = self.timeline.now();
        let mut steps = Vec::new();
        if let Some((from, to)) = life.full {
            steps.push((from, 0));
            steps.push((to, 1));
        }
        if let Some(fault) = life.fault {
            steps.push((fault.at, 2));
            steps.push((fault.at + fault.healed_after, 3));
        }
        steps.sort_unstable();
        for (at, step) in steps {
            self.timeline.until(born + at).await;
            match (step, life.fault) {
                (0, _) => disk.set_free_bytes(LOW_SPACE / 2),
                (1, _) => disk.set_free_bytes(u64::MAX),
                (2, Some(fault)) => disk.fail_nth(fault.nth, fault.fault, fault.repeat),
                _ => disk.heal(),
            }
            if step % 2 == 0 {
                self.history.seen().faults += 1;
            }
        }
    }
}
