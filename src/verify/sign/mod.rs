//! The inverse of verification: makes a request that a provider could have sent.
//!
//! For `hookgate send`, the demo and tests. It shares templates, keys and readers with the
//! verifier, so that the two cannot drift apart; independent vectors show that both are right.
//!
//! Order matters: the timestamp, ids and what the scheme's checks demand go in first, since the
//! signature covers them.

mod json;
mod private;
mod request;
mod rsa;
mod token;

pub use private::{TestKey, public_key, test_key};
pub use request::Unsigned;

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderName;

use super::check::CheckRule;
use super::code;
use super::content::fill;
use super::items::items;
use super::key::{Content, Key, joined};
use super::public::signature_algorithm;
use super::rule::{Needs, wire_token};
use super::signature::Reader;
use super::time::TimeRule;
use crate::clock::UnixMillis;
use crate::providers::{
    Algorithm, Check, KeyForm, Part, Piece, Place, Provider, Scheme, Shape, SignatureRule,
    SignedShape, Template, TimeUnit,
};
use crate::secret::{Secret, Values};
use private::PrivateKey;
use request::Spot;

/// Signs a request as `provider` would at `at`: adds the signature or token, the timestamp, the
/// event id, and what else the scheme checks. A public-key scheme needs the private key: `whsk_`,
/// or PKCS #8 in PEM.
///
/// # Errors
/// The variant is unknown, a value is missing, the secret has the wrong form, or the request has no
/// place for what has to go in.
pub fn sign(
    provider: &Provider,
    variant: Option<&str>,
    secret: &Secret,
    values: &Values,
    request: &mut Unsigned,
    at: UnixMillis,
    id: &str,
) -> Result<(), String> {
    let scheme = provider.pinned(variant).next();
    let scheme = scheme.ok_or_else(|| format!("{} has no such variant", provider.id))?;
    let shape = scheme.shape().map_err(|fault| format!("scheme.{fault}"))?;
    let signer = Signer {
        provider,
        secret,
        values,
        at,
        id,
    };
    signer.refuse_gaps(scheme, &shape, request)?;
    signer.prepare(&shape, request)?;
    signer.satisfy(&scheme.checks, &shape, request)?;
    signer.prove(&shape, &scheme.checks, None, request)
}

/// Who signs, and when.
struct Signer<'a> {
    provider: &'a Provider,
    secret: &'a Secret,
    values: &'a Values,
    at: UnixMillis,
    id: &'a str,
}

