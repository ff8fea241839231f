//! Schemes and rules of a provider in a few words, for tables.

use crate::providers::{
    Algorithm, Challenge, Encoding, Evidence, Fallback, Kind, Provider, Scheme, Status, ValueSource,
};

/// How a provider signs, as short as it can be said.
pub(super) fn ways(provider: &Provider) -> String {
    let mut ways: Vec<_> = provider.schemes.iter().map(way).collect();
    ways.dedup();
    ways.join(", ")
}

fn way(scheme: &Scheme) -> String {
    match scheme.kind {
        Kind::None => "unsigned".to_owned(),
        Kind::Token => "token".to_owned(),
        Kind::Basic => "basic authentication".to_owned(),
        Kind::Mac | Kind::Asym => scheme.algorithm.map_or("", algorithm).to_owned(),
        Kind::Hash => {
            let digest = scheme.algorithm.map_or("", algorithm);
            format!("{digest} with the secret")
        }
        Kind::Jwt => {
            let names: Vec<_> = scheme.algorithms.iter().map(|name| name.as_str()).collect();
            format!("JWT {}", names.join("/"))
        }
        Kind::Each => {
            let inner = scheme.inner.as_deref().map(way);
            format!("{} of each element", inner.unwrap_or_default())
        }
        Kind::Code => format!("procedure {}", procedure(scheme)),
    }
}

fn algorithm(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::HmacSha1 => "HMAC-SHA1",
        Algorithm::HmacSha256 => "HMAC-SHA256",
        Algorithm::HmacSha384 => "HMAC-SHA384",
        Algorithm::HmacSha512 => "HMAC-SHA512",
        Algorithm::Sha1 => "SHA-1",
        Algorithm::Sha256 => "SHA-256",
        Algorithm::Ed25519 => "Ed25519",
        Algorithm::EcdsaP256Sha256 => "ECDSA P-256",
        Algorithm::RsaPkcs1Sha1 => "RSA-SHA1",
        Algorithm::RsaPkcs1Sha256 => "RSA-SHA256",
    }
}

/// The name that the provider file uses.
fn procedure(scheme: &Scheme) -> String {
    let name = serde_json::to_value(scheme.code).unwrap_or_default();
    name.as_str().unwrap_or_default().to_owned()
}

/// How a provider signs, with what is covered.
pub(super) fn schemes(provider: &Provider) -> String {
    let texts = provider.schemes.iter().map(|scheme| {
        let text = scheme_in_full(scheme);
        match &scheme.variant {
            Some(variant) => format!("{variant}: {text}"),
            None => text,
        }
    });
    let mut texts: Vec<_> = texts.collect();
    texts.dedup();
    texts.join("; ")
}

fn scheme_in_full(scheme: &Scheme) -> String {
    let way = way(scheme);
    let rule = scheme.signature.as_ref();
    let places = rule.map(|rule| either(&rule.from.0)).unwrap_or_default();
    match scheme.kind {
        Kind::Mac | Kind::Hash | Kind::Asym => {
            let encoding = match rule.map(|rule| rule.encoding).unwrap_or_default() {
                Encoding::Hex => "hex",
                Encoding::Base64 => "base64",
                Encoding::Base64url => "base64url",
            };
            let contents = scheme.content.iter().flat_map(|content| &content.0);
            let contents: Vec<_> = contents.map(|content| code(content.as_str())).collect();
            format!("{way} {encoding} over {}", contents.join(" or "))
        }
        Kind::Token | Kind::Basic | Kind::Jwt => format!("{way} in {places}"),
        Kind::Each => {
            let inner = scheme.inner.as_deref().map(scheme_in_full);
            format!("for each element: {}", inner.unwrap_or_default())
        }
        Kind::None | Kind::Code => way,
    }
}

/// What tells events apart.
pub(super) fn id_rule(provider: &Provider) -> String {
    let event = &provider.event;
    let key: Vec<_> = event.key.iter().map(|part| code(part.as_str())).collect();
    match (key.is_empty(), event.id.0.is_empty(), event.fallback) {
        (false, ..) => key.join(" + "),
        (true, false, _) => either(&event.id.0),
        (true, true, Fallback::Body) => "the body".to_owned(),
        (true, true, Fallback::Nothing) => "nothing".to_owned(),
    }
}

/// The handshakes that are answered.
pub(super) fn handshakes(provider: &Provider) -> String {
    let texts: Vec<_> = provider.challenges.iter().map(handshake).collect();
    match texts.is_empty() {
        true => "none".to_owned(),
        false => texts.join(", "),
    }
}

fn handshake(challenge: &Challenge) -> String {
    let method = serde_json::to_value(challenge.method).unwrap_or_default();
    let method = method.as_str().unwrap_or_default();
    let when = challenge.when.as_ref();
    let when = when.map(|when| format!(" with {}", code(when.as_str())));
    let hands_over = challenge
        .capture
        .as_ref()
        .map(|_| ", hands over the secret");
    [
        method,
        &when.unwrap_or_default(),
        hands_over.unwrap_or_default(),
    ]
    .concat()
}

/// The answer that the provider needs.
pub(super) fn answer(provider: &Provider) -> String {
    let ack = &provider.ack;
    let status = match ack.exactly {
        true => format!("{}, exactly", ack.status),
        false => ack.status.to_string(),
    };
    match ack.timeout_seconds {
        Some(seconds) => format!("{status}, within {seconds} s"),
        None => status,
    }
}

/// How sure all of this is.
pub(super) fn evidence(provider: &Provider) -> String {
    let marks = provider.evidence.iter().map(|(key, evidence)| {
        let mark = match evidence {
            Evidence::Recalled => "recalled",
            Evidence::Guess => "a guess",
        };
        format!("{key} {mark}")
    });
    let all: Vec<_> = std::iter::once(status(provider).to_owned())
        .chain(marks)
        .collect();
    all.join(", ")
}

pub(super) fn status(provider: &Provider) -> &'static str {
    match provider.status {
        Status::Confirmed => "confirmed",
        Status::Likely => "likely",
    }
}

fn either(places: &[ValueSource]) -> String {
    let places: Vec<_> = places.iter().map(|place| code(place.as_str())).collect();
    places.join(" or ")
}

fn code(text: &str) -> String {
    format!("`{}`", text.escape_debug())
}
