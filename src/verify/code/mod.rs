//! The ways of signing that the scheme language cannot say, one file each.
//!
//! A procedure only reads: which signatures a request carries, over what, made when and by which
//! key. Keys, comparison in constant time, tolerance and expiry are the engine's, as for every
//! other scheme, and the algorithm comes from a short list of the procedure's, never from the
//! request alone.
//!
//! What this does not do: fetch keys, or confirm subscriptions.

mod detached;
mod hubspot;
mod javascript;
mod keygen;
mod plivo;
mod segment;
mod sign;
mod sns;
mod texts;

pub(super) use sign::sign;
pub(super) use sns::{TOPIC, subscribe_url};

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::HeaderName;

use super::key::{Key, joined, matching};
use super::public::{PublicKeys, signature_algorithm};
use super::rejection::{Reason, Rejection};
use super::rule::{each_secret, public_keys};
use super::sign::Unsigned;
use super::signature::{LONG_MAX_BYTES, Reader, SIGNATURES_MAX, Signature};
use super::time::near;
use super::view::{Ambiguous, Bytes, View};
use super::{Config, Fault};
use crate::clock::UnixMillis;
use crate::keys::{PublicKey, Wanted};
use crate::providers::{Algorithm, CodeShape, Encoding, Piece, Place, Procedure as Name, Template};
use crate::secret::Values;

/// One way of signing.
trait Procedure: Send + Sync {
    /// What is the same for every request and source.
    fn about(&self) -> &'static About;

    /// What the request claims to be; nothing of it is believed yet.
    fn read<'a>(&self, view: &View<'a>) -> Result<Claimed<'a>, Rejection>;

    /// Puts a signature where it belongs, and beside it what it covers and the request lacks.
    fn write(
        &self,
        _request: &mut Unsigned,
        _at: UnixMillis,
        _signature: &[u8],
    ) -> Result<(), String> {
        Err("signing as this provider is not possible".to_owned())
    }
}

/// What is the same for every request and source.
struct About {
    /// What `Hookgate-Verified` says.
    label: &'static str,
    /// What it may be signed with: one kind of HMAC, or some of a public key.
    algorithms: &'static [Algorithm],
    /// What it covers, as a content template would say it. Facts about the event are taken from
    /// there rather than from places that anybody can fill.
    covers: &'static str,
    /// The same for people.
    covered: &'static str,
    /// Accepted distance of the timestamp from now where neither provider nor source say otherwise;
    /// any if `None`.
    tolerance: Option<Duration>,
}

/// The parts of signed content.
type Content<'a> = Vec<Option<Bytes<'a>>>;

/// What a request claims to be.
struct Claimed<'a> {
    /// What may have been signed; each is tried.
    contents: Vec<Content<'a>>,
    /// Any of these has to be right.
    signatures: Vec<Signature>,
    /// What it is signed with: one of the procedure's.
    algorithm: Algorithm,
    /// When it was signed, if that is part of the content.
    at: Option<UnixMillis>,
    /// The name of the key, if the request gives one.
    kid: Option<String>,
    /// What is wrong with it even if the signature holds.
    objection: Option<Rejection>,
}

/// A procedure with a source's keys.
pub(super) struct Code {
    procedure: Box<dyn Procedure>,
    keys: Keys,
    tolerance: Option<Duration>,
    covers: Vec<Template>,
}

enum Keys {
    Shared(Vec<Key>),
    Public(PublicKeys),
}

/// The procedure that a scheme names; `None` if it lacks a field that it needs.
fn procedure(shape: &CodeShape<'_>, values: &Values) -> Option<Box<dyn Procedure>> {
    Some(match shape.procedure {
        Name::Sns => Box::new(sns::Sns),
        Name::PlivoV3 => Box::new(plivo::PlivoV3),
        Name::HubspotV3 => Box::new(hubspot::HubspotV3),
        Name::SegmentBatch => Box::new(segment::SegmentBatch),
        Name::Keygen => Box::new(keygen::Keygen),
        Name::DetachedJws => {
            let value = |name: &str| values.get(name).map(|value| value.to_string());
            let reader = Reader::new(shape.signature?, None, value);
            Box::new(detached::DetachedJws(reader))
        }
    })
}

