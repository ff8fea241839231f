//! What is known of one open connection: whether it has shown anything, which requests of it are
//! under way, and what has been read of the next one's head.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout};

/// A head up to this size is in a buffer that every connection has anyway.
const HEAD_BYTES: usize = 8 * 1024;
/// Heads that are larger have this much together, beyond what each has anyway; hyper's buffer for one
/// may be twice as large.
pub(super) const HEADS_KIB_MAX: usize = 2 * 1024;
/// A connection with as many bytes and no request is not about to make one.
const HEAD_BYTES_MAX: usize = 36 * 1024;

/// The open connections of one peer.
#[derive(Default)]
pub(super) struct Crowd {
    pub(super) open: AtomicUsize,
    pub(super) proven: AtomicUsize,
}

impl Crowd {
    pub(super) fn strangers(&self) -> usize {
        let open = self.open.load(Ordering::Relaxed);
        open.saturating_sub(self.proven.load(Ordering::Relaxed))
    }
}

/// What is known of a connection.
pub(super) struct Seat {
    crowd: Option<Arc<Crowd>>,
    opened: Instant,
    verified: Mutex<Option<Instant>>,
    at_work: AtomicUsize,
    /// Requests without an answer.
    requests: watch::Sender<usize>,
    head: Mutex<Head>,
    permits: Mutex<Permits>,
    pub(super) leaving: AtomicBool,
    leave: Notify,
}

/// What a connection has of what there is only so much of.
#[derive(Default)]
pub(super) struct Permits {
    /// Its slot, until it is to leave.
    pub(super) slot: Option<OwnedSemaphorePermit>,
    /// Its place among those that are leaving.
    pub(super) leaving: Option<OwnedSemaphorePermit>,
    /// Its place among strangers with HTTP/2, until it is none, and since when.
    pub(super) http2: Option<(OwnedSemaphorePermit, Instant)>,
}

/// What has been read of a request that is not there yet.
struct Head {
    bytes: usize,
    room: Arc<Semaphore>,
    has: Option<OwnedSemaphorePermit>,
    /// Requests whose heads are complete and that no budget counts yet,
    unweighed: usize,
    /// and who waits until there are none.
    reader: Option<Waker>,
}

impl Head {
    /// Whether there is room for it, which it then has.
    fn has_room(&mut self) -> bool {
        let needs = self.bytes.saturating_sub(HEAD_BYTES).div_ceil(1024);
        let has = self
            .has
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let more = u32::try_from(needs.saturating_sub(has)).unwrap_or(u32::MAX);
        if more == 0 || self.bytes > HEAD_BYTES_MAX {
            return self.bytes <= HEAD_BYTES_MAX;
        }
        let Ok(more) = Arc::clone(&self.room).try_acquire_many_owned(more) else {
            return false;
        };
        match &mut self.has {
            Some(has) => has.merge(more),
            None => self.has = Some(more),
        }
        true
    }
}

/// A connection's place, in the extensions of each of its requests.
#[derive(Clone)]
pub struct Place(pub(super) Arc<Seat>);

impl Place {
    /// One of its requests is verified; until the guard is dropped it keeps its slot in any case.
    #[must_use]
    pub fn verified(&self) -> AtWork {
        let seat = &self.0;
        let first = seat.verified().replace(Instant::now()).is_none();
        if first {
            drop(seat.permits().http2.take());
        }
        if let (true, Some(crowd)) = (first, &seat.crowd) {
            crowd.proven.fetch_add(1, Ordering::Relaxed);
        }
        seat.at_work.fetch_add(1, Ordering::Relaxed);
        AtWork(Arc::clone(seat))
    }

    /// A request has come whole, but for its body; until the guard is dropped it has no answer.
    pub(super) fn request(&self) -> Open {
        self.0.requests.send_modify(|open| *open += 1);
        let mut head = self.0.head();
        (head.bytes, head.has) = (0, None);
        Open(Arc::clone(&self.0))
    }

    /// The head of that request is in memory, and nobody has counted it yet.
    pub(super) fn head(&self) -> Unweighed {
        self.0.head().unweighed += 1;
        Unweighed(Arc::new(Weight(Arc::clone(&self.0))))
    }

    /// Ready when all heads that have come are counted.
    pub(super) fn poll_weighed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut head = self.0.head();
        if head.unweighed == 0 {
            return Poll::Ready(());
        }
        head.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Resolves once there has been no request without an answer for this long.
    pub(super) async fn no_request_for(&self, time: Duration) {
        let mut open = self.0.requests.subscribe();
        loop {
            // Neither fails, since `self` has the sender.
            let _ = open.wait_for(|open| *open == 0).await;
            if timeout(time, open.changed()).await.is_err() {
                return;
            }
        }
    }

