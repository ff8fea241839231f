//! Keys that senders publish, and where they say that those are.

use super::public::{PublicForm, PublicKey, SignatureAlgorithm};
use super::target::Target;
use crate::fuzzing::Input;

const ALGORITHMS: [SignatureAlgorithm; 7] = [
    SignatureAlgorithm::Ed25519,
    SignatureAlgorithm::EcdsaP256Sha256Der,
    SignatureAlgorithm::EcdsaP256Sha256Fixed,
    SignatureAlgorithm::RsaPkcs1Sha1,
    SignatureAlgorithm::RsaPkcs1Sha256,
    SignatureAlgorithm::RsaPkcs1Sha384,
    SignatureAlgorithm::RsaPkcs1Sha512,
];

/// No key that can be read says yes to what nobody signed, and none suits two kinds of signatures.
pub fn public_keys(data: &[u8]) {
    let mut input = Input::new(data);
    let forms = [PublicForm::Pem, PublicForm::SpkiBase64, PublicForm::Jwk];
    let form = forms.get(usize::from(input.byte()) % forms.len());
    let signature = input.line();
    let text = input.rest();
    let Some(Ok(keys)) = form.map(|form| PublicKey::parse(text, *form)) else {
        return;
    };
    assert!((1..=64).contains(&keys.len()));
    for key in &keys {
        let kind = |algorithm: &SignatureAlgorithm| match algorithm {
            SignatureAlgorithm::Ed25519 => 0,
            SignatureAlgorithm::EcdsaP256Sha256Der | SignatureAlgorithm::EcdsaP256Sha256Fixed => 1,
            SignatureAlgorithm::RsaPkcs1Sha1
            | SignatureAlgorithm::RsaPkcs1Sha256
            | SignatureAlgorithm::RsaPkcs1Sha384
            | SignatureAlgorithm::RsaPkcs1Sha512 => 2,
        };
        let suited = ALGORITHMS.iter().filter(|algorithm| key.suits(**algorithm));
        let mut kinds: Vec<_> = suited.map(kind).collect();
        kinds.dedup();
        assert!(kinds.len() <= 1, "a key for {kinds:?}");
        let zeros = [0; 64];
        for forged in [signature, &zeros, &[]] {
            let believed = ALGORITHMS
                .iter()
                .any(|of| key.verifies(*of, b"never signed", forged));
            assert!(!believed, "{forged:?}");
        }
    }
}

/// An address that is called is https, has no user and no port, and its host is one that is allowed.
pub fn fetched_addresses(data: &[u8]) {
    const HOSTS: [&str; 3] = ["api.example.com", "*.paypal.com", "sns.*.amazonaws.com"];
    let text = String::from_utf8_lossy(data);
    let Ok(target) = Target::requested(&text, &HOSTS) else {
        return;
    };
    let (url, host) = (target.url(), target.host());
    let rest = url
        .strip_prefix("https://")
        .and_then(|rest| rest.strip_prefix(host));
    assert!(
        rest.is_some_and(|rest| rest.starts_with(['/', '?'])),
        "{url}"
    );
    let labels: Vec<_> = host.split('.').collect();
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    assert!(
        labels
            .iter()
            .all(|label| !label.is_empty() && label.bytes().all(plain)),
        "{host}"
    );
    let allowed = matches!(
        &*labels,
        ["api", "example", "com"] | ["sns", _, "amazonaws", "com"] | [_, .., "paypal", "com"]
    );
    assert!(allowed, "{host}");
    assert_eq!(
        Target::requested(url, &HOSTS).as_ref(),
        Ok(&target),
        "read again"
    );
}
