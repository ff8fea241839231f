//! Trials with other sources, variants and providers.

use std::sync::Arc;

use super::Case;
use super::mistake::{Diagnosis, Mistake};
use crate::providers::Provider;

/// Providers that a diagnosis names; several sign in the same way.
const NAMED_MAX: usize = 4;

impl Case<'_> {
    pub(super) fn neighbour(&self) -> Option<Diagnosis> {
        self.other_variant()
            .or_else(|| self.other_source())
            .or_else(|| self.other_provider())
    }

    fn other_variant(&self) -> Option<Diagnosis> {
        let config = &self.verifier.config;
        let variant = variants(&config.provider).find(|variant| {
            self.holds_with(|config| config.variant = variant.map(ToOwned::to_owned))
        })?;
        Some(Mistake::WrongVariant.about(variant.unwrap_or_default()))
    }

    fn other_source(&self) -> Option<Diagnosis> {
        let mut others = self.verifiers.iter();
        let other = others.find(|other| {
            other.source != self.verifier.source && self.holds(other, &self.view(other))
        })?;
        Some(Mistake::WrongPath.about(other.source.as_str()))
    }

    fn other_provider(&self) -> Option<Diagnosis> {
        let signs = |provider: &Arc<Provider>| {
            variants(provider).any(|variant| {
                self.holds_with(|config| {
                    config.provider = Arc::clone(provider);
                    config.variant = variant.map(ToOwned::to_owned);
                })
            })
        };
        let own = &self.verifier.config.provider.id;
        let others = self.diagnostician.providers().iter();
        let others = others.filter(|other| other.id != *own);
        let ids: Vec<_> = others
            .filter(|other| signs(other))
            .map(|other| other.id.clone())
            .collect();
        listed(&ids).map(|ids| Mistake::WrongProvider.about(ids))
    }
}

/// The names of a provider's variants, each once; `None` for schemes without one.
fn variants(provider: &Provider) -> impl Iterator<Item = Option<&str>> {
    let mut variants: Vec<_> = provider
        .schemes
        .iter()
        .map(|s| s.variant.as_deref())
        .collect();
    variants.dedup();
    variants.into_iter()
}

/// The first few names in one text.
pub(super) fn listed(names: &[impl std::borrow::Borrow<str>]) -> Option<String> {
    let shown = names.get(..NAMED_MAX.min(names.len()))?.join(", ");
    match names.len().saturating_sub(NAMED_MAX) {
        0 => (!names.is_empty()).then_some(shown),
        more => Some(format!("{shown} and {more} others")),
    }
}
