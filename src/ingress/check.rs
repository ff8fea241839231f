//! Asks the verifier without holding up other requests.

use super::ack::{Refusal, Trouble};
use super::bodies::BodyShare;
use crate::event::Received;
use crate::keys::KeySource;
use crate::verify::Verifier;

/// A body larger than this is hashed away from the threads that serve other requests.
const INLINE_BYTES_MAX: usize = 128 * 1024;

/// Fetches the keys that a request needs and that are not known yet. If one cannot be had,
/// verification says so.
pub(crate) async fn have_keys(verifier: &Verifier, received: &Received, keys: &KeySource) {
    for wanted in verifier.wanted(received, keys) {
        if let Err(error) = keys.fetch(&wanted, received.peer).await {
            tracing::debug!(%error, "a sender's key could not be fetched");
        }
    }
}

/// What `ask` says of a request; its share of the memory goes wherever the body goes.
pub(crate) async fn verdict<T: Send + 'static>(
    ask: impl FnOnce(Received) -> T + Send + 'static,
    received: Received,
    share: BodyShare,
) -> Result<(T, BodyShare), Refusal> {
    if received.body.len() <= INLINE_BYTES_MAX {
        return Ok((ask(received), share));
    }
    let check = move || (ask(received), share);
    tokio::task::spawn_blocking(check)
        .await
        .map_err(|_| Refusal::Unavailable(Trouble::Panicked))
}
