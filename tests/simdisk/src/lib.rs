//! A disk in memory that does what real ones do when they fail, for tests of a store on SQLite.
//!
//! - Every file has what is durable, what the page cache shows, and what was written since the last
//!   sync. [`Disk::crash`] lets each unsynced write vanish, survive, survive as a prefix or as any
//!   subset of its 512-byte sectors; each change of size survives or not on its own.
//! - A new or removed name is durable only after a sync of the directory, as POSIX has it. ext4 and
//!   XFS are kinder: there a sync of the new file is enough.
//! - A failed sync behaves as on Linux: every handle that was open is told once, what was dirty
//!   counts as clean and is not written any more, and reads still show it until the crash.
//! - The n-th operation of a kind can be made to fail, once or from then on, or to be the last one
//!   before the power goes.
//!
//! Everything follows from the seed. SQLite comes in through a VFS of the name [`VFS`]; each disk
//! has a directory of its own in it, [`Disk::path`]. Shared memory and locks are on the heap, so
//! many connections of one process can share a database. `vfs.rs` and `shm.rs` hold all the
//! `unsafe` code of this repository: SQLite's interface is C.
//!
//! Not modelled: reads that return wrong bytes (damage a file with [`Disk::edit`]), renames, and
//! the eviction of clean pages.

mod fault;
mod file;
mod locks;
mod shm;
mod state;
mod vfs;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

pub use fault::{Class, Fault, Repeat};
pub use state::{Op, OpKind};

use state::{Handle, State};

/// The name of the VFS.
pub const VFS: &str = "simdisk";

/// The root of all disks.
const ROOT: &str = "/simulated";

static DISKS: LazyLock<Mutex<HashMap<String, Weak<Mutex<State>>>>> =
    LazyLock::new(|| Mutex::new(HashMap::new()));

/// One disk; clones are the same one.
#[derive(Clone, Debug)]
pub struct Disk {
    directory: Arc<Directory>,
}

#[derive(Debug)]
struct Directory {
    path: String,
    state: Arc<Mutex<State>>,
}

impl Drop for Directory {
    fn drop(&mut self) {
        lock(&DISKS).remove(&self.path);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The disk and the file's name on it that a path means.
fn find(path: &str) -> Option<(Arc<Mutex<State>>, &str)> {
    let (directory, name) = path.rsplit_once('/')?;
    let state = lock(&DISKS).get(directory)?.upgrade()?;
    Some((state, name))
}

impl Disk {
    /// An empty disk.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        vfs::register();
        let path = format!("{ROOT}/{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let state = Arc::new(Mutex::new(State::new(seed)));
        lock(&DISKS).insert(path.clone(), Arc::downgrade(&state));
        Self {
            directory: Arc::new(Directory { path, state }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.directory.state)
    }

    /// Its one directory, as the VFS knows it.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        PathBuf::from(&self.directory.path)
    }

    /// Makes the `n`-th operation of the fault's class from now on fail (0: the next one).
    pub fn fail_nth(&self, n: u64, fault: Fault, repeat: Repeat) {
        self.state().faults.arm(n, fault, repeat);
    }

    /// The fault that was armed has struck.
    #[must_use]
    pub fn struck(&self) -> bool {
        self.state().faults.struck
    }

    /// The fault that was armed has struck, and goes on.
    #[must_use]
    pub fn still_fails(&self) -> bool {
        self.state().faults.goes_on()
    }

    /// Nothing fails any more, but what a crash has ended.
    pub fn heal(&self) {
        self.state().faults.disarm();
    }

    /// The power goes and comes back: what was unsynced survives or not as the seed has it, every
    /// open handle is dead, every lock is gone and no fault is armed.
    pub fn crash(&self) {
        self.state().crash();
    }

    /// A crash at its mildest, `kill -9`: the page cache survives, handles and locks do not.
    pub fn kill(&self) {
        self.state().kill();
    }

    /// The power is gone: an armed [`Fault::Crash`] has struck, and there was no [`Disk::crash`] yet.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.state().down
    }

    /// Operations of a class so far.
    #[must_use]
    pub fn operations(&self, class: Class) -> u64 {
        self.state().faults.count(class)
    }

    /// All operations so far, oldest first.
    #[must_use]
    pub fn trace(&self) -> Vec<Op> {
        self.state().trace.clone()
    }

    /// Files of which a handle was synced again after its sync had failed: what it says then is a
    /// lie. One name for each time.
    #[must_use]
    pub fn second_syncs(&self) -> Vec<Arc<str>> {
        self.state().second_syncs.clone()
    }

    /// Bytes that the disk says are free; it does not run full by itself.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        self.state().free_bytes
    }

    /// See [`Disk::free_bytes`].
    pub fn set_free_bytes(&self, bytes: u64) {
        self.state().free_bytes = bytes;
    }

    /// The names in its directory.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.state().names()
    }

    /// What a read of the whole file would show.
    #[must_use]
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        self.state().contents(name)
    }

    /// Damages a file behind everybody's back, durably.
    pub fn edit(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        self.state().edit(name, change);
    }

    /// Reads of these bytes of a file fail with EIO, also after a crash, until they are written anew.
    pub fn spoil(&self, name: &str, bytes: Range<u64>) {
        self.state().spoil(name, bytes);
    }

    /// Opens or creates a file.
    ///
    /// # Errors
    /// The disk is down.
    pub fn open(&self, name: &str) -> io::Result<DiskFile> {
        let mut state = self.state();
        let handle = state.open(name, true)?;
        drop(state);
        Ok(DiskFile {
            handle,
            state: Arc::clone(&self.directory.state),
        })
    }

    /// Makes names durable.
    ///
    /// # Errors
    /// As armed.
    pub fn sync_directory(&self) -> io::Result<()> {
        self.state().sync_directory()
    }
}

/// A file that is used without SQLite.
#[derive(Debug)]
pub struct DiskFile {
    handle: Handle,
    state: Arc<Mutex<State>>,
}

impl DiskFile {
    /// Takes the file's exclusive lock until this handle is dropped; `false` if another has it.
    ///
    /// # Errors
    /// The disk is down.
    pub fn try_lock(&self) -> io::Result<bool> {
        lock(&self.state).try_own(&self.handle)
    }

    /// How long it is.
    ///
    /// # Errors
    /// The disk is down.
    pub fn size(&self) -> io::Result<u64> {
        lock(&self.state).size(&self.handle)
    }

    /// Reads exactly `into.len()` bytes.
    ///
    /// # Errors
    /// As armed, and `UnexpectedEof` if there are fewer.
    pub fn read_exact_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        let read = lock(&self.state).read(&self.handle, into, offset)?;
        if read < into.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// As armed; a part of them may be written then.
    pub fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        lock(&self.state).write(&self.handle, bytes, offset)
    }

    /// Makes the content durable, not the name.
    ///
    /// # Errors
    /// As armed.
    pub fn sync(&mut self) -> io::Result<()> {
        lock(&self.state).sync(&mut self.handle)
    }
}

impl Drop for DiskFile {
    fn drop(&mut self) {
        lock(&self.state).close(&self.handle);
    }
}
