//! The catalogue: how each provider signs, as data.
//!
//! A provider is one TOML file in `config/providers/`, embedded at build time; a user's own comes
//! from a directory or from `[sources.NAME.scheme]`. This folder reads and checks the files and
//! parses the grammars in them; what they mean for a request is `verify`'s work.

mod answer;
mod challenge;
mod check;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod one_or_many;
mod provider;
mod read;
mod scheme;
mod sense;
mod shape;
mod signature;
mod source;
mod template;

pub use answer::{AnswerJson, AnswerPart, AnswerText, Function, NotAnAnswer};
pub use challenge::{Challenge, ChallengeCheck, ChallengeMethod};
pub use check::Check;
pub use one_or_many::OneOrMany;
pub use provider::{
    AckRule, EventRule, Evidence, Fallback, Provider, ProviderError, Sample, Status,
};
pub use scheme::{
    Algorithm, FetchForm, FetchRule, JwtAlgorithm, KeyForm, Kind, Procedure, Scheme, TimeUnit,
    TimestampRule,
};
pub use sense::SchemeFault;
pub use shape::{CodeShape, JwtShape, Shape, SignedShape};
pub use signature::{Encoding, Parse, SignatureRule};
pub use source::{NotAValueSource, Place, ValueSource};
pub use template::{NotATemplate, Part, Piece, Template};

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

// `EMBEDDED`: the shipped files as id and text, sorted by id (made by build.rs).
include!(concat!(env!("OUT_DIR"), "/providers.rs"));

/// All known providers. The shipped ones are read when they are asked for: a start needs a few.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    shipped: &'static [(&'static str, &'static str)],
    own: BTreeMap<String, Arc<Provider>>,
}

impl Catalogue {
    /// The shipped providers; a test reads every file.
    #[must_use]
    pub fn embedded() -> Self {
        Self {
            shipped: EMBEDDED,
            own: BTreeMap::new(),
        }
    }

    /// Adds a provider, or replaces the one with its id.
    pub fn insert(&mut self, provider: Provider) {
        self.own.insert(provider.id.clone(), Arc::new(provider));
    }

    /// Adds the provider files (`*.toml`) of a directory, in order. What cannot be used is left
    /// out and comes back in words.
    pub fn add_directory(&mut self, directory: &Path) -> Vec<String> {
        let files = match std::fs::read_dir(directory) {
            Ok(files) => files,
            Err(error) => return vec![format!("cannot read {}: {error}", directory.display())],
        };
        let mut paths: Vec<_> = files.filter_map(|file| Some(file.ok()?.path())).collect();
        paths.retain(|path| path.extension().is_some_and(|end| end == "toml"));
        paths.sort();
        let mut faults = Vec::new();
        for path in paths {
            let id = path.file_stem().unwrap_or_default().to_string_lossy();
            let text = std::fs::read_to_string(&path).map_err(|error| error.to_string());
            let provider = text.and_then(|text| {
                Provider::from_toml(&id, &text).map_err(|error| error.to_string())
            });
            match provider {
                Ok(provider) => self.insert(provider),
                Err(error) => faults.push(format!("{}: {error}", path.display())),
            }
        }
        faults
    }

