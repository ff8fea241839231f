//! Trials with other secrets, and other readings of the source's own.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::Case;
use super::mistake::{Diagnosis, Mistake};
use crate::providers::{KeyForm, Provider};
use crate::secret::Secret;

impl Case<'_> {
    pub(super) fn secret(&self) -> Option<Diagnosis> {
        let own = &self.verifier.config.secrets;
        own.iter()
            .find_map(|secret| self.expired(secret))
            .or_else(|| self.other_source_secret())
            .or_else(|| own.iter().find_map(|secret| self.misread(secret)))
    }

    fn expired(&self, secret: &Secret) -> Option<Diagnosis> {
        secret.not_after?;
        self.holds_by(unending(secret))
            .then(|| Mistake::ExpiredSecret.about(&*secret.label))
    }

    fn other_source_secret(&self) -> Option<Diagnosis> {
        let signs = |secret: &Secret| self.holds_by(unending(secret));
        let mut others = self.verifiers.iter();
        let other = others.find(|other| {
            other.source != self.verifier.source && other.config.secrets.iter().any(signs)
        })?;
        Some(Mistake::OtherSourceSecret.about(other.source.as_str()))
    }

    /// The same secret with other text or as another key.
    fn misread(&self, secret: &Secret) -> Option<Diagnosis> {
        let texts = other_texts(secret.expose());
        let retold = texts.into_iter().find_map(|(mistake, text)| {
            let holds = self.holds_by(Secret::new(&secret.label, text.to_vec()));
            holds.then(|| mistake.alone())
        });
        retold.or_else(|| self.other_form(secret))
    }

    fn other_form(&self, secret: &Secret) -> Option<Diagnosis> {
        let bare = secret.expose().strip_prefix(b"whsec_");
        for text in [Some(secret.expose()), bare].into_iter().flatten() {
            if self.holds_as(KeyForm::Utf8, Secret::new(&secret.label, text)) {
                return Some(Mistake::SecretAsText.alone());
            }
        }
        let forms = [(KeyForm::Whsec, "base64"), (KeyForm::Hex, "hex")];
        let form = forms
            .into_iter()
            .find(|(form, _)| self.holds_as(*form, unending(secret)));
        form.map(|(_, name)| Mistake::SecretDecoded.about(name))
    }

    fn holds_by(&self, secret: Secret) -> bool {
        self.holds_with(|config| config.secrets = vec![secret])
    }

    fn holds_as(&self, form: KeyForm, secret: Secret) -> bool {
        self.holds_with(|config| {
            let provider: &mut Provider = Arc::make_mut(&mut config.provider);
            for scheme in &mut provider.schemes {
                scheme.key = Some(form);
            }
            config.secrets = vec![secret];
        })
    }
}

fn unending(secret: &Secret) -> Secret {
    let mut secret = secret.clone();
    secret.not_after = None;
    secret
}

/// What the sender may have instead of `text`.
fn other_texts(text: &[u8]) -> Vec<(Mistake, Zeroizing<Vec<u8>>)> {
    let with = |before: &[u8], after: &[u8]| [before, text, after].concat();
    let mut texts = vec![
        (Mistake::SecretWhiteSpace, with(b"", b"\n")),
        (Mistake::SecretWhiteSpace, with(b"", b"\r\n")),
        (Mistake::SecretWhiteSpace, with(b"", b" ")),
        (Mistake::SecretWhiteSpace, text.trim_ascii().to_vec()),
    ];
    for quote in *b"\"'`" {
        if let [first, bare @ .., last] = text.trim_ascii()
            && (*first, *last) == (quote, quote)
        {
            texts.push((Mistake::SecretQuotes, bare.to_vec()));
        }
    }
    texts.push(match text.strip_prefix(b"whsec_") {
        Some(bare) => (Mistake::SecretPrefix, bare.to_vec()),
        None => (Mistake::SecretPrefix, with(b"whsec_", b"")),
    });
    let wiped = texts.into_iter();
    wiped
        .map(|(mistake, text)| (mistake, Zeroizing::new(text)))
        .filter(|(_, other)| other.as_slice() != text)
        .collect()
}
