//! The disk's state: names, files, handles, and every operation on them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use fastrand::Rng;

use crate::fault::{Class, Fault, Faults};
use crate::file::File;
use crate::locks::Locks;
use crate::shm::Shm;

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// What an operation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpKind {
    /// Created a name.
    Create,
    /// Read from an offset so many bytes.
    Read(u64, usize),
    /// Wrote at an offset so many bytes.
    Write(u64, usize),
    /// Set the size.
    Resize(u64),
    /// Synced the content.
    Sync,
    /// Removed a name.
    Remove,
    /// Synced the directory.
    SyncDirectory,
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    /// The file's name; empty for the directory.
    pub name: Arc<str>,
    /// Which handle; 0 where there is none.
    pub handle: u64,
    /// What it was.
    pub kind: OpKind,
    /// What struck it.
    pub fault: Option<Fault>,
}

/// An open file, as its user holds it.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    pub(crate) id: u64,
    inode: u64,
    name: Arc<str>,
    /// Which boot it is of: it is dead after a crash.
    boot: u64,
    /// How many failed syncs of the file it knows of.
    errors_seen: u64,
    sync_failed: bool,
}

#[derive(Debug, Default)]
struct Inode {
    file: File,
    locks: Locks,
    shm: Option<Arc<Shm>>,
    owner: Option<u64>,
    errors: u64,
}

#[derive(Debug)]
pub(crate) struct State {
    rng: Rng,
    /// Names as programs see them, and as a crash would leave them.
    names: BTreeMap<Arc<str>, u64>,
    durable_names: BTreeMap<Arc<str>, u64>,
    inodes: BTreeMap<u64, Inode>,
    next: u64,
    boot: u64,
    pub(crate) down: bool,
    pub(crate) faults: Faults,
    pub(crate) trace: Vec<Op>,
    pub(crate) second_syncs: Vec<Arc<str>>,
    pub(crate) free_bytes: u64,
}

