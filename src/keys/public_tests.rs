use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::*;

const ALL: [SignatureAlgorithm; 7] = [
    SignatureAlgorithm::Ed25519,
    SignatureAlgorithm::EcdsaP256Sha256Der,
    SignatureAlgorithm::EcdsaP256Sha256Fixed,
    SignatureAlgorithm::RsaPkcs1Sha1,
    SignatureAlgorithm::RsaPkcs1Sha256,
    SignatureAlgorithm::RsaPkcs1Sha384,
    SignatureAlgorithm::RsaPkcs1Sha512,
];

/// Signatures of providers and of OpenSSL.
#[derive(Deserialize)]
struct Vector {
    name: String,
    form: String,
    key: String,
    algorithm: String,
    message: String,
    signature: String,
}

impl Vector {
    fn all() -> Vec<Self> {
        let text = include_str!("../../tests/keys/vectors.json");
        serde_json::from_str(text).unwrap()
    }

    fn named(name: &str) -> Self {
        Self::all().into_iter().find(|v| v.name == name).unwrap()
    }

    fn form(&self) -> PublicForm {
        match self.form.as_str() {
            "pem" => PublicForm::Pem,
            "spki_base64" => PublicForm::SpkiBase64,
            "jwk" => PublicForm::Jwk,
            other => panic!("{other}"),
        }
    }

    fn public(&self) -> PublicKey {
        let mut keys = PublicKey::parse(self.key.as_bytes(), self.form()).unwrap();
        assert_eq!(keys.len(), 1, "{}", self.name);
        keys.remove(0)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        let named = |algorithm: &&SignatureAlgorithm| format!("{algorithm:?}") == self.algorithm;
        *ALL.iter().find(named).unwrap()
    }

    fn signature(&self) -> Vec<u8> {
        STANDARD.decode(&self.signature).unwrap()
    }
}

fn fault(text: &str, form: PublicForm) -> &'static str {
    let parsed = PublicKey::parse(text.as_bytes(), form);
    parsed.err().unwrap_or("none")
}

#[test]
fn a_signature_holds_for_its_key_message_and_algorithm_only() {
    let vectors = Vector::all();
    for vector in &vectors {
        let (key, message) = (vector.public(), vector.message.as_bytes());
        let signature = vector.signature();
        for algorithm in ALL {
            let expected = algorithm == vector.algorithm();
            let holds = key.verifies(algorithm, message, &signature);
            assert_eq!(holds, expected, "{} {algorithm:?}", vector.name);
        }
        let algorithm = vector.algorithm();
        let longer = [message, b" "].concat();
        assert!(!key.verifies(algorithm, &longer, &signature));
        for at in 0..signature.len() {
            let mut changed = signature.clone();
            changed[at] ^= 1;
            assert!(
                !key.verifies(algorithm, message, &changed),
                "{}",
                vector.name
            );
        }
        for part in [&signature[1..], &signature[..signature.len() - 1], &[]] {
            assert!(!key.verifies(algorithm, message, part), "{}", vector.name);
        }
        let is_ours = |vector: &Vector| vector.name.starts_with("openssl");
        for other in vectors.iter().filter(|v| is_ours(v) != is_ours(vector)) {
            let other = other.public();
            assert!(!other.verifies(algorithm, message, &signature));
        }
    }
}

#[test]
fn a_key_suits_only_its_own_kind_of_algorithm() {
    use SignatureAlgorithm::*;
    let ecdsa = vec![EcdsaP256Sha256Der, EcdsaP256Sha256Fixed];
    let rsa = vec![RsaPkcs1Sha1, RsaPkcs1Sha256, RsaPkcs1Sha384, RsaPkcs1Sha512];
    for (name, expected) in [
        ("fal", vec![Ed25519]),
        ("sendgrid", ecdsa.clone()),
        ("plaid", ecdsa),
        ("postal", rsa),
        ("openssl, 1024 bits", vec![RsaPkcs1Sha1]),
        ("openssl, a JWK set", vec![RsaPkcs1Sha256]), // its `alg` says RS256
    ] {
        let key = Vector::named(name).public();
        let suits: Vec<_> = ALL.into_iter().filter(|a| key.suits(*a)).collect();
        assert_eq!(suits, expected, "{name}");
    }
}

