//! Received to Verified: the one way for a request's bytes to get past the door.
//!
//! A [`Verifier`] is compiled once per source from its provider's schemes and its secrets; a
//! request is then checked over borrowed slices of what came in. Invariants: the raw bytes are
//! verified, never a parsed form; the algorithm comes from the scheme, never from the request;
//! signatures are decoded to exactly their length and compared in constant time; ids, types and
//! JSON are read only after the signature held (but for schemes whose signature is in the body).
//!
//! A provider's handshake is told from an event here too, and its answer made ([`Admission`]).
//!
//! What this does not do: decide on duplicates (the store), answer (ingress), keep captured secrets
//! (the store), fetch keys.

mod admit;
mod challenge;
mod check;
mod code;
mod content;
mod diagnose;
mod explain;
mod facts;
mod fetched;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod items;
mod json;
mod jwt;
mod key;
mod proof;
mod public;
mod rejection;
mod rule;
#[cfg(any(test, fuzzing))]
#[path = "../../tests/senders/mod.rs"]
#[expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "senders that are wrong fail loudly"
)]
mod senders;
mod sign;
mod signature;
mod target;
mod time;
mod verified;
mod view;

#[cfg(test)]
mod tests;

pub use admit::{AckBody, Admission, Confirmation, Handover, Reply};
pub use diagnose::{BODY_BYTES_MAX as DIAGNOSED_BYTES_MAX, Diagnosis, Diagnostician, Mistake};
pub use explain::{Explanation, Mark, Step};
pub use rejection::{Reason, Refused, Rejection};
pub use sign::{TestKey, Unsigned, public_key, sign, test_key};
pub use verified::Verified;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;

use crate::clock::UnixMillis;
use crate::event::{EventId, Received, SourceName};
use crate::keys::{Cached, KeySource, Wanted};
use crate::planted::{Bug, planted};
use crate::providers::{Place, Provider, ValueSource};
use crate::secret::{Secret, Values};
use challenge::Challenges;
use proof::Evidence;
use rule::Rule;
use verified::Facts;
use view::View;

/// What a source says about verification.
#[derive(Clone)]
pub struct Config {
    /// The source's name.
    pub source: SourceName,
    /// Its provider, with the source's own scheme merged in.
    pub provider: Arc<Provider>,
    /// The provider's variant to use; the first if `None`.
    pub variant: Option<String>,
    /// All secrets that may verify.
    pub secrets: Vec<Secret>,
    /// Values for `config:NAME` in the scheme.
    pub values: Values,
    /// The address as senders write it, such as `https://hooks.example.com`.
    pub public_url: Option<String>,
    /// Accepted distance of signed timestamps from now; the provider's, or 300 s, if `None`.
    pub tolerance: Option<Duration>,
    /// Value sources that tell events apart, instead of the provider's rule.
    pub dedup_key: Option<Vec<String>>,
    /// Networks that may send; all if empty.
    pub allow_from: Vec<IpNet>,
    /// Let through what fails, marked as such.
    pub observe: bool,
    /// The provider hands over the secret in its handshake; until then there is none.
    pub capture: bool,
    /// Amazon SNS: open the address that confirms a subscription.
    pub confirm: bool,
}

/// A setting of a source that cannot work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The key, relative to the source: `secret`, `scheme.content`, ...
    pub key: String,
    /// What is wrong and the way out; never a secret.
    pub message: String,
}

impl Fault {
    fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            message: message.into(),
        }
    }
}

/// Verifies the requests of one source.
pub struct Verifier {
    source: SourceName,
    rules: Vec<Rule>,
    values: Values,
    public_url: Box<str>,
    allow_from: Vec<IpNet>,
    observe: bool,
    ack_status: u16,
    token_parameters: Vec<Box<str>>,
    credential_headers: Vec<HeaderName>,
    challenges: Challenges,
    /// What it was made of: to be made anew with another secret, and for diagnoses.
    config: Config,
}