    /// The provider with this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Arc<Provider>> {
        if let Some(own) = self.own.get(id) {
            return Some(Arc::clone(own));
        }
        let at = self.shipped.binary_search_by_key(&id, |(id, _)| id).ok()?;
        let (id, text) = self.shipped.get(at)?;
        #[expect(
            clippy::expect_used,
            reason = "the files are part of the program; tested"
        )]
        let provider = Provider::from_toml(id, text).expect("an embedded provider file");
        Some(Arc::new(provider))
    }

    /// All ids, in order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        let shipped = self.shipped.iter().map(|(id, _)| *id);
        let own = self.own.keys().map(String::as_str);
        shipped.chain(own).collect::<BTreeSet<_>>().into_iter()
    }

    /// All providers, by id.
    pub fn iter(&self) -> impl Iterator<Item = Arc<Provider>> {
        self.ids().filter_map(|id| self.get(id))
    }

    /// The id that was probably meant.
    #[must_use]
    pub fn suggest(&self, id: &str) -> Option<&str> {
        self.ids()
            .map(|known| (strsim::jaro_winkler(&id.to_lowercase(), known), known))
            .filter(|(likeness, _)| *likeness > 0.8)
            .max_by(|(a, _), (b, _)| a.total_cmp(b))
            .map(|(_, known)| known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_shipped_file_is_embedded_and_has_a_sample() {
        let catalogue = Catalogue::embedded();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/config/providers");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| {
                file.unwrap()
                    .path()
                    .file_stem()
                    .unwrap()
                    .display()
                    .to_string()
            })
            .collect();
        files.sort();
        assert_eq!(files, catalogue.ids().collect::<Vec<_>>());
        for provider in catalogue.iter() {
            assert!(!provider.samples.is_empty(), "{}", provider.id);
            assert!(!provider.docs.is_empty(), "{}", provider.id);
        }
    }

    #[test]
    fn a_misspelt_provider_gets_a_suggestion() {
        let catalogue = Catalogue::embedded();
        assert_eq!(catalogue.suggest("Strip"), Some("stripe"));
        assert_eq!(catalogue.suggest("jigsaw-stack"), Some("jigsawstack"));
        assert_eq!(catalogue.suggest("zzz"), None);
    }

    #[test]
    fn overrides_merge_over_the_scheme_and_faults_name_the_key() {
        let hmac = Catalogue::embedded().get("hmac").unwrap();
        let over = json!({ "signature": { "prefix": "sha1=" }, "algorithm": "hmac-sha1" });
        let merged = hmac.with_scheme(&over).unwrap();
        let scheme = merged.schemes.first().unwrap();
        assert_eq!(scheme.algorithm, Some(Algorithm::HmacSha1));
        let signature = scheme.signature.as_ref().unwrap();
        assert_eq!(
            (signature.prefix.as_str(), signature.from.0.len()),
            ("sha1=", 1)
        );

        for (over, key) in [
            (json!({ "contnt": "{body}" }), "scheme.contnt: "),
            (json!({ "content": "{bdy}" }), "scheme.content: "),
            (
                json!({ "signature": { "from": "cookie:x" } }),
                "scheme.signature.from: ",
            ),
            (
                json!({ "signature": { "form": "header:x" } }),
                "scheme.signature.form: ",
            ),
            (json!({ "algorithm": "md5" }), "scheme.algorithm: "),
            (json!({ "algorithm": "ed25519" }), "scheme.algorithm: "),
            (json!({ "kind": "jws" }), "scheme.kind: "),
            (
                json!({ "content": "{timestamp}.{body}" }),
                "scheme.content: ",
            ),
            (
                json!({ "timestamp": { "from": "header:x" } }),
                "scheme.timestamp: ",
            ),
            (
                json!({ "signature": { "parse": "kv" } }),
                "scheme.signature.tag: ",
            ),
            (json!("text"), "scheme"),
        ] {
            let error = hmac.with_scheme(&over).unwrap_err();
            assert!(error.starts_with(key), "{over}: {error}");
        }
    }

    #[test]
    fn overrides_of_another_kind_are_the_whole_scheme() {
        let hmac = Catalogue::embedded().get("hmac").unwrap();
        let over = json!({ "kind": "token", "signature": { "from": "header:x-token" } });
        let scheme = hmac.with_scheme(&over).unwrap().schemes.remove(0);
        assert_eq!((scheme.kind, scheme.content), (Kind::Token, None));
        let error = hmac.with_scheme(&json!({ "kind": "token" })).unwrap_err();
        assert!(error.starts_with("scheme.signature: is missing"), "{error}");
    }

    #[test]
    fn a_variant_can_be_chosen_for_overrides() {
        let standard = Catalogue::embedded().get("standard-webhooks").unwrap();
        let over = json!({ "variant": "v1a", "timestamp": { "unit": "ms" } });
        let scheme = standard.with_scheme(&over).unwrap().schemes.remove(0);
        assert_eq!(scheme.algorithm, Some(Algorithm::Ed25519));
        let svix = Catalogue::embedded().get("svix").unwrap();
        assert!(
            svix.with_scheme(&over)
                .unwrap_err()
                .contains("several schemes")
        );
    }

    #[test]
    fn a_token_can_be_put_on_a_provider_that_does_not_sign() {
        let sieve = Catalogue::embedded().get("sieve").unwrap();
        let over = json!({ "kind": "token", "signature": { "from": "path:token" } });
        assert!(sieve.with_scheme(&over).is_ok());
    }

    #[test]
    fn files_with_unknown_keys_or_senseless_schemes_are_refused() {
        for (text, needle) in [
            (
                "title = 'x'\ndocs = 'y'\ncolour = 'z'\n[[scheme]]\nkind = 'none'",
                "colour",
            ),
            (
                "title = 'x'\ndocs = 'y'\n[[scheme]]\nkind = 'mac'",
                "scheme[0].signature",
            ),
            ("title = 'x'\ndocs = 'y'\nscheme = []", "scheme"),
            (
                "title = 'x'\ndocs = 'y'\n[[scheme]]\nkind = 'none'\n[event]\nid = 'sig:t'",
                "event.id",
            ),
            (
                "title = 'x'\ndocs = 'y'\n[[scheme]]\nkind = 'none'\n[ack]\nbody = ''",
                "ack.body",
            ),
            (
                "title = 'x'\ndocs = 'y'\n[[scheme]]\nkind = 'none'\n[ack]\nstatus = 204\njson = {}",
                "ack.json",
            ),
            (
                "title = 'x'\ndocs = 'y'\n[[scheme]]\nkind = 'none'\n[ack]\n\
                 json = { a = '{hmac_sha256_hex:query:a}' }",
                "ack.json",
            ),
            (
                "title = 'x'\ndocs = 'y'\n[[scheme]]\nkind = 'none'\n\
                 [[challenge]]\nmethod = 'HEAD'\n[[challenge]]\nmethod = 'POST'",
                "challenge[1].when",
            ),
            (
                "title = 'x'\ndocs = 'y'\n[[scheme]]\nkind = 'none'\n\
                 [[challenge]]\nmethod = 'GET'\nbody = '{hmac_sha256_hex:query:a}'",
                "only schemes of kind `mac`",
            ),
            (
                "title = 'x'\ndocs = 'y'\n[[scheme]]\nkind = 'none'\n\
                 [[sample]]\ntype = 't'\nvariant = 'v2'\nbody = ''",
                "sample[0].variant",
            ),
        ] {
            let error = Provider::from_toml("test", text).unwrap_err().to_string();
            assert!(error.contains(needle), "{error}");
        }
    }
}
