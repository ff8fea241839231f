//! Wires all parts together: the only module that knows everybody.
//!
//! Start: addresses, then the store, gate, forwarder, admin (`opening`). Stop, in this order:
//! intake (no new connections; requests under way finish), forwarding (no new leases; attempts
//! finish), the store (what was settled is written), admin. Whatever has not finished when the grace
//! period ends stays pending on disk.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Clock;
use crate::config::Config;
use crate::ingress::{self, Gate};
use crate::metrics::Metrics;
use crate::net::Address;
use crate::server;
use crate::shutdown::Stage;
use crate::store::{Store, StoreError};

mod opening;
mod ready;
mod store_metrics;

pub use opening::Opening;

use opening::Listening;

/// What of the grace period is kept back for writing the last settlements.
const STORE_SHARE: Duration = Duration::from_secs(2);

/// Senders who waited for an app that will not speak any more are told so in this time.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// Those who only look on, and spans that are queued, have no longer at the end.
const LAST: Duration = Duration::from_secs(1);

/// Why a gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The TLS files cannot be used.
    #[error(transparent)]
    Tls(#[from] server::TlsError),
    /// A captured secret cannot be read or used.
    #[error(transparent)]
    Captured(#[from] ingress::CaptureError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address} ({key}): {source}; is another process using it?")]
    Listen {
        /// The configuration key.
        key: &'static str,
        /// The address asked for.
        address: Address,
        /// What the system said.
        source: io::Error,
    },
    /// No socket of this name was passed to the process.
    #[error(
        "{key} = \"systemd:{name}\": no socket of this name was passed ({passed}); a .socket unit names it with FileDescriptorName="
    )]
    NotPassed {
        /// The configuration key.
        key: &'static str,
        /// The name asked for.
        name: Box<str>,
        /// The names there are.
        passed: String,
    },
}

/// Says whether a gateway is alive, while it runs.
#[derive(Clone)]
pub struct Liveness(Store);

impl Liveness {
    /// Whether it is.
    ///
    /// # Errors
    /// Why not.
    pub fn alive(&self) -> Result<(), StoreError> {
        self.0.alive()
    }
}

/// A running gateway.
pub struct Gateway {
    gate: Arc<Gate>,
    store: Store,
    intake: Stage,
    forwarding: Stage,
    admin: Stage,
    tracing: Stage,
    grace: Duration,
    listening: Listening,
}

impl Gateway {
    /// Starts everything; on return, events are taken.
    ///
    /// # Errors
    /// When the store, the TLS files or an address cannot be used.
    pub async fn start(config: Config, clock: Clock, metrics: Metrics) -> Result<Self, StartError> {
        Opening::listen(config, clock, metrics).await?.open().await
    }

    /// Where senders reach it, with the ports that the system chose.
    #[must_use]
    pub fn listening(&self) -> &[Address] {
        &self.listening.senders
    }

    /// Where operators reach it.
    #[must_use]
    pub fn admin_listening(&self) -> &[Address] {
        &self.listening.admin
    }

    /// Where probes and scrapers reach it, besides.
    #[must_use]
    pub fn ops_listening(&self) -> &[Address] {
        &self.listening.ops
    }

    /// What `/livez` asks: whether a restart is not the better hope.
    #[must_use]
    pub fn liveness(&self) -> Liveness {
        Liveness(self.store.clone())
    }

    /// Resolves when the store has failed, after which the process must end.
    pub async fn failed(&self) -> StoreError {
        self.store.failed().await
    }

    /// Stops in order within the grace period.
    ///
    /// # Errors
    /// When the store has failed by the end: what the app took last may come to it again.
    pub async fn stop(self) -> Result<(), StoreError> {
        let end = Instant::now() + self.grace.saturating_sub(STORE_SHARE);
        tracing::info!("stopping: no new requests");
        // Half for each: a body that drips in must not cost the attempts their time.
        let mut is_idle = self.intake.stop(left(end) / 2).await;
        if !is_idle {
            self.gate.dismiss_waiting();
            is_idle = self.intake.stop(left(end).min(LAST_ANSWERS)).await;
        }
        if !is_idle {
            tracing::warn!("some requests did not finish in time; their senders will try again");
        }
        self.gate.close();
        if !self.forwarding.stop(left(end)).await {
            tracing::warn!("some attempts did not finish in time; their events stay pending");
        }
        let closed = self.store.close().await;
        // What became of the last events, if the collector takes it now.
        tokio::join!(self.admin.stop(LAST), self.tracing.stop(LAST));
        if closed.is_ok() {
            tracing::info!("stopped");
        }
        closed
    }
}

fn left(end: Instant) -> Duration {
    end.saturating_duration_since(Instant::now())
}
