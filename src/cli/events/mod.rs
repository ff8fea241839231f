//! `hookgate events`: look at events of a running gate, follow them, replay them, erase them.

mod erase;
mod list;
mod replay;
mod show;
mod tail;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::Failure;
use super::api::query;
use super::http::block_on;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List events, newest first
    List(list::List),
    /// Show one event: headers, attempts, what the app answered
    Show(show::Show),
    /// Follow what happens: events, attempts, rejections
    Tail(tail::Tail),
    /// Deliver events again: those with these ids, or all that fit a filter
    Replay(replay::Replay),
    /// Erase body and headers of events; their ids stay known
    Erase(erase::Erase),
}

/// Which events; all that is given must hold.
#[derive(Clone, Debug, clap::Args)]
struct Conditions {
    /// Only events of this source
    #[arg(long)]
    source: Option<String>,
    /// Only pending, delivered or dead events
    #[arg(long, value_parser = ["pending", "delivered", "dead"])]
    state: Option<String>,
    /// Only events of this type
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Only the event with this id, ours or the provider's
    #[arg(long)]
    id: Option<String>,
    /// Only events received at or after this RFC 3339 instant
    #[arg(long)]
    since: Option<String>,
    /// Only events received before this RFC 3339 instant
    #[arg(long)]
    until: Option<String>,
}

impl Conditions {
    fn parameters(&self) -> [(&'static str, &Option<String>); 6] {
        [
            ("source", &self.source),
            ("state", &self.state),
            ("type", &self.event_type),
            ("id", &self.id),
            ("since", &self.since),
            ("until", &self.until),
        ]
    }

    fn are_empty(&self) -> bool {
        self.parameters().iter().all(|(_, value)| value.is_none())
    }

    /// The query string of these and of `more`.
    fn query(&self, more: &[(&str, &Option<String>)]) -> String {
        let own = self.parameters();
        query(&own.iter().chain(more).copied().collect::<Vec<_>>())
    }
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    block_on(async {
        match args.command {
            Command::List(list) => list.run().await,
            Command::Show(show) => show.run().await,
            Command::Tail(tail) => tail.run().await,
            Command::Replay(replay) => replay.run().await,
            Command::Erase(erase) => erase.run().await,
        }
    })
}

/// The route of one event.
fn route(id: &str) -> String {
    format!(
        "/api/v1/events/{}",
        utf8_percent_encode(id, NON_ALPHANUMERIC)
    )
}
