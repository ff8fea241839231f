//! Published and derived vectors, made by other implementations.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Vector {
    provider: String,
    secret: OneOrMany,
    headers: BTreeMap<String, String>,
    method: String,
    url: String,
    body: String,
    expect: String,
    now: i64,
    source: String,
    #[serde(default)]
    scheme_variant: Option<String>,
    #[serde(default)]
    config: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

fn vectors() -> Vec<Vector> {
    let text = include_str!("../../../tests/vectors.json");
    serde_json::from_str(text).unwrap()
}

fn outcome(vector: &Vector) -> Result<Verified, Rejection> {
    let secrets: Vec<&str> = match &vector.secret {
        OneOrMany::One(secret) => vec![secret],
        OneOrMany::Many(secrets) => secrets.iter().map(String::as_str).collect(),
    };
    let secrets: Vec<_> = secrets
        .into_iter()
        .filter(|secret| !secret.is_empty())
        .collect();
    let path = vector.url.match_indices('/').nth(2).map(|(at, _)| at);
    let (base, _) = vector.url.split_at(path.unwrap_or(vector.url.len()));
    let verifier = verifier(Config {
        variant: vector.scheme_variant.clone(),
        values: vector.config.clone(),
        public_url: Some(base.to_owned()),
        ..config(provider(&vector.provider), &secrets)
    });
    let headers = vector.headers.iter();
    let headers: Vec<_> = headers.map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let received = Received {
        method: vector.method.parse().unwrap(),
        ..received(&vector.url, &headers, vector.body.clone())
    };
    verifier.verify(received, UnixMillis(vector.now * 1000))
}

#[test]
fn every_vector_has_the_expected_outcome() {
    let (mut valid, mut invalid) = (0, 0);
    let mut surprises = Vec::new();
    for vector in vectors() {
        let name = format!("{}: {}", vector.provider, vector.source);
        match (outcome(&vector), vector.expect.as_str()) {
            (Ok(_), "valid") => valid += 1,
            (Err(_), "invalid") => invalid += 1,
            (Ok(_), _) => surprises.push(format!("accepted: {name}")),
            (Err(rejection), _) => surprises.push(format!("refused: {name}: {rejection:?}")),
        }
    }
    assert_eq!(surprises, Vec::<String>::new());
    assert!(
        valid >= 130 && invalid >= 130,
        "{valid} valid, {invalid} invalid"
    );
}

#[test]
fn every_provider_that_needs_proof_has_a_vector_that_passes_and_one_that_fails() {
    for provider in Catalogue::embedded().iter() {
        // `hmac` is no provider of its own, and nothing fails where nothing is checked.
        if matches!(provider.id.as_str(), "hmac" | "sieve") {
            continue;
        }
        for expected in ["valid", "invalid"] {
            let has = |v: &Vector| v.provider == provider.id && v.expect == expected;
            assert!(vectors().iter().any(has), "{} {expected}", provider.id);
        }
    }
}
