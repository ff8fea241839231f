//! What a request needs before it can be verified.

use super::client::FetchError;
use super::public::{PublicForm, PublicKey};
use super::target::Target;
use crate::secret::SecretText;

/// Keys to have, made by the verifier from its scheme and the request.
#[derive(Clone)]
pub struct Wanted {
    pub(super) target: Target,
    pub(super) form: Form,
    pub(super) kid: Option<Box<str>>,
}

#[derive(Clone)]
pub(super) enum Form {
    Jwks,
    Certificate,
    /// One key at a time, for which the name and these are posted (Plaid).
    ByName {
        client_id: String,
        secret: SecretText,
    },
}

impl Wanted {
    /// A key of the JWK set at the target: the one with this name, or any.
    #[must_use]
    pub fn jwks(target: Target, kid: Option<&str>) -> Self {
        Self {
            target,
            form: Form::Jwks,
            kid: kid.map(Into::into),
        }
    }

    /// The key in the certificate at the target. It is believed because of the host that gives it,
    /// whoever signed the certificate.
    #[must_use]
    pub fn certificate(target: Target) -> Self {
        Self {
            target,
            form: Form::Certificate,
            kid: None,
        }
    }

    /// The key that the target gives for a name: a POST with `client_id`, `secret` and `key_id`,
    /// answered by `{"key": JWK}`, where a key past its end has an `expired_at`.
    #[must_use]
    pub fn by_name(target: Target, kid: &str, client_id: &str, secret: &str) -> Self {
        Self {
            target,
            form: Form::ByName {
                client_id: client_id.to_owned(),
                secret: secret.into(),
            },
            kid: Some(kid.into()),
        }
    }

    /// What its answer is remembered by. A URL has no `#`.
    pub(super) fn place(&self) -> Box<str> {
        match (&self.form, &self.kid) {
            (Form::ByName { .. }, Some(kid)) => format!("{}#{kid}", self.target.url()).into(),
            _ => self.target.url().into(),
        }
    }

    /// Whether a key that could be the wanted one is there.
    pub(super) fn is_in(&self, keys: &[PublicKey]) -> bool {
        keys.iter().any(|key| match (&self.kid, key.kid()) {
            (Some(wanted), Some(has)) => **wanted == *has,
            (Some(_) | None, _) => true,
        })
    }

    /// The body to post, if it is not a GET.
    pub(super) fn question(&self) -> Option<String> {
        let Form::ByName { client_id, secret } = &self.form else {
            return None;
        };
        let question = serde_json::json!({
            "client_id": client_id,
            "secret": **secret,
            "key_id": self.kid,
        });
        Some(question.to_string())
    }

    /// The keys in an answer; none if the answer is that there is no such key.
    pub(super) fn read(&self, answer: &[u8]) -> Result<Vec<PublicKey>, FetchError> {
        #[derive(serde::Deserialize)]
        struct Named<'a> {
            #[serde(borrow)]
            key: &'a serde_json::value::RawValue,
        }
        #[derive(serde::Deserialize)]
        struct End {
            expired_at: Option<serde::de::IgnoredAny>,
        }
        let keys = match &self.form {
            Form::Jwks => PublicKey::parse(answer, PublicForm::Jwk),
            Form::Certificate => PublicKey::parse(answer, PublicForm::Pem),
            Form::ByName { .. } => {
                let odd = |_| FetchError::NoKey("must be a JSON object with a key");
                let named: Named<'_> = serde_json::from_slice(answer).map_err(odd)?;
                let end: End = serde_json::from_str(named.key.get()).map_err(odd)?;
                match end.expired_at {
                    None => PublicKey::parse(named.key.get().as_bytes(), PublicForm::Jwk),
                    Some(_) => Ok(Vec::new()),
                }
            }
        };
        keys.map_err(FetchError::NoKey)
    }

    /// Whether an error says that there is no such key: a set of keys is always there.
    pub(super) fn is_absence(&self, error: &FetchError) -> bool {
        let gone = [http::StatusCode::NOT_FOUND, http::StatusCode::GONE];
        let single = !matches!(self.form, Form::Jwks);
        single && matches!(error, FetchError::Status(status) if gone.contains(status))
    }
}
