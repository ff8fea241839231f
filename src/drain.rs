//! On the way out, before anybody says stop: for a process whose traffic has to find another one first.
//!
//! First a lame duck: events are still taken, since senders and proxies learn late that they should go
//! elsewhere, but `/readyz` is off and every connection is asked to end. After a while new events are
//! refused with 503. From the beginning everything that waits for a retry is tried at once, and again within
//! seconds: the app is about to go, too. It ends nothing; the process stays until it is told to stop.

use std::sync::Arc;
use std::time::Duration;

use prometheus::IntGauge;
use tokio::sync::watch;

use crate::forward::HURRY;
use crate::ingress::Gate;
use crate::metrics::Metrics;
use crate::shutdown::Stage;
use crate::store::Store;

/// After a store that could not.
const HASTEN_AGAIN: Duration = Duration::from_secs(1);

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nobody has asked for it.
    Serving,
    /// Events are taken, connections are not kept.
    LameDuck,
    /// Events are refused with 503.
    Refusing,
}

impl Phase {
    /// The word for the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::LameDuck => "lame_duck",
            Self::Refusing => "refusing",
        }
    }
}

/// Lets the gate drain; clones are handles to the same one.
#[derive(Clone)]
pub struct Drain {
    gate: Arc<Gate>,
    store: Store,
    intake: Stage,
    forwarding: Stage,
    accept_for: Duration,
    phase: Arc<watch::Sender<Phase>>,
    draining: IntGauge,
}

impl Drain {
    /// Prepares for it; `accept_for` is how long a lame duck takes events.
    #[must_use]
    pub fn new(
        gate: Arc<Gate>,
        store: Store,
        (intake, forwarding): (Stage, Stage),
        accept_for: Duration,
        metrics: &Metrics,
    ) -> Self {
        let help = "1 once the gate has been asked to drain";
        Self {
            gate,
            store,
            intake,
            forwarding,
            accept_for,
            phase: Arc::new(watch::Sender::new(Phase::Serving)),
            draining: metrics.gauge("hookgate_draining", help),
        }
    }

    /// How far it is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Begins, if it has not begun. It cannot be taken back; what it starts ends with `stage`.
    pub fn begin(&self, stage: &Stage) {
        let begins = self.phase.send_if_modified(|phase| {
            let begins = *phase == Phase::Serving;
            if begins {
                *phase = Phase::LameDuck;
            }
            begins
        });
        if !begins {
            return;
        }
        tracing::info!(accept_for = ?self.accept_for, "draining: no longer ready, still taking events");
        self.draining.set(1);
        self.intake.retire();
        self.forwarding.retire();
        let (drain, ending) = (self.clone(), stage.clone());
        stage.spawn(async move {
            tokio::select! {
                biased;
                () = ending.stopping() => {}
                () = drain.hasten() => {}
            }
        });
        let (drain, ending) = (self.clone(), stage.clone());
        stage.spawn(async move {
            tokio::select! {
                biased;
                () = ending.stopping() => return,
                () = tokio::time::sleep(drain.accept_for) => {}
            }
            drain.gate.close();
            drain.phase.send_replace(Phase::Refusing);
            tracing::info!("draining: new events are refused");
        });
    }

    /// Brings retries forward, as soon as the store can.
    async fn hasten(&self) {
        loop {
            match self.store.hasten(HURRY).await {
                Ok(events) => {
                    tracing::info!(events, "retries were brought forward");
                    return;
                }
                Err(error) => tracing::warn!(%error, "retries could not be brought forward yet"),
            }
            tokio::time::sleep(HASTEN_AGAIN).await;
        }
    }
}
