//! Signed tokens whose header says what the scheme does not allow.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::credential::Spelling;
use super::*;
use crate::providers::JwtAlgorithm;
use crate::verify::jwt;

/// The provers whose credential is a signed token, and what it claims.
fn tokens() -> impl Iterator<Item = (&'static Prover, String)> {
    let tokens = provers().iter();
    let tokens = tokens.filter(|prover| prover.credential.spelling == Spelling::Token);
    tokens.map(|prover| {
        let claims = jwt::payload(prover.credential.text.as_bytes()).unwrap();
        (prover, String::from_utf8(claims).unwrap())
    })
}

fn part(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

#[test]
pub(super) fn unsigned_tokens_are_refused() {
    let mut tally = Tally::default();
    for (prover, claims) in tokens() {
        let (signed, signature) = prover.credential.text.rsplit_once('.').unwrap();
        for algorithm in ["none", "None", "NONE", "nOnE", ""] {
            let header = part(&format!(r#"{{"alg":"{algorithm}","typ":"JWT"}}"#));
            for signature in ["", signature] {
                let token = format!("{header}.{}.{signature}", part(&claims));
                tally.count(prover, prover.with_credential(&token), algorithm);
            }
        }
        for token in [
            format!("{signed}."),
            signed.to_owned(),
            format!("{}.", part("{}")),
        ] {
            tally.count(prover, prover.with_credential(&token), "no signature");
        }
    }
    tally.assert_none(130);
}

#[test]
pub(super) fn a_public_key_is_never_taken_for_a_secret() {
    let (mut tally, mut public) = (Tally::default(), 0);
    for (prover, claims) in tokens() {
        let secret = prover.sender.verifying.as_bytes();
        let is_public = prover.scheme().algorithms[0].is_public();
        public += usize::from(is_public);
        for algorithm in [
            JwtAlgorithm::Hs256,
            JwtAlgorithm::Hs384,
            JwtAlgorithm::Hs512,
        ] {
            // With a shared secret these are right, where the scheme has the algorithm.
            if !is_public && prover.scheme().algorithms.contains(&algorithm) {
                let token = jwt::issue(algorithm, secret, &claims).unwrap();
                assert!(prover.accepts(prover.with_credential(&token)));
                continue;
            }
            let trimmed = prover.sender.verifying.trim().as_bytes();
            for secret in [secret, trimmed] {
                let token = jwt::issue(algorithm, secret, &claims).unwrap();
                let what = algorithm.as_str();
                tally.count(prover, prover.with_credential(&token), what);
            }
        }
    }
    assert!(public >= 5, "{public}");
    tally.assert_none(6 * public);
}

#[test]
pub(super) fn the_algorithm_of_a_genuine_token_cannot_be_renamed() {
    let mut tally = Tally::default();
    for (prover, _) in tokens() {
        let (_, rest) = prover.credential.text.split_once('.').unwrap();
        let genuine = prover.scheme().algorithms[0].as_str();
        for algorithm in [
            "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "PS256",
        ] {
            if algorithm != genuine {
                let header = part(&format!(r#"{{"alg":"{algorithm}","typ":"JWT"}}"#));
                let token = format!("{header}.{rest}");
                tally.count(prover, prover.with_credential(&token), algorithm);
            }
        }
        for header in [
            r#"{"typ":"JWT"}"#.to_owned(),
            format!(r#"{{"alg":"{genuine}","alg":"none"}}"#),
            format!(r#"{{"alg":["{genuine}"]}}"#),
            format!(r#"{{"alg":"{genuine}","crit":["b64"],"b64":false}}"#),
            format!(r#"{{"alg":"{genuine}","typ":"JWT" }}"#),
        ] {
            let token = format!("{}.{rest}", part(&header));
            tally.count(prover, prover.with_credential(&token), header);
        }
    }
    tally.assert_none(120);
}

#[test]
pub(super) fn claims_cannot_be_exchanged() {
    let mut tally = Tally::default();
    for (prover, claims) in tokens() {
        let mut parts = prover.credential.text.split('.');
        let (header, signature) = (parts.next().unwrap(), parts.nth(1).unwrap());
        for other in [
            "{}".to_owned(),
            format!("{claims} "),
            claims.replacen(':', ": ", 1),
        ] {
            let token = format!("{header}.{}.{signature}", part(&other));
            tally.count(prover, prover.with_credential(&token), other);
        }
    }
    tally.assert_none(30);
}
