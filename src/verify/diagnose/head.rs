//! What the headers tell: a signature under another name, an empty one, none at all.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};

use super::super::rejection::Reason;
use super::super::view::View;
use super::Case;
use super::mistake::{Diagnosis, Mistake};
use super::neighbour::listed;
use crate::providers::{Provider, Scheme};

/// Headers that are tried as the signature's, and the longest value.
const HEADERS_MAX: usize = 64;
const VALUE_BYTES_MAX: usize = 1024;

impl Case<'_> {
    pub(super) fn head(&self) -> Option<Diagnosis> {
        let config = &self.verifier.config;
        let schemes = config.provider.pinned(config.variant.as_deref());
        let wanted: Vec<_> = schemes.flat_map(signature_headers).collect();
        let found: Vec<_> = wanted
            .iter()
            .flat_map(|name| self.received.headers.get(*name))
            .collect();
        if found.is_empty() {
            return self
                .renamed(&wanted)
                .or_else(|| self.looks_like_provider(&wanted))
                .or_else(|| self.dropped(&wanted));
        }
        let is_empty = found
            .iter()
            .all(|value| value.as_bytes().trim_ascii().is_empty());
        is_empty.then(|| Mistake::EmptySignature.alone())
    }

    fn renamed(&self, wanted: &[&HeaderName]) -> Option<Diagnosis> {
        let view = self.view(self.verifier);
        let mut others = view.headers.iter().take(HEADERS_MAX);
        let (name, _) = others.find(|(_, value)| {
            value.len() <= VALUE_BYTES_MAX
                && wanted.iter().any(|wanted| {
                    let mut headers: HeaderMap = view.headers.clone();
                    headers.insert(*wanted, (*value).clone());
                    let headers = &headers;
                    self.holds_for(&View { headers, ..view })
                })
        })?;
        Some(Mistake::HeaderRenamed.about(name.as_str()))
    }

    fn looks_like_provider(&self, wanted: &[&HeaderName]) -> Option<Diagnosis> {
        let telling = |name: &HeaderName| {
            *name != AUTHORIZATION
                && !wanted.contains(&name)
                && self.received.headers.contains_key(name)
        };
        let header = |provider: &Provider| {
            let mut names = provider.schemes.iter().flat_map(signature_headers);
            names.find(|name| telling(name)).cloned()
        };
        let mut seen = None;
        let mut ids = Vec::new();
        for provider in self.diagnostician.providers() {
            if let Some(name) = header(provider) {
                ids.push(provider.id.clone());
                seen.get_or_insert(name);
            }
        }
        let clue = format!("{}: {}", seen?, listed(&ids)?);
        Some(Mistake::LooksLikeProvider.about(clue))
    }

    fn dropped(&self, wanted: &[&HeaderName]) -> Option<Diagnosis> {
        let names: Vec<_> = wanted.iter().map(|name| name.as_str()).collect();
        let signed = |name: &HeaderName| name.as_str().contains("signature");
        if self.rejection.reason != Reason::NoHeader || self.received.headers.keys().any(signed) {
            return None;
        }
        Some(Mistake::HeaderDropped.about(format!("{} is missing", listed(&names)?)))
    }
}

/// The headers that a scheme reads its signature from.
fn signature_headers(scheme: &Scheme) -> impl Iterator<Item = &HeaderName> {
    let places = scheme
        .signature
        .iter()
        .flat_map(|signature| &signature.from.0);
    places.filter_map(|source| source.place.header())
}
