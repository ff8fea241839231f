//! What verifying a request of 1 KiB costs, by scheme family, beside the bare hash that it contains.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot set up should stop"
)]

use std::collections::BTreeMap;
use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use hmac::{Hmac, KeyInit, Mac};
use hookgate::clock::UnixMillis;
use hookgate::event::Received;
use hookgate::providers::Catalogue;
use hookgate::secret::Secret;
use hookgate::verify::{Config, Unsigned, Verifier, sign};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

const NOW: UnixMillis = UnixMillis(1_735_689_600_000);
const WHSEC: &str = "whsec_aG9va2dhdGUtdGVzdC1zZWNyZXQtMDEyMzQ1Njc4OQ==";
const PRIVATE: &str = "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const PUBLIC: &str = "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=";

fn body() -> Bytes {
    let note = "x".repeat(1024 - 74);
    format!(r#"{{"id":"evt_0123456789","type":"invoice.paid","livemode":false,"note":"{note}"}}"#)
        .into()
}

/// A verifier, and a request that it accepts.
fn case(
    provider: &str,
    variant: Option<&str>,
    signs: &str,
    verifies: &str,
) -> (Verifier, impl Fn() -> Received) {
    let provider = Catalogue::embedded().get(provider).unwrap();
    let mut request = Unsigned {
        method: Method::POST,
        url: "/webhooks/x".to_owned(),
        headers: Vec::new(),
        body: body(),
    };
    let values = BTreeMap::new();
    sign(
        &provider,
        variant,
        &Secret::new("secret", signs),
        &values,
        &mut request,
        NOW,
        "msg_1",
    )
    .unwrap();
    let verifier = Verifier::new(Config {
        source: "bench".into(),
        provider,
        variant: variant.map(ToOwned::to_owned),
        secrets: vec![Secret::new("secret", verifies)],
        values,
        public_url: None,
        tolerance: None,
        dedup_key: None,
        allow_from: Vec::new(),
        observe: false,
        capture: false,
        confirm: false,
    });
    let headers: HeaderMap = request
        .headers
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::try_from(name).unwrap(),
                HeaderValue::try_from(value).unwrap(),
            )
        })
        .collect();
    let received = move || Received {
        received_at: NOW,
        peer: None,
        method: Method::POST,
        target: "/webhooks/x".into(),
        path_token: None,
        headers: headers.clone(),
        body: request.body.clone(),
    };
    (verifier.ok().unwrap(), received)
}

fn verification(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("verify 1 KiB");
    let key = Hmac::<sha2::Sha256>::new_from_slice(b"hookgate-bench-secret").unwrap();
    let content = body();
    let tag = key.clone().chain_update(&content).finalize().into_bytes();
    group.bench_function("bare HMAC-SHA256 (the hash alone)", |bencher| {
        bencher.iter(|| {
            key.clone()
                .chain_update(black_box(&content))
                .verify_slice(&tag)
        });
    });
    for (name, provider, variant, signs, verifies) in [
        (
            "hmac (hex, body)",
            "hmac",
            None,
            "secret-of-the-bench",
            "secret-of-the-bench",
        ),
        (
            "stripe (key-value, timestamp)",
            "stripe",
            None,
            "whsec_stripe",
            "whsec_stripe",
        ),
        ("svix (list, base64, timestamp)", "svix", None, WHSEC, WHSEC),
        (
            "standard-webhooks v1a (Ed25519)",
            "standard-webhooks",
            Some("v1a"),
            PRIVATE,
            PUBLIC,
        ),
        (
            "cloudglue (token)",
            "cloudglue",
            None,
            "secret-of-the-bench",
            "secret-of-the-bench",
        ),
    ] {
        let (verifier, received) = case(provider, variant, signs, verifies);
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                &received,
                |received| {
                    verifier
                        .verify(received, NOW)
                        .map_err(|rejection| rejection.reason)
                        .map(drop)
                        .unwrap()
                },
                criterion::BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, verification);
criterion_main!(benches);
