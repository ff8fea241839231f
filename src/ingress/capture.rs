//! A source's secret when it comes from the provider's handshake.
//!
//! The first one handed over is kept, on disk before the handshake is answered, and used from then
//! on without a restart; another one is refused until an operator lets go of the first.

use std::io;
use std::sync::{Arc, PoisonError};

use super::source::Source;
use crate::secret::Secret;
use crate::store::CapturedSecrets;
use crate::verify::{Fault, Verifier};

/// What became of a secret that was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Captured {
    /// It is this source's from now on.
    First,
    /// It has been so before.
    Known,
    /// There is another one.
    Refused,
}

/// A captured secret that cannot be kept or used.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The disk does not give or take it.
    #[error("the captured secret of source {source_name}: {error}")]
    Disk {
        /// The source's name.
        source_name: String,
        /// What the system said.
        error: io::Error,
    },
    /// It does not have the form that the scheme says.
    #[error("the captured secret of source {source_name} {}", unusable(faults))]
    Unusable {
        /// The source's name.
        source_name: String,
        /// What is wrong with it.
        faults: Vec<Fault>,
    },
    /// The source's secret does not come from a handshake, or there is no such source.
    #[error("no source {0} has capture = true")]
    NotCaptured(String),
}

fn unusable(faults: &[Fault]) -> &str {
    faults
        .first()
        .map_or("cannot be used", |fault| &fault.message)
}

impl Source {
    fn disk_error(&self, error: io::Error) -> CaptureError {
        CaptureError::Disk {
            source_name: self.name.to_string(),
            error,
        }
    }

    /// A verifier with this secret, or with none.
    fn with(&self, secret: Option<Secret>) -> Result<Arc<Verifier>, CaptureError> {
        let name = || self.name.to_string();
        match self.verifier().with_captured(secret) {
            None => Err(CaptureError::NotCaptured(name())),
            Some(Ok(verifier)) => Ok(Arc::new(verifier)),
            Some(Err(faults)) => Err(CaptureError::Unusable {
                source_name: name(),
                faults,
            }),
        }
    }

    /// Reads what was captured before the start. Blocking.
    pub(super) fn restore(&self, files: &CapturedSecrets) -> Result<(), CaptureError> {
        let mut captured = self.captured.lock().unwrap_or_else(PoisonError::into_inner);
        let known = files.load(&self.name);
        if let Some(secret) = known.map_err(|error| self.disk_error(error))? {
            self.verifier.store(self.with(Some(secret.clone()))?);
            *captured = Some(secret);
        }
        Ok(())
    }

    /// Takes a secret that was handed over, if it is the first. Blocking.
    pub(super) fn capture(
        &self,
        files: &CapturedSecrets,
        secret: &Secret,
    ) -> Result<Captured, CaptureError> {
        let mut captured = self.captured.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*captured {
            return Ok(match known.is(secret.expose()) {
                true => Captured::Known,
                false => Captured::Refused,
            });
        }
        let verifier = self.with(Some(secret.clone()))?;
        let kept = files.keep(&self.name, secret);
        kept.map_err(|error| self.disk_error(error))?;
        self.verifier.store(verifier);
        *captured = Some(secret.clone());
        Ok(Captured::First)
    }

    /// Lets go of the secret, so that the next one handed over is taken; whether there was one.
    /// Blocking.
    pub(super) fn forget(&self, files: &CapturedSecrets) -> Result<bool, CaptureError> {
        let mut captured = self.captured.lock().unwrap_or_else(PoisonError::into_inner);
        let verifier = self.with(None)?;
        let known = files.forget(&self.name);
        let known = known.map_err(|error| self.disk_error(error))?;
        self.verifier.store(verifier);
        *captured = None;
        Ok(known)
    }
}
