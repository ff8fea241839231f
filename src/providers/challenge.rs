//! The file language of handshakes: `[[challenge]]`, which the gate answers by itself.
//!
//! A [`Challenge`] says which requests are one, what must hold, and what the answer is made of.
//! [`Challenge::check`] refuses what would be unsafe in any source: an unsigned POST that could be
//! an event, a repeated secret, an answer that a browser would render.

use std::collections::BTreeMap;
use std::str::FromStr;

use http::{HeaderName, HeaderValue, Method};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::{AnswerJson, AnswerPart, AnswerText, is_of_the_request};
use super::source::{Place, ValueSource};

/// A request that the provider sends to see who is there, and what it wants to hear.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Challenge {
    /// The request's method.
    pub method: ChallengeMethod,
    /// A value that is present in such a request; left out: all of this method are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<ValueSource>,
    /// The text that `when` has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<String>,
    /// A value that is absent in such a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unless: Option<ValueSource>,
    /// `POST` only: it is signed like an event, and verified like one before it is answered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub signed: bool,
    /// What else must hold; otherwise it is refused like a request that fails verification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<ChallengeCheck>,
    /// The answer's status.
    #[serde(default = "ok")]
    pub status: u16,
    /// The answer as plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<AnswerText>,
    /// The answer as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<AnswerJson>,
    /// Headers of the answer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, AnswerText>,
    /// The secret that this request hands over, for sources that set `capture = true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<ValueSource>,
}

/// The method of a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ChallengeMethod {
    /// `GET`.
    Get,
    /// `HEAD`.
    Head,
    /// `OPTIONS`.
    Options,
    /// `POST`.
    Post,
}

impl ChallengeMethod {
    /// The method as requests have it.
    #[must_use]
    pub fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Head => Method::HEAD,
            Self::Options => Method::OPTIONS,
            Self::Post => Method::POST,
        }
    }
}

/// A value of the request that must be one that the operator has set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChallengeCheck {
    /// Where it is in the request.
    pub from: ValueSource,
    /// What it must be: a `config:name`.
    pub equals_value: ValueSource,
}

fn ok() -> u16 {
    200
}

