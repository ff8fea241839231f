//! One connection: which protocol it speaks, then hyper with every limit set.
//!
//! hyper's own protocol detection has no timer while it waits for the first bytes, so they are
//! read here under a deadline and then replayed to the HTTP/1 or HTTP/2 server.

use std::future::Future;
use std::io;
use std::ops::DerefMut;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{sleep, timeout};

use super::Peer;
use super::frames::Frames;
use super::framing::Framing;
use super::guarded::{Guarded, Watch};
use super::handler::{Handler, Requests, Socket};
use super::linger::Linger;
use super::place::Place;
use super::slots::Slots;
use crate::entropy::Entropy;
use crate::planted::{Bug, planted};
use crate::shutdown::Stage;

/// The client's first bytes of an HTTP/2 connection (RFC 9113 §3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Deadlines and sizes of a connection.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// From accepting to the bytes that tell the protocol.
    first_bytes: Duration,
    /// To the end of a head, from the end of the last request: an idle connection is one, too.
    head: Duration,
    /// How long an HTTP/2 connection may be without a request, whatever else comes.
    idle: Duration,
    /// A write that makes no progress for this long ends the connection.
    write: Duration,
    /// After this age the connection is asked to end, so that load spreads and memory returns.
    age: Duration,
    /// and up to this much more, so that those which came together do not end together.
    age_jitter: Duration,
    /// Size of a request head.
    head_bytes_max: usize,
    /// Number of request headers.
    headers_max: usize,
    /// How long open requests may take once the connection has been asked to end.
    last_requests: Duration,
    /// The same when there was none, for one that was on its way.
    farewell: Duration,
}

impl Limits {
    pub(super) const DEFAULT: Self = Self {
        first_bytes: Duration::from_secs(10),
        head: Duration::from_secs(10),
        idle: Duration::from_secs(10),
        write: Duration::from_secs(10),
        age: Duration::from_secs(300),
        age_jitter: Duration::from_secs(30),
        head_bytes_max: 32 * 1024,
        headers_max: 64,
        last_requests: Duration::from_secs(35),
        farewell: Duration::from_secs(5),
    };
}

/// A connection about to be served.
pub(super) struct Connection {
    pub(super) peer: Peer,
    pub(super) place: Place,
    pub(super) slots: Arc<Slots>,
    pub(super) limits: Limits,
    pub(super) stage: Stage,
    pub(super) linger: Linger,
    pub(super) entropy: Entropy,
    /// The service counts the heads of requests.
    pub(super) heads_are_counted: bool,
}

impl Connection {
    /// Serves requests until the connection or the stage ends. Errors are the remote side's and
    /// end the connection without a word in the log: anybody can cause them.
    pub(super) async fn serve(self, mut io: Socket, handler: Handler) {
        let read = tokio::select! {
            biased;
            read = timeout(self.limits.first_bytes, first_bytes(&mut io)) => read,
            () = self.linger.over() => return, // nothing has been asked yet
        };
        let Ok(Ok(first)) = read else { return };
        let is_http2 = first.starts_with(HTTP2_PREFACE);
        if is_http2 {
            tokio::select! {
                biased;
                () = self.slots.may_speak_http2(&self.place) => {}
                () = self.stage.stopping() => return, // as above
            }
        }
        let watch = if is_http2 {
            Watch::Http2(Frames::new(), self.place.clone())
        } else {
            Watch::Http1(Framing::default())
        };
        let io = Guarded::new(first.freeze(), io, watch, self.limits.write);
        let io = TokioIo::new(io);
        let requests = Requests {
            handler,
            peer: self.peer,
            place: self.place.clone(),
            heads_are_counted: self.heads_are_counted,
        };
        if is_http2 {
            let idle = self.place.no_request_for(self.limits.idle);
            // Boxed, so that HTTP/1 does not have room for it.
            let connection = Box::pin(self.http2().serve_connection(io, requests));
            Box::pin(self.drive(connection, idle, self.leaving(true))).await;
        } else {
            let connection = pin!(self.http1().serve_connection(io, requests));
            // hyper itself counts the time to the end of the next head.
            self.drive(connection, std::future::pending(), self.leaving(false))
                .await;
        }
    }

