//! A verification told step by step, for `hookgate verify`.
//!
//! It walks the compiled rules beside the hot path and decides nothing: the verdict is the
//! verifier's own. No step holds a secret, a signature or a token, only their shape.

mod words;

use std::borrow::Cow;

use super::content::fill;
use super::items::items;
use super::proof::{Proof, Signed, timestamp};
use super::rejection::{Reason, Rejection};
use super::rule::Rule;
use super::signature::{Fields, Reader};
use super::time::TimeRule;
use super::view::View;
use super::{Config, Verified, Verifier};
use crate::clock::UnixMillis;
use crate::event::Received;
use crate::providers::{Piece, Place, Template};
use words::{expected, lengths, named, shape};

/// Of a body that is checked element by element, how many are told.
const ELEMENTS_MAX: usize = 3;
/// Longest text from a request that a step quotes.
const QUOTED_CHARS_MAX: usize = 40;

/// A verification, told.
pub struct Explanation {
    /// What was looked at, in order.
    pub steps: Vec<Step>,
    /// What the verifier says, wherever the request came from.
    pub verdict: Result<Verified, Rejection>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// How it came out.
    pub mark: Mark,
    /// What it was and what was found: never a secret or a signature.
    pub text: String,
}

/// How a step came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// As it has to be.
    Good,
    /// Not as it has to be.
    Bad,
    /// Neither: something to know.
    Note,
}

impl Verifier {
    /// Tells what a verification of this request at `now` looks at. Who sent it is not judged, and
    /// a source in observe mode is told as if it refused.
    #[must_use]
    pub fn explain(&self, received: &Received, now: UnixMillis) -> Explanation {
        let mut walk = Walk {
            verifier: self,
            received,
            now,
            steps: Vec::new(),
        };
        if !self.allow_from.is_empty() {
            walk.note("allow_from: not judged, a captured request does not say who sent it");
        }
        let view = View::of(received, &self.values, &self.public_url);
        for (at, rule) in self.rules.iter().enumerate() {
            walk.rule(at, rule, &view);
            if rule.check(&view, now).is_ok() {
                break;
            }
        }
        let strict = self.with(|config| {
            config.allow_from.clear();
            config.observe = false;
        });
        let verdict = match strict {
            Some(strict) => strict.verify(received.clone(), now),
            None => self.verify(received.clone(), now),
        };
        Explanation {
            steps: walk.steps,
            verdict,
        }
    }

    /// This verifier with one change; `None` if it makes no sense.
    fn with(&self, change: impl FnOnce(&mut Config)) -> Option<Self> {
        let mut config = self.config.clone();
        change(&mut config);
        Self::new(config).ok()
    }
}

/// A walk over the rules.
struct Walk<'a> {
    verifier: &'a Verifier,
    received: &'a Received,
    now: UnixMillis,
    steps: Vec<Step>,
}

