//! `hookgate sources list|captured-secret|forget-secret`, `hookgate hold` and `hookgate release`.

use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::api::{Api, ApiArgs};
use super::http::block_on;
use super::out::Table;
use super::{ConfigArgs, Failure, out};
use crate::admin::{Forgotten, Held, SourceList};
use crate::config::Config;
use crate::event::SourceName;
use crate::store::CapturedSecrets;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the sources with their counts
    List(List),
    /// Whether a source has captured its secret from the provider's handshake
    CapturedSecret(CapturedSecret),
    /// Let go of a captured secret, so that the next one that is handed over is taken
    ForgetSecret(ForgetSecret),
}

/// Reads the store's own file, which only the user that hookgate runs as may do: so a secret never
/// travels through the admin API, where everybody on this machine could ask for it.
#[derive(Debug, clap::Args)]
struct CapturedSecret {
    #[command(flatten)]
    config: ConfigArgs,
    /// The source's name
    name: String,
    /// Print the secret, for providers that want it pasted into their dashboard (Notion)
    #[arg(long)]
    show: bool,
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    api: ApiArgs,
}

/// Of `hookgate hold` and `hookgate release`.
#[derive(Debug, clap::Args)]
pub(super) struct Hold {
    #[command(flatten)]
    api: ApiArgs,
    /// The source's name
    name: String,
}

#[derive(Debug, clap::Args)]
struct ForgetSecret {
    #[command(flatten)]
    api: ApiArgs,
    /// The source's name
    name: String,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        Command::List(list) => block_on(list.run()),
        Command::CapturedSecret(captured) => captured.run(),
        Command::ForgetSecret(forget) => block_on(forget.run()),
    }
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        let mut api = Api::connect(&self.api).await?;
        let list: SourceList = api.call(Method::GET, "/api/v1/sources").await?;
        if self.api.json {
            return out::json(&list);
        }
        let mut table = Table::new(&[
            "SOURCE",
            "PROVIDER",
            "PATH",
            "PENDING",
            "DELIVERED",
            "DEAD",
            "REJECTED",
            "LAST EVENT",
            "",
        ]);
        table.may_be_cut(2);
        for source in &list.sources {
            let last = source.last_accepted_at.as_deref().unwrap_or("-");
            let notes = [
                source.held.then_some("held"),
                (source.mode == "observe").then_some("observe"),
            ];
            let notes: Vec<_> = notes.into_iter().flatten().collect();
            table.row(vec![
                source.name.as_str().into(),
                source.provider.as_str().into(),
                source.path.as_str().into(),
                source.pending.to_string().into(),
                source.delivered.to_string().into(),
                source.dead.to_string().into(),
                source.requests.rejected.to_string().into(),
                last.into(),
                notes.join(", ").into(),
            ]);
        }
        table.print();
        Ok(())
    }
}

impl Hold {
    /// Stops handing the source's events to the app, or resumes.
    pub(super) fn run(&self, hold: bool) -> Result<(), Failure> {
        block_on(async {
            let verb = if hold { "hold" } else { "release" };
            let mut api = Api::connect(&self.api).await?;
            let target = format!("{}/{verb}", route(&self.name));
            let answer: Held = api.call(Method::POST, &target).await?;
            if self.api.json {
                return out::json(&answer);
            }
            let name = &self.name;
            out::line(match answer.held {
                true => format!(
                    "{name} is held: its events are taken and kept until `hookgate release {name}`"
                ),
                false => format!("{name} is released"),
            });
            Ok(())
        })
    }
}

fn route(name: &str) -> String {
    format!(
        "/api/v1/sources/{}",
        utf8_percent_encode(name, NON_ALPHANUMERIC)
    )
}

impl CapturedSecret {
    fn run(self) -> Result<(), Failure> {
        let config = Config::load(&self.config.inputs())?;
        let name: SourceName = self.name.as_str().into();
        let mut sources = config.ingress.sources.iter();
        if !sources.any(|source| source.name == name && source.verifier.captures()) {
            let message = format!("no source {name} has capture = true");
            return Err(Failure::Usage(message));
        }
        let secret = CapturedSecrets::beside(&config.store.path).load(&name);
        let secret = secret.map_err(|error| Failure::Failed(error.to_string()))?;
        match secret {
            None => Err(Failure::Failed(format!(
                "{name} has no secret yet: start the handshake in the provider's dashboard"
            ))),
            Some(secret) if self.show => {
                out::line(String::from_utf8_lossy(secret.expose()));
                Ok(())
            }
            Some(_) => {
                out::line(format_args!(
                    "{name} has captured a secret; --show prints it"
                ));
                Ok(())
            }
        }
    }
}

impl ForgetSecret {
    async fn run(self) -> Result<(), Failure> {
        let target = format!("{}/captured-secret", route(&self.name));
        let mut api = Api::connect(&self.api).await?;
        let answer: Forgotten = api.call(Method::DELETE, &target).await?;
        if self.api.json {
            return out::json(&answer);
        }
        out::line(match answer.forgotten {
            true => "forgotten: the next secret that the provider hands over is taken",
            false => "there was none",
        });
        Ok(())
    }
}
