//! One file: what is durable, what the page cache shows, and the way from one to the other.

use std::ops::Range;

use fastrand::Rng;

/// What a disk writes as a whole.
const SECTOR: usize = 512;

#[derive(Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Size(usize),
}

/// A file's content.
#[derive(Debug, Default)]
pub(crate) struct File {
    cached: Vec<u8>,
    durable: Vec<u8>,
    /// What a sync has to write, in order.
    unsynced: Vec<Change>,
    /// Where reads fail.
    bad: Vec<Range<usize>>,
}

impl File {
    pub(crate) fn cached(&self) -> &[u8] {
        &self.cached
    }

    pub(crate) fn spoil(&mut self, bytes: Range<usize>) {
        self.bad.push(bytes);
    }

    /// Reads what there is; returns how much that was, or `None` if it cannot be read.
    pub(crate) fn read(&self, into: &mut [u8], offset: usize) -> Option<usize> {
        let asked = offset..offset.saturating_add(into.len());
        if self.bad.iter().any(|bad| overlap(bad, &asked)) {
            return None;
        }
        let rest = self.cached.get(offset..).unwrap_or_default();
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        Some(count)
    }

    pub(crate) fn write(&mut self, bytes: &[u8], offset: usize) {
        let bytes = bytes.to_vec();
        // What is written anew can be read again.
        let written = offset..offset + bytes.len();
        self.bad.retain(|bad| !overlap(bad, &written));
        if offset + bytes.len() > self.cached.len() {
            self.resize(offset + bytes.len());
        }
        let change = Change::Write { offset, bytes };
        change.apply(&mut self.cached);
        self.unsynced.push(change);
    }

    pub(crate) fn resize(&mut self, size: usize) {
        let change = Change::Size(size);
        change.apply(&mut self.cached);
        self.unsynced.push(change);
    }

    /// All that was written becomes durable.
    pub(crate) fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// What was written becomes durable in parts, as chance has it; the rest never will.
    pub(crate) fn sync_badly(&mut self, rng: &mut Rng) {
        let mut size = self.durable.len();
        // Bytes beyond the end are there, and seen if the size comes to include them.
        let ends = self.unsynced.iter().map(Change::end);
        let most = ends.max().unwrap_or(0).max(size);
        self.durable.resize(most, 0);
        let order = Order::choose(self.unsynced.len(), rng);
        for (at, change) in self.unsynced.drain(..).enumerate() {
            let fate = order.fate(at, rng);
            match change {
                Change::Size(new) if fate == Fate::Whole || fate == Fate::Torn && rng.bool() => {
                    if new < size {
                        self.durable[new..].fill(0);
                    }
                    size = new;
                }
                Change::Size(_) => {}
                Change::Write { offset, bytes } => {
                    tear(&mut self.durable[offset..], &bytes, offset, fate, rng);
                }
            }
        }
        self.durable.resize(size, 0);
    }

    /// After a crash there is nothing but what is durable.
    pub(crate) fn crash(&mut self, rng: &mut Rng) {
        self.sync_badly(rng);
        self.cached.clone_from(&self.durable);
    }

    pub(crate) fn edit(&mut self, change: impl FnOnce(&mut Vec<u8>)) {
        self.sync();
        change(&mut self.cached);
        self.durable.clone_from(&self.cached);
    }
}

impl Change {
    fn end(&self) -> usize {
        match self {
            Self::Write { offset, bytes } => offset + bytes.len(),
            Self::Size(size) => *size,
        }
    }

    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => {
                // The size of a file whose growth was dropped by a failed sync is behind.
                if content.len() < self.end() {
                    content.resize(self.end(), 0);
                }
                content[*offset..*offset + bytes.len()].copy_from_slice(bytes);
            }
            Self::Size(size) => content.resize(*size, 0),
        }
    }
}

fn overlap(one: &Range<usize>, other: &Range<usize>) -> bool {
    one.start < other.end && other.start < one.end
}

/// In which order the disk had been writing. Chance alone would hardly ever let a whole commit
/// survive, or only the last one be torn.
enum Order {
    /// As it was told to, up to one of the changes.
    InTurn(usize),
    /// Each change for itself.
    Any,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Whole,
    Torn,
    Gone,
}

impl Order {
    fn choose(changes: usize, rng: &mut Rng) -> Self {
        match rng.u8(..4) {
            0 => Self::InTurn(0),
            1 => Self::InTurn(changes),
            2 => Self::InTurn(rng.usize(..=changes)),
            _ => Self::Any,
        }
    }

    fn fate(&self, at: usize, rng: &mut Rng) -> Fate {
        match self {
            Self::InTurn(end) if at < *end => Fate::Whole,
            Self::InTurn(end) if at == *end && at > 0 => Fate::Torn,
            Self::InTurn(_) => Fate::Gone,
            Self::Any => *rng
                .choice(&[Fate::Whole, Fate::Torn, Fate::Gone])
                .unwrap_or(&Fate::Gone),
        }
    }
}

/// Writes all, none, or a prefix or any sectors of `bytes`, which begin at `offset` of the file.
fn tear(into: &mut [u8], bytes: &[u8], offset: usize, fate: Fate, rng: &mut Rng) {
    match fate {
        Fate::Gone => {}
        Fate::Whole => into[..bytes.len()].copy_from_slice(bytes),
        Fate::Torn if rng.bool() => {
            let count = rng.usize(..=bytes.len());
            into[..count].copy_from_slice(&bytes[..count]);
        }
        Fate::Torn => {
            let mut from = 0;
            while from < bytes.len() {
                let sector_end = (offset + from) / SECTOR * SECTOR + SECTOR - offset;
                let to = sector_end.min(bytes.len());
                if rng.bool() {
                    into[from..to].copy_from_slice(&bytes[from..to]);
                }
                from = to;
            }
        }
    }
}