impl Signer<'_> {
    /// Names what the operator has to give.
    fn refuse_gaps(
        &self,
        scheme: &Scheme,
        shape: &Shape<'_>,
        request: &Unsigned,
    ) -> Result<(), String> {
        let needs = Needs::of(shape, &scheme.checks);
        let is_set = |name: &&str| {
            self.values
                .get(*name)
                .is_some_and(|value| !value.is_empty())
        };
        let missing: BTreeSet<_> = needs.values.into_iter().filter(|v| !is_set(v)).collect();
        if !missing.is_empty() {
            let missing: Vec<_> = missing.iter().map(|name| format!("{name}=...")).collect();
            let missing = missing.join(" --value ");
            return Err(format!(
                "the scheme needs values that are not given: --value {missing}"
            ));
        }
        if needs.public_url && request.url.starts_with('/') {
            return Err(
                "the scheme signs the URL: give it whole, as the sender writes it".to_owned(),
            );
        }
        Ok(())
    }

    /// Puts in what is signed beside the body: timestamp, ids, the list of signed headers.
    fn prepare(&self, shape: &Shape<'_>, request: &mut Unsigned) -> Result<(), String> {
        match shape {
            Shape::Signed(signed) => {
                self.stamp(signed, request)?;
                self.add_signed_values(signed, request)?;
            }
            Shape::Each { inner, .. } => return self.prepare(inner, request),
            Shape::None | Shape::Token { .. } | Shape::Jwt(_) | Shape::Code(_) => {}
        }
        self.add_id(request)
    }

    /// The timestamp, where it has a place outside the signature's header.
    fn stamp(&self, shape: &SignedShape<'_>, request: &mut Unsigned) -> Result<(), String> {
        let Some(rule) = shape.timestamp else {
            return Ok(());
        };
        let text = TimeRule::new(rule, None).write(self.at);
        let first = rule.from.0.first().map(|from| &from.place);
        match (first, rule.unit) {
            (None | Some(Place::Sig(_)), _) => Ok(()),
            (Some(Place::Json(pointer)), TimeUnit::S | TimeUnit::Ms) => {
                request.set_json_number(pointer, &text)
            }
            (Some(place), _) => request.put(&Spot::new(place), &text),
        }
    }

    /// The id, or a list of headers, in places that are signed and empty.
    fn add_signed_values(
        &self,
        shape: &SignedShape<'_>,
        request: &mut Unsigned,
    ) -> Result<(), String> {
        // A header that names others is signed too, as itself: its names go before any id.
        let mut wanted = named_headers(shape, request);
        let parts = shape.content.first().map(Template::parts);
        let needed = |part: &&Part| !part.optional && part.segment.is_none();
        for part in parts.into_iter().flatten().filter(needed) {
            if let Piece::Value(place) = &part.piece {
                wanted.push((place, self.id.to_owned()));
            }
        }
        for (place, text) in wanted {
            let fillable = matches!(place, Place::Header(_) | Place::Query(_));
            if fillable && !self.has(place, request)? {
                request.put(&Spot::new(place), &text)?;
            }
        }
        Ok(())
    }

    /// The id in a header, unless one of the provider's places has one.
    fn add_id(&self, request: &mut Unsigned) -> Result<(), String> {
        let mut first = None;
        for source in &self.provider.event.id.0 {
            if self.has(&source.place, request)? {
                return Ok(());
            }
            first = first.or(source.place.header().map(|_| &source.place));
        }
        match first {
            Some(place) => request.put(&Spot::new(place), self.id),
            None => Ok(()),
        }
    }

    fn has(&self, place: &Place, request: &Unsigned) -> Result<bool, String> {
        request.view(self.values, &[], |view| {
            view.find(place, None).is_ok_and(|found| found.is_some())
        })
    }

    /// Puts in what the scheme checks beside the signature; what goes into the URL first.
    fn satisfy(
        &self,
        checks: &[Check],
        shape: &Shape<'_>,
        request: &mut Unsigned,
    ) -> Result<(), String> {
        let contents = match shape {
            Shape::Signed(signed) => signed.content,
            Shape::None
            | Shape::Token { .. }
            | Shape::Jwt(_)
            | Shape::Each { .. }
            | Shape::Code(_) => &[],
        };
        let of_request = |check: &&Check| !matches!(check.from.place, Place::Claim(_));
        let mut checks: Vec<_> = checks.iter().filter(of_request).collect();
        checks.sort_by_key(|check| !matches!(check.from.place, Place::Query(_)));
        for check in checks {
            let rule = CheckRule::new(check, contents);
            let wanted = request.view(self.values, &[], |view| rule.wanted(view))?;
            if let Some(wanted) = wanted {
                request.put(&Spot::new(&check.from.place), &wanted)?;
            }
        }
        Ok(())
    }

    /// Puts in the signature or token; of an element if the scheme takes the body apart.
    fn prove(
        &self,
        shape: &Shape<'_>,
        checks: &[Check],
        element: Option<&[Box<str>]>,
        request: &mut Unsigned,
    ) -> Result<(), String> {
        let (rule, text) = match shape {
            Shape::None => return Ok(()),
            Shape::Code(code) => {
                return code::sign(code, self.secret, self.values, request, self.at);
            }
            Shape::Each {
                items: pointer,
                inner,
            } => {
                let count = items(&request.body, pointer).map_or(0, |items| items.len());
                if count == 0 {
                    return Err("the body has no array of elements to sign".to_owned());
                }
                for at in 0..count {
                    let element = [&**pointer, &[at.to_string().into()]].concat();
                    self.prove(inner, checks, Some(&element), request)?;
                }
                return Ok(());
            }
            Shape::Token {
                signature,
                basic,
                derived_from,
            } => (*signature, self.token(signature, *basic, *derived_from)?),
            Shape::Signed(signed) => (signed.signature, self.signed(signed, element, request)?),
            Shape::Jwt(shape) => (shape.signature, self.jwt(shape, checks, request)?),
        };
        let place = rule.from.0.first().map(|from| &from.place);
        let place = place.and_then(|place| {
            place.named(|name| self.values.get(name).map(|value| value.to_string()))
        });
        let place = place.ok_or("the signature's place has no name that fits into a request")?;
        let spot = Spot {
            place: &place,
            element: element.unwrap_or_default(),
        };
        request.put(&spot, &text)
    }

    fn token(
        &self,
        signature: &SignatureRule,
        basic: bool,
        derived_from: Option<&Place>,
    ) -> Result<String, String> {
        let token = wire_token(derived_from, self.secret, self.values)?;
        if basic {
            return Ok(format!("Basic {}", STANDARD.encode(&token)));
        }
        let token = std::str::from_utf8(&token).map_err(|_| "the token is not UTF-8")?;
        Ok(format!("{}{token}", signature.prefix))
    }

    /// The text around a signature over the first content that the request has all values for.
    fn signed(
        &self,
        shape: &SignedShape<'_>,
        element: Option<&[Box<str>]>,
        request: &Unsigned,
    ) -> Result<String, String> {
        let value = |name: &str| self.values.get(name).map(|value| value.to_string());
        let reader = Reader::new(shape.signature, shape.algorithm.signature_bytes(), value);
        let fields = self.fields(shape, request);
        let draft = reader.write(&[], &fields);
        let time = shape.timestamp.map(|rule| TimeRule::new(rule, None));
        let timestamp = time.map(|time| time.write(self.at));
        let item = json::value_at(&request.body, element.unwrap_or_default());
        let signature = request.view(self.values, item.unwrap_or_default(), |view| {
            let fields = reader.fields_in(draft.as_bytes());
            let timestamp = timestamp.as_deref().map(str::as_bytes);
            let mut first = Err("scheme.content is empty".to_owned());
            for (at, template) in shape.content.iter().enumerate() {
                match fill(template, view, Some(&fields), timestamp) {
                    Ok(content) => {
                        return sign_content(shape.algorithm, shape.key, self.secret, &content);
                    }
                    Err(rejection) if at == 0 => first = Err(rejection.detail.into_owned()),
                    Err(_) => {}
                }
            }
            first
        })??;
        Ok(reader.write(&signature, &fields))
    }

    /// The fields beside the signature in its header: the timestamp, and whatever the content takes
    /// from there.
    fn fields(&self, shape: &SignedShape<'_>, request: &Unsigned) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        let mut add = |place: &Place, text: String| {
            if let Place::Sig(key) = place
                && !fields.iter().any(|(known, _)| **key == *known)
            {
                fields.push((key.to_string(), text));
            }
        };
        if let Some(rule) = shape.timestamp
            && let Some(from) = rule.from.0.first()
        {
            add(&from.place, TimeRule::new(rule, None).write(self.at));
        }
        for (place, names) in named_headers(shape, request) {
            add(place, names);
        }
        for part in shape.content.iter().flat_map(Template::parts) {
            if let Piece::Value(place) = &part.piece {
                add(place, self.id.to_owned());
            }
        }
        fields
    }
}

