//! Secrets: wiped when dropped, never printed, known to people by their label.
//!
//! `Zeroizing` itself prints what it holds, so no type outside this file that derives `Debug` may
//! have one in a field: text goes into a [`SecretText`], a source's secret into a [`Secret`].

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::clock::UnixMillis;
use crate::planted::{Bug, planted};

/// One secret of a source. It has no `Debug`, `Display` or `Serialize` on purpose.
#[derive(Clone)]
pub struct Secret {
    /// What logs and metrics call it: `secret`, `secrets[0]`, ...
    pub label: Box<str>,
    value: Zeroizing<Vec<u8>>,
    /// After this instant (wall time) it no longer verifies anything.
    pub not_after: Option<UnixMillis>,
}

impl Secret {
    /// Wraps the bytes of a secret under the name that people see.
    #[must_use]
    pub fn new(label: &str, value: impl Into<Vec<u8>>) -> Self {
        Self {
            label: label.into(),
            value: Zeroizing::new(value.into()),
            not_after: None,
        }
    }

    /// The bytes; the caller keeps them out of logs, errors and metrics.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.value
    }

    /// Whether `given` is this secret. Digests are compared, so that the time it takes tells neither
    /// where they differ nor how long the secret is.
    #[must_use]
    pub fn is(&self, given: &[u8]) -> bool {
        if planted(Bug::AdminTokenPrefixCompare) {
            return self.expose().starts_with(given);
        }
        let [own, given] = [self.expose(), given].map(blake3::hash);
        own.as_bytes().ct_eq(given.as_bytes()).into()
    }
}

/// Text that is a secret, or may be one. It can be a field of what derives `Debug`: it prints as
/// `***`.
#[derive(Clone, Default)]
pub struct SecretText(Zeroizing<String>);

/// What the operator sets for `config:NAME` in a scheme; some are credentials, such as Plaid's
/// `client_secret`.
pub type Values = BTreeMap<String, SecretText>;

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl From<&str> for SecretText {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl FromStr for SecretText {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.into())
    }
}

impl Deref for SecretText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_compared_as_a_whole() {
        let secret = Secret::new("secret", "s3cret");
        assert!(secret.is(b"s3cret"));
        for other in [&b""[..], b"s", b"s3cre", b"s3cret2", b"S3cret", b"s3cret\0"] {
            assert!(!secret.is(other), "{}", String::from_utf8_lossy(other));
        }
        assert!(
            Secret::new("secret", "").is(b""),
            "who asks sees to it that there is one"
        );
    }

    #[test]
    fn text_that_may_be_a_secret_is_not_in_debug_output() {
        let values: Values = [("client_secret".to_owned(), "canary".into())].into();
        assert_eq!(format!("{values:?}"), r#"{"client_secret": ***}"#);
    }
}
