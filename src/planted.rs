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
    /// `%2f` passes for a letter of a path.
    PercentSlashAllowed,
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
