//! `hookgate sources captured-secret|forget-secret`.

use http::Method;

use super::api::{Api, ApiArgs};
use super::http::block_on;
use super::{ConfigArgs, Failure, out};
use crate::admin::Forgotten;
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
struct ForgetSecret {
    #[command(flatten)]
    api: ApiArgs,
    /// The source's name
    name: String,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        Command::CapturedSecret(captured) => captured.run(),
        Command::ForgetSecret(forget) => block_on(forget.run()),
    }
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
        let name =
            percent_encoding::utf8_percent_encode(&self.name, percent_encoding::NON_ALPHANUMERIC);
        let target = format!("/api/v1/sources/{name}/captured-secret");
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