impl Verifier {
    /// Compiles the provider's schemes for a source.
    ///
    /// # Errors
    /// All faults of secrets, scheme, values and dedup key together.
    pub fn new(config: Config) -> Result<Self, Vec<Fault>> {
        let (dedup_key, mut faults) = dedup_key(&config);
        if let Some(fault) = unknown_variant(&config) {
            return Err(vec![fault]);
        }
        let mut rules = Vec::new();
        for scheme in config.provider.pinned(config.variant.as_deref()) {
            match Rule::new(scheme, &config, dedup_key.as_deref()) {
                Ok(rule) => rules.push(rule),
                Err(more) => faults.extend(more),
            }
        }
        if rules.is_empty() && faults.is_empty() {
            faults.push(Fault::new("provider", "has no scheme"));
        }
        if !faults.is_empty() {
            faults.sort_by(|a, b| a.key.cmp(&b.key).then_with(|| a.message.cmp(&b.message)));
            faults.dedup();
            return Err(faults);
        }
        let mut token_parameters = Vec::new();
        let mut credential_headers = vec![http::header::AUTHORIZATION];
        for place in rules.iter().flat_map(|rule| rule.proof.token_places()) {
            credential_headers.extend(place.header().cloned());
            if let Place::Query(name) = place {
                token_parameters.push(name.clone());
            }
        }
        for challenge in &config.provider.challenges {
            let (capture, check) = (&challenge.capture, &challenge.check);
            credential_headers.extend(capture.iter().filter_map(|at| at.place.header().cloned()));
            if let Some(Place::Query(name)) = check.as_ref().map(|check| &check.from.place) {
                token_parameters.push(name.clone());
            }
        }
        let public_url = config.public_url.as_deref().unwrap_or_default();
        let challenges = Challenges::new(&config);
        Ok(Self {
            public_url: public_url.trim_end_matches('/').into(),
            source: config.source.clone(),
            rules,
            values: config.values.clone(),
            allow_from: config.allow_from.clone(),
            observe: config.observe,
            ack_status: config.provider.ack.status,
            token_parameters,
            credential_headers,
            challenges,
            config,
        })
    }

    /// The dedup ids that an event with this provider's id would have, if its id is what tells it
    /// from others: with them a store finds it at once.
    #[must_use]
    pub fn dedup_ids(&self, provider_event_id: &str) -> Vec<Vec<u8>> {
        let rules = self.rules.iter();
        let ids = rules.flat_map(|rule| rule.facts.dedup_ids(provider_event_id));
        let mut ids: Vec<_> = ids.collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Checks a request at `now` (wall time).
    ///
    /// # Errors
    /// Why it is refused. A source in observe mode refuses nothing.
    pub fn verify(&self, received: Received, now: UnixMillis) -> Result<Verified, Rejection> {
        let verdict = self.judge(received, now, None);
        verdict.map_err(|refused| refused.rejection)
    }

    /// Like [`Verifier::verify`] with what is known of senders' keys; gives a refused request back
    /// for the operator's record.
    fn judge(
        &self,
        received: Received,
        now: UnixMillis,
        keys: Option<&KeySource>,
    ) -> Result<Verified, Box<Refused>> {
        let view = View {
            keys,
            ..View::of(&received, &self.values, &self.public_url)
        };
        let (rule, outcome) = self.check(&view, received.peer, now);
        let (evidence, observed) = match outcome {
            Ok(evidence) => (evidence, None),
            Err(rejection) if self.observe => (Evidence::default(), Some(rejection)),
            Err(rejection) => {
                return Err(Box::new(Refused {
                    received,
                    rejection,
                }));
            }
        };
        let found = rule.facts.read(&view, evidence.claims.as_ref());
        // What was not verified must not keep a genuine event out.
        let dedup_id = found.dedup_id.filter(|_| observed.is_none());
        let dedup_id = match planted(Bug::RawSignatureAsDedupKey) {
            true => Some(
                view.headers
                    .values()
                    .flat_map(|v| v.as_bytes().to_vec())
                    .collect(),
            ),
            false => dedup_id,
        };
        let dedup_id = dedup_id.unwrap_or_else(|| facts::unique_id(EventId::new(now).as_bytes()));
        let facts = Facts {
            dedup_id,
            provider_event_id: found.provider_event_id,
            event_type: found.event_type,
            scheme: observed.as_ref().map_or(rule.label, |_| "observe"),
            secret: evidence.secret,
            target: self.without_tokens(&received),
            observed,
        };
        Ok(Verified::new(self.source.clone(), received, facts))
    }

    /// The keys that a request needs and that have to be fetched before it can be verified, at most
    /// one for each scheme.
    #[must_use]
    pub fn wanted(&self, received: &Received, keys: &KeySource) -> Vec<Wanted> {
        // Whoever may not send has nothing fetched.
        if !self.allows(received.peer) {
            return Vec::new();
        }
        let view = View::of(received, &self.values, &self.public_url);
        let rules = self.rules.iter();
        rules
            .filter_map(|rule| rule.proof.wanted(&view))
            .filter(|wanted| matches!(keys.cached(wanted), Cached::Missing))
            .collect()
    }

    /// The rule that decided, and the label of the secret or the reason.
    fn check(
        &self,
        view: &View<'_>,
        peer: Option<IpAddr>,
        now: UnixMillis,
    ) -> (&Rule, Result<Evidence, Rejection>) {
        #[expect(
            clippy::indexing_slicing,
            reason = "`new` refuses a source without rules"
        )]
        let (first, others) = (&self.rules[0], &self.rules[1..]);
        if !self.allows(peer) {
            return (first, Err(foreign_address()));
        }
        let (mut rule, mut outcome) = (first, first.check(view, now));
        for other in others {
            let Err(earlier) = &outcome else {
                break;
            };
            let next = other.check(view, now);
            // A scheme that came further says more than one that did not find its signature.
            let no_news =
                |rejection: &Rejection| rejection.reason.weight() <= earlier.reason.weight();
            if !next.as_ref().is_err_and(no_news) {
                (rule, outcome) = (other, next);
            }
        }
        (rule, outcome)
    }

    fn allows(&self, peer: Option<IpAddr>) -> bool {
        let known = |peer: IpAddr| {
            let peer = peer.to_canonical();
            self.allow_from
                .iter()
                .any(|network| network.contains(&peer))
        };
        self.allow_from.is_empty() || peer.is_some_and(known)
    }

    /// The target of any request to this source, also of a refused one, fit for people's eyes:
    /// tokens taken out.
    #[must_use]
    pub fn shown_target<'a>(&self, received: &'a Received) -> Cow<'a, str> {
        match self.without_tokens(received) {
            Some(target) => Cow::Owned(target.into()),
            None => Cow::Borrowed(&received.target),
        }
    }

    fn without_tokens(&self, received: &Received) -> Option<Box<str>> {
        let in_path = received.path_token.is_some();
        target::without_tokens(&received.target, &self.token_parameters, in_path)
    }

    /// The status that the provider needs for success.
    #[must_use]
    pub fn ack_status(&self) -> u16 {
        self.ack_status
    }

    /// Whether the provider wants refusals without a body, too.
    #[must_use]
    pub fn refuses_bare(&self) -> bool {
        self.config.provider.ack.bare
    }

    /// Headers whose value is a secret: never to be shown.
    #[must_use]
    pub fn credential_headers(&self) -> &[HeaderName] {
        &self.credential_headers
    }

    /// What protects this source, in a sentence for people.
    #[must_use]
    pub fn protection(&self) -> String {
        let mut text = String::new();
        for rule in &self.rules {
            let sentence = rule.proof.protection(rule.label);
            if !text.contains(&sentence) {
                let joint = if text.is_empty() { "" } else { " or " };
                let _ = write!(text, "{joint}{sentence}");
            }
        }
        let secrets = self.config.secrets.len();
        if secrets > 1 {
            let _ = write!(text, ", {secrets} secrets");
        }
        if !self.allow_from.is_empty() {
            let _ = write!(text, ", only from {} networks", self.allow_from.len());
        }
        if self.observe {
            text.push_str("; OBSERVE MODE: requests that fail are let through");
        }
        text
    }
}

