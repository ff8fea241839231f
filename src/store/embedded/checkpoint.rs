//! Moving the journal into the file, and writing the high-water mark, on a thread and connection
//! of its own.
//!
//! SQLite's automatic checkpoint runs inside a commit and swallows its errors; this one does
//! neither. It is passive: it never waits for readers or the writer. A failed write or sync here
//! is as fatal as one of a commit, and after one no further checkpoint begins.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::mark::{HighWater, Mark};
use super::{classify, schema};
use crate::store::engine::EngineError;

/// What writer and checkpointer tell each other.
#[derive(Default)]
struct Talk {
    wanted: bool,
    /// The mark to write.
    mark: Option<Mark>,
    stop: bool,
    failed: Option<Arc<str>>,
    /// Pages in the journal, and how many of them were moved, at the last checkpoint.
    pages: (u64, u64),
    /// Checkpoints that ran.
    done: u64,
}

#[derive(Default)]
struct Shared {
    talk: Mutex<Talk>,
    wake: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Talk> {
        self.talk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread that checkpoints.
pub(super) struct Checkpointer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Option<HighWater>>>,
}

impl Checkpointer {
    pub(super) fn start(path: &Path, mark: HighWater) -> Result<Self, String> {
        let db = schema::open_beside(path, false).map_err(|error| error.to_string())?;
        let shared = Arc::new(Shared::default());
        let ours = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("hookgate-wal".into())
            .spawn(move || run(&db, mark, &ours))
            .map_err(|error| error.to_string())?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Asks for a checkpoint.
    pub(super) fn want(&self) {
        self.shared.lock().wanted = true;
        self.shared.wake.notify_one();
    }

    /// Asks for a mark.
    pub(super) fn mark(&self, mark: Mark) {
        self.shared.lock().mark = Some(mark);
        self.shared.wake.notify_one();
    }

    /// Pages in the journal and how many of them were moved, and how often it was done.
    pub(super) fn pages(&self) -> Result<((u64, u64), u64), EngineError> {
        let talk = self.shared.lock();
        match &talk.failed {
            Some(why) => Err(EngineError::Fatal(Arc::clone(why))),
            None => Ok((talk.pages, talk.done)),
        }
    }

    /// No further checkpoint begins.
    pub(super) fn stop(&self) {
        self.shared.lock().stop = true;
        self.shared.wake.notify_one();
    }

    /// Stops, waits for a running one, and gives the mark back; not after a failure.
    pub(super) fn join(mut self) -> Option<HighWater> {
        self.stop();
        self.thread.take()?.join().ok().flatten()
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.stop();
        // Its connection must be closed before the file may be replaced.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(db: &Connection, mut marks: HighWater, shared: &Shared) -> Option<HighWater> {
    loop {
        let mut talk = shared.lock();
        while !talk.wanted && talk.mark.is_none() && !talk.stop {
            talk = shared
                .wake
                .wait(talk)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if talk.stop {
            return Some(marks);
        }
        let (mark, wanted) = (talk.mark.take(), std::mem::take(&mut talk.wanted));
        drop(talk);
        let marked = mark.map_or(Ok(()), |mark| marks.write(mark));
        if let Err(error) = marked {
            shared.lock().failed = Some(error.to_string().into());
            return None;
        }
        if !wanted {
            continue;
        }
        let result = checkpoint(db, "PASSIVE");
        let mut talk = shared.lock();
        match result {
            Ok(pages) => {
                talk.pages = pages;
                talk.done += 1;
            }
            Err(error) => match classify(&error) {
                EngineError::Fatal(why) => {
                    talk.failed = Some(why);
                    return None;
                }
                EngineError::Full | EngineError::Unavailable(_) => {
                    tracing::warn!(%error, "the journal could not be checkpointed; trying again");
                }
            },
        }
    }
}

/// Runs one; returns the pages in the journal and how many of them are in the file now.
pub(super) fn checkpoint(db: &Connection, mode: &str) -> Result<(u64, u64), rusqlite::Error> {
    let pages = |n: i64| u64::try_from(n).unwrap_or(0);
    db.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
        Ok((pages(row.get(1)?), pages(row.get(2)?)))
    })
}
