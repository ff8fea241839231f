//! The app behind the gate: it keeps every request as it came and answers as its script says.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hookgate::net::{Address, Listener, Stream};
use hookgate::shutdown::Stage;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use super::http::find;
use super::within;

/// One request, byte for byte.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// Which connection it came over: 0, 1, ...
    pub(crate) connection: usize,
    pub(crate) head: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

impl Delivery {
    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.head
            .split(|byte| *byte == b'\n')
            .filter_map(|line| line.strip_suffix(b"\r"))
            .filter(|line| !line.is_empty())
    }

    /// Such as `POST /webhooks/stripe HTTP/1.1`.
    pub(crate) fn request_line(&self) -> String {
        let line = self.lines().next().expect("a request line");
        String::from_utf8_lossy(line).into_owned()
    }

    /// Names as written and raw values, in order.
    pub(crate) fn headers(&self) -> Vec<(String, Vec<u8>)> {
        let header = |line: &[u8]| {
            let colon = line.iter().position(|byte| *byte == b':').expect("a colon");
            let value = line[colon + 1..].trim_ascii().to_vec();
            (String::from_utf8_lossy(&line[..colon]).into_owned(), value)
        };
        self.lines().skip(1).map(header).collect()
    }

    /// All values of a header, as text.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        self.headers()
            .into_iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| String::from_utf8_lossy(&value).into_owned())
            .collect()
    }

    /// The value of the only header with this name.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let mut values = self.all(name);
        assert!(values.len() < 2, "{name} came more than once: {values:?}");
        values.pop()
    }

    pub(crate) fn event_id(&self) -> String {
        self.header("hookgate-event-id").expect("an event id")
    }

    pub(crate) fn attempt(&self) -> u32 {
        let attempt = self.header("hookgate-attempt").expect("an attempt number");
        attempt.parse().expect("a number")
    }

    pub(crate) fn source(&self) -> String {
        self.header("hookgate-source").expect("a source")
    }
}

/// What to do with a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// These bytes, and the connection stays.
    Answer(Vec<u8>),
    /// These bytes, then the connection is closed without a word.
    AnswerThenClose(Vec<u8>),
    /// 200, but only after [`App::release`].
    Held,
    /// These bytes, but only after [`App::release`].
    AnswerOnceReleased(Vec<u8>),
    /// The connection ends without an answer.
    Close,
    /// Half of an answer's head, then the connection ends.
    Half,
}

impl Reply {
    pub(crate) fn ok() -> Self {
        Self::status(200)
    }

    pub(crate) fn status(status: u16) -> Self {
        Self::with(status, &[])
    }

    pub(crate) fn with(status: u16, headers: &[(&str, &str)]) -> Self {
        Self::Answer(answer(status, headers))
    }

    pub(crate) fn ok_then_close() -> Self {
        Self::AnswerThenClose(answer(200, &[]))
    }
}

