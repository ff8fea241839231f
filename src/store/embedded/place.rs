//! The store's directory: who owns it, whether it keeps what is written, how much is free.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rusqlite::{Connection, OpenFlags};
use rustix::fs::{FlockOperation, fstatvfs};

use super::marker::Marker;
use super::volatile;
use crate::clock::Clock;
use crate::planted::{Bug, planted};
use crate::store::disk::{Disk, DiskFile};
use crate::store::{Config, StoreError, wide};

/// Bytes of a file that are held in memory to write them again.
const PART: usize = 256 << 10;

/// A directory that this process owns until it is dropped.
pub(super) struct Place {
    pub(super) path: PathBuf,
    directory: Directory,
    /// Holds the lock; the system releases it however the process ends.
    _owner: Box<dyn DiskFile>,
    /// The file system keeps what was synced.
    pub(super) durable: bool,
    /// The files that are written, as they were when they were opened.
    opened: OnceLock<Vec<(PathBuf, Identity)>>,
    pub(super) marker: Marker,
}

enum Directory {
    System(File),
    Simulated(Arc<dyn Disk>),
}
/// Device and inode.
type Identity = (u64, u64);

impl Place {
    /// Creates the directory if needed and takes ownership, before anything in it is read.
    pub(super) fn take(config: &Config, clock: &Clock) -> Result<Self, StoreError> {
        if let Some(disk) = &config.disk {
            return Self::simulated(&config.path, disk);
        }
        let path = config.path.as_path();
        let cannot = |error: std::io::Error| cannot_open(path, &error);
        let whole = std::path::absolute(path).map_err(cannot)?;
        let created = whole.ancestors().take_while(|path| !path.exists()).count();
        std::fs::create_dir_all(path).map_err(cannot)?;
        let path = path.canonicalize().map_err(cannot)?;
        let directory = File::open(&path).map_err(cannot)?;
        sync_parents(&path, created).map_err(cannot)?;
        let volatile = volatile::kind(&directory).map_err(cannot)?;
        if let Some(kind) = volatile
            && !config.allow_volatile
        {
            return Err(StoreError::Volatile {
                path: text(&path),
                kind,
            });
        }
        let owner = own(&path, clock)?;
        Ok(Self {
            marker: Marker::of(&path),
            path,
            directory: Directory::System(directory),
            _owner: Box::new(owner),
            durable: volatile.is_none(),
            opened: OnceLock::new(),
        })
    }

    /// Remembers which files they are, once they are open.
    pub(super) fn note_files(&self) -> std::io::Result<()> {
        if let Directory::Simulated(_) = self.directory {
            return Ok(());
        }
        let mut opened = Vec::new();
        for name in ["hookgate.db", "hookgate.db-wal"] {
            let path = self.path.join(name);
            let identity = identity(&path)?;
            opened.push((path, identity));
        }
        self.opened.get_or_init(|| opened);
        Ok(())
    }

    /// Whether a file that is written is no longer what its name stands for.
    pub(super) fn displaced(&self) -> bool {
        let mut opened = self.opened.get().into_iter().flatten();
        opened.any(|(path, then)| match identity(path) {
            Ok(now) => now != *then,
            Err(error) => error.kind() == ErrorKind::NotFound,
        })
    }

    fn simulated(path: &Path, disk: &Arc<dyn Disk>) -> Result<Self, StoreError> {
        let owner = disk.own().map_err(|error| cannot_open(path, &error))?;
        let owner = owner.ok_or_else(|| StoreError::Owned {
            path: text(path),
            owner: "another store".into(),
        })?;
        Ok(Self {
            marker: Marker::nowhere(),
            path: path.to_path_buf(),
            directory: Directory::Simulated(Arc::clone(disk)),
            _owner: owner,
            durable: true,
            opened: OnceLock::new(),
        })
    }

    /// Opens or creates a small file in it.
    pub(super) fn open(&self, name: &str) -> std::io::Result<Box<dyn DiskFile>> {
        self.file(name, true)
    }

    fn file(&self, name: &str, create: bool) -> std::io::Result<Box<dyn DiskFile>> {
        match &self.directory {
            Directory::System(_) => {
                let mut options = OpenOptions::new();
                options
                    .read(true)
                    .write(true)
                    .create(create)
                    .truncate(false);
                Ok(Box::new(options.open(self.path.join(name))?))
            }
            Directory::Simulated(disk) => disk.open(name, create),
        }
    }

