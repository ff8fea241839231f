//! What must be true of every request, whoever wrote it, for every provider of the catalogue.

mod files;
mod requests;
mod signing;
mod templates;
mod tokens;
mod values;

pub use files::provider_files;
pub use requests::{challenges, diagnoses, explanations, procedures, signatures};
pub use signing::signing;
pub use templates::content_templates;
pub use tokens::tokens;
pub use values::{form_ids, json_ids, timestamps};

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use super::senders::{PUBLIC_URL, Sender};
use super::{Config, Verifier};
use crate::event::Received;
use crate::fuzzing::{Input, NOW};
use crate::providers::{Kind, Provider};
use crate::secret::Secret;

/// A sender, and a source that is set up for it.
pub(crate) struct Known {
    pub(crate) sender: Sender,
    pub(crate) verifier: Arc<Verifier>,
    /// Without its secret nothing is believed.
    pub(crate) proves: bool,
}

/// Every provider in every scheme.
pub(crate) fn known() -> &'static [Known] {
    static KNOWN: LazyLock<Vec<Known>> =
        LazyLock::new(|| Sender::all().into_iter().filter_map(Known::new).collect());
    &KNOWN
}

impl Known {
    fn new(sender: Sender) -> Option<Self> {
        let proves = {
            let mut schemes = sender.provider.pinned(sender.variant.as_deref());
            schemes.all(|scheme| scheme.kind != Kind::None)
        };
        let config = Config {
            variant: sender.variant.clone(),
            values: sender.values.clone(),
            public_url: Some(PUBLIC_URL.to_owned()),
            ..config(Arc::clone(&sender.provider), &sender.verifying, proves)
        };
        let verifier = Verifier::new(config);
        assert!(verifier.is_ok(), "{}: {:?}", sender.source, verifier.err());
        Some(Self {
            verifier: Arc::new(verifier.ok()?),
            sender,
            proves,
        })
    }
}

/// A request as the source's sender writes it, signed with another secret.
pub(crate) fn foreign(known: &Known) -> Option<Received> {
    let sender = &known.sender;
    let mut others = Sender::each(&sender.provider, 1).into_iter();
    let other = others.find(|other| other.source == sender.source)?;
    let sample = sender
        .provider
        .samples_of(sender.variant.as_deref())
        .next()?;
    let mut request = signing::unsigned(sample, sample.body.clone().into());
    other.try_sign(&mut request, NOW, "msg_1").ok()?;
    signing::received(&request)
}

/// A source with one secret, or none.
fn config(provider: Arc<Provider>, secret: &str, proves: bool) -> Config {
    let secret = proves.then(|| Secret::new("secret", secret.as_bytes()));
    Config {
        source: "fuzzed".into(),
        provider,
        variant: None,
        secrets: secret.into_iter().collect(),
        values: BTreeMap::new(),
        public_url: None,
        tolerance: None,
        dedup_key: None,
        allow_from: Vec::new(),
        observe: false,
        capture: false,
        confirm: false,
    }
}

/// The source that the next line names, of those that fit. None for an input that has the source's
/// secret in it: a fuzzer sees what it is compared with and learns it, and who knows it is no forger.
fn addressed(input: &mut Input<'_>, fits: impl Fn(&Known) -> bool) -> Option<&'static Known> {
    let list: Vec<_> = known().iter().filter(|one| fits(one)).collect();
    let one = input.choose(&list, |one| &one.sender.source).copied()?;
    (!input.has(one.sender.verifying.as_bytes())).then_some(one)
}
