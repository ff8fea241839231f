//! What of a scheme makes sense together.
//!
//! [`Scheme::shape`] is the only way to use a scheme: it names the field that is missing, that does
//! not fit the kind, or that would be unsafe, such as a timestamp that nothing signs.

use super::scheme::{Algorithm, KeyForm, Kind, Parse, Scheme, SignatureRule, TimestampRule};
use super::source::Place;
use super::template::{Piece, Template};

/// A scheme that makes sense: each kind with exactly what it needs.
#[derive(Clone, Copy, Debug)]
pub enum Shape<'a> {
    /// Nothing to check.
    None,
    /// A secret that travels as it is, or in the form `user:password`.
    Token {
        /// Where it is.
        signature: &'a SignatureRule,
        /// HTTP basic authentication.
        basic: bool,
        /// The place of the text that the token is derived from.
        derived_from: Option<&'a Place>,
    },
    /// A signature over content.
    Signed {
        /// Of kind `mac`, `hash` or `asym`.
        algorithm: Algorithm,
        /// Where the signature is.
        signature: &'a SignatureRule,
        /// What it covers.
        content: &'a Template,
        /// How secrets become keys.
        key: KeyForm,
        /// The timestamp in the content.
        timestamp: Option<&'a TimestampRule>,
    },
}

/// A field of a scheme that is missing, does not fit, or would be unsafe.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct SchemeFault {
    /// The field, such as `content` or `signature.tag`.
    pub key: &'static str,
    /// What is wrong and the way out.
    pub message: String,
}

fn fault<T>(key: &'static str, message: impl Into<String>) -> Result<T, SchemeFault> {
    Err(SchemeFault {
        key,
        message: message.into(),
    })
}

impl Scheme {
    /// The scheme with exactly what its kind needs.
    ///
    /// # Errors
    /// The first field that is missing, does not fit the kind, or would be unsafe.
    pub fn shape(&self) -> Result<Shape<'_>, SchemeFault> {
        match self.kind {
            Kind::None => {
                self.refuse_content()?;
                match self.signature {
                    Some(_) => fault("signature", "kind `none` has no signature; set kind"),
                    None => Ok(Shape::None),
                }
            }
            Kind::Token | Kind::Basic => self.token(),
            Kind::Mac | Kind::Hash | Kind::Asym => self.signed(),
        }
    }

    fn refuse_content(&self) -> Result<(), SchemeFault> {
        let present = [
            ("algorithm", self.algorithm.is_some()),
            ("content", self.content.is_some()),
            ("timestamp", self.timestamp.is_some()),
            ("key", self.key.is_some()),
        ];
        match present.into_iter().find(|(_, present)| *present) {
            Some((key, _)) => fault(
                key,
                "only the kinds mac, hash and asym have this; remove it",
            ),
            None => Ok(()),
        }
    }

    fn token(&self) -> Result<Shape<'_>, SchemeFault> {
        self.refuse_content()?;
        let basic = self.kind == Kind::Basic;
        let signature = self.signature_rule()?;
        if signature.parse != Parse::Raw {
            return fault("signature.parse", "a token stands alone; remove parse");
        }
        let derived_from = match self.derived_from.as_ref().map(|source| &source.place) {
            Some(_) if basic => return fault("derived_from", "only kind `token` has this"),
            Some(place @ Place::Config(_)) => Some(place),
            Some(_) => return fault("derived_from", "must be a config:name"),
            None => None,
        };
        Ok(Shape::Token {
            signature,
            basic,
            derived_from,
        })
    }

    fn signature_rule(&self) -> Result<&SignatureRule, SchemeFault> {
        let Some(rule) = &self.signature else {
            return fault("signature", "is missing; say where it is with from");
        };
        if rule.from.0.is_empty() {
            return fault(
                "signature.from",
                "is missing, such as \"header:X-Signature\"",
            );
        }
        if rule.from.0.iter().any(|from| {
            matches!(
                from.place,
                Place::Sig(_) | Place::Config(_) | Place::BodySha256
            )
        }) {
            return fault("signature.from", "must be a place that the sender fills");
        }
        let tagged = matches!(rule.parse, Parse::Kv | Parse::List);
        if tagged && rule.tag.0.is_empty() {
            return fault("signature.tag", "is missing, such as \"v1\"");
        }
        if !tagged && !rule.tag.0.is_empty() {
            return fault("signature.tag", "only parse = \"kv\" or \"list\" has tags");
        }
        for (key, text) in [
            ("signature.separator", &rule.separator),
            ("signature.assign", &rule.assign),
        ] {
            if text.as_ref().is_some_and(String::is_empty) {
                return fault(key, "is empty");
            }
        }
        Ok(rule)
    }

    fn signed(&self) -> Result<Shape<'_>, SchemeFault> {
        let signature = self.signature_rule()?;
        let Some(algorithm) = self.algorithm else {
            return fault("algorithm", "is missing, such as \"hmac-sha256\"");
        };
        if algorithm.kind() != self.kind {
            let name = algorithm.as_str();
            return fault(
                "algorithm",
                format!("`{name}` is of another kind; set kind"),
            );
        }
        let Some(content) = &self.content else {
            return fault("content", "is missing, such as \"{timestamp}.{body}\"");
        };
        if self.derived_from.is_some() {
            return fault("derived_from", "only kind `token` has this");
        }
        if content.covers(&Piece::Secret) != (self.kind == Kind::Hash) {
            return fault("content", "{secret} is for kind `hash`, and needed there");
        }
        let key = self.key.unwrap_or_default();
        if key.is_public() != (self.kind == Kind::Asym) {
            let way_out = "kind `asym`, and only that, takes a public key, such as ed25519_base64";
            return fault("key", way_out);
        }
        let timestamp = self.timestamp.as_ref();
        if timestamp.is_some_and(|rule| rule.from.0.is_empty()) {
            return fault(
                "timestamp.from",
                "is missing, such as \"header:X-Timestamp\"",
            );
        }
        let (stamped, placed) = (timestamp.is_some(), content.covers(&Piece::Timestamp));
        let in_body = |rule: &TimestampRule| {
            content.covers_body() && rule.from.0.iter().all(|from| from.place.is_in_body())
        };
        if stamped != placed && !timestamp.is_some_and(in_body) {
            let way_out = "{timestamp} in content and the timestamp rule need each other: a \
                           timestamp that is not signed proves nothing";
            return fault(if stamped { "timestamp" } else { "content" }, way_out);
        }
        Ok(Shape::Signed {
            algorithm,
            signature,
            content,
            key,
            timestamp,
        })
    }
}
