//! What can go wrong, in the few kinds that callers treat differently.

use std::sync::Arc;

/// Why the store did not do what it was asked; the text says the way out.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// More arrives than the disk takes at the moment.
    #[error("the store's intake queue is full; try again in a moment")]
    Busy,
    /// No room for new events. Deliveries, pruning and replays go on.
    #[error("the store takes no new events: {0}")]
    Full(Shortage),
    /// This request failed and left no trace; a later one may succeed.
    #[error("the store could not do this now: {0}; try again")]
    Unavailable(Arc<str>),
    /// The process is shutting down.
    #[error("the store is closing; send this to the next process")]
    Closing,
    /// Another process holds the store.
    #[error(
        "the store in {path} is in use by {owner}; stop that process or give this one another store.path"
    )]
    Owned {
        /// The store's directory.
        path: Arc<str>,
        /// Pid, host and start time of the owner, as it wrote them down.
        owner: Arc<str>,
    },
    /// The directory is on a file system that forgets or cannot lock.
    #[error(
        "{path} is on {kind}, which does not keep what was acknowledged; use a local disk, or set store.allow_volatile = true to run without the promise"
    )]
    Volatile {
        /// The store's directory.
        path: Arc<str>,
        /// Its file system.
        kind: &'static str,
    },
    /// Written by a newer hookgate, or damaged in the very place that says so; nothing was changed.
    #[error(
        "the store's database {path} says that it has format {found}, and this hookgate knows up to \
         {known}; run the version that wrote it. If none did, the file is damaged: restore it from a \
         backup, or move it away to start without what it holds"
    )]
    Newer {
        /// The file.
        path: Arc<str>,
        /// The version in the file.
        found: i64,
        /// The newest version this program reads.
        known: i64,
    },
    /// The database is damaged in a place that nothing can be saved without; nothing was changed.
    #[error(
        "the store's database {path} is damaged where no start can mend it: {why}; it was left as it is. \
         To start without what it holds, move it and the files {path}-wal and {path}-shm to another place; \
         `sqlite3 FILE .recover` may read them there"
    )]
    Damaged {
        /// The database file.
        path: Arc<str>,
        /// What is wrong with it.
        why: Arc<str>,
    },
    /// The store cannot be opened.
    #[error("the store in {path} cannot be opened: {why}")]
    Open {
        /// The store's directory.
        path: Arc<str>,
        /// What the system said.
        why: Arc<str>,
    },
    /// The disk failed: nothing more is acknowledged and the process must end. What was
    /// acknowledged is recovered from disk by the next start.
    #[error("the store failed and takes nothing more until a restart: {0}")]
    Fatal(Arc<str>),
}

/// What there is too little of, or no use of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// `bytes_max` is used up by events that may not be dropped.
    Budget {
        /// Bytes in use.
        used: u64,
        /// The configured ceiling.
        max: u64,
    },
    /// The disk has too little free space.
    Disk {
        /// Bytes left.
        free: u64,
        /// Bytes that must stay free.
        needed: u64,
    },
    /// Its files have no name any more, or another file has it: no restart would find what is
    /// written to them.
    Displaced,
}

impl std::fmt::Display for Shortage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Budget { used, max } => write!(
                f,
                "{used} of store.bytes_max = {max} bytes hold events that are pending or dead; \
                 let the app catch up, clear dead letters or raise the limit"
            ),
            Self::Disk { free, needed } => write!(
                f,
                "{free} bytes are free on its disk and {needed} must stay free; make room, it resumes by itself"
            ),
            Self::Displaced => f.write_str(
                "its files were deleted or replaced while it runs; what they hold is still being \
                 delivered; put them back, or restart when nothing is pending any more",
            ),
        }
    }
}
