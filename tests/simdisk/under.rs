//! A simulated disk under a store: what `hookgate::store` asks of a disk, in terms of `simdisk`.

use std::any::Any;
use std::fmt::{Debug, Formatter};
use std::io::{ErrorKind, Result};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hookgate::store::disk::{Disk, DiskFile};

/// A simulated disk, as a store takes it.
pub(crate) struct Simulated {
    pub(crate) disk: simdisk::Disk,
    remains: Mutex<Vec<Box<dyn Any + Send>>>,
    lag: Mutex<Box<dyn Fn() -> Duration + Send>>,
}

impl Simulated {
    pub(crate) fn new(disk: simdisk::Disk) -> Self {
        Self {
            disk,
            remains: Mutex::default(),
            lag: Mutex::new(Box::new(|| Duration::ZERO)),
        }
    }

    /// From now on each commit waits as long as this says.
    pub(crate) fn lags(&self, lag: impl Fn() -> Duration + Send + 'static) {
        *self.lag.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(lag);
    }
}

impl Debug for Simulated {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        self.disk.fmt(f)
    }
}

#[derive(Debug)]
struct File(simdisk::DiskFile);

impl Disk for Simulated {
    fn vfs(&self) -> &str {
        simdisk::VFS
    }

    fn key(&self) -> [u8; 32] {
        [7; 32]
    }

    fn own(&self) -> Result<Option<Box<dyn DiskFile>>> {
        let file = self.disk.open("owner.lock")?;
        let owned = file.try_lock()?;
        if owned {
            // Nobody holds the lock any more, so their handles are dead.
            let mut remains = self.remains.lock().unwrap_or_else(PoisonError::into_inner);
            remains.clear();
        }
        Ok(owned.then(|| Box::new(File(file)) as Box<dyn DiskFile>))
    }

    fn open(&self, name: &str, create: bool) -> Result<Box<dyn DiskFile>> {
        if !create && !self.disk.names().iter().any(|known| known == name) {
            return Err(ErrorKind::NotFound.into());
        }
        Ok(Box::new(File(self.disk.open(name)?)))
    }

    fn sync_directory(&self) -> Result<()> {
        self.disk.sync_directory()
    }

    fn free_bytes(&self) -> u64 {
        self.disk.free_bytes()
    }

    fn lag(&self) -> Duration {
        self.lag.lock().unwrap_or_else(PoisonError::into_inner)()
    }

    fn bury(&self, remains: Box<dyn Any + Send>) {
        let mut buried = self.remains.lock().unwrap_or_else(PoisonError::into_inner);
        buried.push(remains);
    }
}

impl DiskFile for File {
    fn size(&self) -> Result<u64> {
        self.0.size()
    }

    fn read_exact_at(&self, into: &mut [u8], offset: u64) -> Result<()> {
        self.0.read_exact_at(into, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&mut self) -> Result<()> {
        self.0.sync()
    }
}
