//! Handshakes at the gate: what may be answered, and secrets that are handed over.

use std::net::IpAddr;
use std::sync::Arc;

use super::ack::{Refusal, Trouble};
use super::capture::{CaptureError, Captured};
use super::gate::Gate;
use super::source::Source;
use crate::event::SourceName;
use crate::verify::{Confirmation, Handover, Reason, Reply};

impl Gate {
    /// Whether a handshake may be answered. One that anybody could have sent counts against its
    /// peer: it must not use up the rate of the source's events.
    pub(super) fn challenge(
        &self,
        source: &Source,
        peer: Option<IpAddr>,
        reply: Reply,
    ) -> Result<Reply, Refusal> {
        if reply.is_verified() {
            source.admit().map_err(Refusal::Limited)?;
        } else {
            self.peers.charge(peer).map_err(Refusal::Limited)?;
        }
        source.note_handshake(peer, "answered the provider's handshake");
        Ok(reply)
    }

    /// Keeps a secret that was handed over, and only then answers. If the sender goes away
    /// meanwhile, what has begun is completed all the same.
    pub(super) async fn capture(
        &self,
        source: &Arc<Source>,
        handover: Handover,
    ) -> Result<Reply, Refusal> {
        let peer = handover.received().peer;
        self.peers.charge(peer).map_err(Refusal::Limited)?;
        let (owner, files) = (Arc::clone(source), self.captured.clone());
        let secret = handover.secret().clone();
        let captured = tokio::task::spawn_blocking(move || owner.capture(&files, &secret));
        let captured = captured
            .await
            .map_err(|_| Refusal::Unavailable(Trouble::Panicked))?;
        match captured {
            Ok(Captured::First) => {
                source.note_handshake(peer, "captured the secret that the provider handed over");
                Ok(handover.into_reply())
            }
            Ok(Captured::Known) => Ok(handover.into_reply()),
            Ok(Captured::Refused) => {
                let detail = "another secret has been captured; if this one is right, let go of \
                              the first with `hookgate sources forget-secret`";
                let refused = handover.refused(Reason::Mismatch.because(detail));
                Err(self.refuse(source, &refused, Ok(())))
            }
            Err(error @ CaptureError::Unusable { .. }) => {
                let rejection = Reason::Malformed.because(error.to_string());
                Err(self.refuse(source, &handover.refused(rejection), Ok(())))
            }
            Err(error @ (CaptureError::Disk { .. } | CaptureError::NotCaptured(_))) => {
                source.note_unavailable(&error);
                Err(Refusal::Unavailable(Trouble::NotKept))
            }
        }
    }

    /// Opens the address that confirms a subscription, and only then answers: otherwise the sender
    /// asks again.
    pub(super) async fn confirm(
        &self,
        source: &Source,
        confirmation: Confirmation,
    ) -> Result<Reply, Refusal> {
        source.admit().map_err(Refusal::Limited)?;
        let peer = confirmation.received().peer;
        match self.keys.visit(confirmation.target()).await {
            Ok(()) => {
                source.note_handshake(peer, "confirmed the subscription");
                Ok(confirmation.into_reply())
            }
            Err(error) => {
                source.note_unavailable(&format_args!("a subscription is not confirmed: {error}"));
                Err(Refusal::Unavailable(Trouble::NotConfirmed))
            }
        }
    }

    /// Reads the secrets that were captured before the start. Blocking.
    ///
    /// # Errors
    /// One cannot be read, or does not fit its source any more.
    pub fn restore_captured(&self) -> Result<(), CaptureError> {
        let mut sources = self.sources.iter();
        sources.try_for_each(|source| match source.verifier().captures() {
            true => source.restore(&self.captured),
            false => Ok(()),
        })
    }

    /// Lets go of a source's captured secret; whether there was one.
    ///
    /// # Errors
    /// The source captures none, or the disk does not let go of it.
    pub async fn forget_captured(&self, name: &SourceName) -> Result<bool, CaptureError> {
        let unknown = || CaptureError::NotCaptured(name.to_string());
        let mut sources = self.sources.iter();
        let source = sources.find(|source| source.name == *name);
        let source = Arc::clone(source.ok_or_else(unknown)?);
        let files = self.captured.clone();
        let forgotten = tokio::task::spawn_blocking(move || source.forget(&files)).await;
        let forgotten = forgotten.unwrap_or_else(|_| Err(unknown()))?;
        tracing::info!(source = %name, forgotten, "the captured secret is let go of");
        Ok(forgotten)
    }
}