    /// Whether there is a request without an answer.
    pub(super) fn is_in_use(&self) -> bool {
        *self.0.requests.borrow() > 0
    }

    /// Resolves once there is a request without an answer.
    pub(super) async fn has_request(&self) {
        let mut open = self.0.requests.subscribe();
        // It does not fail, since `self` has the sender.
        let _ = open.wait_for(|open| *open > 0).await;
    }

    /// Counts bytes that may belong to a head.
    pub(super) fn has_read(&self, bytes: usize) {
        if *self.0.requests.borrow() == 0 {
            self.0.head().bytes += bytes;
        }
    }

    /// As many of those belong to none.
    pub(super) fn were_no_head(&self, bytes: usize) {
        if *self.0.requests.borrow() == 0 {
            let mut head = self.0.head();
            head.bytes = head.bytes.saturating_sub(bytes);
        }
    }

    /// Whether there is room for a head as long as it is already, and more of it.
    pub(super) fn may_read_on(&self) -> bool {
        self.0.head().has_room()
    }

    /// Whether it has had a verified request.
    pub(super) fn is_proven(&self) -> bool {
        self.0.verified().is_some()
    }

    /// Resolves when the slot is wanted by somebody else.
    pub(super) async fn wanted(&self) {
        self.0.leave.notified().await;
    }
}

/// In the extensions of a stranger's request until the memory of its head is counted. While its
/// connection has one, nothing more is read from it: a hundred heads come faster than they are looked
/// at.
#[derive(Clone)]
pub struct Unweighed(#[expect(dead_code, reason = "it is there to be dropped")] Arc<Weight>);

struct Weight(Arc<Seat>);

impl Drop for Weight {
    fn drop(&mut self) {
        let mut head = self.0.head();
        head.unweighed -= 1;
        let is_last = head.unweighed == 0;
        let reader = head.reader.take_if(|_| is_last);
        drop(head);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

/// A request without an answer.
pub(super) struct Open(Arc<Seat>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.requests.send_modify(|open| *open -= 1);
    }
}

/// A verified request under way.
pub struct AtWork(Arc<Seat>);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.at_work.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Seat {
    /// One that has just been taken; `heads` is the room for large heads of all connections.
    pub(super) fn new(crowd: Option<Arc<Crowd>>, heads: Arc<Semaphore>) -> Self {
        Self {
            crowd,
            opened: Instant::now(),
            verified: Mutex::default(),
            at_work: AtomicUsize::new(0),
            requests: watch::Sender::new(0),
            head: Mutex::new(Head {
                bytes: 0,
                room: heads,
                has: None,
                unweighed: 0,
                reader: None,
            }),
            permits: Mutex::default(),
            leaving: AtomicBool::new(false),
            leave: Notify::new(),
        }
    }

    fn verified(&self) -> MutexGuard<'_, Option<Instant>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn head(&self) -> MutexGuard<'_, Head> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn permits(&self) -> MutexGuard<'_, Permits> {
        self.permits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn standing(&self, now: Instant) -> Standing {
        let verified = *self.verified();
        let crowd = self.crowd.as_ref().map_or(1, |crowd| crowd.strangers());
        Standing {
            proven: verified.is_some(),
            crowd,
            waited: now.saturating_duration_since(verified.unwrap_or(self.opened)),
            stays: self.at_work.load(Ordering::Relaxed) > 0 || self.leaving.load(Ordering::Relaxed),
        }
    }

    /// Its slot is free from now on; `as_leaving` bounds how many are between the two. False if it had
    /// none any more.
    pub(super) fn send_away(&self, as_leaving: OwnedSemaphorePermit) -> bool {
        let mut permits = self.permits();
        let Some(slot) = permits.slot.take() else {
            return false;
        };
        permits.leaving = Some(as_leaving);
        self.leaving.store(true, Ordering::Relaxed);
        drop(slot);
        drop(permits);
        self.leave.notify_one();
        true
    }
}

/// What counts when one has to go.
#[derive(Clone, Copy)]
pub(super) struct Standing {
    /// It has had a verified request.
    pub(super) proven: bool,
    /// Connections of its peer that have had none; 1 where the peer speaks for many.
    pub(super) crowd: usize,
    /// Since its last verified request, or since it was opened.
    pub(super) waited: Duration,
    /// It has one under way, or is leaving already.
    pub(super) stays: bool,
}
