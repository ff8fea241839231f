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
    /// A new file's name is not made durable: who knows `open` and `fsync` but not directories.
    NoDirectorySync,
    /// Retries are due by the wall clock: who takes one clock for all of time.
    WallClockRetry,
    /// An event counts as delivered once it was sent: who settles before the answer, or takes silence
    /// for consent.
    SettleBeforeAnswer,
    /// The first bytes of an answer are taken for a success: who reads no further than the status.
    HalfAnswerIsSuccess,
    /// Whoever waits for the answer owns the event: with the client gone, the event is gone, and its
    /// id is known all the same.
    DropTheHandlersCommit,
    /// A second copy is answered as a duplicate while the first is still on its way to the disk.
    DuplicateBeforeDurable,
    /// An event that was given back is not handed out again: who forgets the path of failure.
    LeaseLost,
    /// A source keeps its turn as long as it has events.
    OneSourceBlocks,
    /// A signature that is wrong is taken for right.
    ForwardUnverified,
    /// A start believes the journal that it finds, as SQLite does: after a failed sync that is what
    /// the page cache shows, not what the disk has.
    RecoveryTrustsTheJournal,
    /// A failed sync is taken for something that passes, and what comes next is synced through the
    /// same descriptor: most databases, until 2018.
    RetrySync,
    /// The id of an event counts as seen although its commit failed: claim first, store later.
    ClaimBeforeStore,
    /// A stored event that does not match its checksum is skipped, and nobody hears of it.
    DropOnBadChecksum,
    /// A start that finds the end of the store gone gives its numbers out again.
    ReuseSequence,
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