/// The signature over content with a secret, or with a private key.
pub(super) fn sign_content(
    algorithm: Algorithm,
    form: KeyForm,
    secret: &Secret,
    content: &Content<'_>,
) -> Result<Vec<u8>, String> {
    match signature_algorithm(algorithm) {
        Some(algorithm) => {
            let key = PrivateKey::parse(secret.expose())?;
            Ok(key.sign(algorithm, &joined(content))?)
        }
        None => {
            let (bytes, length) = Key::new(secret, algorithm, form)?.compute(content);
            Ok(bytes.get(..length).unwrap_or_default().to_vec())
        }
    }
}

/// Places that name signed headers, with the names: a few that a request has.
fn named_headers<'a>(shape: &SignedShape<'a>, request: &Unsigned) -> Vec<(&'a Place, String)> {
    let places = shape.timestamp.iter().flat_map(|rule| &rule.from.0);
    let stamp = places.filter_map(|from| from.place.header().map(HeaderName::as_str));
    let names = ["content-type"].into_iter().chain(stamp);
    let names: Vec<_> = names.filter(|name| request.has_header(name)).collect();
    let parts = shape.content.iter().flat_map(Template::parts);
    let named = parts.filter_map(|part| {
        if let Piece::SignedHeaderValues(place, _) = &part.piece {
            Some((place, names.join(" ")))
        } else if let Piece::SignedHeaderPairs(place) = &part.piece {
            Some((place, names.join(",")))
        } else {
            None
        }
    });
    named.collect()
}
