//! Bugs put in on purpose: a harness that does not turn red on its bug proves nothing.
//!
//! They exist only in a build with `RUSTFLAGS="--cfg planted_bugs"`, where the environment variable
//! `HOOKGATE_PLANTED_BUG` chooses one by its name here; in any other build [`planted`] is a constant
//! `false`. `scripts/planted-bugs` builds that way once and shows each harness failing on its bug.

/// Each is a mistake that somebody has made, in this program or in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// The answer leaves before the commit has been synced.
    AckBeforeSync,
    /// The answer leaves before the commit has begun: the usual order of queues that call this fast.
    AckBeforeCommit,
    /// A new store gets its version before its tables: whoever comes between finds half a store.
    VersionBeforeTables,
    /// A failed sync ends the process with success, so that nobody restarts it.
    ExitZeroAfterFailedSync,
    /// A failed sync is taken for a passing trouble: the next one of the same file succeeds and means nothing.
    KeepsAnsweringAfterFailedSync,
    /// New events are taken until the disk is full to the last byte, also the room for settlements.
    LowSpaceIgnored,
    /// A process whose disk hangs says that it is well, and is never restarted.
    HungDiskIsAlive,
    /// The store goes on writing to files that were deleted.
    DisplacedFilesUnnoticed,
    /// An error of `accept`, such as too many open files, ends the loop.
    AcceptErrorIsFinal,
}

/// Whether `bug` is in this process.
#[cfg(not(planted_bugs))]
pub(crate) const fn planted(_bug: Bug) -> bool {
    false
}

/// Whether `bug` is in this process.
#[cfg(planted_bugs)]
pub(crate) fn planted(bug: Bug) -> bool {
    static CHOSEN: std::sync::LazyLock<Option<String>> = std::sync::LazyLock::new(chosen);
    let Some(chosen) = CHOSEN.as_deref() else {
        return false;
    };
    let name = format!("{bug:?}");
    let hyphens = chosen.chars().filter(|char| *char == '-').count();
    chosen.len() == name.len() + hyphens && chosen.replace('-', "").eq_ignore_ascii_case(&name)
}

#[cfg(planted_bugs)]
#[expect(
    clippy::disallowed_methods,
    reason = "a build that is not for use, and no setting of the program"
)]
fn chosen() -> Option<String> {
    std::env::var("HOOKGATE_PLANTED_BUG").ok()
}