/// Headers that are not an answer's to choose: they frame it, or a browser would act on them.
const HEADERS_REFUSED: [&str; 8] = [
    "connection",
    "content-length",
    "keep-alive",
    "location",
    "set-cookie",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A key of a challenge, and what is wrong with it.
type Fault = (&'static str, String);

fn fault<T>(key: &'static str, message: &str) -> Result<T, Fault> {
    Err((key, message.to_owned()))
}

impl Challenge {
    /// Whether it is answered without a look at a signature.
    #[must_use]
    pub fn is_unsigned(&self) -> bool {
        !self.signed
    }

    /// Whether its answer holds a keyed hash of a value that the request chooses.
    #[must_use]
    pub fn uses_secret(&self) -> bool {
        self.parts()
            .any(|part| matches!(part, AnswerPart::Function(..)))
    }

    /// The names of the `config:` values that it needs.
    pub fn config_names(&self) -> impl Iterator<Item = &str> {
        let check = self.check.as_ref().map(|check| &check.equals_value.place);
        let places = self.parts().filter_map(|part| match part {
            AnswerPart::Value(place) => Some(place),
            AnswerPart::Text(_) | AnswerPart::Function(..) => None,
        });
        check
            .into_iter()
            .chain(places)
            .filter_map(Place::config_name)
    }

    fn texts(&self) -> Vec<&AnswerText> {
        let mut texts: Vec<_> = self.body.iter().chain(self.headers.values()).collect();
        if let Some(json) = &self.json {
            json.texts(&mut texts);
        }
        texts
    }

    fn parts(&self) -> impl Iterator<Item = &AnswerPart> {
        self.texts().into_iter().flat_map(AnswerText::parts)
    }

    /// Whether it makes sense and is safe to answer.
    ///
    /// # Errors
    /// The first key that is not, and the way out.
    pub fn check(&self) -> Result<(), Fault> {
        self.check_condition()?;
        self.check_answer()?;
        self.check_headers()?;
        if let Some(check) = &self.check {
            let Place::Config(name) = &check.equals_value.place else {
                return fault("check.equals_value", "must be a config:name");
            };
            if !is_of_the_request(&check.from.place) {
                return fault("check.from", "must be a header, query, json or form value");
            }
            let repeated = AnswerPart::Value(Place::Config(name.clone()));
            if self.parts().any(|part| *part == repeated) {
                return fault("body", "an answer must not repeat what is checked");
            }
        }
        let Some(capture) = &self.capture else {
            return Ok(());
        };
        if self.method != ChallengeMethod::Post || self.signed {
            return fault("capture", "a secret is handed over by an unsigned POST");
        }
        let in_header = capture.place.header().is_some();
        if in_header || capture.place.is_in_body() && self.when.as_ref() == Some(capture) {
            return Ok(());
        }
        fault(
            "capture",
            "must be a header, or the value in the body that is in when",
        )
    }

    fn check_condition(&self) -> Result<(), Fault> {
        for (key, source) in [("when", &self.when), ("unless", &self.unless)] {
            if let Some(source) = source
                && (source.optional || !is_of_the_request(&source.place))
            {
                return fault(
                    key,
                    "must be a header, query, json or form value, without `?`",
                );
            }
        }
        if self.equals.is_some() && self.when.is_none() {
            return fault("equals", "needs when");
        }
        let post = self.method == ChallengeMethod::Post;
        if self.signed && !post {
            return fault("signed", "only POST requests are signed");
        }
        let when = self.when.as_ref().map(|when| &when.place);
        match when {
            Some(place) if place.is_in_body() && !post => fault("when", "only a POST has a body"),
            None if post => fault("when", "is missing: an event is a POST too"),
            // Nothing else may stand in such a body, so there is no event in it.
            Some(Place::Json(steps)) if !self.signed && steps.len() != 1 => fault(
                "when",
                "of an unsigned POST must be a header, a query value, or the only field of the \
                 body, such as json:/challenge",
            ),
            _ => Ok(()),
        }
    }

    fn check_answer(&self) -> Result<(), Fault> {
        if !(200..300).contains(&self.status) {
            return fault("status", "must be a success, 200 to 299");
        }
        let body = self.body.as_ref().filter(|body| !body.parts().is_empty());
        let key = match (body, &self.json) {
            (Some(_), Some(_)) => return fault("json", "body is set too; set only one of them"),
            (None, None) => return Ok(()),
            (Some(_), None) => "body",
            (None, Some(_)) => "json",
        };
        if self.method == ChallengeMethod::Head || matches!(self.status, 204 | 205) {
            return fault(key, "such an answer has none; remove it");
        }
        if self.json.is_some() && !matches!(self.json, Some(AnswerJson::Table(_))) {
            return fault("json", "must be a table");
        }
        Ok(())
    }

    fn check_headers(&self) -> Result<(), Fault> {
        for (name, value) in &self.headers {
            let Ok(header) = HeaderName::from_str(name) else {
                return Err(("headers", format!("`{name}` is not a header's name")));
            };
            let header = header.as_str();
            if HEADERS_REFUSED.contains(&header) || header.starts_with("hookgate-") {
                return Err(("headers", format!("{name} is not the provider's to choose")));
            }
            let safe_types = ["text/plain", "application/json"];
            let is_safe = safe_types
                .iter()
                .any(|safe| value.as_str().starts_with(safe));
            if header == "content-type" && !(value.is_fixed() && is_safe) {
                let message = "Content-Type must be text/plain or application/json";
                return fault("headers", message);
            }
            let texts = value.parts().iter().filter_map(|part| match part {
                AnswerPart::Text(text) => Some(text),
                AnswerPart::Value(_) | AnswerPart::Function(..) => None,
            });
            if texts.into_iter().any(|t| HeaderValue::from_str(t).is_err()) {
                return Err(("headers", format!("{name} has no header's value")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(), String> {
        let challenge: Challenge = toml::from_str(text).map_err(|error| error.to_string())?;
        let written = toml::Value::try_from(&challenge).map_err(|error| error.to_string())?;
        let again: Challenge = written.try_into().map_err(|e| format!("{e}"))?;
        assert_eq!(again, challenge);
        challenge
            .check()
            .map_err(|(key, message)| format!("{key}: {message}"))
    }

    #[test]
    fn what_providers_ask_for_can_be_written() {
        for text in [
            "method = 'GET'\nwhen = 'query:challenge'\nbody = '{query:challenge}'",
            "method = 'HEAD'",
            "method = 'HEAD'\nbody = ''",
            "method = 'POST'\nwhen = 'form:webhook_id'\nunless = 'header:X-WC-Webhook-Signature'",
            "method = 'OPTIONS'\nwhen = 'header:WebHook-Request-Origin'\n\
             headers = { WebHook-Allowed-Origin = '{header:WebHook-Request-Origin}', WebHook-Allowed-Rate = '*' }",
            "method = 'GET'\nwhen = 'query:hub.mode'\nequals = 'subscribe'\nbody = '{query:hub.challenge}'\n\
             check = { from = 'query:hub.verify_token', equals_value = 'config:verify_token' }",
            "method = 'POST'\nsigned = true\nwhen = 'json:/type'\nequals = '1'\njson = { type = 1 }",
            "method = 'POST'\nsigned = true\nwhen = 'json:/event'\nequals = 'endpoint.url_validation'\n\
             json = { plainToken = '{json:/payload/plainToken}', encryptedToken = '{hmac_sha256_hex:json:/payload/plainToken}' }",
            "method = 'GET'\nwhen = 'query:bt_challenge'\nbody = '{config:public_key}|{hmac_sha1_hex:query:bt_challenge}'",
            "method = 'POST'\nwhen = 'header:X-Hook-Secret'\ncapture = 'header:X-Hook-Secret'\n\
             headers = { X-Hook-Secret = '{header:X-Hook-Secret}' }",
            "method = 'POST'\nwhen = 'json:/verification_token'\nunless = 'header:X-Notion-Signature'\n\
             capture = 'json:/verification_token'",
            "method = 'POST'\nsigned = true\nwhen = 'json:/type'\nequals = '0'\nstatus = 204\n\
             headers = { Content-Type = 'application/json' }",
        ] {
            assert_eq!(read(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_or_is_unsafe_is_refused_by_its_key() {
        let get = "method = 'GET'\n";
        let post = "method = 'POST'\n";
        for (text, expected) in [
            ("method = 'PUT'", "method"),
            ("method = 'GET'\nwhem = 'query:a'", "whem"),
            (&*format!("{get}when = 'config:a'"), "when: "),
            (&format!("{get}when = 'query:a?'"), "when: "),
            (&format!("{get}when = 'json:/a'"), "when: "),
            (&format!("{get}when = 'form:a'"), "when: "),
            (&format!("{get}equals = 'a'"), "equals: "),
            (&format!("{get}signed = true"), "signed: "),
            (&format!("{get}status = 302"), "status: "),
            (&format!("{get}body = '{{query:a'"), "balanced braces"),
            (&format!("{get}body = 'a}}'"), "balanced braces"),
            (&format!("{get}body = '{{secret}}'"), "not a placeholder"),
            (&format!("{get}body = '{{query:a?}}'"), "not a placeholder"),
            (
                &format!("{get}body = '{{hmac_sha256_hex:config:a}}'"),
                "not a placeholder",
            ),
            (
                &format!("{get}json = {{ a = '{{b}}' }}"),
                "not a placeholder",
            ),
            (&format!("{get}json = 'a'"), "json: "),
            (&format!("{get}json = {{}}\nbody = 'a'"), "json: "),
            (&format!("{get}status = 204\nbody = 'a'"), "body: "),
            ("method = 'HEAD'\nbody = 'a'", "body: "),
            (
                &format!("{get}headers = {{ Content-Length = '1' }}"),
                "headers: ",
            ),
            (
                &format!("{get}headers = {{ Content-Type = 'text/html' }}"),
                "headers: ",
            ),
            (&format!("{get}headers = {{ 'a b' = '1' }}"), "headers: "),
            (
                &format!("{get}headers = {{ Hookgate-Status = 'stored' }}"),
                "headers: ",
            ),
            (&format!("{post}body = 'ok'"), "when: is missing"),
            (&format!("{post}when = 'json:/a/b'"), "when: "),
            (
                &format!("{get}check = {{ from = 'query:a', equals_value = 'query:b' }}"),
                "check.equals_value: ",
            ),
            (
                &format!(
                    "{get}check = {{ from = 'query:a', equals_value = 'config:b' }}\nbody = '{{config:b}}'"
                ),
                "body: ",
            ),
            (&format!("{get}capture = 'header:a'"), "capture: "),
            (
                &format!("{post}when = 'header:a'\ncapture = 'json:/b'"),
                "capture: ",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
