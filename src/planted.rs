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