/// Whether the procedure needs to know the URL as the sender writes it.
pub(super) fn signs_url(shape: &CodeShape<'_>) -> bool {
    let procedure = procedure(shape, &Values::new());
    let covers = procedure.and_then(|procedure| procedure.about().covers.parse().ok());
    covers.is_some_and(|template: Template| template.covers(&Piece::Url))
}

impl Code {
    /// Compiles a procedure for a source.
    ///
    /// # Errors
    /// The secrets that are not keys of the form that the scheme says.
    pub(super) fn new(shape: &CodeShape<'_>, config: &Config) -> Result<Self, Vec<Fault>> {
        let Some(procedure) = procedure(shape, &config.values) else {
            return Err(vec![Fault::new("scheme.signature", "is missing")]);
        };
        let about = procedure.about();
        let seconds = shape.tolerance_seconds;
        let provider = seconds.map(|seconds| Duration::from_secs(seconds.into()));
        Ok(Self {
            keys: Keys::new(about.algorithms, shape, config)?,
            tolerance: config.tolerance.or(provider).or(about.tolerance),
            covers: about.covers.parse().into_iter().collect(),
            procedure,
        })
    }

    /// Checks a request: the label of the secret that matched.
    pub(super) fn check(&self, view: &View<'_>, now: UnixMillis) -> Result<Arc<str>, Rejection> {
        let claimed = self.procedure.read(view)?;
        let secret = self.keys.check(view, &claimed, now)?;
        if let (Some(at), Some(tolerance)) = (claimed.at, self.tolerance) {
            let tolerance = i64::try_from(tolerance.as_millis()).unwrap_or(i64::MAX);
            near(at.0, now.0, tolerance)?;
        }
        match claimed.objection {
            Some(objection) => Err(objection),
            None => Ok(secret),
        }
    }

    /// The key that a request needs and that has to be fetched.
    pub(super) fn wanted(&self, view: &View<'_>) -> Option<Wanted> {
        let Keys::Public(keys) = &self.keys else {
            return None;
        };
        let claimed = self.procedure.read(view).ok()?;
        keys.wanted(view, claimed.kid.as_deref())
    }

    pub(super) fn label(&self) -> &'static str {
        self.procedure.about().label
    }

    /// What the signature covers, in words for people.
    pub(super) fn covered(&self) -> &'static str {
        self.procedure.about().covered
    }

    /// What the signature covers.
    pub(super) fn contents(&self) -> &[Template] {
        &self.covers
    }
}

impl Keys {
    fn new(
        algorithms: &'static [Algorithm],
        shape: &CodeShape<'_>,
        config: &Config,
    ) -> Result<Self, Vec<Fault>> {
        let public = algorithms.iter().copied().filter_map(signature_algorithm);
        let suits = |key: &PublicKey| public.clone().any(|algorithm| key.suits(algorithm));
        if public.clone().next().is_some() {
            let keys = public_keys(config, shape.key, shape.fetch, suits)?;
            return Ok(Self::Public(keys));
        }
        let keys = each_secret(&config.secrets, |secret| {
            let algorithm = algorithms.first().ok_or("is of no use")?;
            Key::new(secret, *algorithm, shape.key)
        })?;
        Ok(Self::Shared(keys))
    }

