//! `hookgate events show`.

use http::Method;

use super::route;
use crate::admin::{AttemptView, EventDetail};
use crate::cli::Failure;
use crate::cli::api::{Api, ApiArgs};
use crate::cli::out::{self, Cell, Table, printable};

#[derive(Debug, clap::Args)]
pub(super) struct Show {
    #[command(flatten)]
    api: ApiArgs,
    /// The event's id (evt_...)
    id: String,
}

impl Show {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let mut api = Api::connect(&self.api).await?;
        let event: EventDetail = api.call(Method::GET, &route(&self.id)).await?;
        if self.api.json {
            return out::json(&event);
        }
        facts(&event).print();
        out::line("");
        let or_dash = |text: &Option<String>| printable(text.as_deref().unwrap_or("-"));
        let (method, target) = (or_dash(&event.method), or_dash(&event.target));
        out::line(format_args!("{method} {target}"));
        for (name, value) in &event.headers {
            out::line(format_args!("{name}: {}", printable(value)));
        }
        out::line("");
        for attempt in &event.attempts_made {
            print(attempt);
        }
        Ok(())
    }
}

fn facts(event: &EventDetail) -> Table {
    let summary = &event.summary;
    let or_dash = |text: &Option<String>| Cell::from(printable(text.as_deref().unwrap_or("-")));
    let mut table = Table::new(&[]);
    let mut fact = |name: &str, value: Cell| table.row(vec![name.into(), value]);
    fact("event", summary.id.as_str().into());
    fact("source", summary.source.as_str().into());
    fact("provider's id", or_dash(&summary.provider_event_id));
    fact("type", or_dash(&summary.event_type));
    fact("state", Cell::state(&summary.state));
    fact("received", summary.received_at.as_str().into());
    fact("verified by", or_dash(&event.verified));
    let more = [
        ("dead because", &summary.dead_reason),
        ("next attempt", &summary.next_attempt_at),
    ];
    for (name, value) in more {
        if let Some(value) = value {
            fact(name, value.as_str().into());
        }
    }
    let (size, content) = (summary.body_bytes, &event.content);
    fact("body", format!("{size} bytes ({content})").into());
    table
}

fn print(attempt: &AttemptView) {
    let status = attempt.status.map(|status| format!(" {status}"));
    let error = attempt.error.as_deref();
    let error = error.map(|error| format!(": {}", printable(error)));
    out::line(format_args!(
        "attempt {} at {}: {}{} in {} ms{}",
        attempt.number,
        attempt.at,
        attempt.outcome,
        status.unwrap_or_default(),
        attempt.took_ms,
        error.unwrap_or_default()
    ));
    if !attempt.answer.is_empty() {
        out::line(format_args!("  answer: {}", printable(&attempt.answer)));
    }
}
