use ring::rand::SystemRandom;
use ring::signature as sign;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;

use super::*;
use crate::keys::PublicForm;

use JwtAlgorithm::*;

const ALL: [JwtAlgorithm; 7] = [Hs256, Hs384, Hs512, Rs256, Rs384, Rs512, Es256];
const SECRET: &[u8] = b"secret";
const NOW: UnixMillis = UnixMillis(1_625_479_200_000);

/// A signed content: header and claims.
fn content(header: &str, claims: &str) -> String {
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
    format!("{header}.{claims}")
}

/// A token signed with HS256 whatever its header says.
fn hs256(header: &str, claims: &str) -> String {
    let content = content(header, claims);
    let signature = tag(Hs256, SECRET, content.as_bytes()).unwrap();
    with_signature(&content, &signature)
}

/// A token of the RSA key in tests/keys.
fn rsa(header: &str, encoding: &'static dyn sign::RsaEncoding) -> String {
    let pem = include_bytes!("../../tests/keys/rsa.pem");
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem).unwrap();
    let pair = sign::RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap();
    let content = content(header, "{}");
    let mut signature = vec![0; pair.public().modulus_len()];
    let random = SystemRandom::new();
    pair.sign(encoding, &random, content.as_bytes(), &mut signature)
        .unwrap();
    with_signature(&content, &signature)
}

/// The public half of that key, with the PEM that it was read from.
fn rsa_public() -> (PublicKey, String) {
    let vectors = include_str!("../../tests/keys/vectors.json");
    let vectors: Vec<BTreeMap<String, String>> = serde_json::from_str(vectors).unwrap();
    let vector = vectors.iter().find(|v| v["name"] == "openssl, PUBLIC KEY");
    let pem = vector.unwrap()["key"].clone();
    let mut keys = PublicKey::parse(pem.as_bytes(), PublicForm::Pem).unwrap();
    (keys.remove(0), pem)
}

