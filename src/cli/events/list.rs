//! `hookgate events list`.

use http::Method;

use super::Conditions;
use crate::admin::{EventList, EventSummary};
use crate::cli::Failure;
use crate::cli::api::{Api, ApiArgs};
use crate::cli::out::{self, Cell, Table, printable};

#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    api: ApiArgs,
    #[command(flatten)]
    conditions: Conditions,
    /// At most this many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=500))]
    limit: u16,
    /// Go on where a list ended
    #[arg(long)]
    cursor: Option<String>,
}

impl List {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let mut api = Api::connect(&self.api).await?;
        let wanted = usize::from(self.limit);
        let mut page = EventList {
            events: Vec::new(),
            next: self.cursor.clone(),
        };
        // A page may be short although there is more: what is rare takes the gate several looks. An id
        // that it knows it finds at once, and seldom is there another event with it.
        loop {
            let limit = Some((wanted - page.events.len()).to_string());
            let parameters = [("cursor", &page.next), ("limit", &limit)];
            let target = format!("/api/v1/events?{}", self.conditions.query(&parameters));
            let more: EventList = api.call(Method::GET, &target).await?;
            page.events.extend(more.events);
            page.next = more.next;
            let is_found = self.conditions.id.is_some() && !page.events.is_empty();
            if page.next.is_none() || page.events.len() >= wanted || is_found {
                break;
            }
        }
        if self.api.json {
            return out::json(&page);
        }
        let mut table = Table::new(&[
            "RECEIVED", "SOURCE", "TYPE", "STATE", "ATTEMPTS", "LAST", "EVENT",
        ]);
        table.may_be_cut(2);
        for event in &page.events {
            table.row(row(event));
        }
        table.print();
        if let Some(next) = page.next {
            let more = match self.conditions.id {
                Some(_) => "to look for others with this id",
                None => "more",
            };
            out::line(format_args!("{more}: --cursor {next}"));
        }
        Ok(())
    }
}

fn row(event: &EventSummary) -> Vec<Cell> {
    let last = event.last_status.map(|status| status.to_string());
    let last = last.or_else(|| event.last_outcome.clone());
    vec![
        event.received_at.as_str().into(),
        event.source.as_str().into(),
        printable(event.event_type.as_deref().unwrap_or("-")).into(),
        Cell::state(&event.state),
        event.attempts.to_string().into(),
        last.unwrap_or_else(|| "-".to_owned()).into(),
        event.id.as_str().into(),
    ]
}
