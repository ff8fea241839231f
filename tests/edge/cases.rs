//! The case files: groups of cases under the rule that they show.

use serde::Deserialize;

/// A rule, and what shows that it is kept.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    /// The rule.
    rule: String,
    /// What must come of each of its cases, unless the case says otherwise.
    expect: String,
    /// Each is its name, then its steps; a last one that begins with `=>` is an expectation.
    cases: Vec<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    group: Vec<Group>,
}

/// One case, as written.
pub(crate) struct Case {
    pub(crate) rule: String,
    pub(crate) name: String,
    pub(crate) steps: Vec<String>,
    pub(crate) expect: String,
}

/// The cases of a file in their order.
pub(crate) fn read(text: &str) -> Vec<Case> {
    let file: File = toml::from_str(text).unwrap_or_else(|error| panic!("{error}"));
    let mut cases = Vec::new();
    for group in file.group {
        for mut lines in group.cases {
            let own = lines.pop_if(|line| line.starts_with("=>"));
            let expect = own.map_or_else(
                || group.expect.clone(),
                |own| own.trim_start_matches("=>").to_owned(),
            );
            cases.push(Case {
                rule: group.rule.clone(),
                name: lines.remove(0),
                steps: lines,
                expect: expect.trim().to_owned(),
            });
        }
    }
    let mut names: Vec<_> = cases.iter().map(|case| (&case.rule, &case.name)).collect();
    names.sort();
    let twice = names.windows(2).find(|pair| pair[0] == pair[1]);
    assert!(twice.is_none(), "two cases have one name: {twice:?}");
    cases
}

/// The cases that `HOOKGATE_TEST_CASE` asks for: all, unless it is set.
pub(crate) fn chosen(text: &str) -> Vec<Case> {
    #[expect(clippy::disallowed_methods, reason = "not the program's configuration")]
    let wanted = std::env::var("HOOKGATE_TEST_CASE").unwrap_or_default();
    let cases = read(text).into_iter();
    cases.filter(|case| case.name.contains(&wanted)).collect()
}
