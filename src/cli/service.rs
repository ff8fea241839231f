//! What the service manager is told, by `sd_notify(3)`: nothing where there is none.

use std::time::Duration;

pub(super) use sd_notify::NotifyState as State;

use crate::gateway::{Gateway, Liveness};
use crate::shutdown::Stage;

/// Tells the service manager, if there is one.
pub(super) fn tell(states: &[State<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot tell the service manager how it is");
    }
}

/// Events are taken from now on; if a watchdog waits for signs of life, they come from a task of `beats`.
pub(super) fn ready(gateway: &Gateway, beats: &Stage) {
    let listening = gateway.listening().iter().map(ToString::to_string);
    let status = format!(
        "taking webhooks at {}",
        listening.collect::<Vec<_>>().join(", ")
    );
    tell(&[State::Ready, State::Status(&status)]);
    if let Some(patience) = sd_notify::watchdog_enabled() {
        drop(beats.spawn(beat(gateway.liveness(), patience / 2, beats.clone())));
    }
}

/// One sign of life after the other, as long as `/livez` would say yes. It is a task like those that
/// answer senders: where they do not get their turn, neither does it.
async fn beat(liveness: Liveness, every: Duration, beats: Stage) {
    let mut was_alive = true;
    loop {
        let alive = liveness.alive();
        match &alive {
            // A service manager that reads nothing any more must not keep a worker waiting.
            Ok(()) => drop(beats.block(|| tell(&[State::Watchdog])).await),
            Err(error) if was_alive => {
                tracing::error!(%error, "no more signs of life for the watchdog");
            }
            Err(_) => {}
        }
        was_alive = alive.is_ok();
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = beats.stopping() => return,
        }
    }
}
