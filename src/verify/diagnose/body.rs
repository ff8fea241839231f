//! Trials with another body: what the sender may have signed before something rewrote it.
//!
//! JSON is rewritten on the text, so that numbers stay as they are spelled.

use serde::de::IgnoredAny;

use super::super::view::View;
use super::Case;
use super::mistake::{Diagnosis, Mistake};

/// Largest body that a trial makes: deep nesting could blow up the indented form.
const OUTPUT_BYTES_MAX: usize = 4 * super::BODY_BYTES_MAX;

/// Largest body that is sorted: as a tree it may take a hundred times the memory of its text.
const SORTED_BYTES_MAX: usize = 64 * 1024;

impl Case<'_> {
    pub(super) fn body(&self) -> Option<Diagnosis> {
        let received = &self.received.body;
        let holds = |body: &[u8]| {
            let differs = body != &received[..];
            differs
                && self.holds_for(&View {
                    body,
                    ..self.view(self.verifier)
                })
        };
        let mut line_ends = LINE_ENDS.iter();
        if let Some((clue, _)) = line_ends.find(|(_, change)| holds(&change(received))) {
            return Some(Mistake::BodyLineEnds.about(clue));
        }
        serde_json::from_slice::<IgnoredAny>(received).ok()?;
        let sorted = sorted(received);
        let style = STYLES.iter().find(|style| {
            let text = match style.sorted {
                true => sorted.as_deref(),
                false => Some(&received[..]),
            };
            let body = text.and_then(|text| style.write(text));
            body.is_some_and(|body| holds(&body))
        })?;
        Some(Mistake::BodyRewritten.about(style.name))
    }
}

type Change = fn(&[u8]) -> Vec<u8>;

/// What was signed, if line ends were changed afterwards.
const LINE_ENDS: [(&str, Change); 5] = [
    ("signed with a line break at the end", |body| {
        [body, b"\n"].concat()
    }),
    ("signed with CR LF at the end", |body| {
        [body, b"\r\n"].concat()
    }),
    ("signed without the line break at the end", |body| {
        body.trim_ascii_end().to_vec()
    }),
    ("signed with LF, arrived with CR LF", lf),
    ("signed with CR LF, arrived with LF", |body| {
        let mut long = Vec::with_capacity(body.len() + body.len() / 16);
        for byte in lf(body) {
            long.extend((byte == b'\n').then_some(b'\r'));
            long.push(byte);
        }
        long
    }),
];

fn lf(body: &[u8]) -> Vec<u8> {
    let next = body.iter().copied().skip(1).map(Some).chain([None]);
    let pairs = body.iter().copied().zip(next);
    let kept = pairs.filter(|pair| *pair != (b'\r', Some(b'\n')));
    kept.map(|(byte, _)| byte).collect()
}

/// The same JSON with all keys in order; `None` if it is too large or nests too deeply.
fn sorted(body: &[u8]) -> Option<Vec<u8>> {
    if body.len() > SORTED_BYTES_MAX {
        return None;
    }
    let json: serde_json::Value = serde_json::from_slice(body).ok()?;
    serde_json::to_vec(&json).ok()
}

