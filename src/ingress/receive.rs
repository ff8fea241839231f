//! Reads a request body within its limits: size, shared memory, time.

use std::pin::pin;
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

use super::ack::Refusal;
use super::bodies::{BodyShare, NoRoom};
use crate::planted::{Bug, planted};

/// How long a body may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyDeadlines {
    /// Longest silence between two parts of a body.
    pub idle: Duration,
    /// Longest time for a whole body.
    pub total: Duration,
}

impl Default for BodyDeadlines {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(10),
            total: Duration::from_secs(30),
        }
    }
}

impl From<NoRoom> for Refusal {
    fn from(_: NoRoom) -> Self {
        Self::Unavailable("too many bodies at once")
    }
}

/// The whole body, for which the share grows. Trailers are dropped: nothing signs
/// them, so nothing may be concluded from them.
pub(crate) async fn body<B: Body>(
    body: B,
    bytes_max: usize,
    share: &mut BodyShare,
    deadlines: BodyDeadlines,
) -> Result<Bytes, Refusal> {
    let mut body = pin!(body);
    if body.size_hint().lower() > u64::try_from(bytes_max).unwrap_or(u64::MAX) {
        return Err(Refusal::TooLarge);
    }
    let deadline = Instant::now() + deadlines.total;
    // Nearly every body comes in one piece, which is then kept as it is.
    let mut first = Bytes::new();
    let mut whole = Vec::new();
    loop {
        let patience = deadline.min(Instant::now() + deadlines.idle);
        let frame = tokio::select! {
            biased;
            () = share.wanted() => return Err(NoRoom.into()),
            frame = timeout_at(patience, body.frame()) => frame,
        };
        let frame = match frame {
            Err(_) => return Err(Refusal::Slow),
            Ok(None) => break,
            Ok(Some(Err(_))) => return Err(Refusal::Malformed("the body broke off")),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(mut data) = frame.into_data() else {
            if planted(Bug::TrailersMerged) {
                whole.extend_from_slice(b"x-trailer: a");
            }
            continue;
        };
        let bytes = data.remaining();
        if bytes > bytes_max.saturating_sub(first.len() + whole.len()) {
            return Err(Refusal::TooLarge);
        }
        share.grow_by(bytes).await?;
        let data = data.copy_to_bytes(bytes); // which copies nothing if they are `Bytes` already
        if first.is_empty() && whole.is_empty() {
            first = data;
        } else {
            append(&mut whole, &std::mem::take(&mut first));
            append(&mut whole, &data);
        }
    }
    Ok(if whole.is_empty() {
        first
    } else {
        whole.into()
    })
}

/// Appends, with room for an eighth more: a buffer that doubles would have up to twice what its share
/// is charged for.
fn append(whole: &mut Vec<u8>, data: &[u8]) {
    if whole.capacity() - whole.len() < data.len() {
        whole.reserve_exact(data.len().max(whole.len() / 8));
    }
    whole.extend_from_slice(data);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The budget counted bytes while the buffer doubled: sixteen mebibytes of unfinished bodies took
    /// up to thirty-two, and a gate with 64 MiB was killed.
    #[test]
    fn a_body_in_parts_occupies_little_more_than_its_bytes() {
        let mut whole = Vec::new();
        for _ in 0..300 {
            append(&mut whole, &[b'x'; 3_500]);
            assert!(whole.capacity() <= whole.len() + (whole.len() / 8).max(3_500));
        }
        assert_eq!(whole.len(), 300 * 3_500);
    }
}
