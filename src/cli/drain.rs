//! `hookgate drain` and `hookgate healthcheck`: for whoever starts and stops the process, such as Kubernetes
//! and systemd, which in an image without a shell have nothing but this program to call.

use std::time::Duration;

use http::Method;
use tokio::time::{Instant, sleep};

use super::Failure;
use super::api::{Api, ApiArgs};
use super::out;
use crate::admin::DrainView;

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
    #[arg(long, value_name = "SECONDS", default_value_t = 20, requires = "wait")]
    timeout: u64,
}

impl Drain {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let until = Instant::now() + Duration::from_secs(self.timeout);
        let mut api = Api::connect(&self.api).await?;
        let mut drain: DrainView = api.call(Method::POST, "/api/v1/drain").await?;
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
            drain = api.call(Method::GET, "/api/v1/drain").await?;
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
        let mut api = Api::connect(&self.api).await?;
        let path = if self.live { "/livez" } else { "/readyz" };
        out::line(api.health(path).await?);
        Ok(())
    }
}
