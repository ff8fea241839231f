//! `hookgate check`: the configuration, all faults at once; with `--probe` also app and store.

use super::promise::{Promise, promises};
use super::{ConfigArgs, Failure, out};
use crate::clock::Clock;
use crate::config::Config;
use crate::store::{Store, Volume};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Also connect to the app and open the store
    #[arg(long)]
    probe: bool,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let config = Config::load(&args.config.inputs())?;
    for warning in &config.warnings {
        out::warning(warning);
    }
    for source in &config.ingress.sources {
        out::line(format_args!(
            "source {}: POST {}, {}",
            source.name,
            source.path,
            source.verifier.protection()
        ));
    }
    let volume = Volume::under(&config.store.path);
    for promise in promises(&config, &volume) {
        let Promise { ack, meaning, .. } = promise;
        out::line(format_args!("ack {ack:?} ({}): {meaning}", promise.sources));
    }
    if args.probe {
        probe(config)?;
    }
    out::line("the configuration is fine");
    Ok(())
}

fn probe(config: Config) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime =
        runtime.map_err(|error| Failure::Failed(format!("cannot start the runtime: {error}")))?;
    let app = config.forward.app;
    let connected = runtime.block_on(app.connect());
    connected
        .map_err(|error| Failure::Failed(format!("the app at {app} cannot be reached: {error}")))?;
    out::line(format_args!("app: {app} accepts connections"));
    let store = Store::open(config.store, Clock::real(), runtime.handle());
    let store = store.map_err(|error| Failure::Failed(error.to_string()))?;
    let writable = store.writable();
    let stats = store.stats();
    let closed = runtime.block_on(store.close());
    writable
        .and(closed)
        .map_err(|error| Failure::Failed(error.to_string()))?;
    let durable = if stats.durable {
        "durable"
    } else {
        "NOT durable (store.allow_volatile)"
    };
    out::line(format_args!(
        "store: opens, {durable}, {} bytes used",
        stats.used_bytes
    ));
    Ok(())
}