    /// Makes durable what reads of a file show, if there is one: writes it once more as it is, and
    /// syncs it. After a failed sync it may be in the page cache only and count as clean there;
    /// another sync alone would then do nothing and say that all is well.
    pub(super) fn renew(&self, name: &str) -> std::io::Result<()> {
        let mut file = match self.file(name, false) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            file => file?,
        };
        let (mut at, size) = (0, file.size()?);
        let mut part = vec![0; PART.min(usize::try_from(size).unwrap_or(PART))];
        while at < size {
            part.truncate(usize::try_from(size - at).unwrap_or(PART));
            file.read_exact_at(&mut part, at)?;
            file.write_all_at(&part, at)?;
            at += wide(part.len());
        }
        file.sync()
    }

    /// Makes the names of new files durable.
    pub(super) fn sync(&self) -> std::io::Result<()> {
        if planted(Bug::NoDirectorySync) {
            return Ok(());
        }
        match &self.directory {
            Directory::System(directory) => directory.sync_all(),
            Directory::Simulated(disk) => disk.sync_directory(),
        }
    }

    /// Bytes free on its disk; `None` if the system does not say.
    pub(super) fn free_bytes(&self) -> Option<u64> {
        let directory = match &self.directory {
            Directory::System(directory) => directory,
            Directory::Simulated(disk) => return Some(disk.free_bytes()),
        };
        let facts = fstatvfs(directory).ok()?;
        Some(facts.f_bavail.saturating_mul(facts.f_frsize))
    }

    /// Whether there was a database and is none now. A journal without one would be deleted by SQLite.
    pub(super) fn database_is_gone(&self) -> std::io::Result<bool> {
        if let Directory::Simulated(_) = self.directory {
            return Ok(false);
        }
        let database = self.database().path;
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |facts| facts.len());
        if size(&database) > 0 || !self.path.join("high-water").exists() {
            return Ok(false);
        }
        tracing::error!(path = %database.display(), "the store's database is gone; an empty one takes its place");
        let journal = self.path.join("hookgate.db-wal");
        if size(&journal) > 0 {
            let kept = self.path.join("hookgate.db-wal.damaged");
            std::fs::rename(journal, &kept)?;
            tracing::error!(path = %kept.display(), "its journal was kept");
        }
        Ok(true)
    }

    pub(super) fn database(&self) -> Database {
        Database {
            path: self.path.join("hookgate.db"),
            disk: self.disk(),
        }
    }

    /// The disk, if it is a simulated one.
    pub(super) fn disk(&self) -> Option<Arc<dyn Disk>> {
        match &self.directory {
            Directory::System(_) => None,
            Directory::Simulated(disk) => Some(Arc::clone(disk)),
        }
    }
}

/// Where the database is.
pub(super) struct Database {
    pub(super) path: PathBuf,
    /// Set if the disk is a simulated one.
    pub(super) disk: Option<Arc<dyn Disk>>,
}

impl Database {
    pub(super) fn connect(&self, more: OpenFlags) -> Result<Connection, rusqlite::Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
        match &self.disk {
            None => Connection::open_with_flags(&self.path, flags),
            Some(disk) => Connection::open_with_flags_and_vfs(&self.path, flags, disk.vfs()),
        }
    }

    /// 32 bytes from the operating system's generator, by way of the ids' random parts.
    pub(super) fn new_key(&self) -> [u8; 32] {
        if let Some(disk) = &self.disk {
            return disk.key();
        }
        let mut hasher = blake3::Hasher::new();
        for _ in 0..8 {
            hasher.update(uuid::Uuid::now_v7().as_bytes());
        }
        *hasher.finalize().as_bytes()
    }
}

fn identity(path: &Path) -> std::io::Result<Identity> {
    let facts = std::fs::metadata(path)?;
    Ok((facts.dev(), facts.ino()))
}

/// Makes the names of new directories durable: without this a power cut can take them with all
/// that is in them. One that was there may have been made just now too, by whoever starts this.
fn sync_parents(path: &Path, created: usize) -> std::io::Result<()> {
    for parent in path.ancestors().skip(1).take(created.max(1)) {
        let synced = File::open(parent).and_then(|parent| parent.sync_all());
        match synced {
            // Not ours to read, nor to have created anything in.
            Err(error) if created == 0 && error.kind() == ErrorKind::PermissionDenied => {}
            synced => synced?,
        }
    }
    Ok(())
}

fn own(path: &Path, clock: &Clock) -> Result<File, StoreError> {
    let cannot = |error: std::io::Error| cannot_open(path, &error);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path.join("owner.lock"))
        .map_err(cannot)?;
    if let Err(error) = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if error != rustix::io::Errno::WOULDBLOCK {
            return Err(cannot(error.into()));
        }
        let mut owner = String::new();
        // Who it is, is for people only: the lock itself decides.
        let _ = file.read_to_string(&mut owner);
        let owner = if owner.is_empty() {
            "another process"
        } else {
            owner.trim_end()
        };
        return Err(StoreError::Owned {
            path: text(path),
            owner: owner.into(),
        });
    }
    let host = rustix::system::uname();
    let owner = format!(
        "pid {} on {} since {}\n",
        std::process::id(),
        host.nodename().to_string_lossy(),
        clock.wall().rfc3339()
    );
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(owner.as_bytes()))
        .map_err(cannot)?;
    Ok(file)
}

pub(super) fn text(path: &Path) -> Arc<str> {
    path.to_string_lossy().into()
}

fn cannot_open(path: &Path, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Open {
        path: text(path),
        why: error.to_string().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::config;

    fn take(path: &Path) -> Result<Place, StoreError> {
        Place::take(&config(path), &Clock::real())
    }

    #[test]
    fn a_second_owner_is_refused_and_told_who_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = take(dir.path()).unwrap();
        let second = take(dir.path()).err().unwrap();
        let pid = format!("pid {}", std::process::id());
        assert!(second.to_string().contains(&pid), "{second}");
        drop(first);
        take(dir.path()).unwrap();
    }

    /// The store went on to acknowledge events into files that no restart would find.
    #[test]
    fn a_file_that_was_deleted_moved_or_replaced_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let place = take(dir.path()).unwrap();
        let journal = place.path.join("hookgate.db-wal");
        for file in [&place.database().path, &journal] {
            std::fs::write(file, "here").unwrap();
        }
        place.note_files().unwrap();
        assert!(!place.displaced());
        let elsewhere = dir.path().join("elsewhere");
        std::fs::rename(&journal, &elsewhere).unwrap();
        assert!(place.displaced());
        std::fs::copy(&elsewhere, &journal).unwrap();
        assert!(place.displaced());
        std::fs::rename(&elsewhere, &journal).unwrap();
        assert!(!place.displaced());
        std::fs::remove_file(place.database().path).unwrap();
        assert!(place.displaced());
    }

    /// Only the last directory's name was made durable; a power cut could take those above it.
    #[test]
    fn directories_above_it_are_made_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/c");
        let place = take(&path).unwrap();
        assert_eq!(place.path, path.canonicalize().unwrap());
    }
}
