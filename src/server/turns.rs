//! A socket whose reads take turns with those of others, and count towards what heads may occupy.
//!
//! hyper reads and parses as long as there is something to read, and a flood is never at an end; so a
//! connection that has not had a verified request gets its thread for one read at a time, and the
//! next one when the requests of the last are counted.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::place::Place;

/// What a stranger's connection reads at once, in bytes: less than hyper's first buffer, which grows
/// up to eightfold for as long as it gets full; and few heads of HTTP/2.
const READ_BYTES: usize = 4 * 1024;

pub(super) struct Turns<IO> {
    io: IO,
    place: Place,
    had_a_turn: bool,
}

impl<IO> Turns<IO> {
    pub(super) fn new(io: IO, place: Place) -> Self {
        Self {
            io,
            place,
            had_a_turn: false,
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Turns<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.place.is_proven() {
            if std::mem::take(&mut self.had_a_turn) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            ready!(self.place.poll_weighed(cx));
        }
        // What has been read so far has been looked at by now.
        if !self.place.may_read_on() {
            return Poll::Ready(Err(io::ErrorKind::QuotaExceeded.into()));
        }
        let most = if self.place.is_proven() {
            buf.remaining()
        } else {
            READ_BYTES.min(buf.remaining())
        };
        let before = buf.filled().len();
        let read = read_at_most(most, Pin::new(&mut self.io), cx, buf);
        self.had_a_turn = read.is_ready();
        self.place.has_read(buf.filled().len() - before);
        read
    }
}

fn read_at_most<IO: AsyncRead>(
    most: usize,
    io: Pin<&mut IO>,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    if most == buf.remaining() {
        return io.poll_read(cx, buf);
    }
    let mut part = ReadBuf::new(buf.initialize_unfilled_to(most));
    let read = io.poll_read(cx, &mut part);
    let length = part.filled().len();
    buf.advance(length);
    read
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Turns<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::super::slots::Slots;
    use super::*;
    use tokio::io::AsyncReadExt;

    async fn place(slots: &std::sync::Arc<Slots>) -> super::super::slots::Slot {
        let entry = slots.enter(None).unwrap();
        slots.take(entry).await.unwrap()
    }

    /// How many bytes of a socket that never ends are read without giving the thread away.
    fn in_one_turn(io: &mut Turns<tokio::io::Repeat>) -> usize {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut bytes = [0; 4096];
        let mut buf = ReadBuf::new(&mut bytes);
        let mut total = 0;
        let mut read = |buf: &mut _| Pin::new(&mut *io).poll_read(&mut cx, buf);
        while total < 16 * 4096 && matches!(read(&mut buf), Poll::Ready(Ok(()))) {
            total += buf.filled().len();
            buf.clear();
        }
        total
    }

    #[tokio::test]
    async fn a_stranger_gives_its_thread_away_after_each_read() {
        let slots = Slots::new(1, 1, Vec::new());
        let slot = place(&slots).await;
        let mut io = Turns::new(tokio::io::repeat(b'x'), slot.place());
        assert_eq!((in_one_turn(&mut io), in_one_turn(&mut io)), (4096, 4096));
        drop(slot.place().verified());
        assert_eq!(in_one_turn(&mut io), 8 * 4096); // then it is no head
    }

    /// Thirty streams with a large head each came in one turn, from each of hundreds of connections, and
    /// were all in memory before the budget heard of the first.
    #[tokio::test]
    async fn of_a_stranger_nothing_is_read_until_the_heads_that_have_come_are_counted() {
        let slots = Slots::new(1, 1, Vec::new());
        let slot = place(&slots).await;
        let mut io = Turns::new(tokio::io::repeat(b'x'), slot.place());
        let head = slot.place().head();
        let clone = head.clone(); // as the extensions of a request may be
        drop(head);
        assert_eq!(in_one_turn(&mut io), 0);
        let counted = async {
            tokio::task::yield_now().await;
            drop(clone);
        };
        let (read, ()) = tokio::join!(io.read_u8(), counted);
        assert_eq!(read.unwrap(), b'x');
    }

    #[tokio::test]
    async fn a_connection_that_writes_on_and_on_without_a_request_ends() {
        let slots = Slots::new(1, 1, Vec::new());
        let slot = place(&slots).await;
        let mut io = Turns::new(tokio::io::repeat(b'x'), slot.place()).take(1 << 20);
        let error = tokio::io::copy(&mut io, &mut tokio::io::sink()).await;
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::QuotaExceeded);
    }
}
