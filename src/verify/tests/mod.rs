//! Behaviour of the whole engine, over every provider of the catalogue.

mod challenges;
mod code;
mod diagnoses;
mod events;
mod explanations;
mod forgeries;
mod schemes;
mod signing;
mod sources;
mod unsigned;
mod vectors;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::senders::{PUBLIC_URL, Sender};
use super::*;
use crate::providers::{Catalogue, Kind, Sample};

/// Wall time of the tests: 2025-01-01T00:00:00Z.
const NOW: UnixMillis = UnixMillis(1_735_689_600_000);

fn provider(id: &str) -> Arc<Provider> {
    Catalogue::embedded().get(id).unwrap()
}

fn config(provider: Arc<Provider>, secrets: &[&str]) -> Config {
    let labelled = secrets.iter().enumerate();
    Config {
        source: "test".into(),
        provider,
        variant: None,
        secrets: labelled
            .map(|(at, text)| Secret::new(&format!("secrets[{at}]"), *text))
            .collect(),
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

fn verifier(config: Config) -> Verifier {
    Verifier::new(config).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn faults(config: Config) -> Vec<String> {
    let faults = Verifier::new(config).err().unwrap_or_default();
    faults
        .into_iter()
        .map(|fault| format!("{}: {}", fault.key, fault.message))
        .collect()
}

fn received(url: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Received {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(
            name.parse::<HeaderName>().unwrap(),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        );
    }
    let path = url.match_indices('/').nth(2).map(|(at, _)| at);
    let target = match url.starts_with('/') {
        true => url,
        false => path.map_or("/", |at| &url[at..]),
    };
    Received {
        received_at: NOW,
        peer: None,
        method: Method::POST,
        target: target.into(),
        path_token: None,
        headers: map,
        body: body.into(),
    }
}

impl Sender {
    fn config(&self) -> Config {
        let signs = self.scheme().kind != Kind::None;
        let secrets = signs.then_some(&*self.verifying);
        Config {
            variant: self.variant.clone(),
            values: self.values.clone(),
            public_url: Some(PUBLIC_URL.to_owned()),
            ..config(Arc::clone(&self.provider), secrets.as_slice())
        }
    }

    fn verifier(&self) -> Verifier {
        verifier(self.config())
    }

    fn request(&self, sample: &Sample, at: UnixMillis, id: &str) -> Unsigned {
        let headers = sample.headers.clone().into_iter();
        let mut request = Unsigned {
            method: Method::POST,
            url: format!("{PUBLIC_URL}/webhooks/test?keep=1"),
            headers: headers.collect(),
            body: sample.body.clone().into(),
        };
        self.sign(&mut request, at, id);
        request
    }

    fn samples(&self) -> Vec<&Sample> {
        self.provider.samples_of(self.variant.as_deref()).collect()
    }

    fn sample(&self) -> &Sample {
        self.samples()[0]
    }
}

impl From<Unsigned> for Received {
    fn from(request: Unsigned) -> Self {
        let headers = request.headers.iter();
        let headers: Vec<_> = headers.map(|(n, v)| (n.as_str(), v.as_str())).collect();
        Self {
            method: request.method.clone(),
            ..received(&request.url, &headers, request.body.clone())
        }
    }
}

/// The body of requests where it does not matter.
const BODY: &str = r#"{"type":"order.created"}"#;

/// A sender that signs with the generic provider's scheme and these overrides.
fn own_scheme(overrides: &serde_json::Value) -> Arc<Provider> {
    Arc::new(provider("hmac").with_scheme(overrides).unwrap())
}

/// A request signed with the generic body.
fn signed(provider: &Provider, secret: &str, url: &str, headers: &[(&str, &str)]) -> Unsigned {
    let headers = headers.iter();
    let mut request = Unsigned {
        method: Method::POST,
        url: url.to_owned(),
        headers: headers
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect(),
        body: BODY.into(),
    };
    let values = [("name".to_owned(), "value".into())].into();
    let secret = Secret::new("secret", secret);
    sign(provider, None, &secret, &values, &mut request, NOW, "msg_1").unwrap();
    request
}

/// Why a request is refused; `None` if it is not.
fn reason(verifier: &Verifier, request: impl Into<Received>) -> Option<Reason> {
    verifier
        .verify(request.into(), NOW)
        .err()
        .map(|rejection| rejection.reason)
}
