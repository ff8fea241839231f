//! `hookgate rejections`: what was refused recently, why, and the way out.

use http::Method;

use super::api::{Api, ApiArgs, query};
use super::http::block_on;
use super::out::printable;
use super::{Failure, out};
use crate::admin::{RejectionList, RejectionView};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    api: ApiArgs,
    /// Only requests to this source
    #[arg(long)]
    source: Option<String>,
    /// Only requests with this reason, such as mismatch
    #[arg(long)]
    reason: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=500))]
    limit: u16,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    block_on(async {
        let limit = Some(args.limit.to_string());
        let parameters = [
            ("source", &args.source),
            ("reason", &args.reason),
            ("limit", &limit),
        ];
        let target = format!("/api/v1/rejections?{}", query(&parameters));
        let mut api = Api::connect(&args.api).await?;
        let list: RejectionList = api.call(Method::GET, &target).await?;
        if args.api.json {
            return out::json(&list);
        }
        if list.rejections.is_empty() {
            out::line("nothing was refused since the start, or nothing that matches");
        }
        for (at, rejection) in list.rejections.iter().enumerate() {
            if at > 0 {
                out::line("");
            }
            show(rejection);
        }
        Ok(())
    })
}

/// A short block, the way out last.
fn show(rejection: &RejectionView) {
    let observed = match rejection.observed {
        true => ", but let through (mode is \"observe\")",
        false => "",
    };
    out::line(format_args!(
        "{}  {}  {}: {}{observed}",
        rejection.at,
        rejection.source,
        rejection.reason,
        printable(&rejection.detail)
    ));
    out::line(format_args!(
        "  request: {} {} from {}, {} bytes, id {}",
        printable(&rejection.method),
        printable(&rejection.target),
        rejection.peer.as_deref().unwrap_or("a local socket"),
        rejection.body_bytes,
        rejection.request_id.as_deref().unwrap_or("-")
    ));
    if let Some(sha256) = &rejection.body_sha256 {
        out::line(format_args!("  body:    sha256 {sha256}"));
    }
    let headers = printable(&rejection.headers.join(", "));
    out::line(format_args!("  headers: {headers}"));
    let Some(diagnosis) = &rejection.diagnosis else {
        let why = match rejection.examination.as_str() {
            "pending" => "not examined yet",
            "skipped" => "not examined: too many at once, or the body is too large",
            _ => "no known mistake: a forgery, a changed body, or a secret that is not configured",
        };
        return out::line(format_args!("  why:     {why}"));
    };
    let clue = diagnosis.clue.as_deref().map(printable);
    let clue = clue.map_or_else(String::new, |clue| format!(" ({clue})"));
    out::line(format_args!("  why:     {}{clue}", diagnosis.explanation));
    out::line(format_args!("  way out: {}", diagnosis.way_out));
}