fn answer(status: u16, headers: &[(&str, &str)]) -> Vec<u8> {
    let body = format!("the app says {status}");
    let mut text = format!("HTTP/1.1 {status} Whatever\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += &format!("content-length: {}\r\n\r\n{body}", body.len());
    text.into_bytes()
}

type Script = Box<dyn FnMut(&Delivery) -> Reply + Send>;

struct Shared {
    script: Mutex<Script>,
    deliveries: Mutex<Vec<Arc<Delivery>>>,
    count: watch::Sender<usize>,
    released: watch::Sender<bool>,
    connections: watch::Sender<usize>,
}

/// Brings the events `evt_dead` and `evt_pending` into these states, and delivers all others.
pub(crate) fn every_state(delivery: &Delivery) -> Reply {
    match delivery.header("hookgate-provider-event-id").as_deref() {
        Some("evt_dead") => Reply::status(410),
        Some("evt_pending") => Reply::with(503, &[("Retry-After", "3000")]),
        _ => Reply::ok(),
    }
}

/// A running app.
pub(crate) struct App {
    address: Address,
    shared: Arc<Shared>,
    stage: Stage,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl App {
    /// Answers everything with 200 until it gets a script.
    pub(crate) async fn start(address: &Address) -> Self {
        let listener = within("listening", address.bind()).await.expect("a socket");
        let address = listener.address().expect("its address");
        let shared = Arc::new(Shared {
            script: Mutex::new(Box::new(|_| Reply::ok())),
            deliveries: Mutex::default(),
            count: watch::Sender::new(0),
            released: watch::Sender::new(false),
            connections: watch::Sender::new(0),
        });
        let stage = Stage::default();
        stage.spawn(listen(listener, Arc::clone(&shared), stage.clone()));
        Self {
            address,
            shared,
            stage,
        }
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// How to answer from now on.
    pub(crate) fn script(&self, script: impl FnMut(&Delivery) -> Reply + Send + 'static) {
        *lock(&self.shared.script) = Box::new(script);
    }

    /// Answers all that is held, and whatever would be held from now on.
    pub(crate) fn release(&self) {
        self.shared.released.send_replace(true);
    }

    /// Everything that has come so far.
    pub(crate) fn deliveries(&self) -> Vec<Arc<Delivery>> {
        lock(&self.shared.deliveries).clone()
    }

    /// Waits until `count` requests have come; all that have.
    pub(crate) async fn received(&self, count: usize) -> Vec<Arc<Delivery>> {
        let mut counted = self.shared.count.subscribe();
        let reached = counted.wait_for(|seen| *seen >= count);
        let what = format!("request {count} to the app");
        drop(within(&what, reached).await.expect("the app lives"));
        self.deliveries()
    }

    /// Waits for the `n`-th request: 0, 1, ...
    pub(crate) async fn delivery(&self, n: usize) -> Arc<Delivery> {
        Arc::clone(&self.received(n + 1).await[n])
    }

    /// Waits until no connection is open.
    pub(crate) async fn without_connections(&self) {
        let mut open = self.shared.connections.subscribe();
        let closed = open.wait_for(|open| *open == 0);
        within("the end of all connections", closed)
            .await
            .expect("the app lives");
    }

    /// Stops listening and cuts all connections.
    pub(crate) async fn stop(self) -> Vec<Arc<Delivery>> {
        assert!(self.stage.stop(Duration::from_secs(10)).await);
        self.deliveries()
    }
}

async fn listen(listener: Listener, shared: Arc<Shared>, stage: Stage) {
    for connection in 0.. {
        let stream = tokio::select! {
            biased;
            () = stage.stopping() => return,
            accepted = listener.accept() => accepted.expect("a connection").0,
        };
        let (shared, ending) = (Arc::clone(&shared), stage.clone());
        shared.connections.send_modify(|open| *open += 1);
        stage.spawn(async move {
            tokio::select! {
                () = ending.stopping() => {}
                () = talk(stream, connection, &shared) => {}
            }
            shared.connections.send_modify(|open| *open -= 1);
        });
    }
}

/// Takes request after request until the script or the gate ends the connection.
async fn talk(mut stream: Stream, connection: usize, shared: &Shared) {
    let mut read = Vec::new();
    while let Some(delivery) = request(&mut stream, &mut read, connection).await {
        let delivery = Arc::new(delivery);
        // Answers only follow what is recorded, so that a test sees everything that was answered.
        lock(&shared.deliveries).push(Arc::clone(&delivery));
        let reply = (lock(&shared.script))(&delivery);
        shared.count.send_modify(|count| *count += 1);
        if matches!(reply, Reply::Held | Reply::AnswerOnceReleased(_)) {
            let mut released = shared.released.subscribe();
            if released.wait_for(|released| *released).await.is_err() {
                return;
            }
        }
        let (bytes, stays) = match reply {
            Reply::Answer(bytes) => (bytes, true),
            Reply::AnswerThenClose(bytes) => (bytes, false),
            Reply::Close => return,
            Reply::Half => (b"HTTP/1.1 200 O".to_vec(), false),
            Reply::Held => (answer(200, &[]), true),
            Reply::AnswerOnceReleased(bytes) => (bytes, true),
        };
        // The gate may have given up on this answer.
        if stream.write_all(&bytes).await.is_err() || !stays {
            return;
        }
    }
}

async fn request(stream: &mut Stream, read: &mut Vec<u8>, connection: usize) -> Option<Delivery> {
    let end = loop {
        if let Some(end) = find(read, b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    };
    let head: Vec<u8> = read.drain(..end).collect();
    let mut delivery = Delivery {
        connection,
        head,
        body: Vec::new(),
    };
    let length = delivery.header("content-length");
    let length = length.map_or(0, |length| length.parse().expect("a length"));
    while read.len() < length {
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
    delivery.body = read.drain(..length).collect();
    Some(delivery)
}