    fn http1(&self) -> http1::Builder {
        let mut head = self.limits.head;
        if planted(Bug::NoHeadDeadline) {
            head = self.limits.age;
        }
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(head)
            .max_headers(self.limits.headers_max)
            .max_header_size(self.limits.head_bytes_max)
            .max_buf_size(self.limits.head_bytes_max * 2)
            .half_close(false)
            .keep_alive(true);
        builder
    }

    fn http2(&self) -> http2::Builder<Streams> {
        let mut builder = http2::Builder::new(Streams(self.stage.clone()));
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(32)
            .initial_stream_window_size(64 * 1024)
            .initial_connection_window_size(256 * 1024)
            .max_frame_size(16 * 1024)
            .max_header_list_size(16 * 1024)
            .header_table_size(4096)
            .max_send_buf_size(64 * 1024)
            .max_pending_accept_reset_streams(20)
            .max_local_error_reset_streams(256)
            .keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10));
        builder
    }

    /// Resolves when the next answer, or GOAWAY, is to be the last: the stage retires or stops.
    async fn leaving(&self, is_http2: bool) {
        tokio::select! {
            () = self.retired(is_http2) => {}
            () = self.stopped(is_http2) => {}
        }
    }

    /// Resolves when the stage has been told to stop; over HTTP/1 there may be a request on its way.
    async fn stopped(&self, is_http2: bool) {
        self.stage.stopping().await;
        if !is_http2 {
            tokio::select! {
                () = self.place.has_request() => {}
                () = self.linger.over() => {}
            }
        }
    }

    /// Resolves when the stage retires and the client can be told so: over HTTP/1 only an answer can
    /// say that it was the last, and an HTTP/2 connection has to have begun before it can end.
    async fn retired(&self, is_http2: bool) {
        let was_there = !self.stage.is_retiring();
        self.stage.retiring().await;
        if !(is_http2 && was_there) {
            self.place.has_request().await;
        }
    }

    /// Runs a hyper connection to its end; past its age, when it is idle, or when the stage retires or
    /// stops, it finishes the requests under way and takes no more.
    async fn drive<C>(
        &self,
        mut connection: Pin<C>,
        idle: impl Future<Output = ()>,
        leaving: impl Future<Output = ()>,
    ) where
        C: DerefMut,
        C::Target: GracefulConnection,
    {
        let jitter = self.limits.age_jitter.mul_f64(self.entropy.share());
        let limits = self.limits;
        let (patience, more) = tokio::select! {
            biased;
            _ = connection.as_mut() => return,
            () = leaving => (limits.last_requests, Duration::ZERO),
            () = sleep(limits.age + jitter) => (limits.last_requests, Duration::ZERO),
            () = idle => (limits.farewell, limits.last_requests),
        };
        connection.as_mut().graceful_shutdown();
        let over = timeout(patience, connection.as_mut()).await;
        if over.is_err() && self.place.is_in_use() {
            // One was on its way when it was idle, and may take as long as any other.
            let _ = timeout(more, connection).await;
        }
    }
}

/// Runs the tasks of HTTP/2 streams where shutdown can see them.
#[derive(Clone)]
struct Streams(Stage);

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, stream: F) {
        drop(self.0.spawn(stream));
    }
}

/// Reads until it is clear whether this is HTTP/2: at the first byte that is not its preface.
async fn first_bytes<IO: AsyncRead + Unpin>(io: &mut IO) -> io::Result<BytesMut> {
    let mut first = BytesMut::with_capacity(4096);
    loop {
        if io.read_buf(&mut first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let known = first.len().min(HTTP2_PREFACE.len());
        if known == HTTP2_PREFACE.len() || first.get(..known) != HTTP2_PREFACE.get(..known) {
            return Ok(first);
        }
    }
}
