//! `hookgate drain` and `hookgate healthcheck`: for whoever starts and stops the process, such as Kubernetes
//! and systemd, which in an image without a shell have nothing but this program to call.

use std::time::Duration;

use http::Method;
use tokio::time::{Instant, sleep, timeout};

use super::Failure;
use super::api::{Api, ApiArgs};
use super::out;
use crate::admin::DrainView;

/// A gate that is asked how it is answers at once.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks at what is left.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
pub(super) struct Drain {
    #[command(flatten)]
    api: ApiArgs,
    /// Wait until new events are refused and the app has taken all that there are
    #[arg(long)]
    wait: bool,
    /// Wait at most this many seconds; what is left then stays on disk
    #[arg(long, value_name = "SECONDS", default_value_t = 20, requires = "wait", value_parser = clap::value_parser!(u16).range(0..=3600))]
    timeout: u16,
}

impl Drain {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let until = Instant::now() + Duration::from_secs(self.timeout.into());
        let mut api = Api::connect(&self.api).await?;
        let begun = timeout(PATIENCE, api.call(Method::POST, "/api/v1/drain")).await;
        let mut drain: DrainView = begun.unwrap_or_else(|_| Err(silent()))?;
        while self.wait && !is_done(&drain) {
            if Instant::now() >= until {
                let (pending, s) = (drain.pending, self.timeout);
                let events = if pending == 1 { "event" } else { "events" };
                return Err(Failure::Failed(format!(
                    "after {s} seconds it is {}, with {pending} {events} pending on disk",
                    drain.phase
                )));
            }
            sleep(LOOK).await;
            let looked = timeout(PATIENCE, api.call(Method::GET, "/api/v1/drain")).await;
            drain = looked.unwrap_or_else(|_| Err(silent()))?;
        }
        if self.api.json {
            return out::json(&drain);
        }
        out::line(match self.wait {
            true => {
                "drained: new events are refused, and the app has all that there were".to_owned()
            }
            false => format!("draining ({}), {} pending", drain.phase, drain.pending),
        });
        Ok(())
    }
}

fn silent() -> Failure {
    Failure::Failed(format!("no answer from hookgate within {PATIENCE:?}"))
}

fn is_done(drain: &DrainView) -> bool {
    drain.phase == "refusing" && drain.pending == 0
}

#[derive(Debug, clap::Args)]
pub(super) struct Healthcheck {
    #[command(flatten)]
    api: ApiArgs,
    /// Ask whether a restart would help, instead of whether senders should come here
    #[arg(long)]
    live: bool,
}

impl Healthcheck {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let path = if self.live { "/livez" } else { "/readyz" };
        let asked = async { Api::connect(&self.api).await?.health(path).await };
        // One that does not answer is not well, either.
        let answer = timeout(PATIENCE, asked).await;
        out::line(answer.unwrap_or_else(|_| Err(silent()))?);
        Ok(())
    }
}
