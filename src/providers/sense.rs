//! What of a scheme makes sense together.
//!
//! [`Scheme::shape`] is the only way to use a scheme: it names the field that is missing, that does
//! not fit the kind, or that would be unsafe, such as a timestamp that nothing signs.

use std::borrow::Cow;

use super::scheme::{JwtAlgorithm, Kind, Procedure, Scheme, TimestampRule};
use super::shape::{CodeShape, JwtShape, Shape, SignedShape};
use super::signature::{Parse, SignatureRule};
use super::source::{Place, pointer};
use super::template::{Piece, Template};

/// How far clocks may differ where a scheme does not say.
const LEEWAY_SECONDS: u32 = 60;

/// A field of a scheme that is missing, does not fit, or would be unsafe.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct SchemeFault {
    /// The field, such as `content`, `signature.tag` or `check[0].from`.
    pub key: Cow<'static, str>,
    /// What is wrong and the way out.
    pub message: String,
}

fn fault<T>(
    key: impl Into<Cow<'static, str>>,
    message: impl Into<String>,
) -> Result<T, SchemeFault> {
    Err(SchemeFault {
        key: key.into(),
        message: message.into(),
    })
}

impl Scheme {
    /// The scheme with exactly what its kind needs.
    ///
    /// # Errors
    /// The first field that is missing, does not fit the kind, or would be unsafe.
    pub fn shape(&self) -> Result<Shape<'_>, SchemeFault> {
        self.refuse_strangers()?;
        self.sound_checks()?;
        match self.kind {
            Kind::None => Ok(Shape::None),
            Kind::Token | Kind::Basic => self.token(),
            Kind::Mac | Kind::Hash | Kind::Asym => self.signed(),
            Kind::Jwt => self.jwt(),
            Kind::Each => self.each(),
            Kind::Code => self.procedure(),
        }
    }

    /// Refuses fields that belong to other kinds.
    fn refuse_strangers(&self) -> Result<(), SchemeFault> {
        use Kind::{Asym, Basic, Code, Each, Hash, Jwt, Mac, None, Token};
        const SIGNED: &[Kind] = &[Mac, Hash, Asym];
        let fields: [(&'static str, bool, &[Kind]); 14] = [
            ("algorithm", self.algorithm.is_some(), SIGNED),
            ("content", self.content.is_some(), SIGNED),
            ("url_variants", self.url_variants, SIGNED),
            (
                "signature",
                self.signature.is_some(),
                &[Token, Basic, Mac, Hash, Asym, Jwt, Code],
            ),
            (
                "timestamp",
                self.timestamp.is_some(),
                &[Mac, Hash, Asym, Code],
            ),
            ("key", self.key.is_some(), &[Mac, Hash, Asym, Jwt, Code]),
            ("fetch", self.fetch.is_some(), &[Asym, Jwt, Code]),
            ("derived_from", self.derived_from.is_some(), &[Token]),
            ("algorithms", !self.algorithms.is_empty(), &[Jwt]),
            ("leeway_seconds", self.leeway_seconds.is_some(), &[Jwt]),
            ("max_age_seconds", self.max_age_seconds.is_some(), &[Jwt]),
            ("items", self.items.is_some(), &[Each]),
            ("inner", self.inner.is_some(), &[Each]),
            ("code", self.code.is_some(), &[Code]),
        ];
        let stranger = fields
            .into_iter()
            .find(|(_, present, kinds)| *present && !kinds.contains(&self.kind));
        match stranger {
            Some((key, _, kinds)) => {
                let kinds: Vec<_> = kinds.iter().map(|kind| kind.as_str()).collect();
                let kinds = kinds.join(", ");
                fault(
                    key,
                    format!("is for kind {kinds} only; remove it or set kind"),
                )
            }
            Option::None if self.kind == None && !self.checks.is_empty() => {
                fault("check", "kind `none` checks nothing; set kind")
            }
            Option::None => Ok(()),
        }
    }

    fn sound_checks(&self) -> Result<(), SchemeFault> {
        for (at, check) in self.checks.iter().enumerate() {
            let key = |name: &str| format!("check[{at}].{name}");
            if check.equals.is_some() && check.equals_value.is_some() {
                let way_out = "equals is set too; set only one of them";
                return fault(key("equals_value"), way_out);
            }
            let claim = matches!(check.from.place, Place::Claim(_));
            if claim && self.kind != Kind::Jwt {
                return fault(key("from"), "jwt:claim is for kind `jwt`");
            }
            if matches!(check.from.place, Place::Headers(_) | Place::Item(_)) {
                return fault(key("from"), "must be one value");
            }
        }
        Ok(())
    }

    fn token(&self) -> Result<Shape<'_>, SchemeFault> {
        let basic = self.kind == Kind::Basic;
        let signature = self.lone_signature()?;
        let derived_from = match self.derived_from.as_ref().map(|source| &source.place) {
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
        let own = |place: &Place| {
            matches!(
                place,
                Place::Sig(_)
                    | Place::Config(_)
                    | Place::Claim(_)
                    | Place::BodySha256
                    | Place::BodySha256Base64
                    | Place::UrlSha256
            )
        };
        let body = |place: &Place| *place == Place::Body && self.kind != Kind::Jwt;
        let mut places = rule.from.0.iter().map(|from| &from.place);
        if places.any(|place| own(place) || body(place)) {
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
            ("signature.groups", &rule.groups),
        ] {
            if text.as_ref().is_some_and(String::is_empty) {
                return fault(key, "is empty");
            }
        }
        Ok(rule)
    }

    /// The rule of a text that is the whole value, perhaps behind a prefix.
    fn lone_signature(&self) -> Result<&SignatureRule, SchemeFault> {
        let rule = self.signature_rule()?;
        match rule.parse {
            Parse::Raw => Ok(rule),
            Parse::Kv | Parse::List | Parse::Positional => {
                fault("signature.parse", "a token stands alone; remove parse")
            }
        }
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
        let content = self.content.as_ref().map_or(&[][..], |content| &content.0);
        if content.is_empty() {
            return fault("content", "is missing, such as \"{timestamp}.{body}\"");
        }
        let secret = |template: &Template| template.covers(&Piece::Secret);
        if content
            .iter()
            .any(|template| secret(template) != (self.kind == Kind::Hash))
        {
            return fault("content", "{secret} is for kind `hash`, and needed there");
        }
        let key = self.key.unwrap_or_default();
        if key.is_public() != (self.kind == Kind::Asym) {
            let way_out = "kind `asym`, and only that, takes a public key, such as ed25519_base64";
            return fault("key", way_out);
        }
        self.sound_fetch()?;
        let timestamp = self.timestamp.as_ref();
        for template in content {
            sound_timestamp(timestamp, template)?;
        }
        Ok(Shape::Signed(SignedShape {
            algorithm,
            signature,
            content,
            key,
            timestamp,
            url_variants: self.url_variants,
            fetch: self.fetch.as_ref(),
        }))
    }

    fn jwt(&self) -> Result<Shape<'_>, SchemeFault> {
        let signature = self.lone_signature()?;
        let key = self.key.unwrap_or_default();
        let Some(first) = self.algorithms.first() else {
            return fault("algorithms", "is missing, such as [\"RS256\"]");
        };
        let mixed = |algorithm: &JwtAlgorithm| algorithm.is_public() != first.is_public();
        if self.algorithms.iter().any(mixed) {
            let way_out = "shared secrets (HS...) and public keys (RS..., ES...) must not mix: a \
                           public key could be taken for a secret; make two variants";
            return fault("algorithms", way_out);
        }
        if key.is_public() != first.is_public() {
            let way_out = "does not fit the algorithms: HS... takes a secret, the others a public \
                           key, such as jwk";
            return fault("key", way_out);
        }
        self.sound_fetch()?;
        Ok(Shape::Jwt(JwtShape {
            signature,
            algorithms: &self.algorithms,
            key,
            leeway_seconds: self.leeway_seconds.unwrap_or(LEEWAY_SECONDS),
            max_age_seconds: self.max_age_seconds,
            fetch: self.fetch.as_ref(),
        }))
    }

    fn each(&self) -> Result<Shape<'_>, SchemeFault> {
        let Some(items) = self.items.as_deref() else {
            return fault(
                "items",
                "is missing: the pointer to the array, such as \"/value\"",
            );
        };
        let items = match items {
            "" => Box::default(),
            text => match pointer(text) {
                Some(items) => items,
                None => return fault("items", "must be a JSON pointer, such as \"/value\""),
            },
        };
        let Some(inner) = &self.inner else {
            return fault("inner", "is missing: the scheme of every element");
        };
        if !matches!(inner.kind, Kind::Token | Kind::Mac | Kind::Hash) {
            return fault("inner.kind", "must be token, mac or hash");
        }
        if !inner.checks.is_empty() {
            return fault(
                "inner.check",
                "belongs outside: the elements have no checks of their own",
            );
        }
        let inner = Box::new(inner.shape().map_err(|fault| SchemeFault {
            key: format!("inner.{}", fault.key).into(),
            ..fault
        })?);
        Ok(Shape::Each { items, inner })
    }

    fn procedure(&self) -> Result<Shape<'_>, SchemeFault> {
        let Some(procedure) = self.code else {
            return fault("code", "is missing: the procedure");
        };
        let signature = match (procedure, &self.signature) {
            (Procedure::DetachedJws, _) => Some(self.lone_signature()?),
            (_, Some(_)) => return fault("signature", "is known to the code; remove it"),
            (_, None) => None,
        };
        let key = self.key.unwrap_or_default();
        if key.is_public() != procedure.takes_public_key() {
            let way_out = "does not fit the code: sns, keygen and detached_jws take a public key, \
                           such as pem, the others a secret";
            return fault("key", way_out);
        }
        self.sound_fetch()?;
        let timestamp = self.timestamp.as_ref();
        Ok(Shape::Code(CodeShape {
            procedure,
            signature,
            key,
            fetch: self.fetch.as_ref(),
            tolerance_seconds: timestamp.and_then(|rule| rule.tolerance_seconds),
        }))
    }

    /// Whether keys are fetched from a place that the sender cannot choose freely.
    fn sound_fetch(&self) -> Result<(), SchemeFault> {
        let Some(fetch) = &self.fetch else {
            return Ok(());
        };
        if fetch.url.starts_with("https://") || fetch.url.starts_with("config:") {
            return Ok(());
        }
        let named_by_sender = fetch.url.parse::<Place>().is_ok();
        if !named_by_sender {
            return fault("fetch.url", "must be an https:// address or a value source");
        }
        match fetch.hosts.is_empty() {
            true => fault("fetch.hosts", "is missing: the sender names the address"),
            false => Ok(()),
        }
    }
}

/// A timestamp has to be part of what is signed: in its place, as the same value, or in the body.
fn sound_timestamp(rule: Option<&TimestampRule>, content: &Template) -> Result<(), SchemeFault> {
    let placed = content.covers(&Piece::Timestamp);
    let way_out = "{timestamp} in content and the timestamp rule need each other: a timestamp \
                   that is not signed proves nothing";
    let Some(rule) = rule else {
        return match placed {
            true => fault("content", way_out),
            false => Ok(()),
        };
    };
    if rule.from.0.is_empty() {
        return fault(
            "timestamp.from",
            "is missing, such as \"header:X-Timestamp\"",
        );
    }
    let signed = |place: &Place| {
        content.covers(&Piece::Value(place.clone()))
            || (content.covers_body() && place.is_in_body())
            // Which headers the sender signed is looked at per request.
            || (content.covers_named_headers() && place.header().is_some())
    };
    match placed || rule.from.0.iter().all(|from| signed(&from.place)) {
        true => Ok(()),
        false => fault("timestamp", way_out),
    }
}
