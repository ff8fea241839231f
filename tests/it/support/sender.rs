//! Senders that sign as the shipped providers do.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use hookgate::clock::{Clock, UnixMillis};
use hookgate::providers::{Catalogue, KeyForm, Kind, Provider, Scheme};
use hookgate::secret::Secret;
use hookgate::verify::{Unsigned, sign};
use http::Method;

/// One sender: a provider in one of its variants, with a source of its own at the gate.
#[derive(Clone)]
pub(crate) struct Sender {
    /// The source's name.
    pub(crate) source: String,
    pub(crate) provider: Arc<Provider>,
    pub(crate) kind: Kind,
    variant: Option<String>,
    signing: String,
    verifying: String,
    values: BTreeMap<String, String>,
}

/// Every provider in every variant.
pub(crate) fn everyone() -> Vec<Sender> {
    let mut senders = Vec::new();
    for provider in Catalogue::embedded().iter() {
        let mut known = Vec::new();
        for scheme in &provider.schemes {
            if !known.contains(&scheme.variant) {
                known.push(scheme.variant.clone());
                senders.push(Sender::of(&provider, scheme));
            }
        }
    }
    senders
}

impl Sender {
    /// The provider in its first variant.
    pub(crate) fn new(provider: &str) -> Self {
        let provider = Catalogue::embedded().get(provider).expect("a provider");
        Self::of(&provider, &provider.schemes[0])
    }

    /// The same provider with a source of another name and another secret.
    pub(crate) fn named(provider: &str, source: &str) -> Self {
        let sender = Self::new(provider);
        assert_eq!(sender.signing, sender.verifying, "give it keys of its own");
        let secret = match sender.signing.strip_prefix("whsec_") {
            Some(_) => format!("whsec_{}", STANDARD.encode(format!("key of {source}"))),
            None => format!("secret of {source}"),
        };
        Self {
            source: source.to_owned(),
            signing: secret.clone(),
            verifying: secret,
            ..sender
        }
    }

    fn of(provider: &Arc<Provider>, scheme: &Scheme) -> Self {
        let variant = scheme.variant.clone();
        let source = match &variant {
            Some(variant) => format!("{}-{variant}", provider.id),
            None => provider.id.clone(),
        };
        let key: Vec<u8> = source.bytes().cycle().take(32).collect();
        let seed: [u8; 32] = key.as_slice().try_into().expect("32 bytes");
        let public = SigningKey::from_bytes(&seed).verifying_key();
        let (signing, verifying) = match scheme.key {
            Some(KeyForm::Whsec) => {
                let secret = format!("whsec_{}", STANDARD.encode(&key));
                (secret.clone(), secret)
            }
            Some(KeyForm::Ed25519Base64) => (
                format!("whsk_{}", STANDARD.encode(seed)),
                format!("whpk_{}", STANDARD.encode(public.as_bytes())),
            ),
            Some(_) | None => (hex::encode(&key), hex::encode(&key)),
        };
        let values = match &scheme.derived_from {
            Some(_) => BTreeMap::from([("message".to_owned(), "a fixed phrase".to_owned())]),
            None => BTreeMap::new(),
        };
        Self {
            source,
            provider: Arc::clone(provider),
            kind: scheme.kind,
            variant,
            signing,
            verifying,
            values,
        }
    }

    /// What the gate verifies with.
    pub(crate) fn secret(&self) -> &str {
        &self.verifying
    }

    /// The source's settings.
    pub(crate) fn settings(&self) -> Vec<(String, String)> {
        let key = |setting: &str| format!("sources.{}.{setting}", self.source);
        let mut settings = vec![(key("provider"), self.provider.id.clone())];
        if self.kind == Kind::None {
            settings.push((key("unsigned"), "true".to_owned()));
            settings.push((key("path"), format!("{}/{{token}}", self.path())));
            settings.push((key("token"), self.verifying.clone()));
        } else {
            settings.push((key("secret"), self.verifying.clone()));
        }
        if let Some(variant) = &self.variant {
            settings.push((key("variant"), variant.clone()));
        }
        for (name, value) in &self.values {
            settings.push((key(&format!("values.{name}")), value.clone()));
        }
        settings
    }

    pub(crate) fn path(&self) -> String {
        format!("/webhooks/{}", self.source)
    }

    /// Where it posts to: the path, with the token of a provider that signs nothing.
    pub(crate) fn target(&self) -> String {
        if self.kind == Kind::None {
            format!("{}/{}", self.path(), self.verifying)
        } else {
            self.path()
        }
    }

    /// The provider's first sample as an event with this id, signed now.
    pub(crate) fn event(&self, id: &str) -> Unsigned {
        let sample = self.provider.samples[0].with_id(id);
        let headers = sample.headers.into_iter().collect();
        self.signed(&self.target(), headers, sample.body.as_bytes(), id)
    }

    /// Any body, signed now.
    pub(crate) fn signed(
        &self,
        target: &str,
        headers: Vec<(String, String)>,
        body: &[u8],
        id: &str,
    ) -> Unsigned {
        self.signed_at(target, headers, body, id, Clock::real().wall())
    }

    pub(crate) fn signed_at(
        &self,
        target: &str,
        headers: Vec<(String, String)>,
        body: &[u8],
        id: &str,
        at: UnixMillis,
    ) -> Unsigned {
        let mut request = Unsigned {
            method: Method::POST,
            url: target.to_owned(),
            headers,
            body: body.to_vec().into(),
        };
        let variant = self.variant.as_deref();
        let secret = Secret::new("test", self.signing.as_bytes());
        let (provider, values) = (&self.provider, &self.values);
        sign(provider, variant, &secret, values, &mut request, at, id).expect("it can be signed");
        request
    }
}

/// The request as a sender writes it.
pub(crate) fn bytes(request: &Unsigned) -> Vec<u8> {
    let mut text = format!(
        "{} {} HTTP/1.1\r\nHost: hooks.example.com\r\n",
        request.method, request.url
    );
    for (name, value) in &request.headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += &format!("Content-Length: {}\r\n\r\n", request.body.len());
    [text.as_bytes(), &request.body].concat()
}

/// The same with one bit of the body changed, as a forger would.
pub(crate) fn tampered(request: &Unsigned) -> Unsigned {
    let mut body = request.body.to_vec();
    let middle = body.len() / 2;
    body[middle] ^= 1;
    Unsigned {
        body: body.into(),
        ..request.clone()
    }
}
