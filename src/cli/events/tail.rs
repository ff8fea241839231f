//! `hookgate events tail`: a line for everything that happens.

use std::time::Duration;

use http::Method;
use serde::de::DeserializeOwned;
use tokio::time::sleep;

use crate::admin::{EventChange, Missed, RejectionView};
use crate::cli::Failure;
use crate::cli::api::{Api, ApiArgs, query};
use crate::cli::out::{self, Cell, printable};

/// Before it connects again.
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
pub(super) struct Tail {
    #[command(flatten)]
    api: ApiArgs,
    /// Only what happens to this source
    #[arg(long)]
    source: Option<String>,
}

impl Tail {
    /// Follows until the gate is gone. The gate ends every connection after some minutes, so it
    /// connects again and says so: what happened in between is not told.
    pub(super) async fn run(self) -> Result<(), Failure> {
        let target = format!("/api/v1/stream?{}", query(&[("source", &self.source)]));
        let mut note = "following; Ctrl-C ends it";
        loop {
            let api = Api::connect(&self.api).await?;
            let mut messages = api.follow(Method::GET, &target).await?;
            if !self.api.json {
                out::note(note);
            }
            while let Some((kind, data)) = messages.next().await {
                if self.api.json {
                    out::line(json(&kind, &data));
                } else {
                    line(&kind, &data)?;
                }
            }
            note = "connected again; what happened in between is not shown";
            sleep(PAUSE).await;
        }
    }
}

/// A message as JSON on one line; its data is JSON already.
fn json(kind: &str, data: &str) -> String {
    out::escaped(&format!("{{\"kind\":\"{kind}\",\"data\":{data}}}"))
}

fn line(kind: &str, data: &str) -> Result<(), Failure> {
    match kind {
        "event" => {
            let EventChange { event, change } = read(data)?;
            let answer = event.last_status.map(|status| format!("  {status}"));
            out::line(format_args!(
                "{}  {}  {}  {}  {}{}",
                event.received_at,
                Cell::change(&change),
                event.source,
                printable(event.event_type.as_deref().unwrap_or("-")),
                event.id,
                answer.unwrap_or_default()
            ));
        }
        "rejection" => {
            let rejection: RejectionView = read(data)?;
            let diagnosis = rejection.diagnosis.as_ref();
            let diagnosis = diagnosis.map(|found| format!("; {}", found.explanation));
            out::line(format_args!(
                "{}  {}  {}  {}: {}{}",
                rejection.at,
                Cell::change("rejected"),
                rejection.source,
                rejection.reason,
                printable(&rejection.detail),
                diagnosis.unwrap_or_default()
            ));
        }
        "missed" => {
            let Missed { missed } = read(data)?;
            out::note(&format!("{missed} lines were left out: too much at once"));
        }
        // A later gate may tell more.
        _ => {}
    }
    Ok(())
}

fn read<T: DeserializeOwned>(data: &str) -> Result<T, Failure> {
    serde_json::from_str(data)
        .map_err(|error| Failure::Failed(format!("the stream said something unexpected: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_json_drives_no_terminal() {
        let line = json("event", "{\"type\":\"a\u{9b}2J\u{202e}é\"}");
        assert_eq!(
            line,
            r#"{"kind":"event","data":{"type":"a\u009b2J\u202eé"}}"#
        );
    }
}