fn error(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

impl State {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            inodes: BTreeMap::new(),
            next: 1,
            boot: 0,
            down: false,
            faults: Faults::default(),
            trace: Vec::new(),
            second_syncs: Vec::new(),
            free_bytes: 1 << 40,
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// Begins an operation: counts it, and ends the world if that is due.
    fn begin(
        &mut self,
        class: Class,
        handle: Option<&Handle>,
        kind: OpKind,
    ) -> io::Result<Option<Fault>> {
        if self.down || handle.is_some_and(|handle| handle.boot != self.boot) {
            return Err(error(EIO));
        }
        let fault = self.faults.next(class);
        self.down = fault == Some(Fault::Crash);
        self.trace.push(Op {
            name: handle.map_or_else(|| "".into(), |handle| Arc::clone(&handle.name)),
            handle: handle.map_or(0, |handle| handle.id),
            kind,
            fault,
        });
        Ok(fault)
    }

    fn inode(&mut self, handle: &Handle) -> io::Result<&mut Inode> {
        self.inodes.get_mut(&handle.inode).ok_or_else(|| error(EIO))
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.names.keys().map(ToString::to_string).collect()
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    pub(crate) fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let inode = self.inodes.get(self.names.get(name)?)?;
        Some(inode.file.cached().to_vec())
    }

    pub(crate) fn edit(&mut self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let inode = self
            .names
            .get(name)
            .and_then(|inode| self.inodes.get_mut(inode));
        if let Some(inode) = inode {
            inode.file.edit(change);
        }
    }

    pub(crate) fn spoil(&mut self, name: &str, bytes: std::ops::Range<u64>) {
        let inode = self
            .names
            .get(name)
            .and_then(|inode| self.inodes.get_mut(inode));
        if let Some(inode) = inode {
            inode.file.spoil(size(bytes.start)..size(bytes.end));
        }
    }

    /// Opens a file; an empty name is a temporary file.
    pub(crate) fn open(&mut self, name: &str, create: bool) -> io::Result<Handle> {
        let boot = self.boot;
        let name: Arc<str> = name.into();
        let mut handle = Handle {
            id: self.number(),
            inode: 0,
            name: Arc::clone(&name),
            boot,
            errors_seen: 0,
            sync_failed: false,
        };
        if self.down {
            return Err(error(EIO));
        }
        handle.inode = match self.names.get(&name) {
            Some(inode) => *inode,
            None if !create => return Err(io::ErrorKind::NotFound.into()),
            None => {
                // The name may be there after a crash in the middle of this.
                let fault = self.begin(Class::Any, Some(&handle), OpKind::Create)?;
                let inode = self.number();
                self.inodes.insert(inode, Inode::default());
                if !name.is_empty() {
                    self.names.insert(name, inode);
                }
                if fault.is_some() {
                    return Err(error(EIO));
                }
                inode
            }
        };
        handle.errors_seen = self.inode(&handle)?.errors;
        Ok(handle)
    }

    pub(crate) fn close(&mut self, handle: &Handle) {
        if handle.boot != self.boot {
            return;
        }
        if let Ok(inode) = self.inode(handle) {
            inode.locks.lower(handle.id, 0);
            if inode.owner == Some(handle.id) {
                inode.owner = None;
            }
        }
    }

    pub(crate) fn remove(&mut self, name: &str) -> io::Result<()> {
        if !self.down && !self.exists(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let fault = self.begin(Class::Any, None, OpKind::Remove)?;
        self.names.remove(name);
        fault.map_or(Ok(()), |_| Err(error(EIO)))
    }

    pub(crate) fn sync_directory(&mut self) -> io::Result<()> {
        if self
            .begin(Class::Sync, None, OpKind::SyncDirectory)?
            .is_some()
        {
            return Err(error(EIO));
        }
        self.durable_names.clone_from(&self.names);
        Ok(())
    }

    pub(crate) fn read(
        &mut self,
        handle: &Handle,
        into: &mut [u8],
        offset: u64,
    ) -> io::Result<usize> {
        let kind = OpKind::Read(offset, into.len());
        if self.begin(Class::Read, Some(handle), kind)?.is_some() {
            return Err(error(EIO));
        }
        let read = self.inode(handle)?.file.read(into, size(offset));
        read.ok_or_else(|| error(EIO))
    }

    pub(crate) fn write(&mut self, handle: &Handle, bytes: &[u8], offset: u64) -> io::Result<()> {
        let kind = OpKind::Write(offset, bytes.len());
        let fault = self.begin(Class::Write, Some(handle), kind)?;
        let written = match fault {
            None | Some(Fault::Crash) => bytes,
            Some(Fault::ShortWrite) => &bytes[..self.rng.usize(..bytes.len().max(1))],
            Some(_) => &[],
        };
        let file = &mut self.inode(handle)?.file;
        if !written.is_empty() {
            file.write(written, size(offset));
        }
        answer(fault)
    }

    pub(crate) fn resize(&mut self, handle: &Handle, to: u64) -> io::Result<()> {
        let fault = self.begin(Class::Write, Some(handle), OpKind::Resize(to))?;
        if matches!(fault, None | Some(Fault::Crash)) {
            self.inode(handle)?.file.resize(size(to));
        }
        answer(fault)
    }

    pub(crate) fn size(&mut self, handle: &Handle) -> io::Result<u64> {
        if self.down || handle.boot != self.boot {
            return Err(error(EIO));
        }
        Ok(self.inode(handle)?.file.cached().len() as u64)
    }

    pub(crate) fn sync(&mut self, handle: &mut Handle) -> io::Result<()> {
        let fault = self.begin(Class::Sync, Some(handle), OpKind::Sync)?;
        if handle.sync_failed {
            self.second_syncs.push(Arc::clone(&handle.name));
        }
        let Some(inode) = self.inodes.get_mut(&handle.inode) else {
            return Err(error(EIO));
        };
        match fault {
            None => inode.file.sync(),
            Some(Fault::Crash) => return Err(error(EIO)),
            Some(_) => {
                inode.file.sync_badly(&mut self.rng);
                inode.errors += 1;
            }
        }
        if handle.errors_seen < inode.errors {
            handle.errors_seen = inode.errors;
            handle.sync_failed = true;
            return Err(error(EIO));
        }
        Ok(())
    }

    pub(crate) fn crash(&mut self) {
        let names: BTreeSet<_> = self
            .names
            .keys()
            .chain(self.durable_names.keys())
            .cloned()
            .collect();
        for name in names {
            // In its new state or in its old one.
            let new = self.rng.bool();
            let from = if new {
                &self.names
            } else {
                &self.durable_names
            };
            match from.get(&name).copied() {
                Some(inode) => self.durable_names.insert(name, inode),
                None => self.durable_names.remove(&name),
            };
        }
        self.names.clone_from(&self.durable_names);
        for inode in self.inodes.values_mut() {
            inode.file.crash(&mut self.rng);
        }
        self.reboot();
    }

    pub(crate) fn kill(&mut self) {
        self.reboot();
    }

    fn reboot(&mut self) {
        let (names, durable) = (&self.names, &self.durable_names);
        let kept: BTreeSet<u64> = names.values().chain(durable.values()).copied().collect();
        self.inodes.retain(|inode, _| kept.contains(inode));
        for inode in self.inodes.values_mut() {
            inode.locks = Locks::default();
            inode.shm = None;
            inode.owner = None;
        }
        self.boot += 1;
        self.down = false;
        self.faults.disarm();
    }
}

/// Locks and shared memory: they are not operations of the disk.
impl State {
    pub(crate) fn try_own(&mut self, handle: &Handle) -> io::Result<bool> {
        self.alive(handle)?;
        let owner = &mut self.inode(handle)?.owner;
        Ok(*owner.get_or_insert(handle.id) == handle.id)
    }

    fn alive(&self, handle: &Handle) -> io::Result<()> {
        if self.down || handle.boot != self.boot {
            return Err(error(EIO));
        }
        Ok(())
    }

    pub(crate) fn locks(&mut self, handle: &Handle) -> io::Result<&mut Locks> {
        self.alive(handle)?;
        Ok(&mut self.inode(handle)?.locks)
    }

    pub(crate) fn shm(&mut self, handle: &Handle) -> io::Result<Arc<Shm>> {
        self.alive(handle)?;
        let shm = &mut self.inode(handle)?.shm;
        Ok(Arc::clone(shm.get_or_insert_default()))
    }

    /// Drops shared memory that nobody uses: the next user begins with zeros.
    pub(crate) fn tidy_shm(&mut self, handle: &Handle) {
        if handle.boot == self.boot
            && let Ok(inode) = self.inode(handle)
            && inode
                .shm
                .as_ref()
                .is_some_and(|shm| Arc::strong_count(shm) == 1)
        {
            inode.shm = None;
        }
    }
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn answer(fault: Option<Fault>) -> io::Result<()> {
    match fault {
        None => Ok(()),
        Some(Fault::NoSpace | Fault::ShortWrite) => Err(error(ENOSPC)),
        Some(_) => Err(error(EIO)),
    }
}
