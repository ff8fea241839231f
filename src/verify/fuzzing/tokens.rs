//! Signed tokens: only what the secret's owner signed is genuine, to the last bit.

use std::time::Duration;

use super::super::jwt::{Detached, Token, issue};
use super::super::senders::Sender;
use crate::fuzzing::{Input, NOW};
use crate::keys::{PublicForm, PublicKey};
use crate::providers::JwtAlgorithm;

const SHARED: [JwtAlgorithm; 3] = [
    JwtAlgorithm::Hs256,
    JwtAlgorithm::Hs384,
    JwtAlgorithm::Hs512,
];
const PUBLIC: [JwtAlgorithm; 4] = [
    JwtAlgorithm::Rs256,
    JwtAlgorithm::Rs384,
    JwtAlgorithm::Rs512,
    JwtAlgorithm::Es256,
];
const SECRET: &[u8] = b"a secret that no seed has";

/// A foreign token is not genuine; one with these claims, issued here, is, until a bit changes.
pub fn tokens(data: &[u8]) {
    let mut input = Input::new(data);
    let (algorithm, flip) = (input.byte(), input.number());
    let algorithm = SHARED.get(usize::from(algorithm) % SHARED.len()).copied();
    let text = input.rest();
    foreign(text);
    let claims = String::from_utf8_lossy(text);
    let token = algorithm.and_then(|algorithm| issue(algorithm, SECRET, &claims));
    let Some(mut token) = token.map(String::into_bytes) else {
        return;
    };
    let parsed = Token::parse(&token, &SHARED);
    if let Ok(parsed) = &parsed {
        let genuine = parsed.signed_with_secret(SECRET);
        assert!(
            genuine.is_some(),
            "a token that was issued here is not genuine"
        );
        assert!(parsed.signed_with_secret(b"another secret").is_none());
        assert!(parsed.signed_with_secret(b"").is_none());
        if let Some(Ok(claims)) = genuine.map(super::super::jwt::Genuine::claims) {
            let _ = claims.check_time(NOW, Duration::from_secs(60), Some(Duration::from_secs(60)));
            let _ = (claims.text("sub"), claims.any("aud", str::is_empty));
        }
    }
    assert!(parsed.is_ok() || claims.len() > 128 * 1024);
    let at = flip % (token.len() * 8);
    if let Some(byte) = token.get_mut(at / 8) {
        *byte ^= 1 << (at % 8);
    }
    if let Ok(changed) = Token::parse(&token, &SHARED) {
        assert!(
            changed.signed_with_secret(SECRET).is_none(),
            "bit {at} changed"
        );
    }
}

/// A token from anybody.
fn foreign(text: &[u8]) {
    static KEYS: std::sync::LazyLock<Vec<PublicKey>> = std::sync::LazyLock::new(|| {
        let sns = Sender::new("aws-sns");
        PublicKey::parse(sns.verifying.as_bytes(), PublicForm::Pem).unwrap_or_default()
    });
    assert!(!KEYS.is_empty());
    if let Ok(token) = Token::parse(text, &SHARED) {
        assert!(token.signed_with_secret(SECRET).is_none());
        assert!(
            KEYS.iter().all(|key| token.signed_by(key).is_none()),
            "a public key for HS*"
        );
    }
    if let Ok(token) = Token::parse(text, &PUBLIC) {
        assert!(
            token.signed_with_secret(SECRET).is_none(),
            "a secret for RS* or ES*"
        );
        assert!(KEYS.iter().all(|key| token.signed_by(key).is_none()));
    }
    if let Ok(detached) = Detached::parse(text, &PUBLIC) {
        assert!(text.starts_with(detached.header));
    }
}