fn foreign_address() -> Rejection {
    Reason::Address.because("the sender's address is not in allow_from")
}

fn unknown_variant(config: &Config) -> Option<Fault> {
    let variant = config.variant.as_deref()?;
    let mut known: Vec<_> = config.provider.variants().collect();
    if known.contains(&variant) {
        return None;
    }
    known.dedup();
    let message = match known.is_empty() {
        true => format!("{} has no variants; remove it", config.provider.id),
        false => format!(
            "`{variant}` is not a variant; use one of {}",
            known.join(", ")
        ),
    };
    Some(Fault::new("variant", message))
}

fn dedup_key(config: &Config) -> (Option<Vec<ValueSource>>, Vec<Fault>) {
    let Some(texts) = &config.dedup_key else {
        return (None, Vec::new());
    };
    let (mut key, mut faults) = (Vec::new(), Vec::new());
    if texts.is_empty() {
        let way_out = "is empty: name a value, or remove it to use the provider's rule";
        faults.push(Fault::new("dedup.key", way_out));
    }
    for text in texts {
        match text.parse::<ValueSource>() {
            Ok(source) if tells_events_apart(&source.place) => key.push(source),
            Ok(_) => {
                let message = format!("`{text}` does not tell events apart");
                faults.push(Fault::new("dedup.key", message));
            }
            Err(error) => faults.push(Fault::new("dedup.key", error.to_string())),
        }
    }
    (Some(key), faults)
}

fn tells_events_apart(place: &Place) -> bool {
    place.is_in_body() || matches!(place, Place::Header(_) | Place::Query(_))
}
