//! What people see of the sources: what is configured, without secrets, and what came in.

use super::Gate;
use super::source::{About, Source};
use crate::clock::UnixMillis;
use crate::event::SourceName;

/// One source as it stands.
#[derive(Clone)]
pub struct SourceReport {
    /// The name in `[sources.NAME]`.
    pub name: SourceName,
    /// The path it is reached at; the last segment may be `{token}`.
    pub path: Box<str>,
    /// What is configured.
    pub about: About,
    /// How many requests ended how since the start.
    pub requests: Vec<(&'static str, u64)>,
    /// When an event was last acknowledged (wall time).
    pub last_accepted_at: Option<UnixMillis>,
    /// When a request was last refused (wall time).
    pub last_rejected_at: Option<UnixMillis>,
    /// Its secrets, by label.
    pub secrets: Vec<SecretReport>,
}

/// One secret of a source.
#[derive(Clone)]
pub struct SecretReport {
    /// What people call it.
    pub label: Box<str>,
    /// Requests that it verified since the start.
    pub matched: u64,
    /// When it last verified one (wall time).
    pub last_matched_at: Option<UnixMillis>,
}

impl Gate {
    /// All sources by name.
    #[must_use]
    pub fn sources(&self) -> Vec<SourceReport> {
        let mut reports: Vec<_> = self.sources.iter().map(|source| report(source)).collect();
        reports.sort_by(|a, b| a.name.cmp(&b.name));
        reports
    }

    /// The dedup ids that events with this provider's id would have: of one source, or of all.
    #[must_use]
    pub fn dedup_ids(&self, source: Option<&str>, id: &str) -> Vec<(SourceName, Vec<u8>)> {
        let sources = self.sources.iter();
        let wanted = sources.filter(|at| source.is_none_or(|name| at.name.as_str() == name));
        let ids = wanted.flat_map(|at| {
            let ids = at.verifier().dedup_ids(id).into_iter();
            ids.map(|id| (at.name.clone(), id))
        });
        ids.collect()
    }

    /// Whether there is a source of this name.
    #[must_use]
    pub fn has_source(&self, name: &str) -> bool {
        self.sources
            .iter()
            .any(|source| source.name.as_str() == name)
    }
}

fn report(source: &Source) -> SourceReport {
    let secrets = source.metrics.secrets();
    let secrets = secrets.map(|(label, matched, last_matched_at)| SecretReport {
        label: label.into(),
        matched,
        last_matched_at,
    });
    SourceReport {
        name: source.name.clone(),
        path: source.path.clone(),
        about: source.about.clone(),
        requests: source.metrics.requests().to_vec(),
        last_accepted_at: source.metrics.last_accepted_at(),
        last_rejected_at: source.metrics.last_rejected_at(),
        secrets: secrets.collect(),
    }
}