/// A new P-256 key under a name, and a token that it signed in both spellings of ECDSA.
fn p256(kid: &str) -> (PublicKey, [String; 2]) {
    let random = SystemRandom::new();
    let [fixed, der] = [
        &sign::ECDSA_P256_SHA256_FIXED_SIGNING,
        &sign::ECDSA_P256_SHA256_ASN1_SIGNING,
    ];
    let pkcs8 = sign::EcdsaKeyPair::generate_pkcs8(fixed, &random).unwrap();
    let content = content(r#"{"alg":"ES256","kid":"k1"}"#, "{}");
    let mut point = Vec::new();
    let tokens = [fixed, der].map(|spelling| {
        let pair = sign::EcdsaKeyPair::from_pkcs8(spelling, pkcs8.as_ref(), &random).unwrap();
        point = sign::KeyPair::public_key(&pair).as_ref().to_vec();
        let signature = pair.sign(&random, content.as_bytes()).unwrap();
        with_signature(&content, signature.as_ref())
    });
    let [x, y] = [&point[1..33], &point[33..]].map(|number| URL_SAFE_NO_PAD.encode(number));
    let jwk = format!(r#"{{"kty":"EC","crv":"P-256","kid":"{kid}","x":"{x}","y":"{y}"}}"#);
    let mut keys = PublicKey::parse(jwk.as_bytes(), PublicForm::Jwk).unwrap();
    (keys.remove(0), tokens)
}

fn fault(token: &str, allowed: &[JwtAlgorithm]) -> Option<Rejection> {
    Token::parse(token.as_bytes(), allowed).err()
}

fn with_claims<T>(claims: &str, read: impl Fn(Claims) -> T) -> T {
    let token = issue(Hs256, SECRET, claims).unwrap();
    let token = Token::parse(token.as_bytes(), &[Hs256]).unwrap();
    read(token.signed_with_secret(SECRET).unwrap().claims().unwrap())
}

#[test]
fn published_tokens_hold_with_each_hmac() {
    let secret = b"36efdd1aace2e26cd490f0d951138253bef2f7c6d34d18981da781555cc4cebb";
    let payload = "eyJpc3MiOiJNZXNzYWdlQmlyZCIsIm5iZiI6MTYyNTQ3OTIwMCwiZXhwIjoxNjI1NDc5MjYwLCJqdGki\
                   OiI1OWEyNDRkYy1lOWFkLTRlMjMtOTc3OC0zNzFmYWEyMzhmNzIiLCJ1cmxfaGFzaCI6IjBmMTE1ZGIw\
                   NjJiN2MwZGQwMzBiMTY4NzhjOTlkZWE1YzM1NGI0OWRjMzdiMzhlYjg4NDYxNzljNzc4M2U5ZDcifQ";
    for (algorithm, header, signature) in [
        (
            Hs256,
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9",
            "6Fp0rVOsRr1fj9S2GidXAfkmPVofKr8_RTffC6G6r2E",
        ),
        (
            Hs384,
            "eyJhbGciOiJIUzM4NCIsInR5cCI6IkpXVCJ9",
            "KNMW-29X77lZeuPmThmHWc_RUAvTkaDkpxIZK6mqE08v8mWKiU9Edh4QXwAJO2nv",
        ),
        (
            Hs512,
            "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9",
            "rd6r0iMyNGnVPCwurETphE3Y8rpAyvvnUK0S8WvGUkt2E1QSRAZ7NZJZBHw1Y_Wb5W-sK9HJr_PRL2vz4jRT3Q",
        ),
    ] {
        let text = format!("{header}.{payload}.{signature}");
        let token = Token::parse(text.as_bytes(), &ALL).unwrap();
        assert_eq!(token.algorithm, algorithm);
        assert!(token.signed_with_secret(b"another").is_none());
        assert!(token.signed_with_secret(b"").is_none());
        let claims = token.signed_with_secret(secret).unwrap().claims().unwrap();
        assert_eq!(claims.any("iss", |text| text == "MessageBird"), Some(true));
        let leeway = Duration::from_secs(5);
        assert_eq!(claims.check_time(NOW, leeway, None), Ok(()));
        let text = issue(algorithm, secret, r#"{"iss":"MessageBird"}"#).unwrap();
        let own = Token::parse(text.as_bytes(), &[algorithm]).unwrap();
        assert!(own.signed_with_secret(secret).is_some());
    }
}

#[test]
fn public_keys_check_rsa_and_ecdsa() {
    let (key, _) = rsa_public();
    for (algorithm, encoding) in [
        (Rs256, &sign::RSA_PKCS1_SHA256 as &dyn sign::RsaEncoding),
        (Rs384, &sign::RSA_PKCS1_SHA384),
        (Rs512, &sign::RSA_PKCS1_SHA512),
    ] {
        for says in [Rs256, Rs384, Rs512, Es256] {
            let text = rsa(&format!(r#"{{"alg":"{}"}}"#, says.as_str()), encoding);
            let token = Token::parse(text.as_bytes(), &ALL).unwrap();
            assert_eq!(
                token.signed_by(&key).is_some(),
                says == algorithm,
                "{says:?}"
            );
        }
    }
    let (key, [fixed, der]) = p256("k1");
    let token = Token::parse(fixed.as_bytes(), &[Es256]).unwrap();
    assert!(token.signed_by(&key).is_some());
    assert!(token.signed_by(&p256("k1").0).is_none());
    assert!(token.signed_by(&rsa_public().0).is_none());
    let token = Token::parse(der.as_bytes(), &[Es256]).unwrap();
    assert!(
        token.signed_by(&key).is_none(),
        "JOSE does not spell it in DER"
    );
}

#[test]
fn a_key_with_another_name_is_not_tried() {
    for (kid, expected) in [("k1", true), ("k2", false), ("K1", false)] {
        let (key, [text, _]) = p256(kid);
        let token = Token::parse(text.as_bytes(), &[Es256]).unwrap();
        assert_eq!(token.kid(), Some("k1"));
        assert_eq!(token.signed_by(&key).is_some(), expected, "{kid}");
    }
    let (key, _) = rsa_public();
    let named = rsa(r#"{"alg":"RS256","kid":"k1"}"#, &sign::RSA_PKCS1_SHA256);
    let token = Token::parse(named.as_bytes(), &[Rs256]).unwrap();
    assert!(token.signed_by(&key).is_some(), "a key without a name");
}

#[test]
fn a_public_key_is_never_a_shared_secret() {
    let (key, pem) = rsa_public();
    let forged = issue(Hs256, pem.as_bytes(), "{}").unwrap();
    assert!(fault(&forged, &[Rs256]).is_some());
    let token = Token::parse(forged.as_bytes(), &ALL).unwrap();
    assert!(token.signed_by(&key).is_none());
    let genuine = rsa(r#"{"alg":"RS256"}"#, &sign::RSA_PKCS1_SHA256);
    let token = Token::parse(genuine.as_bytes(), &ALL).unwrap();
    assert!(token.signed_with_secret(pem.as_bytes()).is_none());
    assert!(issue(Rs256, pem.as_bytes(), "{}").is_none());
}

#[test]
fn an_empty_secret_signs_nothing() {
    assert!(issue(Hs256, b"", "{}").is_none());
}

#[test]
fn the_algorithm_is_one_of_the_schemes() {
    for algorithm in ALL {
        let text = hs256(&format!(r#"{{"alg":"{}"}}"#, algorithm.as_str()), "{}");
        for allowed in ALL {
            let refused = fault(&text, &[allowed]).is_some();
            assert_eq!(refused, allowed != algorithm, "{algorithm:?} {allowed:?}");
        }
        assert!(fault(&text, &[]).is_some());
    }
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"None"}"#,
        r#"{"alg":""}"#,
        r#"{"alg":"hs256"}"#,
        r#"{"alg":"HS256 "}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":null}"#,
        r#"{"typ":"JWT"}"#,
    ] {
        let content = content(header, "{}");
        for text in [hs256(header, "{}"), format!("{content}."), content] {
            let reason = fault(&text, &ALL).map(|fault| fault.reason);
            assert_eq!(reason, Some(Reason::Malformed), "{header}");
        }
    }
}

#[test]
fn a_token_in_an_odd_form_is_malformed() {
    let good = hs256(r#"{"alg":"HS256"}"#, "{}");
    assert_eq!(fault(&good, &ALL), None);
    let (content, signature) = good.rsplit_once('.').unwrap();
    let (header, payload) = content.split_once('.').unwrap();
    let long = |length: usize| "A".repeat(length);
    for text in [
        String::new(),
        "..".to_owned(),
        content.to_owned(),
        format!("{good}.{signature}"),
        format!("{good}="),
        format!("{good}\n"),
        format!(" {good}"),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload}=.{signature}"),
        format!(
            "{header}.{payload}.{}",
            signature.replace(['-', '_', 'A'], "+")
        ),
        format!("{}C.{payload}.{signature}", &header[..header.len() - 1]),
        format!("{header}.{}.{signature}", long(TOKEN_BYTES_MAX)),
        format!("{}.{payload}.{signature}", long(HEADER_BYTES_MAX + 4)),
        hs256(r#"{"alg":"HS256","alg":"HS256"}"#, "{}"),
        hs256(r#"{"alg":"HS256","x":1,"x":1}"#, "{}"),
        hs256(r#"{"alg":"HS256","crit":["exp"],"exp":1}"#, "{}"),
        hs256(r#"{"alg":"HS256","crit":[]}"#, "{}"),
        hs256(r#"{"alg":"HS256","kid":1}"#, "{}"),
        hs256(&format!(r#"{{"alg":"HS256","kid":"{}"}}"#, long(257)), "{}"),
        hs256(r#"["HS256"]"#, "{}"),
        hs256(r#"{"alg":"HS256"} {}"#, "{}"),
    ] {
        let reason = fault(&text, &ALL).map(|fault| fault.reason);
        let shown: String = text.chars().take(200).collect();
        assert_eq!(reason, Some(Reason::Malformed), "{shown}");
    }
}

#[test]
fn a_signature_that_was_cut_or_changed_proves_nothing() {
    let good = issue(Hs256, SECRET, "{}").unwrap();
    let (content, signature) = good.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let mut changed = signature.clone();
    changed[0] ^= 1;
    for signature in [
        &changed[..],
        &signature[..31],
        &[&signature[..], &[0]].concat(),
        &[],
    ] {
        let text = with_signature(content, signature);
        let token = Token::parse(text.as_bytes(), &[Hs256]).unwrap();
        assert!(token.signed_with_secret(SECRET).is_none());
    }
}

#[test]
fn claims_that_two_readers_could_read_differently_are_malformed() {
    let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(5000), "]".repeat(5000));
    for claims in [
        r#"{"exp":1,"exp":2}"#,
        r#"{"a":1,"\u0061":1}"#,
        "[]",
        "null",
        "",
        r#"{"a":1} {"a":1}"#,
        r#"{"a":"#,
    ] {
        let text = issue(Hs256, SECRET, claims).unwrap();
        let token = Token::parse(text.as_bytes(), &[Hs256]).unwrap();
        let read = token.signed_with_secret(SECRET).unwrap().claims();
        let reason = read.err().map(|fault| fault.reason);
        assert_eq!(reason, Some(Reason::Malformed), "{claims}");
    }
    assert_eq!(
        with_claims(&deep, |claims| claims.any("a", |text| text == "1")),
        Some(false)
    );
}

#[test]
fn claims_are_compared_as_text_and_arrays_by_element() {
    let claims = r#"{"s":"a\u0062","n":7,"b":true,"f":1.5,"z":null,"o":{"s":"a"},
        "l":["x","y",7],"e":[],"nested":[["x"]]}"#;
    let text = |name| with_claims(claims, |claims| claims.text(name));
    for (name, expected) in [
        ("s", Some("ab")),
        ("n", Some("7")),
        ("b", Some("true")),
        ("f", None),
        ("z", None),
        ("o", None),
        ("l", None),
        ("absent", None),
    ] {
        assert_eq!(text(name).as_deref(), expected, "{name}");
    }
    for (name, expected, outcome) in [
        ("s", "ab", Some(true)),
        ("s", "AB", Some(false)),
        ("n", "7", Some(true)),
        ("l", "y", Some(true)),
        ("l", "7", Some(true)),
        ("l", "z", Some(false)),
        ("e", "", Some(false)),
        ("nested", "x", Some(false)),
        ("z", "null", Some(false)),
        ("absent", "", None),
    ] {
        let matches = with_claims(claims, |claims| claims.any(name, |text| text == expected));
        assert_eq!(matches, outcome, "{name}");
    }
}

#[test]
fn times_hold_within_the_leeway_to_the_second() {
    let reason = |claims: &str, max_age| {
        let (leeway, max_age) = (Duration::from_secs(5), max_age);
        let now = NOW.plus(Duration::from_millis(999));
        let checked = with_claims(claims, |claims| claims.check_time(now, leeway, max_age));
        checked.err().map(|rejection| rejection.reason)
    };
    for (claims, expected) in [
        ("{}", None),
        (r#"{"exp":1625479200}"#, None),
        (r#"{"exp":1625479196}"#, None),
        (r#"{"exp":1625479195}"#, Some(Reason::Stale)),
        (r#"{"exp":1625479195.5}"#, None),
        (r#"{"exp":0}"#, Some(Reason::Stale)),
        (r#"{"exp":-1}"#, Some(Reason::Stale)),
        (r#"{"exp":1e300}"#, None),
        (r#"{"nbf":1625479205}"#, None),
        (r#"{"nbf":1625479206}"#, Some(Reason::Future)),
        (r#"{"iat":1625479206}"#, Some(Reason::Future)),
        (r#"{"iat":1,"nbf":1}"#, None),
        (r#"{"iat":1,"nbf":1625482800}"#, Some(Reason::Future)),
        (r#"{"exp":"1625479260"}"#, Some(Reason::Malformed)),
        (r#"{"exp":null}"#, Some(Reason::Malformed)),
        (r#"{"nbf":true}"#, Some(Reason::Malformed)),
        (r#"{"iat":[1]}"#, Some(Reason::Malformed)),
    ] {
        assert_eq!(reason(claims, None), expected, "{claims}");
    }
    let max_age = Some(Duration::from_secs(300));
    for (claims, expected) in [
        (r#"{"iat":1625479200}"#, None),
        (r#"{"iat":1625478900}"#, None),
        (r#"{"iat":1625478899}"#, Some(Reason::Stale)),
        (r#"{"iat":1625479206}"#, Some(Reason::Future)),
        (r#"{"exp":1625479260}"#, Some(Reason::NoHeader)),
    ] {
        assert_eq!(reason(claims, max_age), expected, "{claims}");
    }
}
