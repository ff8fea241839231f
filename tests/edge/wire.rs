//! A connection to the gate whose incoming bytes are read as they come, so that a case can write
//! without end and still see everything.

use std::sync::mpsc;
use std::time::Duration;

use hookgate::net::{Address, Stream};
use hookgate::shutdown::Stage;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Longest wait of the machine's time for what should come at once.
const PATIENCE: Duration = Duration::from_secs(20);

/// What has come so far.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) bytes: Vec<u8>,
    pub(crate) closed: bool,
}

pub(crate) struct Wire {
    write: WriteHalf<Stream>,
    seen: watch::Receiver<Seen>,
    listening: JoinHandle<()>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Wire {
    pub(crate) async fn open(gate: &Address) -> Self {
        let stream = gate.connect().await.expect("a connection");
        let (read, write) = tokio::io::split(stream);
        let (sender, seen) = watch::channel(Seen::default());
        let listening = Stage::default().spawn(listen(read, sender));
        Self {
            write,
            seen,
            listening,
        }
    }

    /// Writes, as far as the gate listens.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        let written = self.write.write_all(bytes);
        // A gate that has closed does not read the rest.
        let _ = in_real_time(written)
            .await
            .expect("the gate reads or closes");
    }

    /// Says that nothing more will come.
    pub(crate) async fn end(&mut self) {
        let _ = self.write.shutdown().await;
    }

    /// Waits until `enough` has come, the gate has closed, or patience is over; what is there then.
    pub(crate) async fn until(&mut self, enough: impl FnMut(&Seen) -> bool) {
        // Whether it came in time shows in what is there.
        let _ = in_real_time(self.seen.wait_for(enough)).await;
    }

    pub(crate) fn seen(&self) -> watch::Ref<'_, Seen> {
        self.seen.borrow()
    }
}

async fn listen(mut read: ReadHalf<Stream>, seen: watch::Sender<Seen>) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        // A reset is an end too.
        let length = read.read(&mut buffer).await.unwrap_or(0);
        seen.send_modify(|seen| {
            seen.bytes.extend_from_slice(&buffer[..length]);
            seen.closed = length == 0;
        });
        if length == 0 {
            return;
        }
    }
}

/// The result of `work`; `None` if it takes longer than patience of the machine's own time.
/// Meanwhile the time of the tests does not move: the runtime would skip to the next deadline
/// whenever nothing is to do, unless a blocking task is under way.
pub(crate) async fn in_real_time<T>(work: impl Future<Output = T>) -> Option<T> {
    let (done, wait) = mpsc::sync_channel::<()>(0);
    let watch = tokio::task::spawn_blocking(move || wait.recv_timeout(PATIENCE));
    let result = tokio::select! {
        biased;
        result = work => Some(result),
        _ = watch => None,
    };
    drop(done);
    result
}

/// Lets everything happen that can happen without time passing.
pub(crate) async fn settle() {
    in_real_time(async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Lets time pass.
pub(crate) async fn pass(time: Duration) {
    settle().await;
    in_real_time(tokio::time::advance(time)).await;
    settle().await;
}
