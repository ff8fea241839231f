//! Secrets: wiped when dropped, never printed, known to people by their label.

use zeroize::Zeroizing;

use crate::clock::UnixMillis;

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
}
