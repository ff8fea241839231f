//! What verifying a request costs, by scheme family, beside the bare hash of 1 KiB that the plainest
//! one contains. Only ratios within one run mean something.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot set up should stop"
)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use hmac::{Hmac, KeyInit, Mac};
use hookgate::clock::UnixMillis;
use hookgate::event::Received;
use hookgate::providers::{Catalogue, Provider};
use hookgate::secret::{Secret, Values};
use hookgate::verify::{Config, Unsigned, Verifier, sign, test_key};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

const NOW: UnixMillis = UnixMillis(1_735_689_600_000);
const SECRET: &str = "secret-of-the-bench";
const WHSEC: &str = "whsec_aG9va2dhdGUtdGVzdC1zZWNyZXQtMDEyMzQ1Njc4OQ==";
const PUBLIC_URL: &str = "https://hooks.example.com";

/// A JSON event of 1 KiB.
fn body() -> Bytes {
    let note = "x".repeat(1024 - 74);
    format!(r#"{{"id":"evt_0123456789","type":"invoice.paid","livemode":false,"note":"{note}"}}"#)
        .into()
}

/// One way to sign, and a request to sign.
struct Case {
    provider: Arc<Provider>,
    secret: &'static str,
    headers: BTreeMap<String, String>,
    body: Bytes,
}

impl Case {
    /// A shipped provider with an event of 1 KiB.
    fn shipped(id: &str, secret: &'static str) -> Self {
        Self {
            provider: Catalogue::embedded().get(id).unwrap(),
            secret,
            headers: BTreeMap::new(),
            body: body(),
        }
    }

    /// A shipped provider whose events have a form of their own, with its first sample.
    fn sample(id: &str, secret: &'static str) -> Self {
        let case = Self::shipped(id, secret);
        let sample = case.provider.samples.first().unwrap();
        Self {
            headers: sample.headers.clone(),
            body: sample.body.clone().into(),
            ..case
        }
    }

    /// A scheme of its own, with an event of 1 KiB that has an id.
    fn own(scheme: &Value) -> Self {
        let hmac = Self::shipped("hmac", SECRET);
        let own = hmac.provider.with_scheme(scheme).unwrap();
        let event = Self::shipped("stripe", SECRET).provider.event.clone();
        Self {
            provider: Arc::new(Provider { event, ..own }),
            ..hmac
        }
    }

    /// Signed over the body with this algorithm.
    fn over_body(algorithm: &str) -> Self {
        let (kind, content, key) = match algorithm {
            "sha256" => ("hash", "{secret}{body}", "utf8"),
            mac if mac.starts_with("hmac-") => ("mac", "{body}", "utf8"),
            "ed25519" => ("asym", "{body}", "ed25519_hex"),
            _ => ("asym", "{body}", "pem"),
        };
        let encoding = if key == "pem" { "base64" } else { "hex" };
        Self::own(&json!({
            "kind": kind, "algorithm": algorithm, "content": content, "key": key,
            "signature": { "from": "header:X-Signature", "encoding": encoding },
        }))
    }

    /// A token that is good for five minutes and names the body's hash.
    fn jwt(algorithm: &str) -> Self {
        let key = if algorithm == "HS256" { "utf8" } else { "jwk" };
        let check = json!({ "from": "jwt:body", "equals_value": "body_sha256" });
        Self::own(&json!({
            "kind": "jwt", "algorithms": [algorithm], "key": key, "check": [check],
            "signature": { "from": "header:Authorization", "prefix": "Bearer " },
        }))
    }

    /// The request as the provider would send it.
    fn signed(&self) -> Signed {
        let (signs, verifies) = match test_key(&self.provider, None) {
            Ok(key) => (key.private.to_string(), key.public),
            Err(_) => (self.secret.to_owned(), self.secret.to_owned()),
        };
        let headers = self.headers.clone();
        let mut request = Unsigned {
            method: Method::POST,
            url: format!("{PUBLIC_URL}/webhooks/x"),
            headers: headers.into_iter().collect(),
            body: self.body.clone(),
        };
        let (values, secret) = (Values::new(), Secret::new("secret", signs));
        let provider = &self.provider;
        sign(provider, None, &secret, &values, &mut request, NOW, "msg_1").unwrap();
        Signed {
            provider: Arc::clone(provider),
            secret: verifies,
            request,
        }
    }
}

/// A signed request, and what verifies it.
struct Signed {
    provider: Arc<Provider>,
    secret: String,
    request: Unsigned,
}

impl Signed {
    /// A message of Amazon SNS out of the tests' vectors; there is no signer for those.
    fn sns() -> Self {
        let vectors: Vec<Value> =
            serde_json::from_str(include_str!("../tests/code/vectors.json")).unwrap();
        let is_sns = |vector: &&Value| vector["code"] == "sns" && vector["name"] == "no subject";
        let vector = vectors.iter().find(is_sns).unwrap();
        let text = |key: &str| vector[key].as_str().unwrap().to_owned();
        let headers: BTreeMap<String, String> =
            serde_json::from_value(vector["headers"].clone()).unwrap();
        Self {
            provider: Catalogue::embedded().get("aws-sns").unwrap(),
            secret: text("secret"),
            request: Unsigned {
                method: Method::POST,
                url: format!("{PUBLIC_URL}/webhooks/x"),
                headers: headers.into_iter().collect(),
                body: text("body").into(),
            },
        }
    }

    fn verifier(&self) -> Verifier {
        let verifier = Verifier::new(Config {
            source: "bench".into(),
            provider: Arc::clone(&self.provider),
            variant: None,
            secrets: vec![Secret::new("secret", self.secret.as_str())],
            values: Values::new(),
            public_url: Some(PUBLIC_URL.to_owned()),
            tolerance: None,
            dedup_key: None,
            allow_from: Vec::new(),
            observe: false,
            capture: false,
            confirm: false,
        });
        verifier.ok().unwrap()
    }
}

/// What arrives when this request is sent.
fn received(request: &Unsigned) -> impl Fn() -> Received + use<> {
    let header = |(name, value): &(String, String)| {
        let name = HeaderName::try_from(name).unwrap();
        (name, HeaderValue::try_from(value).unwrap())
    };
    let headers: HeaderMap = request.headers.iter().map(header).collect();
    let target: Box<str> = request.url.strip_prefix(PUBLIC_URL).unwrap().into();
    let body = request.body.clone();
    move || Received {
        received_at: NOW,
        peer: None,
        method: Method::POST,
        target: target.clone(),
        path_token: None,
        headers: headers.clone(),
        body: body.clone(),
    }
}

fn families() -> Vec<(&'static str, Signed)> {
    let place = |kind: &str, from: &str| json!({ "kind": kind, "signature": { "from": from } });
    vec![
        (
            "token",
            Case::own(&place("token", "header:X-Token")).signed(),
        ),
        (
            "basic",
            Case {
                secret: "user:password",
                ..Case::own(&place("basic", "header:Authorization"))
            }
            .signed(),
        ),
        ("mac sha1", Case::over_body("hmac-sha1").signed()),
        ("mac sha256", Case::over_body("hmac-sha256").signed()),
        ("mac sha512", Case::over_body("hmac-sha512").signed()),
        (
            "mac kv timestamp (stripe)",
            Case::shipped("stripe", WHSEC).signed(),
        ),
        (
            "mac list timestamp (svix)",
            Case::shipped("svix", WHSEC).signed(),
        ),
        (
            "mac url form (twilio)",
            Case::sample("twilio", SECRET).signed(),
        ),
        (
            "each mac (adyen)",
            Case::sample("adyen", "00112233").signed(),
        ),
        ("hash sha256", Case::over_body("sha256").signed()),
        ("asym ed25519", Case::over_body("ed25519").signed()),
        ("asym p256", Case::over_body("ecdsa-p256-sha256").signed()),
        ("asym rsa", Case::over_body("rsa-pkcs1-sha256").signed()),
        ("jwt HS256", Case::jwt("HS256").signed()),
        ("jwt RS256", Case::jwt("RS256").signed()),
        ("code rsa (sns)", Signed::sns()),
        (
            "code mac (hubspot)",
            Case::shipped("hubspot", SECRET).signed(),
        ),
    ]
}

fn verification(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("verify");
    let key = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    let content = body();
    let tag = key.clone().chain_update(&content).finalize().into_bytes();
    group.bench_function("bare HMAC-SHA256 of 1 KiB", |bencher| {
        bencher.iter(|| {
            key.clone()
                .chain_update(black_box(&content))
                .verify_slice(&tag)
        });
    });
    for (name, case) in families() {
        let (verifier, received) = (case.verifier(), received(&case.request));
        let verify = |received| {
            let verdict = verifier.verify(received, NOW);
            verdict.map_err(|rejection| rejection.reason).unwrap()
        };
        group.bench_function(name, |bencher| {
            bencher.iter_batched(&received, verify, criterion::BatchSize::SmallInput);
        });
    }
    group.finish();
}

criterion_group!(benches, verification);
criterion_main!(benches);
