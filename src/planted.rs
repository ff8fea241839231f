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
