//! Which operation fails, and how.

/// Operations that a fault can choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Reads of content.
    Read,
    /// Writes of content and changes of size.
    Write,
    /// Syncs of content and of the directory.
    Sync,
    /// All of these, and what creates and removes names.
    Any,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A read fails with EIO.
    Read,
    /// A write fails with EIO; nothing is written.
    Write,
    /// A write fails with ENOSPC; nothing is written.
    NoSpace,
    /// A part is written, then there is no space for the rest.
    ShortWrite,
    /// A sync fails with EIO.
    Sync,
    /// The power goes: this operation and all later ones fail.
    Crash,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Read,
        Self::Write,
        Self::NoSpace,
        Self::ShortWrite,
        Self::Sync,
        Self::Crash,
    ];

    /// The operations that it can strike.
    #[must_use]
    pub fn class(self) -> Class {
        match self {
            Self::Read => Class::Read,
            Self::Write | Self::NoSpace | Self::ShortWrite => Class::Write,
            Self::Sync => Class::Sync,
            Self::Crash => Class::Any,
        }
    }
}

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// This once.
    Once,
    /// From then on.
    Sticky,
}

/// What is armed, and the counters that it waits on.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    reads: u64,
    writes: u64,
    syncs: u64,
    all: u64,
    armed: Option<(u64, Fault, Repeat)>,
    pub(crate) struck: bool,
}

impl Faults {
    pub(crate) fn count(&self, class: Class) -> u64 {
        match class {
            Class::Read => self.reads,
            Class::Write => self.writes,
            Class::Sync => self.syncs,
            Class::Any => self.all,
        }
    }

    pub(crate) fn arm(&mut self, n: u64, fault: Fault, repeat: Repeat) {
        self.armed = Some((self.count(fault.class()) + n, fault, repeat));
        self.struck = false;
    }

    /// Each further operation of its class fails.
    pub(crate) fn goes_on(&self) -> bool {
        self.struck && matches!(self.armed, Some((_, _, Repeat::Sticky)))
    }

    pub(crate) fn disarm(&mut self) {
        self.armed = None;
    }

    /// Counts one operation; says what strikes it.
    pub(crate) fn next(&mut self, class: Class) -> Option<Fault> {
        let number = [self.count(class), self.all];
        match class {
            Class::Read => self.reads += 1,
            Class::Write => self.writes += 1,
            Class::Sync => self.syncs += 1,
            Class::Any => {}
        }
        self.all += 1;
        let (at, fault, repeat) = self.armed?;
        let number = match fault.class() {
            Class::Any => number[1],
            wanted if wanted == class => number[0],
            _ => return None,
        };
        let strikes = match repeat {
            Repeat::Once => number == at,
            Repeat::Sticky => number >= at,
        };
        self.struck |= strikes;
        strikes.then_some(fault)
    }
}
