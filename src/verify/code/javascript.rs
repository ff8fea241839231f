//! JSON as JavaScript writes it: `JSON.stringify(JSON.parse(text))` (ECMA-262, section 25.5).
//!
//! Numbers become doubles and are written in their shortest form, names that are array indices come
//! first and in order, escapes are only those that are needed. A text is refused where JavaScript
//! would be of one mind but others of another: a name that occurs twice, half a surrogate pair.

use std::collections::BTreeSet;
use std::ops::Range;

use serde_json::value::RawValue;

/// Deeper texts are refused.
const DEPTH_MAX: usize = 128;

/// The text as JavaScript would write it; `None` if it is not JSON, or is refused.
pub(super) fn stringify(json: &[u8]) -> Option<String> {
    let valid: &RawValue = serde_json::from_slice(json).ok()?;
    let mut writer = Writer {
        rest: valid.get(),
        out: String::with_capacity(json.len()),
    };
    writer.value(0)?;
    Some(writer.out)
}

/// Reads a text that is known to be JSON.
struct Writer<'a> {
    rest: &'a str,
    out: String,
}

impl<'a> Writer<'a> {
    fn value(&mut self, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        match self.peek()? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => {
                let text = self.text()?;
                self.quote(&text)
            }
            b't' | b'f' | b'n' => {
                let word = self.word();
                self.out.push_str(word);
                Some(())
            }
            _ => {
                let number = self.word().parse().ok()?;
                self.out.push_str(&decimal(number));
                Some(())
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        self.take();
        self.out.push('[');
        let mut first = true;
        while self.peek()? != b']' {
            if !first {
                self.take();
                self.out.push(',');
            }
            first = false;
            self.value(depth + 1)?;
        }
        self.take();
        self.out.push(']');
        Some(())
    }

    fn object(&mut self, depth: usize) -> Option<()> {
        self.take();
        self.out.push('{');
        let start = self.out.len();
        let (mut names, mut members) = (BTreeSet::new(), Vec::new());
        while self.peek()? != b'}' {
            if !members.is_empty() {
                self.take();
                self.peek()?;
            }
            let name = self.text()?;
            let from = self.out.len();
            self.quote(&name)?;
            self.peek()?;
            self.take();
            self.out.push(':');
            self.value(depth + 1)?;
            members.push((array_index(&name), from..self.out.len()));
            if !names.insert(name) {
                return None;
            }
        }
        self.take();
        self.arrange(start, members)?;
        self.out.push('}');
        Some(())
    }

    /// Puts the members that were written since `start` in order, with commas between them.
    fn arrange(
        &mut self,
        start: usize,
        mut members: Vec<(Option<u32>, Range<usize>)>,
    ) -> Option<()> {
        members.sort_by_key(|(index, _)| (index.is_none(), *index));
        let members = members.into_iter().map(|(_, range)| self.out.get(range));
        let members = members.collect::<Option<Vec<_>>>()?.join(",");
        self.out.truncate(start);
        self.out.push_str(&members);
        Some(())
    }

    /// The first byte behind white space.
    fn peek(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_ascii_start();
        self.rest.as_bytes().first().copied()
    }

    /// Leaves out a byte of the structure.
    fn take(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }

    /// A number or a literal.
    fn word(&mut self) -> &'a str {
        let ends = |c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '-' | '.');
        let end = self.rest.find(ends).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// A string without its quotes and escapes.
    fn text(&mut self) -> Option<String> {
        let mut escaped = false;
        let inside = self.rest.get(1..)?;
        let end = inside.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        })?;
        let (token, rest) = self.rest.split_at_checked(end + 2)?;
        self.rest = rest;
        serde_json::from_str(token).ok()
    }

    fn quote(&mut self, text: &str) -> Option<()> {
        // The escapes are the same, down to the case of their hex digits.
        self.out.push_str(&serde_json::to_string(text).ok()?);
        Some(())
    }
}

/// The name as an array index, if it is written as one (ECMA-262, section 6.1.7).
fn array_index(name: &str) -> Option<u32> {
    let digits = name.bytes().all(|byte| byte.is_ascii_digit());
    let plain = digits && (name == "0" || !name.starts_with('0'));
    let index = name.parse().ok().filter(|_| plain)?;
    (index != u32::MAX).then_some(index)
}

/// A double as JavaScript writes it in JSON.
fn decimal(number: f64) -> String {
    if !number.is_finite() {
        return "null".to_owned();
    }
    if number == 0.0 {
        return "0".to_owned();
    }
    let sign = if number < 0.0 { "-" } else { "" };
    // The shortest digits that are this double, such as `1.25e-7`.
    let shortest = format!("{:e}", number.abs());
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let digits = mantissa.replace('.', "");
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let whole = usize::try_from(exponent.saturating_add(1)).unwrap_or(0);
    let text = match exponent {
        0..=20 if count <= exponent + 1 => format!("{digits}{}", zeros(exponent + 1 - count)),
        0..=20 => {
            let (before, after) = digits.split_at_checked(whole).unwrap_or((&digits, ""));
            format!("{before}.{after}")
        }
        -6..=-1 => format!("0.{}{digits}", zeros(-exponent - 1)),
        _ if exponent > 0 => format!("{mantissa}e+{exponent}"),
        _ => format!("{mantissa}e{exponent}"),
    };
    format!("{sign}{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_what_node_writes() {
        let table = include_str!("../../../tests/code/javascript.json");
        let table: Vec<(String, String)> = serde_json::from_str(table).unwrap();
        assert!(table.len() >= 250);
        for (text, expected) in table {
            let written = stringify(text.as_bytes());
            assert_eq!(written.as_deref(), Some(&*expected), "{text}");
        }
    }

    #[test]
    fn what_others_could_read_differently_or_is_not_json_is_refused() {
        for text in [
            "",
            "[1",
            "{} x",
            "\u{feff}{}",
            "01",
            "NaN",
            "'a'",
            r#"{"a":1,"a":1}"#,
            r#"[{"a":1,"\u0061":2}]"#,
            r#"{"1":1,"\u0031":2}"#,
            r#""\ud800""#,
            r#"{"\udc00":1}"#,
        ] {
            assert_eq!(stringify(text.as_bytes()), None, "{text}");
        }
        assert_eq!(stringify(b"\"\xff\""), None);
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(stringify(nested(129).as_bytes()), Some(nested(129)));
        assert_eq!(stringify(nested(130).as_bytes()), None);
        assert_eq!(stringify(nested(1_000_000).as_bytes()), None);
    }
}
