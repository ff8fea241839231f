//! Trials with another address: what the sender may have signed instead.

use http::HeaderMap;

use super::super::view::View;
use super::Case;
use super::mistake::{Diagnosis, Mistake};

/// Longest address or path from a header that is tried.
const LENGTH_MAX: usize = 2048;

impl Case<'_> {
    pub(super) fn url(&self) -> Option<Diagnosis> {
        let view = self.view(self.verifier);
        if !view.public_url.is_empty() {
            let mut bases = bases(view.public_url, view.headers).into_iter();
            let base = bases.find(|base| {
                let public_url = base.as_str();
                self.holds_for(&View { public_url, ..view })
            });
            if let Some(base) = base {
                return Some(Mistake::PublicUrl.about(base));
            }
        }
        let mut targets = targets(view.target, view.headers).into_iter();
        let target = targets.find(|target| self.holds_for(&View { target, ..view }))?;
        // Tokens may be in the query.
        let path = target.split('?').next().unwrap_or_default();
        Some(
            Mistake::PathChanged.about(match path == view.path_and_query().0 {
                true => "without the query",
                false => path,
            }),
        )
    }
}

/// Addresses that the configured one may be confused with.
fn bases(configured: &str, headers: &HeaderMap) -> Vec<String> {
    let bare = configured
        .split_once("://")
        .map_or(configured, |(_, bare)| bare);
    let (authority, prefix) = match bare.find('/') {
        Some(at) => bare.split_at(at),
        None => (bare, ""),
    };
    let forwarded = text(headers, "x-forwarded-host").map(|hosts| hosts.split(',').next());
    let hosts = [
        Some(authority),
        text(headers, "host"),
        forwarded.flatten().map(str::trim),
    ];
    let mut bases = Vec::new();
    for host in hosts.into_iter().flatten() {
        let name = without_port(host);
        for (scheme, port) in [("https", "443"), ("http", "80")] {
            for authority in [host.to_owned(), name.to_owned(), format!("{name}:{port}")] {
                bases.push(format!("{scheme}://{authority}{prefix}"));
                if !prefix.is_empty() {
                    bases.push(format!("{scheme}://{authority}"));
                }
            }
        }
    }
    bases.sort();
    bases.dedup();
    bases.retain(|base| base != configured);
    bases
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Paths and queries that proxies make of one another.
fn targets(target: &str, headers: &HeaderMap) -> Vec<String> {
    let (path, query) = match target.find('?') {
        Some(at) => target.split_at(at),
        None => (target, ""),
    };
    let slash = match path.strip_suffix('/') {
        Some(bare) => format!("{bare}{query}"),
        None => format!("{path}/{query}"),
    };
    let mut targets = vec![slash, path.to_owned()];
    if let Some(prefix) = text(headers, "x-forwarded-prefix") {
        targets.push(format!("{}{target}", prefix.trim_end_matches('/')));
    }
    let originals = [
        "x-original-uri",
        "x-original-url",
        "x-forwarded-uri",
        "x-envoy-original-path",
    ];
    for original in originals.iter().filter_map(|name| text(headers, name)) {
        let absolute = original.split_once("://").map(|(_, rest)| rest);
        let from_slash = absolute.and_then(|rest| rest.get(rest.find('/')?..));
        targets.push(from_slash.unwrap_or(original).to_owned());
    }
    targets.retain(|other| other != target);
    targets
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let text = headers.get(name)?.to_str().ok()?;
    (text.len() <= LENGTH_MAX).then_some(text)
}
