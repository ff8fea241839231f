//! One sender per scheme of the catalogue: what it holds, and what the receiver holds of it.
//!
//! Shared by the engine's own tests and those of the whole gateway. No two senders have the same
//! secret, values or keys; those of RSA are files, since making them is slow.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookgate::clock::UnixMillis;
use hookgate::providers::{
    Algorithm, Catalogue, JwtAlgorithm, KeyForm, Kind, Procedure, Provider, Scheme,
};
use hookgate::secret::{Secret, Values};
use hookgate::verify::{Unsigned, public_key, sign, test_key};

/// The address that every sender writes before the path.
pub(crate) const PUBLIC_URL: &str = "https://hooks.example.com";

/// A provider in one of its schemes, with a source of its own.
#[derive(Clone)]
pub(crate) struct Sender {
    /// The source's name.
    pub(crate) source: String,
    pub(crate) provider: Arc<Provider>,
    pub(crate) variant: Option<String>,
    /// What the operator sets for `config:NAME`.
    pub(crate) values: Values,
    /// The secret or the private key; where nothing is signed, a token for the path.
    pub(crate) signing: String,
    /// What the receiver verifies with.
    pub(crate) verifying: String,
    /// The provider with this scheme alone.
    signs_as: Arc<Provider>,
}

impl Sender {
    /// Every provider in every scheme.
    pub(crate) fn all() -> Vec<Self> {
        let catalogue = Catalogue::embedded();
        catalogue
            .iter()
            .flat_map(|one| Self::each(&one, 0))
            .collect()
    }

    /// The provider in its first scheme.
    pub(crate) fn new(provider: &str) -> Self {
        let provider = Catalogue::embedded().get(provider).expect("a provider");
        Self::of(&provider, 0, 0)
    }

    /// The provider in each of its schemes; another `generation` has other secrets.
    pub(crate) fn each(provider: &Arc<Provider>, generation: usize) -> Vec<Self> {
        let schemes = 0..provider.schemes.len();
        schemes
            .map(|at| Self::of(provider, at, generation))
            .collect()
    }

    fn of(provider: &Arc<Provider>, at: usize, generation: usize) -> Self {
        let scheme = provider.schemes[at].clone();
        let variant = scheme.variant.clone();
        let mut source = provider.id.clone();
        if let Some(variant) = &variant {
            source = format!("{source}-{variant}");
        }
        let alike = |other: &&Scheme| other.variant == variant;
        let number = provider.schemes[..at].iter().filter(alike).count();
        if number > 0 {
            source = format!("{source}-{}", number + 1);
        }
        let signs_as = Arc::new(Provider {
            schemes: vec![scheme],
            ..(**provider).clone()
        });
        let (signing, verifying) = keys(&signs_as, &source, generation);
        Self {
            values: values(&signs_as.schemes[0], &source),
            source,
            provider: Arc::clone(provider),
            variant,
            signing,
            verifying,
            signs_as,
        }
    }

    pub(crate) fn scheme(&self) -> &Scheme {
        &self.signs_as.schemes[0]
    }

    /// Adds what the provider adds to a request at this time.
    pub(crate) fn sign(&self, request: &mut Unsigned, at: UnixMillis, id: &str) {
        self.try_sign(request, at, id)
            .unwrap_or_else(|fault| panic!("{}: {fault}", self.source));
    }

    /// The same for a request that may not have what the provider signs.
    pub(crate) fn try_sign(
        &self,
        request: &mut Unsigned,
        at: UnixMillis,
        id: &str,
    ) -> Result<(), String> {
        let secret = Secret::new("test", self.signing.as_bytes());
        let (provider, variant) = (&self.signs_as, self.variant.as_deref());
        sign(provider, variant, &secret, &self.values, request, at, id)
    }
}

/// A value for every name that the scheme takes from the operator; all fit into a header's name.
fn values(scheme: &Scheme, source: &str) -> Values {
    let text = serde_json::to_string(scheme).expect("a scheme is data");
    let names = text.split("config:").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        &rest[..end.unwrap_or(rest.len())]
    });
    names
        .map(|name| (name.to_owned(), format!("{name}-of-{source}").into()))
        .collect()
}

/// What sender and receiver hold in the provider's first scheme.
pub(crate) fn keys(provider: &Provider, source: &str, generation: usize) -> (String, String) {
    let scheme = &provider.schemes[0];
    let scheme = scheme.inner.as_deref().unwrap_or(scheme);
    let text = format!("secret-{generation}-of-{source}");
    let shared = |text: String| (text.clone(), text);
    let form = match scheme.kind {
        Kind::Basic => return shared(format!("user:{text}")),
        Kind::None | Kind::Token => KeyForm::Utf8,
        Kind::Mac | Kind::Hash | Kind::Asym | Kind::Jwt | Kind::Each | Kind::Code => {
            scheme.key.unwrap_or_default()
        }
    };
    let private = match form {
        KeyForm::Utf8 | KeyForm::Sha1 => return shared(text),
        // Ligature, accents and half a space: not in normal form.
        KeyForm::NfkdUtf8 => return shared(format!("\u{fb01}xed \u{e9}\u{2009}{text}")),
        KeyForm::Hex => return shared(hex::encode(text)),
        KeyForm::Base64 => return shared(STANDARD.encode(text)),
        KeyForm::Whsec => return shared(format!("whsec_{}", STANDARD.encode(text))),
        _ if is_rsa(scheme) => rsa(&provider.id, generation),
        KeyForm::Ed25519Hex
        | KeyForm::Ed25519Base64
        | KeyForm::Pem
        | KeyForm::SpkiBase64
        | KeyForm::Jwk => {
            let key = test_key(provider, None).expect("a key pair");
            return (key.private.to_string(), key.public);
        }
    };
    let secret = Secret::new("test", private.as_bytes());
    let public = public_key(provider, None, &secret).expect("the public half");
    (private, public)
}

fn is_rsa(scheme: &Scheme) -> bool {
    let by_algorithm = matches!(
        scheme.algorithm,
        Some(Algorithm::RsaPkcs1Sha1 | Algorithm::RsaPkcs1Sha256)
    );
    let by_code = matches!(scheme.code, Some(Procedure::Sns | Procedure::DetachedJws));
    by_algorithm || by_code || scheme.algorithms.first() == Some(&JwtAlgorithm::Rs256)
}

/// A private key of 2048 bits; the next one for another generation.
fn rsa(provider: &str, generation: usize) -> String {
    let catalogue = Catalogue::embedded();
    let with_rsa = catalogue
        .iter()
        .filter(|one| one.schemes.iter().any(is_rsa));
    let mut ids = with_rsa.map(|one| one.id.clone());
    let at = ids.position(|id| id == provider).expect("a provider");
    let keys: Vec<_> = include_str!("rsa.pem")
        .split_inclusive("KEY-----\n")
        .collect();
    let keys: Vec<String> = keys.chunks(2).map(<[_]>::concat).collect();
    assert!(at < keys.len(), "add a key to rsa.pem");
    keys[(at + generation) % keys.len()].clone()
}
