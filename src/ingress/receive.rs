//! Reads a request body within its limits: size, shared memory, time.

use std::pin::pin;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Uri};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout, timeout_at};

use super::ack::{Refusal, Trouble};
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
        Self::Unavailable(Trouble::NoRoom)
    }
}

/// No longer than this is a body taken that nobody wants,
const DISCARD_FOR: Duration = Duration::from_secs(1);
/// and no more of it in bytes.
const DISCARDED_MAX: usize = 8 * 1024 * 1024;

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
    let mut parts = Pieces::default();
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
                parts.append(b"x-trailer: a");
            }
            continue;
        };
        let bytes = data.remaining();
        if bytes > bytes_max.saturating_sub(parts.bytes) {
            return Err(Refusal::TooLarge);
        }
        share.grow_by(bytes).await?;
        let data = data.copy_to_bytes(bytes); // which copies nothing if they are `Bytes` already
        if parts.bytes == 0 && body.is_end_stream() {
            return Ok(data); // nearly every body comes in one piece
        }
        parts.append(&data);
    }
    Ok(parts.whole())
}

/// Takes a body that nobody wants: a connection that is closed with bytes unread is reset, and the reset
/// overtakes the answer.
pub(super) async fn discard<B: Body>(body: B) {
    let mut body = pin!(body);
    let mut bytes = 0;
    let all = async {
        while let Some(Ok(frame)) = body.frame().await {
            bytes += frame.data_ref().map_or(0, Buf::remaining);
            if bytes > DISCARDED_MAX {
                return;
            }
        }
    };
    // Whoever takes longer must do with a reset.
    let _ = timeout(DISCARD_FOR, all).await;
}

/// Copies a head out of what it was read into: a byte of it would keep the whole buffer, which nobody
/// counts. What cannot be copied stays as it is.
pub(super) fn let_go_of_the_buffer(head: &mut Parts) {
    let values = head.headers.values().map(HeaderValue::len).sum();
    let mut copies = BytesMut::with_capacity(values);
    for value in head.headers.values_mut() {
        copies.extend_from_slice(value.as_bytes());
        if let Ok(mut copy) = HeaderValue::from_maybe_shared(copies.split().freeze()) {
            copy.set_sensitive(value.is_sensitive());
            *value = copy;
        }
    }
    let copied = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let mut uri = head.uri.clone().into_parts();
    if let Some(target) = &mut uri.path_and_query
        && let Ok(copy) = PathAndQuery::from_maybe_shared(copied(target.as_str()))
    {
        *target = copy;
    }
    if let Some(authority) = &mut uri.authority
        && let Ok(copy) = Authority::from_maybe_shared(copied(authority.as_str()))
    {
        *authority = copy;
    }
    if let Ok(uri) = Uri::from_parts(uri) {
        head.uri = uri;
    }
}

/// Size of a part, in bytes.
const PART_BYTES: usize = 16 * 1024;

/// What has come of a body that is not complete. Copied, since one byte of it would keep the whole
/// buffer that it was read into; and in parts of one size, since buffers that grow leave holes of all
/// sizes behind, where the next one does not fit.
#[derive(Default)]
struct Pieces {
    bytes: usize,
    parts: Vec<Vec<u8>>,
}

impl Pieces {
    fn append(&mut self, mut data: &[u8]) {
        self.bytes += data.len();
        while !data.is_empty() {
            let part = match self.parts.last_mut() {
                Some(part) if part.len() < PART_BYTES => part,
                _ => self.parts.push_mut(Vec::new()),
            };
            let (now, later) = data.split_at(data.len().min(PART_BYTES - part.len()));
            if part.capacity() - part.len() < now.len() {
                let grown = (2 * part.len()).max(part.len() + now.len());
                part.reserve_exact(grown.min(PART_BYTES) - part.len());
            }
            part.extend_from_slice(now);
            data = later;
        }
    }

    fn whole(self) -> Bytes {
        let mut whole = Vec::with_capacity(self.bytes);
        for part in self.parts {
            whole.extend_from_slice(&part); // which is given back before the next one
        }
        whole.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The budget counted bytes while the buffer doubled: sixteen mebibytes of unfinished bodies took
    /// up to thirty-two, and a gate with 64 MiB was killed. Then buffers grew by an eighth, and left holes.
    #[test]
    fn a_body_in_parts_occupies_little_more_than_its_bytes() {
        let data: Vec<u8> = (0..=250).cycle().take(300 * 3_500).collect();
        let mut body = Pieces::default();
        for (n, piece) in data.chunks(3_500).enumerate() {
            body.append(piece);
            let occupied: usize = body.parts.iter().map(Vec::capacity).sum();
            assert!(occupied <= body.bytes + PART_BYTES, "{n}");
        }
        assert_eq!(body.whole(), data);
    }

    #[test]
    fn a_body_of_single_bytes_occupies_at_most_twice_its_bytes() {
        let mut body = Pieces::default();
        for _ in 0..2 * PART_BYTES {
            body.append(b"x");
            let occupied: usize = body.parts.iter().map(Vec::capacity).sum();
            assert!(occupied <= 2 * body.bytes);
        }
        assert_eq!(body.parts.len(), 2);
    }
}
