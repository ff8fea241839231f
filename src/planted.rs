//! Bugs put in on purpose: a harness that does not turn red on its bug proves nothing.
//!
//! They exist only in a build with `RUSTFLAGS="--cfg planted_bugs"`, where the environment variable
//! `HOOKGATE_PLANTED_BUG` chooses one by its name here; in any other build [`planted`] is a constant
//! `false`. `scripts/planted-bugs` builds that way once and shows each harness failing on its bug.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Each is a mistake that somebody has made, in this program or in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// The answer leaves before the commit has been synced.
    AckBeforeSync,
    /// A bare line feed ends a line, as hyper's parser has it.
    AcceptBareLf,
    /// A length beside chunks is passed over, as hyper does; a proxy that goes by the length then
    /// sees other requests.
    TeAndClBoth,
    /// Trailers, which nothing signs, are taken for more of the body.
    TrailersMerged,
    /// `Hookgate_Event_Id` passes for a header of the sender's own.
    PretendedHeadersUnderscore,
    /// A request's head may take as long as a connection.
    NoHeadDeadline,
    /// A new file's name is not made durable: who knows `open` and `fsync` but not directories.
    NoDirectorySync,
    /// A connection that ends keeps its slot: thirty-five leaked sockets a day, and after five weeks
    /// a service that accepts nothing and says nothing.
    SlotsNeverFreed,
    /// The first address in `X-Forwarded-For` is believed, which the sender writes itself (most
    /// frameworks at one time).
    LeftmostForwardedFor,
    /// A forged request counts against the rate of its source, so that forgers shut out the genuine
    /// sender (a limiter in front of verification, keyed by endpoint).
    FailedSignaturesUseTheSourcesRate,
    /// The id of a request is remembered before its signature is checked, so that a forged request
    /// makes the genuine one a duplicate (replay caches of several gateways).
    DedupBeforeVerify,
    /// Bodies are collected without a budget for all of them together (Argo Workflows,
    /// CVE-2026-42294: buffer, then verify).
    UnboundedBody,
    /// A metric has the path of the request as its label, so that anybody can add series.
    LabelFromRequest,
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
    /// A stored event is handed out as it is read, whatever its checksum says.
    SkipChecksumOnRead,
    /// A database that cannot be read is replaced by an empty one.
    EmptyStart,
    /// That the store had been further than its files say is not looked at.
    IgnoreHighWater,
    /// What cannot be read is set aside and not counted.
    QuarantineSilently,
    /// A start believes the machine's clock, whatever time it was when the last process ended.
    TrustWallClockAtStart,
    /// A start believes the journal that it finds, as SQLite does: after a failed sync that is what
    /// the page cache shows, not what the disk has.
    RecoveryTrustsTheJournal,
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
    /// Signatures are compared as far as the shorter one goes (svix, CVE-2024-21491).
    LengthTruncatingCompare,
    /// A source with an empty secret starts, and an empty key signs (New API, GHSA-xff3-5c9p-2mr4).
    EmptySecretAccepted,
    /// The `Debug` of settings prints their values (slack-morphism, CVE-2022-39292).
    SecretInDebug,
    /// Events are told apart by their signature as it is written (OpenClaw, Telnyx: a second spelling
    /// passed as news).
    RawSignatureAsDedupKey,
    /// A token chooses its algorithm (many JWT libraries, 2015).
    AlgorithmFromRequest,
    /// Timestamps are refused for being old but not for lying ahead.
    ToleranceOneSided,
    /// A timestamp counts although no signature covers it.
    UnsignedTimestampTrusted,
    /// The beginning of the admin token is taken for all of it.
    AdminTokenPrefixCompare,
    /// A failed sync is taken for something that passes, and what comes next is synced through the
    /// same descriptor: most databases, until 2018.
    RetrySync,
    /// The id of an event counts as seen although its commit failed: claim first, store later.
    ClaimBeforeStore,
    /// A stored event that does not match its checksum is skipped, and nobody hears of it.
    DropOnBadChecksum,
    /// A start that finds the end of the store gone gives its numbers out again.
    ReuseSequence,
    /// A path is searched for an escaped slash in lower case only (web servers and gateways in front
    /// of them, which then see two different paths).
    EscapedSlashInOneCase,
    /// A reader of JSON takes the first character of a value that may have none (webhook libraries
    /// that index into what they have not looked at).
    PanicsOnOddJson,
    /// The checksum of a stored event begins behind its headers, so that the disk can change them.
    RecordChecksumSkipsHeaders,
    /// The app's `Retry-After` is taken at its word, and a year is one (most HTTP clients).
    RetryAfterUnbounded,
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

/// For [`Bug::DedupBeforeVerify`]: whether a body with these bytes came before.
pub(crate) fn seen_before(body: &[u8]) -> bool {
    static SEEN: Mutex<BTreeSet<[u8; 32]>> = Mutex::new(BTreeSet::new());
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    !seen.insert(*blake3::hash(body).as_bytes())
}

#[cfg(planted_bugs)]
#[expect(
    clippy::disallowed_methods,
    reason = "a build that is not for use, and no setting of the program"
)]
fn chosen() -> Option<String> {
    std::env::var("HOOKGATE_PLANTED_BUG").ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    /// The variants of `Bug`, as the environment names them.
    fn bugs() -> BTreeSet<String> {
        let text = include_str!("planted.rs");
        let (_, list) = text.split_once("enum Bug {\n").unwrap();
        let (list, _) = list.split_once("\n}").unwrap();
        let variants = list.lines().map(str::trim);
        let variants = variants.filter(|line| !line.starts_with("///"));
        variants
            .map(|variant| {
                let name = variant.trim_end_matches(',');
                let hyphened = name.chars().flat_map(|char| {
                    let hyphen = char.is_ascii_uppercase().then_some('-');
                    hyphen.into_iter().chain([char.to_ascii_lowercase()])
                });
                hyphened.skip(1).collect()
            })
            .collect()
    }

    #[test]
    fn every_bug_has_somebody_who_must_notice_it() {
        let table = include_str!("../tests/planted-bugs.txt");
        let rows = table
            .lines()
            .filter(|row| !row.is_empty() && !row.starts_with('#'));
        let cells: Vec<Vec<_>> = rows
            .map(|row| row.split(';').map(str::trim).collect())
            .collect();
        assert!(
            cells.iter().all(|row| row.len() == 3 && !row.contains(&"")),
            "{cells:?}"
        );
        let listed: BTreeSet<_> = cells.iter().map(|row| row[0].to_owned()).collect();
        assert_eq!(listed.len(), cells.len(), "a bug has one row");
        assert_eq!(listed, bugs());
    }
}
