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
        values: vector
            .config
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().into()))
            .collect(),
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
        valid >= 250 && invalid >= 250,
        "{valid} valid, {invalid} invalid"
    );
}

/// What the project's own signer makes for a provider: requests, and whether they have to pass.
fn generated(sender: &Sender) -> Vec<(Received, bool)> {
    let genuine = sender.request(sender.sample(), NOW, "msg_1");
    let others = Sender::each(&sender.provider, 1);
    let other = others.iter().find(|other| other.source == sender.source);
    let wrong_secret = other.unwrap().request(sender.sample(), NOW, "msg_1");
    let stranger = match sender.provider.id.as_str() {
        "stripe" => Sender::new("github"),
        _ => Sender::new("stripe"),
    };
    let strangers = stranger.request(stranger.sample(), NOW, "msg_1");
    let empty = Unsigned {
        url: format!("{PUBLIC_URL}/webhooks/test"),
        headers: Vec::new(),
        body: Bytes::new(),
        ..genuine.clone()
    };
    [
        (genuine, true),
        (wrong_secret, false),
        (strangers, false),
        (empty, false),
    ]
    .map(|(request, passes)| (request.into(), passes))
    .into()
}

#[test]
fn every_provider_that_needs_proof_has_one_case_that_passes_and_three_that_fail() {
    let (vectors, mut cases, mut surprises) = (vectors(), 0, Vec::new());
    for provider in Catalogue::embedded().iter() {
        if provider
            .schemes
            .iter()
            .all(|scheme| scheme.kind == Kind::None)
        {
            continue;
        }
        let mut counts = [0, 0];
        for vector in vectors.iter().filter(|v| v.provider == provider.id) {
            counts[usize::from(vector.expect != "valid")] += 1;
        }
        for sender in Sender::each(&provider, 0) {
            for (request, passes) in generated(&sender) {
                let passed = sender.verifier().verify(request, NOW).is_ok();
                counts[usize::from(!passes)] += 1;
                if passed != passes {
                    surprises.push(format!("{}: {passes}", sender.source));
                }
            }
        }
        let [valid, invalid] = counts;
        cases += valid + invalid;
        let enough = valid >= 1 && invalid >= 3;
        assert!(enough, "{}: {valid} valid, {invalid} invalid", provider.id);
    }
    assert_eq!(surprises, Vec::<String>::new());
    assert!(cases >= 1_300, "{cases} cases");
}
