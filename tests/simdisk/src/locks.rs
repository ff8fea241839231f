//! SQLite's locks on a database file, between handles of one process.

/// SHARED and above, as SQLite numbers them.
pub(crate) const SHARED: i32 = 1;
const RESERVED: i32 = 2;
const PENDING: i32 = 3;
const EXCLUSIVE: i32 = 4;

/// Who holds what on one file: (handle, level), for those that hold anything.
#[derive(Debug, Default)]
pub(crate) struct Locks(Vec<(u64, i32)>);

impl Locks {
    pub(crate) fn level(&self, handle: u64) -> i32 {
        let held = self.0.iter().find(|(who, _)| *who == handle);
        held.map_or(0, |(_, level)| *level)
    }

    fn set(&mut self, handle: u64, level: i32) {
        self.0.retain(|(who, _)| *who != handle);
        if level > 0 {
            self.0.push((handle, level));
        }
    }

    fn others(&self, handle: u64) -> i32 {
        let others = self.0.iter().filter(|(who, _)| *who != handle);
        others.map(|(_, level)| *level).max().unwrap_or(0)
    }

    /// Raises a handle's lock; `false` if others are in its way.
    pub(crate) fn raise(&mut self, handle: u64, level: i32) -> bool {
        if self.level(handle) >= level {
            return true;
        }
        let others = self.others(handle);
        let granted = match level {
            SHARED => others < PENDING,
            RESERVED | PENDING => others < RESERVED,
            // One that waits for the readers to leave keeps new ones out.
            EXCLUSIVE if (SHARED..RESERVED).contains(&others) => {
                self.set(handle, PENDING);
                false
            }
            _ => others == 0,
        };
        if granted {
            self.set(handle, level);
        }
        granted
    }

    pub(crate) fn lower(&mut self, handle: u64, level: i32) {
        if self.level(handle) > level {
            self.set(handle, level);
        }
    }

    /// Somebody is about to write.
    pub(crate) fn reserved(&self) -> bool {
        self.0.iter().any(|(_, level)| *level >= RESERVED)
    }
}
