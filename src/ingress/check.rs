//! Asks the verifier without holding up other requests.

use std::sync::Arc;

use super::ack::Refusal;
use super::limits::BodyShare;
use crate::clock::UnixMillis;
use crate::event::Received;
use crate::verify::{Rejection, Verified, Verifier};

/// A body larger than this is hashed away from the threads that serve other requests.
const INLINE_BYTES_MAX: usize = 128 * 1024;

/// The verdict on a request; its share of the memory goes wherever the body goes.
pub(crate) async fn verdict(
    verifier: &Arc<Verifier>,
    received: Received,
    now: UnixMillis,
    share: BodyShare,
) -> Result<(Result<Verified, Rejection>, BodyShare), Refusal> {
    if received.body.len() <= INLINE_BYTES_MAX {
        return Ok((verifier.verify(received, now), share));
    }
    let verifier = Arc::clone(verifier);
    let check = move || (verifier.verify(received, now), share);
    tokio::task::spawn_blocking(check)
        .await
        .map_err(|_| Refusal::Unavailable("verification panicked"))
}