/// A way of writing JSON.
struct Style {
    name: &'static str,
    spaces: Spaces,
    strings: Strings,
    sorted: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Spaces {
    None,
    /// One behind each comma and colon.
    Single,
    /// A line per value, indented by this many per level.
    Indent(usize),
}

#[derive(Clone, Copy)]
enum Strings {
    Kept,
    /// Escapes only where JSON needs them, and: all but ASCII, slashes.
    Escaped {
        ascii: bool,
        slashes: bool,
    },
}

const PLAIN: Strings = escaped(false, false);
const ASCII: Strings = escaped(true, false);

const fn escaped(ascii: bool, slashes: bool) -> Strings {
    Strings::Escaped { ascii, slashes }
}

const fn style(name: &'static str, spaces: Spaces, strings: Strings, sorted: bool) -> Style {
    Style {
        name,
        spaces,
        strings,
        sorted,
    }
}

const STYLES: [Style; 16] = [
    style("signed as compact JSON", Spaces::None, Strings::Kept, false),
    style(
        "signed with spaces behind commas and colons",
        Spaces::Single,
        Strings::Kept,
        false,
    ),
    style(
        "signed with an indent of 2",
        Spaces::Indent(2),
        Strings::Kept,
        false,
    ),
    style(
        "signed with an indent of 4",
        Spaces::Indent(4),
        Strings::Kept,
        false,
    ),
    style(
        "signed as compact JSON, characters plain",
        Spaces::None,
        PLAIN,
        false,
    ),
    style(
        "signed as compact JSON, characters escaped as \\u",
        Spaces::None,
        ASCII,
        false,
    ),
    style(
        "signed as compact JSON, slashes escaped",
        Spaces::None,
        escaped(false, true),
        false,
    ),
    style(
        "signed as compact JSON, slashes and characters escaped",
        Spaces::None,
        escaped(true, true),
        false,
    ),
    style(
        "signed with spaces, characters plain",
        Spaces::Single,
        PLAIN,
        false,
    ),
    style(
        "signed with spaces, characters escaped as \\u",
        Spaces::Single,
        ASCII,
        false,
    ),
    style(
        "signed with an indent of 2, characters plain",
        Spaces::Indent(2),
        PLAIN,
        false,
    ),
    style(
        "signed with an indent of 4, characters escaped as \\u",
        Spaces::Indent(4),
        ASCII,
        false,
    ),
    style(
        "signed with sorted keys, compact",
        Spaces::None,
        PLAIN,
        true,
    ),
    style(
        "signed with sorted keys, compact, characters escaped as \\u",
        Spaces::None,
        ASCII,
        true,
    ),
    style(
        "signed with sorted keys and spaces",
        Spaces::Single,
        ASCII,
        true,
    ),
    style(
        "signed with sorted keys, indent of 2",
        Spaces::Indent(2),
        PLAIN,
        true,
    ),
];

impl Style {
    /// Valid JSON in this style; `None` if it gets too long.
    fn write(&self, json: &[u8]) -> Option<Vec<u8>> {
        let mut to = Vec::with_capacity(json.len() + json.len() / 4);
        let (mut depth, mut rest) = (0_usize, json);
        while let Some((byte, after)) = rest.split_first() {
            rest = after;
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => {}
                b'"' => {
                    let (string, after) = after.split_at_checked(string_length(after))?;
                    self.string(&mut to, string);
                    rest = after;
                }
                b'{' | b'[' => {
                    to.push(*byte);
                    rest = after.trim_ascii_start();
                    if let [close @ (b'}' | b']'), after @ ..] = rest {
                        to.push(*close);
                        rest = after;
                    } else {
                        depth += 1;
                        self.line(&mut to, depth);
                    }
                }
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    self.line(&mut to, depth);
                    to.push(*byte);
                }
                b',' => {
                    to.push(b',');
                    to.extend((self.spaces == Spaces::Single).then_some(b' '));
                    self.line(&mut to, depth);
                }
                b':' => {
                    to.push(b':');
                    to.extend((self.spaces != Spaces::None).then_some(b' '));
                }
                other => to.push(*other),
            }
            if to.len() > OUTPUT_BYTES_MAX {
                return None;
            }
        }
        Some(to)
    }

    fn line(&self, to: &mut Vec<u8>, depth: usize) {
        if let Spaces::Indent(width) = self.spaces {
            // A longer line is too long in any case.
            let spaces = depth.saturating_mul(width).min(OUTPUT_BYTES_MAX);
            to.push(b'\n');
            to.resize(to.len() + spaces, b' ');
        }
    }

    /// A string without its first quote, with its last.
    fn string(&self, to: &mut Vec<u8>, string: &[u8]) {
        let quoted = [b"\"", string].concat();
        let decoded = serde_json::from_slice::<String>(&quoted).ok();
        let (Strings::Escaped { ascii, slashes }, Some(text)) = (self.strings, decoded) else {
            return to.extend(quoted);
        };
        for character in serde_json::Value::String(text).to_string().chars() {
            match character {
                '/' if slashes => to.extend(b"\\/"),
                other if ascii && !other.is_ascii() => {
                    let mut units = [0; 2];
                    for unit in other.encode_utf16(&mut units) {
                        to.extend(format!("\\u{unit:04x}").bytes());
                    }
                }
                other => to.extend(other.encode_utf8(&mut [0; 4]).bytes()),
            }
        }
    }
}

/// Bytes up to and with the quote that ends a string.
fn string_length(text: &[u8]) -> usize {
    let mut escaped = false;
    let end = text.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"b":[1.0,2e3,{}],"a":"x/\"é\u00e9 , :","c":[ ]}"#;

    fn written(name: &str) -> String {
        let style = STYLES.iter().find(|style| style.name == name).unwrap();
        let text = match style.sorted {
            true => sorted(TEXT.as_bytes()).unwrap(),
            false => TEXT.as_bytes().to_vec(),
        };
        String::from_utf8(style.write(&text).unwrap()).unwrap()
    }

    #[test]
    fn styles_change_nothing_but_spaces_escapes_and_order() {
        for (name, expected) in [
            (
                "signed as compact JSON",
                r#"{"b":[1.0,2e3,{}],"a":"x/\"é\u00e9 , :","c":[]}"#,
            ),
            (
                "signed with spaces behind commas and colons",
                r#"{"b": [1.0, 2e3, {}], "a": "x/\"é\u00e9 , :", "c": []}"#,
            ),
            (
                "signed with an indent of 2",
                "{\n  \"b\": [\n    1.0,\n    2e3,\n    {}\n  ],\n  \"a\": \"x/\\\"é\\u00e9 , :\",\n  \"c\": []\n}",
            ),
            (
                "signed as compact JSON, slashes and characters escaped",
                r#"{"b":[1.0,2e3,{}],"a":"x\/\"\u00e9\u00e9 , :","c":[]}"#,
            ),
            (
                "signed with sorted keys, compact",
                r#"{"a":"x/\"éé , :","b":[1.0,2000.0,{}],"c":[]}"#,
            ),
        ] {
            assert_eq!(written(name), expected, "{name}");
        }
    }

    #[test]
    fn every_style_still_is_the_same_json() {
        let meant: serde_json::Value = serde_json::from_str(TEXT).unwrap();
        for style in &STYLES {
            let json: serde_json::Value = serde_json::from_str(&written(style.name)).unwrap();
            assert_eq!(json, meant, "{}", style.name);
        }
    }

    #[test]
    fn nesting_cannot_make_a_body_grow_without_bound() {
        let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
        for style in &STYLES {
            let length = style.write(&deep).map_or(0, |body| body.len());
            assert!(length <= 2 * OUTPUT_BYTES_MAX, "{}: {length}", style.name);
        }
        let (nested, long) = (
            &deep[99_000..101_000],
            [b"[", &b"{},".repeat(30_000)[..], b"0]"],
        );
        serde_json::from_slice::<IgnoredAny>(nested).unwrap();
        serde_json::from_slice::<IgnoredAny>(&long.concat()).unwrap();
        assert!(sorted(nested).is_none() && sorted(&long.concat()).is_none());
    }
}
