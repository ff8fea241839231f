//! `hookgate events list|show|replay`.

use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::api::{Api, ApiArgs, query};
use super::http::block_on;
use super::out::printable;
use super::{Failure, out};
use crate::admin::{EventDetail, EventList, Replayed};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List events, newest first
    List(List),
    /// Show one event: headers, attempts, what the app answered
    Show(Show),
    /// Deliver events again
    Replay(Replay),
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    api: ApiArgs,
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
    /// At most this many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=500))]
    limit: u16,
    /// Go on where a list ended
    #[arg(long)]
    cursor: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Show {
    #[command(flatten)]
    api: ApiArgs,
    /// The event's id (evt_...)
    id: String,
}

#[derive(Debug, clap::Args)]
struct Replay {
    #[command(flatten)]
    api: ApiArgs,
    /// The events' ids (evt_...)
    #[arg(required = true)]
    ids: Vec<String>,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    block_on(async {
        match args.command {
            Command::List(list) => list.run().await,
            Command::Show(show) => show.run().await,
            Command::Replay(replay) => replay.run().await,
        }
    })
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        let limit = self.limit.to_string();
        let parameters = [
            ("source", &self.source),
            ("state", &self.state),
            ("type", &self.event_type),
            ("id", &self.id),
            ("since", &self.since),
            ("until", &self.until),
            ("cursor", &self.cursor),
            ("limit", &Some(limit)),
        ];
        let target = format!("/api/v1/events?{}", query(&parameters));
        let page: EventList = Api::connect(&self.api)
            .await?
            .call(Method::GET, &target)
            .await?;
        if self.api.json {
            return out::json(&page);
        }
        let heading = [
            "RECEIVED", "SOURCE", "TYPE", "STATE", "ATTEMPTS", "LAST", "EVENT",
        ];
        let mut rows = vec![heading.map(ToOwned::to_owned).to_vec()];
        for event in &page.events {
            let last = event
                .last_status
                .map(|status| status.to_string())
                .or(event.last_outcome.clone());
            rows.push(vec![
                event.received_at.clone(),
                event.source.clone(),
                printable(event.event_type.as_deref().unwrap_or("-")),
                event.state.clone(),
                event.attempts.to_string(),
                last.unwrap_or_else(|| "-".to_owned()),
                event.id.clone(),
            ]);
        }
        out::table(&rows);
        if let Some(next) = page.next {
            out::line(format_args!("more: --cursor {next}"));
        }
        Ok(())
    }
}

impl Show {
    async fn run(self) -> Result<(), Failure> {
        let target = format!(
            "/api/v1/events/{}",
            utf8_percent_encode(&self.id, NON_ALPHANUMERIC)
        );
        let event: EventDetail = Api::connect(&self.api)
            .await?
            .call(Method::GET, &target)
            .await?;
        if self.api.json {
            return out::json(&event);
        }
        let summary = &event.summary;
        let or_dash = |text: &Option<String>| printable(text.as_deref().unwrap_or("-"));
        let mut rows = vec![
            ["event", &summary.id].map(ToOwned::to_owned).to_vec(),
            ["source", &summary.source].map(ToOwned::to_owned).to_vec(),
            vec![
                "provider's id".to_owned(),
                or_dash(&summary.provider_event_id),
            ],
            vec!["type".to_owned(), or_dash(&summary.event_type)],
            ["state", &summary.state].map(ToOwned::to_owned).to_vec(),
            ["received", &summary.received_at]
                .map(ToOwned::to_owned)
                .to_vec(),
            vec!["verified by".to_owned(), or_dash(&event.verified)],
        ];
        let more = [
            ("dead because", &summary.dead_reason),
            ("next attempt", &summary.next_attempt_at),
        ];
        rows.extend(
            more.into_iter()
                .filter_map(|(name, value)| Some(vec![name.to_owned(), value.clone()?])),
        );
        rows.push(vec![
            "body".to_owned(),
            format!("{} bytes ({})", summary.body_bytes, event.content),
        ]);
        out::table(&rows);
        out::line("");
        out::line(format_args!(
            "{} {}",
            or_dash(&event.method),
            or_dash(&event.target)
        ));
        for (name, value) in &event.headers {
            out::line(format_args!("{name}: {}", printable(value)));
        }
        out::line("");
        for attempt in &event.attempts_made {
            let status = attempt
                .status
                .map_or_else(String::new, |status| format!(" {status}"));
            let error = attempt
                .error
                .as_deref()
                .map_or_else(String::new, |error| format!(": {}", printable(error)));
            out::line(format_args!(
                "attempt {} at {}: {}{status} in {} ms{error}",
                attempt.number, attempt.at, attempt.outcome, attempt.took_ms
            ));
            if !attempt.answer.is_empty() {
                out::line(format_args!("  answer: {}", printable(&attempt.answer)));
            }
        }
        Ok(())
    }
}

impl Replay {
    async fn run(self) -> Result<(), Failure> {
        let mut api = Api::connect(&self.api).await?;
        let mut replayed = 0;
        for id in &self.ids {
            let target = format!(
                "/api/v1/events/{}/replay",
                utf8_percent_encode(id, NON_ALPHANUMERIC)
            );
            let answer: Replayed = api.call(Method::POST, &target).await?;
            replayed += answer.replayed;
        }
        if self.api.json {
            return out::json(&Replayed { replayed });
        }
        out::line(format_args!("replayed {replayed}"));
        Ok(())
    }
}
