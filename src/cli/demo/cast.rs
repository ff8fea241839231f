//! Who takes part: some providers, with a secret made up for this run.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;

use super::super::Failure;
use super::super::send::Sender;
use crate::providers::{Catalogue, KeyForm, Kind, Provider, Scheme};
use crate::secret::{Secret, Values};

/// One sender: a provider in one of its variants.
pub(super) struct Character {
    /// The source's name.
    pub(super) name: String,
    /// Where it sends.
    pub(super) path: String,
    pub(super) provider: Arc<Provider>,
    variant: Option<String>,
    /// What the sender signs with.
    pub(super) signing_secret: Secret,
    /// What the gate verifies with.
    verifying_secret: String,
    /// The provider signs nothing, so a token in the path guards the source.
    unsigned: bool,
    values: Values,
}

/// The providers of the demo: every way of proof once, and names that people know.
const SHOWN: [&str; 10] = [
    "aspect",
    "cloudglue",
    "github",
    "hmac",
    "jigsawstack",
    "sharpapi",
    "sieve",
    "standard-webhooks",
    "stripe",
    "svix",
];

/// The shown providers in every variant that needs nothing but a secret.
pub(super) fn of_all_providers() -> Result<Vec<Character>, Failure> {
    let mut cast = Vec::new();
    let catalogue = Catalogue::embedded();
    for provider in SHOWN.iter().filter_map(|id| catalogue.get(id)) {
        let mut known = Vec::new();
        for scheme in &provider.schemes {
            let needs_more = scheme.derived_from.is_some();
            if known.contains(&scheme.variant) || needs_more {
                continue;
            }
            known.push(scheme.variant.clone());
            cast.push(Character::new(
                Arc::clone(&provider),
                scheme,
                known.len() > 1,
            )?);
        }
    }
    Ok(cast)
}

impl Character {
    fn new(
        provider: Arc<Provider>,
        scheme: &Scheme,
        is_further_variant: bool,
    ) -> Result<Self, Failure> {
        let variant = scheme.variant.clone();
        let name = match &variant {
            Some(variant) if is_further_variant => format!("{}-{variant}", provider.id),
            Some(_) | None => provider.id.clone(),
        };
        let random: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..))
            .take(32)
            .collect();
        let (signing, verifying) = match scheme.key {
            Some(KeyForm::Whsec) => same(format!("whsec_{}", STANDARD.encode(&random))),
            Some(KeyForm::Base64) => same(STANDARD.encode(&random)),
            Some(KeyForm::Ed25519Base64) => {
                let seed = random
                    .first_chunk()
                    .ok_or_else(|| Failure::Failed("no seed".to_owned()))?;
                let public = SigningKey::from_bytes(seed).verifying_key();
                (
                    format!("whsk_{}", STANDARD.encode(seed)),
                    format!("whpk_{}", STANDARD.encode(public.as_bytes())),
                )
            }
            Some(_) | None => same(hex::encode(&random)),
        };
        Ok(Self {
            path: format!("/webhooks/{name}"),
            name,
            variant,
            unsigned: scheme.kind == Kind::None,
            provider,
            signing_secret: Secret::new("demo", signing.as_bytes()),
            verifying_secret: verifying,
            values: Values::new(),
        })
    }

    /// The source's settings.
    pub(super) fn settings(&self) -> Vec<(String, String)> {
        let key = |setting: &str| format!("sources.{}.{setting}", self.name);
        let mut settings = vec![(key("provider"), self.provider.id.clone())];
        if self.unsigned {
            settings.push((key("unsigned"), "true".to_owned()));
            settings.push((key("path"), format!("{}/{{token}}", self.path)));
            settings.push((key("token"), self.verifying_secret.clone()));
        } else {
            settings.push((key("secret"), self.verifying_secret.clone()));
        }
        if let Some(variant) = &self.variant {
            settings.push((key("variant"), variant.clone()));
        }
        settings
    }

    /// Path and query to send to.
    pub(super) fn target(&self) -> String {
        if self.unsigned {
            format!("{}/{}", self.path, self.verifying_secret)
        } else {
            self.path.clone()
        }
    }

    pub(super) fn sender(&self) -> Sender<'_> {
        Sender {
            provider: &self.provider,
            variant: self.variant.as_deref(),
            secret: &self.signing_secret,
            values: &self.values,
        }
    }
}

fn same(secret: String) -> (String, String) {
    (secret.clone(), secret)
}
