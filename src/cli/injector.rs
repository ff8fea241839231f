//! `hookgate injector`: the admission webhook, from start to an orderly end.

use std::path::PathBuf;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::Failure;
use super::inject::{DefaultsArgs, minor};
use crate::clock::Clock;
use crate::injector::{Access, Config, Injector, Names};
use crate::kubernetes::defaults::Defaults;
use crate::kubernetes::settings::{IMAGE, Settings};
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
    /// The version of the cluster [default: what its API server says]
    #[arg(long, value_name = "1.MINOR", value_parser = minor)]
    kube_version: Option<u32>,
    /// Make the certificate, keep it in this Secret and renew it; the two TLS files are then written, not read
    #[arg(long, value_name = "SECRET", requires_all = ["service", "webhook"])]
    self_managed: Option<String>,
    /// The Service that API servers call, in the certificate that is made
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// The MutatingWebhookConfiguration that is told to trust the certificate that is made
    #[arg(long, value_name = "NAME")]
    webhook: Option<String>,
    /// Write an Event for each pod that was injected, and for each that could not be
    #[arg(long)]
    events: bool,
    /// Seconds for which it goes on answering after SIGTERM, not ready, until API servers know to go elsewhere; a second
    /// signal ends it at once
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u16).range(0..=3600))]
    drain: u16,
    #[arg(long, env = "KUBERNETES_SERVICE_HOST", hide = true)]
    api_host: Option<String>,
    #[arg(
        long,
        env = "KUBERNETES_SERVICE_PORT",
        hide = true,
        default_value_t = 443
    )]
    api_port: u16,
    /// Where the service account's token, authority and namespace are
    #[arg(
        long,
        value_name = "DIRECTORY",
        default_value = "/var/run/secrets/kubernetes.io/serviceaccount"
    )]
    service_account: PathBuf,
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
    check(&defaults)?;
    let access = args.api_host.map(|host| Access {
        host,
        port: args.api_port,
        account: args.service_account,
    });
    let names = args.self_managed.zip(args.service).zip(args.webhook);
    let certificate = names.map(|((secret, service), webhook)| Names {
        secret,
        service,
        webhook,
    });
    let config = Config {
        listen: args.listen,
        ops: args.ops,
        tls: TlsFiles {
            certificate: args.tls_certificate,
            key: args.tls_key,
        },
        defaults,
        minor: args.kube_version,
        access,
        certificate,
        events: args.events,
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
    runtime.block_on(live(config, Duration::from_secs(args.drain.into())))
}

/// What every pod would be skipped for is a fault now.
fn check(defaults: &Defaults) -> Result<(), Failure> {
    let mut all = vec![("the settings".to_owned(), defaults.given.clone())];
    for (name, profile) in &defaults.profiles {
        let mut given = defaults.given.clone();
        given.extend(profile.clone());
        all.push((format!("the profile {name}"), given));
    }
    for (name, given) in all {
        let read = Settings::read(&given);
        read.map_err(|skip| Failure::Usage(format!("{name}: {skip}")))?;
        if !given.contains_key("image") {
            return Err(Failure::Usage(format!(
                "{name}: say which image pods get, such as --set image=registry.example.com/{IMAGE}"
            )));
        }
    }
    Ok(())
}

async fn live(config: Config, drain: Duration) -> Result<(), Failure> {
    let cannot =
        |error: std::io::Error| Failure::Failed(format!("cannot listen for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    let metrics = Metrics::new();
    let starting = Injector::start(config, &metrics, Clock::real());
    let injector = tokio::select! {
        injector = starting => injector,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let injector = injector.map_err(|error| Failure::Failed(error.to_string()))?;
    let [reviews, ops] = &injector.listening;
    tracing::info!(address = %reviews, "answering admission reviews at /inject");
    tracing::info!(address = %ops, "health and metrics");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    injector.retire();
    tracing::info!("not ready any more; answering for {drain:?} yet");
    tokio::select! {
        () = tokio::time::sleep(drain) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    injector.stop().await;
    Ok(())
}
