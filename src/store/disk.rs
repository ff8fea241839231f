//! The disk under an engine, as far as a simulated one can stand in for the system's.
//!
//! What SQLite does to its files goes through a VFS; this is the rest: the lock, the small files
//! that the engine writes itself, the directory, the free space. There is no simulated disk outside
//! of tests.

use std::any::Any;
use std::fmt::Debug;
use std::fs::File;
use std::io::Result;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// A disk that is not the system's. A store on it runs no thread of its own beside the writer's.
pub trait Disk: Debug + Send + Sync {
    /// The name of SQLite's VFS for it.
    fn vfs(&self) -> &str;

    /// The key of an installation that begins on it: runs repeat only if it does.
    fn key(&self) -> [u8; 32];

    /// Takes ownership until what is returned is dropped; `None` if another has it.
    fn own(&self) -> Result<Option<Box<dyn DiskFile>>>;

    /// Opens a file, or creates it if that is wanted; else `NotFound`.
    fn open(&self, name: &str, create: bool) -> Result<Box<dyn DiskFile>>;

    /// Makes the names of new files durable.
    fn sync_directory(&self) -> Result<()>;

    /// Bytes free on it.
    fn free_bytes(&self) -> u64;

    /// How long it takes until it gets to the next commit.
    fn lag(&self) -> Duration {
        Duration::ZERO
    }

    /// Keeps what a failed engine leaves behind: no file of it may be closed before this disk has
    /// crashed. Many failures in one process must not take up its memory for good.
    fn bury(&self, remains: Box<dyn Any + Send>);
}

/// A small file that an engine writes itself.
pub trait DiskFile: Debug + Send + Sync {
    /// How long it is.
    fn size(&self) -> Result<u64>;

    /// Reads exactly as much.
    fn read_exact_at(&self, into: &mut [u8], offset: u64) -> Result<()>;

    /// Writes all of it.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<()>;

    /// Makes the content durable, not the name.
    fn sync(&mut self) -> Result<()>;
}

impl DiskFile for File {
    fn size(&self) -> Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_exact_at(&self, into: &mut [u8], offset: u64) -> Result<()> {
        FileExt::read_exact_at(self, into, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn sync(&mut self) -> Result<()> {
        self.sync_data()
    }
}
