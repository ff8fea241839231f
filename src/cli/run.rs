//! `hookgate run`: the gate, from start to an orderly end.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::promise::{Promise, promises};
use super::service::{self, State};
use super::{ConfigArgs, Failure};
use crate::clock::Clock;
use crate::config::Config;
use crate::gateway::Gateway;
use crate::metrics::Metrics;
use crate::net::Passed;
use crate::planted::{Bug, planted};
use crate::shutdown::Stage;
use crate::store::{StoreError, Volume};
use crate::telemetry;

/// Each second task comes from the queue that the workers share. With the runtime's own choice it is
/// one of dozens: connections that are always ready keep the workers' own queues full, and whatever
/// does not fit there, answers to genuine senders among it, waits for seconds.
const FAIR_INTERVAL: u32 = 2;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Let a crash leave a core dump, and a debugger attach: both show the secrets in memory
    #[arg(long)]
    core_dumps: bool,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let dumps = if args.core_dumps {
        Ok(())
    } else {
        refuse_core_dumps()
    };
    telemetry::conceal_panics();
    let passed = Passed::to_process().map_err(|error| {
        Failure::Failed(format!("cannot take the sockets that were passed: {error}"))
    })?;
    let inputs = args.config.inputs();
    let mut config = Config::load(&inputs)?;
    config.passed = passed;
    let logs = telemetry::start(&config.log);
    if let Err(error) = dumps {
        tracing::warn!(%error, "core dumps cannot be refused: one would hold the secrets");
    }
    let file = inputs.file.as_ref().map(|file| file.display().to_string());
    tracing::debug!(?inputs, "settings come from");
    drop(inputs);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        config = file,
        "hookgate starts"
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .global_queue_interval(FAIR_INTERVAL)
        .enable_all()
        .build();
    let runtime =
        runtime.map_err(|error| Failure::Failed(format!("cannot start the runtime: {error}")))?;
    let result = runtime.block_on(live(config, &logs));
    runtime.shutdown_background();
    result
}

/// From now on the kernel writes no core dump of this process, and only root can look into it: its
/// memory holds secrets.
#[cfg(target_os = "linux")]
fn refuse_core_dumps() -> std::io::Result<()> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

#[cfg(not(target_os = "linux"))]
fn refuse_core_dumps() -> std::io::Result<()> {
    Ok(())
}

/// What senders are told, aloud: it differs from one deployment to the next.
fn say(promise: &Promise) {
    let Promise {
        ack,
        sources,
        meaning,
        is_weak,
    } = promise;
    if *is_weak {
        tracing::warn!(ack, sources, "{meaning}");
    } else {
        tracing::info!(ack, sources, "{meaning}");
    }
}

async fn live(config: Config, logs: &telemetry::Logs) -> Result<(), Failure> {
    let cannot =
        |error: std::io::Error| Failure::Failed(format!("cannot listen for signals: {error}"));
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate()).map_err(cannot)?,
        signal(SignalKind::interrupt()).map_err(cannot)?,
    );
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let traces = config.trace.as_ref().map(|trace| trace.place().to_owned());
    let app = config.forward.app.to_string();
    let sources: Vec<_> = config
        .ingress
        .sources
        .iter()
        .map(|source| format!("{} at {}", source.name, source.path))
        .collect();
    service::tell(&[State::Status("opening the store")]);
    let promised = promises(&config, &Volume::under(&config.store.path));
    let starting = Gateway::start(config, Clock::real(), Metrics::new());
    let gateway = tokio::select! {
        gateway = starting => gateway.map_err(|error| Failure::Failed(error.to_string()))?,
        // Opening the store may take long, and can be cut off anywhere.
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    for address in gateway.listening() {
        tracing::info!(%address, %app, "taking webhooks");
    }
    for source in sources {
        tracing::info!("source {source}");
    }
    if let Some(collector) = traces {
        tracing::info!(%collector, "traces");
    }
    for address in gateway.admin_listening() {
        tracing::info!(%address, "admin");
    }
    for address in gateway.ops_listening() {
        tracing::info!(%address, "health and metrics");
    }
    promised.iter().for_each(say);
    let beats = Stage::default();
    service::ready(&gateway, &beats);
    tokio::select! {
        error = gateway.failed() => {
            // Nothing more can be promised: end at once, and recover from disk at the next start.
            if planted(Bug::ExitZeroAfterFailedSync) {
                return Ok(());
            }
            return Err(Failure::Failed(error.to_string()));
        }
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    service::tell(&[State::Stopping, State::Status("stopping")]);
    let stopped = tokio::select! {
        stopped = gateway.stop() => stopped,
        // A second signal: what is acknowledged is on disk, so it is safe to leave now.
        _ = terminate.recv() => leave_at_once(),
        _ = interrupt.recv() => leave_at_once(),
    };
    beats.stop(Duration::ZERO).await;
    if logs.dropped_lines() > 0 {
        tracing::warn!(
            lines = logs.dropped_lines(),
            "log lines were dropped because nobody read them"
        );
    }
    stopped.map_err(|error| Failure::Failed(error.to_string()))
}

fn leave_at_once() -> Result<(), StoreError> {
    tracing::warn!("second signal: leaving at once");
    Ok(())
}
