//! The socket as hyper sees it: what has been read already comes again first, what breaks the
//! protocol's framing does not come at all, and a peer that stops reading ends the connection.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::frames::Frames;
use super::framing::Framing;
use super::place::Place;

/// Looks at what comes, by protocol.
pub(super) enum Watch {
    Http1(Framing),
    /// What is no head is not counted as one.
    Http2(Frames, Place),
}

pub(super) struct Guarded<IO> {
    first: Bytes,
    io: IO,
    watch: Watch,
    write_deadline: Option<Pin<Box<Sleep>>>,
    patience: Duration,
}

impl<IO> Guarded<IO> {
    /// `first` are the bytes read so far; a write that makes no progress for `patience` fails.
    pub(super) fn new(first: Bytes, io: IO, watch: Watch, patience: Duration) -> Self {
        Self {
            first,
            io,
            watch,
            write_deadline: None,
            patience,
        }
    }
}

impl<IO: AsyncRead + Unpin> Guarded<IO> {
    fn poll_bytes(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let length = self.first.len().min(buf.remaining());
        buf.put_slice(self.first.get(..length).unwrap_or_default());
        self.first.advance(length);
        if self.first.is_empty() {
            self.first = Bytes::new(); // lets go of the buffer
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Guarded<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if matches!(&self.watch, Watch::Http1(framing) if framing.is_broken()) {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        let before = buf.filled().len();
        ready!(self.poll_bytes(cx, buf))?;
        let come = buf.filled_mut().get_mut(before..).unwrap_or_default();
        let passed = match &mut self.watch {
            Watch::Http1(framing) => framing.pass(come),
            Watch::Http2(frames, place) => {
                place.were_no_head(frames.pass(come)?);
                come.len()
            }
        };
        buf.set_filled(before + passed);
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> Guarded<IO> {
    /// Passes a write's result on; one that stays pending past the patience becomes an error.
    fn within_patience<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if write.is_ready() {
            self.write_deadline = None;
            return write;
        }
        let until = Instant::now() + self.patience;
        let deadline = self
            .write_deadline
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        match deadline.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Guarded<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.io).poll_write(cx, buf);
        self.within_patience(cx, write)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.within_patience(cx, write)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flush = Pin::new(&mut self.io).poll_flush(cx);
        self.within_patience(cx, flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shutdown = Pin::new(&mut self.io).poll_shutdown(cx);
        self.within_patience(cx, shutdown)
    }
}
