//! The store's settings.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::disk::Disk;
use crate::event::SourceName;

/// How the store is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its directory; created if missing.
    pub path: PathBuf,
    /// Ceiling for what is stored; 0 means none.
    pub bytes_max: u64,
    /// How long to remember.
    pub keep: Keep,
    /// Run on a file system that forgets; then [`super::Stats::durable`] is false.
    pub allow_volatile: bool,
    /// New events are refused while less than this is free on the disk.
    pub low_space_bytes: u64,
    /// Memory for events that are ready to be forwarded.
    pub backlog_bytes_max: usize,
    /// For how long a repeat counts as one, where that is not as long as ids are kept.
    pub dedup_windows: HashMap<SourceName, Duration>,
    /// A disk in place of the system's; `path` is its directory.
    #[doc(hidden)]
    pub disk: Option<Arc<dyn Disk>>,
}

/// How long to remember, counted from settlement, or from acceptance for ids.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// Delivered events.
    pub delivered: Duration,
    /// Dead letters.
    pub dead: Duration,
    /// Ids for duplicate detection.
    pub ids: Duration,
}
