//! `hookgate events replay`: by id, or all that fit a filter, with progress.

use std::time::Duration;

use http::Method;
use tokio::time::sleep;

use super::{Conditions, route};
use crate::admin::{BulkReplay, Replayed};
use crate::cli::Failure;
use crate::cli::api::{Api, ApiArgs};
use crate::cli::out;

/// Between two looks at a bulk replay.
const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
pub(super) struct Replay {
    #[command(flatten)]
    api: ApiArgs,
    /// The events' ids (evt_...)
    ids: Vec<String>,
    #[command(flatten)]
    conditions: Conditions,
    /// Only say how many events fit
    #[arg(long)]
    dry_run: bool,
    /// Events per second [default: as quickly as the app takes them]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: Option<u32>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

impl Replay {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match (self.ids.is_empty(), self.conditions.are_empty()) {
            (false, true) if !self.dry_run && self.rate.is_none() => self.each().await,
            (true, false) => self.all_that_fit().await,
            (false, _) => Err(Failure::Usage(
                "give ids, or a filter with --dry-run and --rate, not both".to_owned(),
            )),
            (true, true) => Err(Failure::Usage(
                "say which events: their ids, or a filter such as --state dead".to_owned(),
            )),
        }
    }

    async fn each(&self) -> Result<(), Failure> {
        let mut api = Api::connect(&self.api).await?;
        let mut replayed = 0;
        for id in &self.ids {
            let target = format!("{}/replay", route(id));
            let answer: Replayed = api.call(Method::POST, &target).await?;
            replayed += answer.replayed;
        }
        if self.api.json {
            return out::json(&Replayed { replayed });
        }
        out::line(format_args!("replayed {replayed}"));
        Ok(())
    }

    async fn all_that_fit(&self) -> Result<(), Failure> {
        let mut api = Api::connect(&self.api).await?;
        let counted: BulkReplay = api.call(Method::POST, &self.target(true, None)).await?;
        let matched = counted.matched;
        if self.dry_run {
            if self.api.json {
                return out::json(&counted);
            }
            out::line(format_args!("{matched} events fit"));
            return Ok(());
        }
        if !self.yes && !out::agrees(&format!("Deliver {matched} events again?"))? {
            return Err(Failure::Failed("nothing was replayed".to_owned()));
        }
        let target = self.target(false, Some(&counted.started_at));
        let begun: BulkReplay = api.call(Method::POST, &target).await?;
        let ended = tokio::select! {
            ended = follow(&mut api, &begun.started_at, matched) => ended,
            _ = tokio::signal::ctrl_c() => {
                // The connection may be in the middle of a look.
                let mut api = Api::connect(&self.api).await?;
                api.call(Method::DELETE, "/api/v1/replay").await
            }
        };
        out::progress(None);
        self.report(&ended?)
    }

    /// The route of a dry run, or of the replay of what one had counted at `counted_at`: what came in
    /// while a person thought about it is none of it.
    fn target(&self, dry_run: bool, counted_at: Option<&str>) -> String {
        let instant = |text: &str| text.parse::<jiff::Timestamp>().ok();
        let own = self.conditions.until.as_deref();
        let until = match (own, counted_at) {
            (Some(own), Some(counted_at)) if instant(own) < instant(counted_at) => Some(own),
            (own, counted_at) => counted_at.or(own),
        };
        let conditions = Conditions {
            until: until.map(ToOwned::to_owned),
            ..self.conditions.clone()
        };
        let rate = self.rate.map(|rate| rate.to_string());
        let dry_run = dry_run.then(|| "true".to_owned());
        let more = [("rate", &rate), ("dry_run", &dry_run)];
        format!("/api/v1/replay?{}", conditions.query(&more))
    }

    fn report(&self, ended: &BulkReplay) -> Result<(), Failure> {
        if self.api.json {
            out::json(ended)?;
        } else {
            let (replayed, skipped) = (ended.replayed, ended.skipped);
            out::line(format_args!("replayed {replayed}, skipped {skipped}"));
        }
        match &*ended.state {
            "done" => Ok(()),
            "failed" => Err(Failure::Failed(
                ended
                    .error
                    .clone()
                    .unwrap_or_else(|| "the replay failed".to_owned()),
            )),
            _ => Err(Failure::Failed(
                "stopped before all were replayed".to_owned(),
            )),
        }
    }
}

/// Looks until the replay that began at that instant has ended.
async fn follow(api: &mut Api, started_at: &str, matched: u64) -> Result<BulkReplay, Failure> {
    loop {
        let now: BulkReplay = api.call(Method::GET, "/api/v1/replay").await?;
        if now.started_at != started_at {
            return Err(Failure::Failed(
                "somebody has started another replay, so how this one ended is not known"
                    .to_owned(),
            ));
        }
        if now.state != "running" {
            return Ok(now);
        }
        out::progress(Some(&format!("{} of {matched} replayed", now.replayed)));
        sleep(LOOK_EVERY).await;
    }
}
