//! Asks the verifier without holding up other requests.

use std::sync::Arc;

use super::ack::Refusal;
use super::limits::BodyShare;
use crate::clock::UnixMillis;
use crate::event::Received;
use crate::verify::{Rejection, Verifier};

/// A body larger than this is hashed away from the threads that serve other requests.
const INLINE_BYTES_MAX: usize = 128 * 1024;

/// What `ask` says of a request; its share of the memory goes wherever the body goes.
pub(crate) async fn verdict<T: Send + 'static>(
    verifier: &Arc<Verifier>,
    ask: fn(&Verifier, Received, UnixMillis) -> Result<T, Rejection>,
    received: Received,
    now: UnixMillis,
    share: BodyShare,
) -> Result<(Result<T, Rejection>, BodyShare), Refusal> {
    if received.body.len() <= INLINE_BYTES_MAX {
        return Ok((ask(verifier, received, now), share));
    }
    let verifier = Arc::clone(verifier);
    let check = move || (ask(&verifier, received, now), share);
    tokio::task::spawn_blocking(check)
        .await
        .map_err(|_| Refusal::Unavailable("verification panicked"))
}
