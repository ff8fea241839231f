//! Moving the journal into the file, and writing the high-water mark, on a thread and connection
//! of its own.
//!
//! SQLite's automatic checkpoint runs inside a commit and swallows its errors; this one does
//! neither. It is passive: it never waits for readers or the writer. A failed write or sync here
//! is as fatal as one of a commit, and after one no further checkpoint begins.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::mark::{HighWater, Mark};
use super::place::Database;
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
    hand: Hand,
}

enum Hand {
    Thread(Option<JoinHandle<Option<HighWater>>>),
    /// No thread: what is asked for is done at once. For runs that must repeat.
    Inline(Mutex<Option<Work>>),
}

impl Checkpointer {
    pub(super) fn start(database: &Database, marks: HighWater) -> Result<Self, String> {
        let db = schema::open_beside(database, false).map_err(|error| error.to_string())?;
        let shared = Arc::new(Shared::default());
        let mut work = Work { db, marks };
        if database.disk.is_some() {
            let hand = Hand::Inline(Mutex::new(Some(work)));
            return Ok(Self { shared, hand });
        }
        let ours = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("hookgate-wal".into())
            .spawn(move || {
                while let Some((mark, wanted)) = ours.wait() {
                    work.one(mark, wanted, &ours)?;
                }
                Some(work.marks)
            })
            .map_err(|error| error.to_string())?;
        let hand = Hand::Thread(Some(thread));
        Ok(Self { shared, hand })
    }

    fn go(&self) {
        let Hand::Inline(work) = &self.hand else {
            self.shared.wake.notify_one();
            return;
        };
        let mut work = work.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = self.shared.lock().asked();
        if let (Some(open), Some((seq, wanted))) = (work.as_mut(), asked)
            && open.one(seq, wanted, &self.shared).is_none()
        {
            *work = None;
        }
    }

    /// Asks for a checkpoint.
    pub(super) fn want(&self) {
        self.shared.lock().wanted = true;
        self.go();
    }

    /// Asks for a mark.
    pub(super) fn mark(&self, mark: Mark) {
        self.shared.lock().mark = Some(mark);
        self.go();
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
        match &mut self.hand {
            Hand::Thread(thread) => thread.take()?.join().ok().flatten(),
            Hand::Inline(work) => {
                let work = work.get_mut().unwrap_or_else(PoisonError::into_inner);
                work.take().map(|work| work.marks)
            }
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.stop();
        // Its connection must be closed before the file may be replaced.
        if let Hand::Thread(thread) = &mut self.hand
            && let Some(thread) = thread.take()
        {
            let _ = thread.join();
        }
    }
}

impl Talk {
    /// A mark to write, and whether to checkpoint.
    fn asked(&mut self) -> Option<(Option<Mark>, bool)> {
        (!self.stop).then(|| (self.mark.take(), std::mem::take(&mut self.wanted)))
    }
}

impl Shared {
    /// Waits until there is something to do; `None` at the end.
    fn wait(&self) -> Option<(Option<Mark>, bool)> {
        let mut talk = self.lock();
        while !talk.wanted && talk.mark.is_none() && !talk.stop {
            talk = self.wake.wait(talk).unwrap_or_else(PoisonError::into_inner);
        }
        talk.asked()
    }
}

/// What the work is done with.
struct Work {
    db: Connection,
    marks: HighWater,
}

impl Work {
    /// Does what was asked for; `None` if that was the end.
    fn one(&mut self, mark: Option<Mark>, wanted: bool, shared: &Shared) -> Option<()> {
        let marked = mark.map_or(Ok(()), |mark| self.marks.write(mark));
        if let Err(error) = marked {
            shared.lock().failed = Some(error.to_string().into());
            return None;
        }
        if !wanted {
            return Some(());
        }
        let result = checkpoint(&self.db, "PASSIVE");
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
        Some(())
    }
}

/// Runs one; returns the pages in the journal and how many of them are in the file now.
pub(super) fn checkpoint(db: &Connection, mode: &str) -> Result<(u64, u64), rusqlite::Error> {
    let pages = |n: i64| u64::try_from(n).unwrap_or(0);
    db.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
        Ok((pages(row.get(1)?), pages(row.get(2)?)))
    })
}
