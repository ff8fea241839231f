//! `hookgate demo`: an app on a Unix socket, the gate in front of it, and real signed events of
//! some providers, so that a newcomer sees in ten seconds what the gate does.

mod app;
mod cast;
mod story;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::{Failure, out};
use crate::clock::Clock;
use crate::config::{Config, Inputs};
use crate::gateway::Gateway;
use crate::metrics::Metrics;
use crate::net::Address;
use crate::shutdown::Stage;
use crate::telemetry;
use cast::Character;

/// Deliveries that may wait to be looked at.
const DELIVERIES_MAX: usize = 1024;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Exit after the demonstration instead of staying up
    #[arg(long)]
    once: bool,
    /// Where the gate of the demo listens
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
    /// Where its admin listener is
    #[arg(long, default_value = "127.0.0.1:0")]
    admin: String,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let directory = Directory::new()?;
    let cast = cast::of_all_providers()?;
    let config = Config::load(&inputs(args, &directory, &cast))?;
    let _logs = telemetry::start(&config.log);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime =
        runtime.map_err(|error| Failure::Failed(format!("cannot start the runtime: {error}")))?;
    runtime.block_on(perform(args, config, &directory, &cast))
}

async fn perform(
    args: &Args,
    config: Config,
    directory: &Directory,
    cast: &[Character],
) -> Result<(), Failure> {
    let (deliveries, mut delivered) = mpsc::channel(DELIVERIES_MAX);
    let app_stage = Stage::default();
    let verifiers = config
        .ingress
        .sources
        .iter()
        .map(|source| (source.name.clone(), Arc::clone(&source.verifier)));
    app::start(
        &directory.app(),
        verifiers.collect(),
        deliveries,
        &app_stage,
    )
    .await?;

    let gateway = Gateway::start(config, Clock::real(), Metrics::new()).await;
    let gateway = gateway.map_err(|error| Failure::Failed(error.to_string()))?;
    let no_address = || Failure::Failed("the gate listens nowhere".to_owned());
    let address = gateway
        .listening()
        .first()
        .cloned()
        .ok_or_else(no_address)?;
    let admin = gateway
        .admin_listening()
        .first()
        .cloned()
        .ok_or_else(no_address)?;
    out::line(format_args!(
        "sender  -->  hookgate on {address}  -->  demo app on {}\n",
        directory.app()
    ));
    let told = story::tell(cast, &address, &mut delivered).await;
    if told.is_ok() && !args.once {
        stay(cast, &address, &admin).await?;
    }
    let stopped = gateway.stop().await;
    app_stage.stop(std::time::Duration::from_secs(1)).await;
    told?;
    stopped.map_err(|error| Failure::Failed(error.to_string()))
}

async fn stay(cast: &[Character], address: &Address, admin: &Address) -> Result<(), Failure> {
    out::line("The gate stays up until you press Ctrl-C. Try, in another terminal:\n");
    if let Some(stripe) = cast.iter().find(|character| character.name == "stripe") {
        let target = stripe.path.as_str();
        let secret = String::from_utf8_lossy(stripe.signing_secret.expose()).into_owned();
        out::line(format_args!(
            "  hookgate send --provider stripe --secret {secret} --to http://{address}{target}"
        ));
        out::line(format_args!(
            "  hookgate send --provider stripe --secret {secret} --to http://{address}{target} --tamper"
        ));
    }
    out::line(format_args!("  hookgate events list --admin {admin}"));
    out::line(format_args!("  curl http://{admin}/metrics\n"));
    out::line(format_args!(
        "and look at it in a browser: http://{admin}/\n"
    ));
    let interrupted = tokio::signal::ctrl_c().await;
    interrupted.map_err(|error| Failure::Failed(format!("cannot wait for Ctrl-C: {error}")))
}

/// The settings of the demo: nothing of the environment, so that it works anywhere.
fn inputs(args: &Args, directory: &Directory, cast: &[Character]) -> Inputs {
    let mut flags = vec![
        ("server.listen".to_owned(), args.listen.clone()),
        ("admin.listen".to_owned(), args.admin.clone()),
        ("app.url".to_owned(), directory.app().to_string()),
        ("app.retry.first".to_owned(), "300ms".to_owned()),
        (
            "store.path".to_owned(),
            directory.0.join("store").display().to_string(),
        ),
        // The temporary directory of some machines is kept in memory.
        ("store.allow_volatile".to_owned(), "true".to_owned()),
        ("log.level".to_owned(), "off".to_owned()),
    ];
    for character in cast {
        flags.extend(character.settings());
    }
    Inputs {
        file: None,
        environment: Vec::new(),
        flags,
    }
}

/// A directory of the demo's own, removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Result<Self, Failure> {
        let name = format!(
            "hookgate-demo-{}-{:08x}",
            std::process::id(),
            fastrand::u32(..)
        );
        let path = std::env::temp_dir().join(name);
        let created = std::fs::create_dir(&path);
        created.map_err(|error| {
            Failure::Failed(format!("cannot create {}: {error}", path.display()))
        })?;
        Ok(Self(path))
    }

    fn app(&self) -> Address {
        Address::Unix(self.0.join("app.sock"))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Nothing in it is worth an error at this point.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
