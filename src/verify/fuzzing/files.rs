//! Provider files: one that is accepted can be used, is read from its own print as the same, and has
//! a source that believes no request without proof.

use std::sync::{Arc, LazyLock};

use super::super::senders::PUBLIC_URL;
use super::super::{Config, Verifier};
use crate::fuzzing::{Input, NOW};
use crate::providers::{Kind, Provider};

/// A secret for each form of key.
static SECRETS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut secrets: Vec<_> = super::known()
        .iter()
        .map(|one| one.sender.verifying.clone())
        .collect();
    secrets.sort_by_key(|secret| (secret.len(), secret.clone()));
    secrets.dedup_by_key(|secret| secret.len());
    secrets
});

pub fn provider_files(data: &[u8]) {
    LazyLock::force(&SECRETS); // not in the time of the first file that is accepted
    let text = String::from_utf8_lossy(data);
    let Ok(provider) = Provider::from_toml("fuzzed", &text) else {
        return;
    };
    for scheme in &provider.schemes {
        let Ok(printed) = serde_json::to_value(scheme) else {
            continue;
        };
        let alone = Provider {
            schemes: vec![scheme.clone()],
            challenges: Vec::new(),
            ..provider.clone()
        };
        let read = alone.with_scheme(&printed);
        assert_eq!(read.map(|read| read.schemes), Ok(vec![scheme.clone()]));
    }
    let provider = Arc::new(provider);
    for variant in provider.variants().map(Some).chain([None]) {
        for secret in &*SECRETS {
            one_source(&provider, variant, secret);
        }
    }
}

fn one_source(provider: &Arc<Provider>, variant: Option<&str>, secret: &str) {
    let proves = provider
        .pinned(variant)
        .all(|scheme| scheme.kind != Kind::None);
    let names = [
        "name",
        "token",
        "public_key",
        "topic_arn",
        "header",
        "merchant_id",
    ];
    let verifier = Verifier::new(Config {
        variant: variant.map(str::to_owned),
        values: names
            .map(|name| (name.to_owned(), format!("value-of-{name}").into()))
            .into(),
        public_url: Some(PUBLIC_URL.to_owned()),
        ..super::config(Arc::clone(provider), secret, proves)
    });
    let Ok(verifier) = verifier else {
        return;
    };
    for request in [
        "POST /\n\n",
        "POST /?a=b\nx-a: b\ncontent-type: application/json\n\n{\"a\":\"b\"}",
    ] {
        let received = Input::new(request.as_bytes()).request();
        let believed = verifier.verify(received, NOW).is_ok();
        assert_eq!(believed, !proves, "{request:?}");
    }
    let _ = (verifier.protection(), verifier.idle_challenges());
}
