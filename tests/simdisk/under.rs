//! A simulated disk under a store: what `hookgate::store` asks of a disk, in terms of `simdisk`.

use std::io::Result;

use hookgate::store::disk::{Disk, DiskFile};

/// A simulated disk, as a store takes it; clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Simulated(pub(crate) simdisk::Disk);

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
        let file = self.0.open("owner.lock")?;
        let owned = file.try_lock()?;
        Ok(owned.then(|| Box::new(File(file)) as Box<dyn DiskFile>))
    }

    fn open(&self, name: &str) -> Result<Box<dyn DiskFile>> {
        Ok(Box::new(File(self.0.open(name)?)))
    }

    fn sync_directory(&self) -> Result<()> {
        self.0.sync_directory()
    }

    fn free_bytes(&self) -> u64 {
        self.0.free_bytes()
    }
}

impl DiskFile for File {
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