    fn check(
        &self,
        view: &View<'_>,
        claimed: &Claimed<'_>,
        now: UnixMillis,
    ) -> Result<Arc<str>, Rejection> {
        let Claimed {
            contents,
            signatures,
            ..
        } = claimed;
        match self {
            Self::Shared(keys) => matching(keys, now, |key| {
                contents.iter().fold(false, |found, content| {
                    found | key.verifies(content, signatures)
                })
            }),
            Self::Public(keys) => {
                let algorithm = signature_algorithm(claimed.algorithm);
                let messages: Vec<_> = contents.iter().map(|content| joined(content)).collect();
                let verifies = |key: &PublicKey| {
                    let ways = messages.iter().flat_map(|message| {
                        signatures.iter().map(move |s| (message, s.as_bytes()))
                    });
                    let found = algorithm.is_some_and(|algorithm| {
                        ways.into_iter()
                            .any(|(message, bytes)| key.verifies(algorithm, message, bytes))
                    });
                    found.then_some(())
                };
                let kid = claimed.kid.as_deref();
                Ok(keys.first(view, kid, now, verifies)?.0)
            }
        }
    }
}

/// The parts of a content, in order.
fn content<'a>(parts: impl IntoIterator<Item = Bytes<'a>>) -> Content<'a> {
    parts.into_iter().map(Some).collect()
}

/// The one value of a header.
fn header<'a>(view: &View<'a>, name: &HeaderName) -> Result<Bytes<'a>, Rejection> {
    match optional_header(view, name)? {
        Some(value) => Ok(value),
        None => Err(Reason::NoHeader.because(format!("{name} is missing"))),
    }
}

fn optional_header<'a>(view: &View<'a>, name: &HeaderName) -> Result<Option<Bytes<'a>>, Rejection> {
    view.find(&Place::Header(name.clone()), None)
        .map_err(|Ambiguous| Reason::Malformed.because(format!("{name} is there twice")))
}

/// The signatures among these texts that are spelled as the algorithm needs it.
fn signatures<'t>(
    texts: impl IntoIterator<Item = &'t [u8]>,
    encoding: Encoding,
    algorithm: Algorithm,
) -> Result<Vec<Signature>, Rejection> {
    let decode = |text: &[u8]| {
        // Hex is the longest spelling.
        let text = (text.len() <= 2 * LONG_MAX_BYTES).then(|| text.trim_ascii())?;
        let bytes = match encoding {
            Encoding::Hex => hex::decode(text).ok()?,
            Encoding::Base64 => STANDARD.decode(text).ok()?,
            Encoding::Base64url => URL_SAFE_NO_PAD.decode(text).ok()?,
        };
        let fits = match algorithm.signature_bytes() {
            Some(length) => bytes.len() == length,
            None => (1..=LONG_MAX_BYTES).contains(&bytes.len()),
        };
        fits.then(|| Signature::Long(bytes.into()))
    };
    let mut texts = texts.into_iter();
    let found: Vec<_> = texts
        .by_ref()
        .take(SIGNATURES_MAX)
        .filter_map(decode)
        .collect();
    match (texts.next(), found.is_empty()) {
        (Some(_), _) => Err(Reason::Malformed.because("there are too many signatures")),
        (None, true) => {
            let detail = "the signature is there, but not in the expected encoding and length";
            Err(Reason::Malformed.because(detail))
        }
        (None, false) => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_procedure_says_what_it_covers_and_what_kind_of_key_it_takes() {
        let about = [
            (Name::Sns, sns::Sns.about()),
            (Name::PlivoV3, plivo::PlivoV3.about()),
            (Name::HubspotV3, hubspot::HubspotV3.about()),
            (Name::SegmentBatch, segment::SegmentBatch.about()),
            (Name::Keygen, keygen::Keygen.about()),
            (Name::DetachedJws, &detached::ABOUT),
        ];
        for (name, about) in about {
            let label = about.label;
            assert!(about.covers.parse::<Template>().is_ok(), "{label}");
            let public = |algorithm: &Algorithm| signature_algorithm(*algorithm).is_some();
            let public = about
                .algorithms
                .iter()
                .filter(|algorithm| public(algorithm));
            let (public, all) = (public.count(), about.algorithms.len());
            let expected = if name.takes_public_key() { all } else { 0 };
            assert_eq!(public, expected, "{label}");
            assert!(all == 1 || (all > 1 && public == all), "{label}");
        }
    }
}
