//! The memory that connections to one database in WAL mode share, and its eight locks.

use std::sync::Mutex;

use crate::lock;

/// SQLite has this many locks there.
const LOCKS: usize = 8;
/// Bytes of a region, as SQLite asks for it.
pub(crate) const REGION: usize = 32 * 1024;

type Region = [u64; REGION / 8];

/// Regions are never moved or freed while somebody holds this.
#[derive(Debug, Default)]
pub(crate) struct Shm {
    regions: Mutex<Vec<Pointer>>,
    locks: Mutex<[Slot; LOCKS]>,
}

#[derive(Debug)]
struct Pointer(*mut Region);

// SAFETY: the memory is only handed to SQLite, which orders its accesses with the locks below and
// with atomics, as it does for memory shared between processes.
unsafe impl Send for Pointer {}

impl Drop for Pointer {
    fn drop(&mut self) {
        // SAFETY: it comes from `Box::into_raw` in `region`, and is dropped once.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

#[derive(Debug, Default)]
struct Slot {
    shared: Vec<u64>,
    exclusive: Option<u64>,
}

impl Shm {
    /// The address of a region; null if it is not there and not to be made.
    pub(crate) fn region(&self, at: usize, make: bool) -> *mut std::ffi::c_void {
        let mut regions = lock(&self.regions);
        while make && regions.len() <= at {
            regions.push(Pointer(Box::into_raw(Box::new([0; REGION / 8]))));
        }
        regions
            .get(at)
            .map_or(std::ptr::null_mut(), |region| region.0.cast())
    }

    /// Takes a run of locks for a handle; `false` if others are in its way.
    pub(crate) fn take(&self, handle: u64, run: std::ops::Range<usize>, exclusive: bool) -> bool {
        let mut slots = lock(&self.locks);
        let slots = &mut slots[run];
        let free = |slot: &Slot| {
            slot.exclusive.is_none_or(|owner| owner == handle)
                && (!exclusive || slot.shared.iter().all(|owner| *owner == handle))
        };
        if !slots.iter().all(free) {
            return false;
        }
        for slot in slots {
            if exclusive {
                slot.exclusive = Some(handle);
            } else if !slot.shared.contains(&handle) {
                slot.shared.push(handle);
            }
        }
        true
    }

    /// Gives a run of locks back.
    pub(crate) fn give_back(&self, handle: u64, run: std::ops::Range<usize>) {
        for slot in &mut lock(&self.locks)[run] {
            slot.shared.retain(|owner| *owner != handle);
            slot.exclusive = slot.exclusive.filter(|owner| *owner != handle);
        }
    }

    pub(crate) fn give_all_back(&self, handle: u64) {
        self.give_back(handle, 0..LOCKS);
    }
}