impl Walk<'_> {
    fn step(&mut self, mark: Mark, text: impl Into<String>) {
        let text = text.into();
        self.steps.push(Step { mark, text });
    }

    fn note(&mut self, text: impl Into<String>) {
        self.step(Mark::Note, text);
    }

    fn good(&mut self, text: impl Into<String>) {
        self.step(Mark::Good, text);
    }

    fn bad(&mut self, text: impl Into<String>) {
        self.step(Mark::Bad, text);
    }

    fn rule(&mut self, at: usize, rule: &Rule, view: &View<'_>) {
        let protection = rule.proof.protection(rule.label);
        self.note(match self.verifier.rules.len() {
            1 => format!("the scheme: {protection}"),
            rules => format!("scheme {} of {rules}: {protection}", at + 1),
        });
        self.proof(&rule.proof, view);
        self.secrets(at, view);
        if rule.proof.wanted(view).is_some() {
            self.note(
                "the sender's public key is fetched when the gate runs; here only a secret counts",
            );
        }
        match rule.proof.check(view, self.now) {
            Ok(evidence) => {
                for check in &rule.checks {
                    match check.check(view, evidence.claims.as_ref()) {
                        Ok(()) => self.good(format!("check: {} is what it has to be", check.name)),
                        Err(rejection) => self.bad(format!("check: {}", rejection.detail)),
                    }
                }
            }
            Err(_) if rule.checks.is_empty() => {}
            Err(_) => {
                let names: Vec<_> = rule.checks.iter().map(|check| &*check.name).collect();
                self.note(format!("not checked without a proof: {}", names.join(", ")));
            }
        }
    }

    fn proof(&mut self, proof: &Proof, view: &View<'_>) {
        match proof {
            Proof::Nothing => {}
            Proof::Token(token) => {
                self.located("token", &token.reader, view, &[]);
            }
            Proof::Signed(signed) => self.signed(signed, view),
            Proof::Jwt(jwt) => {
                let Some(fields) = self.located("token", &jwt.reader, view, &[]) else {
                    return;
                };
                match jwt.token(&fields) {
                    Ok(token) => {
                        let key = token.kid().map_or("names no key", |_| "names its key");
                        self.good(format!(
                            "parsed: a token of an allowed algorithm, which {key}"
                        ));
                    }
                    Err(rejection) => self.bad(format!("parsed: {}", rejection.detail)),
                }
            }
            Proof::Each {
                items: pointer,
                inner,
            } => {
                let elements = items(view.body, pointer).unwrap_or_default();
                let place = named(&Place::Json(pointer.clone()));
                let mark = if elements.is_empty() {
                    Mark::Bad
                } else {
                    Mark::Good
                };
                self.step(mark, format!("elements: {} in {place}", elements.len()));
                for (at, item) in elements.into_iter().enumerate().take(ELEMENTS_MAX) {
                    self.note(format!("element {}", at + 1));
                    self.proof(inner, &View { item, ..*view });
                }
            }
            Proof::Code(code) => self.note(format!("signed: {}", code.covered())),
        }
    }

    fn signed(&mut self, signed: &Signed, view: &View<'_>) {
        let known = known_fields(signed);
        let Some(fields) = self.located("signature", &signed.reader, view, &known) else {
            return;
        };
        let groups = fields.groups();
        for fields in &groups {
            let expected = expected(&signed.reader);
            match fields.signatures() {
                Ok(found) => {
                    let found = found.len();
                    self.good(format!("parsed: {found} to compare with, {expected}"));
                }
                Err(rejection) => self.bad(format!(
                    "parsed: {}; expected: {expected}",
                    rejection.detail
                )),
            }
            for content in &signed.contents {
                self.content(signed, content, view, fields);
            }
            if let Some(time) = &signed.time {
                self.timestamp(time, view, fields);
            }
        }
    }

    /// Where a signature or token was looked for, and the shape of what was found.
    fn located<'v>(
        &mut self,
        what: &str,
        reader: &'v Reader,
        view: &View<'v>,
        known: &[&str],
    ) -> Option<Fields<'v>> {
        let places: Vec<_> = reader.places().iter().map(named).collect();
        let places = places.join(", then ");
        match reader.fields(view) {
            Ok(fields) => {
                let shapes: Vec<_> = fields
                    .values
                    .iter()
                    .map(|value| shape(reader, &fields, value, known))
                    .collect();
                self.good(format!(
                    "{what}: found in {places}: {}",
                    shapes.join(" and ")
                ));
                Some(fields)
            }
            Err(rejection) => {
                self.bad(format!(
                    "{what}: looked for in {places}: {}",
                    rejection.detail
                ));
                None
            }
        }
    }

    /// What was signed: the template, and how long its values are.
    fn content<'v>(
        &mut self,
        signed: &Signed,
        template: &'v Template,
        view: &View<'v>,
        fields: &Fields<'v>,
    ) {
        let placed = template.covers(&Piece::Timestamp);
        let stamp = signed.time.as_ref().filter(|_| placed);
        let stamp = stamp.and_then(|time| timestamp(time, view, fields).ok());
        let text = template.as_str().escape_debug();
        match fill(template, view, Some(fields), stamp.as_deref()) {
            Ok(content) => {
                let lengths = lengths(template, &content);
                self.good(format!("signed content: `{text}`: {lengths}"));
            }
            Err(rejection) => self.bad(format!("signed content: `{text}`: {}", rejection.detail)),
        }
        if template.parts().iter().any(|part| part.piece == Piece::Url) {
            let target = self.verifier.shown_target(self.received);
            let base = without_login(view.public_url);
            self.note(format!("the URL in it: {base}{target}"));
        }
    }

    fn timestamp(&mut self, time: &TimeRule, view: &View<'_>, fields: &Fields<'_>) {
        let places: Vec<_> = time.from.iter().map(named).collect();
        let places = places.join(", then ");
        let text = match timestamp(time, view, fields) {
            Ok(text) => text,
            Err(rejection) => {
                return self.bad(format!(
                    "timestamp: looked for in {places}: {}",
                    rejection.detail
                ));
            }
        };
        let shown: String = String::from_utf8_lossy(&text)
            .chars()
            .take(QUOTED_CHARS_MAX)
            .collect();
        let shown = shown.escape_debug();
        let at = time.read(&text, self.now).0;
        let at = at.map_or_else(String::new, |at| format!(" ({})", UnixMillis(at).rfc3339()));
        match time.check(&text, self.now) {
            Ok(()) => {
                let age = time.read(&text, self.now);
                let age = age.0.map_or(0, |at| age.1.saturating_sub(at)) / 1000;
                let tolerance = time.tolerance_ms / 1000;
                self.good(format!(
                    "timestamp: {shown}{at} in {places}, {age} s old, the tolerance {tolerance} s"
                ));
            }
            Err(rejection) => {
                self.bad(format!(
                    "timestamp: {shown}{at} in {places}: {}",
                    rejection.detail
                ));
            }
        }
    }

    /// What each secret alone would do, as far as it goes without checks.
    fn secrets(&mut self, at: usize, view: &View<'_>) {
        let mut found = Vec::new();
        for secret in &self.verifier.config.secrets {
            let only = |config: &mut Config| config.secrets = vec![secret.clone()];
            let alone = self.verifier.with(only);
            let rule = alone.as_ref().and_then(|alone| alone.rules.get(at));
            if let Some(outcome) = rule.map(|rule| rule.proof.check(view, self.now)) {
                found.push((&*secret.label, outcome.err()));
            }
        }
        // The clock is judged apart.
        let matches = |rejection: &Option<Rejection>| {
            let reason = rejection.as_ref().map(|rejection| rejection.reason);
            matches!(reason, None | Some(Reason::Stale | Reason::Future))
        };
        let missed = match found.iter().any(|(_, rejection)| matches(rejection)) {
            true => Mark::Note,
            false => Mark::Bad,
        };
        for (label, rejection) in &found {
            match rejection {
                None => self.good(format!("{label}: matches")),
                Some(rejection) => match rejection.reason {
                    Reason::Stale | Reason::Future => self.good(format!("{label}: matches")),
                    Reason::NoHeader | Reason::Malformed => {
                        self.note(format!(
                            "{label}: not tried, there is nothing to compare with"
                        ));
                    }
                    Reason::Mismatch => self.step(missed, format!("{label}: does not match")),
                    Reason::Check
                    | Reason::UnknownKey
                    | Reason::KeyUnavailable
                    | Reason::Expired
                    | Reason::Address
                    | Reason::NoSecret => {
                        self.step(missed, format!("{label}: {}", rejection.detail));
                    }
                },
            }
        }
    }
}

/// The fields that a scheme knows in the signature's header: others may be anything.
fn known_fields<'a>(signed: &'a Signed) -> Vec<&'a str> {
    let mut known = Vec::new();
    let mut add = |place: &'a Place| {
        if let Place::Sig(key) = place {
            known.push(&**key);
        }
    };
    let times = signed.time.iter().flat_map(|time| &time.from);
    times.for_each(&mut add);
    for part in signed.contents.iter().flat_map(Template::parts) {
        if let Piece::Value(place) | Piece::SignedHeaderValues(place, _) = &part.piece {
            add(place);
        }
    }
    known
}

/// An address without the user and password in it.
fn without_login(url: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Cow::Borrowed(url);
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        Some((_, host)) => Cow::Owned(format!("{scheme}://...@{host}{path}")),
        None => Cow::Borrowed(url),
    }
}
