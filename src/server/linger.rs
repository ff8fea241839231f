//! The last moments of a listener: what was on its way when it was told to stop is answered yet.
//!
//! Closing at once would reset it: connections that the system has accepted and nobody has taken, and requests
//! that were written to an idle connection a moment ago. Their senders would not know what became of them.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::shutdown::Stage;

/// No longer than this: a process in a pod may have two seconds in all.
const LONGEST: Duration = Duration::from_millis(300);
/// So long at least, for the queue of the system, and then for those who came last to say what they want.
const SHORTEST: Duration = Duration::from_millis(20);
/// So long at most the queue is emptied: somebody always comes, and who is let in has to be answered.
pub(super) const EMPTYING: Duration = Duration::from_millis(20);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// Says when it is over; cheap to clone. Each connection holds one.
#[derive(Clone, Default)]
pub(super) struct Linger {
    closing: CancellationToken,
    over: CancellationToken,
    holders: Arc<()>,
}

impl Linger {
    /// Lets it be over soon after `stage` has been told to stop: once no connection is open.
    pub(super) fn start(stage: &Stage) -> Self {
        let linger = Self::default();
        let (closing, over) = (linger.closing.clone(), linger.over.clone());
        let holders = Arc::downgrade(&linger.holders);
        let stopping = stage.clone();
        drop(stage.spawn(async move {
            stopping.stopping().await;
            let end = Instant::now() + LONGEST;
            sleep(SHORTEST).await;
            // The server itself holds one.
            while holders.strong_count() > 1 && Instant::now() < end {
                sleep(LOOK).await;
            }
            closing.cancel();
            sleep(EMPTYING + SHORTEST).await;
            over.cancel();
        }));
        linger
    }

    /// Resolves when nobody is let in any more.
    pub(super) async fn closing(&self) {
        self.closing.cancelled().await;
    }

    /// Resolves when nobody is waited for any more who has to say something first, and hear it.
    pub(super) async fn over_and_a_round_trip(&self) {
        self.over().await;
        sleep(LONGEST).await;
    }

    /// Resolves when nobody is waited for any more.
    pub(super) async fn over(&self) {
        self.over.cancelled().await;
    }
}