#[test]
fn members_of_a_jwk_say_what_it_is_for() {
    let jwk = |more: &str| {
        let text = r#"{"kty":"OKP","crv":"Ed25519","kid":"k1",
            "x":"A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"MORE}"#;
        PublicKey::parse(text.replace("MORE", more).as_bytes(), PublicForm::Jwk)
    };
    for more in [
        "",
        r#","use":"sig""#,
        r#","key_ops":["verify"]"#,
        r#","alg":"EdDSA""#,
        r#","alg":"Ed25519","unknown":{}"#,
    ] {
        let keys = jwk(more).ok().unwrap();
        assert!(keys[0].suits(SignatureAlgorithm::Ed25519), "{more}");
        assert_eq!(keys[0].kid(), Some("k1"));
    }
    for alg in ["ES256", "RS256", "HS256", "none", ""] {
        let keys = jwk(&format!(r#","alg":"{alg}""#)).ok().unwrap();
        assert!(!ALL.iter().any(|a| keys[0].suits(*a)), "{alg}");
    }
    for (more, expected) in [
        (r#","use":"enc""#, "not for verifying"),
        (r#","key_ops":["sign"]"#, "not for verifying"),
        (r#","key_ops":[]"#, "not for verifying"),
        (r#","d":"AAAA""#, "private key"),
        (r#","alg":7"#, "JSON Web Key"),
        (r#","kid":"k2""#, "JSON Web Key"), // twice
    ] {
        let fault = jwk(more).err().unwrap_or("none");
        assert!(fault.contains(expected), "{more}: {fault}");
    }
}

#[test]
fn a_set_gives_the_keys_that_are_of_use() {
    let good = r#"{"kty":"OKP","crv":"Ed25519","kid":"good",
        "x":"A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"}"#;
    let others = r#"{"kty":"oct","k":"AAAA"},{"kty":"EC","crv":"P-384","x":"AA","y":"AA"},
        {"kty":"RSA","use":"enc","n":"AQAB","e":"AQAB"},{"kty":"new"},{},7,null"#;
    let set = format!(r#"{{"keys":[{others},{good},{good}]}}"#);
    let keys = PublicKey::parse(set.as_bytes(), PublicForm::Jwk)
        .ok()
        .unwrap();
    let kids: Vec<_> = keys.iter().map(PublicKey::kid).collect();
    assert_eq!(kids, [Some("good"), Some("good")]);

    let many = vec![good; 65].join(",");
    for (set, expected) in [
        (format!(r#"{{"keys":[{others}]}}"#), "no public"),
        (r#"{"keys":[]}"#.to_owned(), "no public"),
        (format!(r#"{{"keys":[{many}]}}"#), "more than 64"),
        (r#"{"keys":{}}"#.to_owned(), "JSON Web Key"),
        ("[]".to_owned(), "JSON Web Key"),
        (String::new(), "JSON Web Key"),
    ] {
        let fault = fault(&set, PublicForm::Jwk);
        assert!(fault.contains(expected), "{fault}");
    }
}

#[test]
fn numbers_that_cannot_be_a_key_are_refused() {
    let odd = |bits: usize| {
        let mut number = vec![0xff; bits / 8];
        number.insert(0, 0);
        number
    };
    let three: &[u8] = &[3];
    assert!(Material::rsa(&odd(1024), three).is_ok());
    assert!(Material::rsa(&odd(8192), three).is_ok());
    for (modulus, exponent) in [
        (odd(1016), three),
        (odd(8200), three),
        (vec![], three),
        ([odd(2040), vec![2]].concat(), three),
        (odd(2048), &[1]),
        (odd(2048), &[4]),
        (odd(2048), &[]),
        (odd(2048), &[3, 0, 0, 0, 1]),
    ] {
        assert!(Material::rsa(&modulus, exponent).is_err());
    }
    let identity = [&[1][..], &[0; 31]].concat();
    assert!(PublicKey::ed25519(&identity).is_err());
    assert!(PublicKey::ed25519(&[7; 31]).is_err());
    let off_the_curve = [&[4][..], &[7; 64]].concat();
    assert!(Material::p256(&off_the_curve).is_err());
    assert!(Material::p256(&[4; 64]).is_err());
}

#[test]
fn texts_that_are_no_public_key_are_faults_that_say_what_is_expected() {
    let pem = Vector::named("wise").key;
    let bare = Vector::named("postal").key;
    let block = |label: &str, inside: &str| {
        format!("-----BEGIN {label}-----\n{inside}\n-----END {label}-----\n")
    };
    let p384 = "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAENRh9QTdWE7G/EOb8bUP1bOuoCUxDZ9Lr6Tp5vxZA9u9OGnJFnJF1\
                2B0d8x0CiliPcdHDu5sWpIneJH9JPluNaEhtf/4lfOU4vH54aC1SWd17QVMDRSizSudLprVX/Qvn";
    for (text, form, expected) in [
        (String::new(), PublicForm::Pem, "PEM"),
        (bare.clone(), PublicForm::Pem, "PEM"),
        (
            pem.replace("END PUBLIC", "END OTHER"),
            PublicForm::Pem,
            "PEM",
        ),
        (block("PRIVATE KEY", "AAAA"), PublicForm::Pem, "private key"),
        (
            block("EC PRIVATE KEY", "AAAA"),
            PublicForm::Pem,
            "private key",
        ),
        (block("CERTIFICATE REQUEST", "AAAA"), PublicForm::Pem, "PEM"),
        (block("PUBLIC KEY", "?"), PublicForm::Pem, "base64"),
        (
            block("PUBLIC KEY", "AAAA"),
            PublicForm::Pem,
            "SubjectPublicKeyInfo",
        ),
        (
            block("RSA PUBLIC KEY", &bare),
            PublicForm::Pem,
            "RSAPublicKey",
        ),
        (block("CERTIFICATE", &bare), PublicForm::Pem, "X.509"),
        (pem, PublicForm::SpkiBase64, "without the BEGIN"),
        ("?".to_owned(), PublicForm::SpkiBase64, "base64"),
        (
            String::new(),
            PublicForm::SpkiBase64,
            "SubjectPublicKeyInfo",
        ),
        (
            format!("{bare}AAAA"),
            PublicForm::SpkiBase64,
            "SubjectPublicKeyInfo",
        ),
        (p384.to_owned(), PublicForm::SpkiBase64, "P-256"),
    ] {
        let fault = fault(&text, form);
        assert!(fault.contains(expected), "{fault}: {text}");
    }
}

#[test]
fn line_ends_and_what_is_around_a_pem_do_not_matter() {
    let vector = Vector::named("wise");
    let key = vector.key.replace('\n', "\r\n");
    let around = format!(
        "Bag Attributes\r\n{key}{}",
        Vector::named("openssl, PUBLIC KEY").key
    );
    for text in [key, around, vector.key.trim_end().to_owned()] {
        let keys = PublicKey::parse(text.as_bytes(), PublicForm::Pem)
            .ok()
            .unwrap();
        let message = vector.message.as_bytes();
        assert!(keys[0].verifies(vector.algorithm(), message, &vector.signature()));
    }
}
