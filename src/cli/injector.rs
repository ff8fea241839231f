//! `hookgate injector`: the admission webhook, from start to an orderly end.

use std::path::PathBuf;

use tokio::signal::unix::{SignalKind, signal};

use super::Failure;
use super::inject::{DefaultsArgs, minor};
use crate::injector::{Config, Injector};
use crate::kubernetes::settings::Settings;
use crate::metrics::Metrics;
use crate::net::Address;
use crate::server::TlsFiles;
use crate::telemetry;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where API servers come
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8443")]
    listen: Address,
    /// Where /livez, /readyz and /metrics are
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:9600")]
    ops: Address,
    /// The certificate chain, PEM, as in the mounted Secret; reread when it changes
    #[arg(long, value_name = "FILE", default_value = "/run/secrets/tls/tls.crt")]
    tls_certificate: PathBuf,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE", default_value = "/run/secrets/tls/tls.key")]
    tls_key: PathBuf,
    #[command(flatten)]
    defaults: DefaultsArgs,
    /// The version of the cluster
    #[arg(long, value_name = "1.MINOR", default_value = "1.30", value_parser = minor)]
    kube_version: u32,
    /// error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = level)]
    log_level: String,
}

fn level(text: &str) -> Result<String, String> {
    match telemetry::is_level(text) {
        true => Ok(text.to_owned()),
        false => Err("write error, warn, info, debug or trace".to_owned()),
    }
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let defaults = args.defaults.read()?;
    for (name, given) in [("the defaults", &defaults.given)].into_iter().chain(
        defaults
            .profiles
            .iter()
            .map(|(name, given)| (&**name, given)),
    ) {
        let read = Settings::read(given);
        read.map_err(|skip| Failure::Usage(format!("{name}: {skip}")))?;
    }
    let config = Config {
        listen: args.listen,
        ops: args.ops,
        tls: TlsFiles {
            certificate: args.tls_certificate,
            key: args.tls_key,
        },
        defaults,
        minor: args.kube_version,
    };
    let logs = telemetry::Config {
        format: telemetry::Format::Auto,
        level: args.log_level,
    };
    let _logs = telemetry::start(&logs);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime =
        runtime.map_err(|error| Failure::Failed(format!("cannot start the runtime: {error}")))?;
    runtime.block_on(live(config))
}

async fn live(config: Config) -> Result<(), Failure> {
    let cannot =
        |error: std::io::Error| Failure::Failed(format!("cannot listen for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    let injector = Injector::start(config, &Metrics::new()).await;
    let injector = injector.map_err(|error| Failure::Failed(error.to_string()))?;
    let [reviews, ops] = &injector.listening;
    tracing::info!(address = %reviews, "answering admission reviews at /inject");
    tracing::info!(address = %ops, "health and metrics");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    injector.stop().await;
    Ok(())
}
