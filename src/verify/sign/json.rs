//! A value put into a JSON text; every other byte stays as it is.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// The value at a pointer, as it is written.
pub(super) fn value_at<'a>(text: &'a [u8], pointer: &[Box<str>]) -> Option<&'a [u8]> {
    let Some((step, rest)) = pointer.split_first() else {
        return Some(text);
    };
    value_at(child(text, step)?, rest)
}

/// The text with `value` (JSON) at the pointer: in place of what is there, or as a new member of an
/// object. `None` if the text is not JSON or the parent is not there.
pub(super) fn with_value(text: &[u8], pointer: &[Box<str>], value: &str) -> Option<Vec<u8>> {
    let Some((step, rest)) = pointer.split_first() else {
        return Some(value.as_bytes().to_vec());
    };
    let Some(old) = child(text, step) else {
        return match rest {
            [] => with_member(text, step, value),
            _ => None,
        };
    };
    let new = with_value(old, rest, value)?;
    let start = old.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    let (before, behind) = (text.get(..start)?, text.get(start + old.len()..)?);
    Some([before, &new, behind].concat())
}

/// A member of an object, or an element of an array.
fn child<'a>(text: &'a [u8], step: &str) -> Option<&'a [u8]> {
    let found: &'a RawValue = match text.trim_ascii().first()? {
        b'{' => members(text)?.get(step)?,
        b'[' => {
            let elements: Vec<&'a RawValue> = serde_json::from_slice(text).ok()?;
            elements.get(step.parse::<usize>().ok()?)?
        }
        _ => return None,
    };
    Some(found.get().as_bytes())
}

fn members(text: &[u8]) -> Option<BTreeMap<String, &RawValue>> {
    serde_json::from_slice(text).ok()
}

fn with_member(text: &[u8], key: &str, value: &str) -> Option<Vec<u8>> {
    let joint = if members(text)?.is_empty() { "" } else { "," };
    let end = text.iter().rposition(|byte| *byte == b'}')?;
    let (before, behind) = text.split_at_checked(end)?;
    let key = serde_json::Value::from(key);
    let member = format!("{joint}{key}:{value}");
    Some([before, member.as_bytes(), behind].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str, pointer: &str, value: &str) -> Option<String> {
        let steps = pointer.split('/').skip(1).map(Into::into);
        let pointer: Vec<Box<str>> = steps.collect();
        let text = with_value(text.as_bytes(), &pointer, value)?;
        Some(String::from_utf8(text).unwrap())
    }

    #[test]
    fn only_the_value_changes() {
        for (text, pointer, expected) in [
            (
                r#"{"a" : 1.0, "b":"x" }"#,
                "/b",
                r#"{"a" : 1.0, "b":"new" }"#,
            ),
            (
                r#"[{"s":null},{"s":2}]"#,
                "/1/s",
                r#"[{"s":null},{"s":"new"}]"#,
            ),
            (r#" {"a":{"s":[1]}} "#, "/a/s", r#" {"a":{"s":"new"}} "#),
            (r#"{"a":{ }}"#, "/a/s", r#"{"a":{ "s":"new"}}"#),
            (r#"{"a":1} "#, "/é\"", r#"{"a":1,"é\"":"new"} "#),
        ] {
            assert_eq!(set(text, pointer, "\"new\"").as_deref(), Some(expected));
        }
    }

    #[test]
    fn without_the_parent_there_is_no_place() {
        for (text, pointer) in [
            ("{}", "/a/b"),
            ("[]", "/0"),
            ("[1]", "/x"),
            (r#"{"a":1}"#, "/a/b"),
            ("", "/a"),
            (r#"{"a":1} x"#, "/a"),
        ] {
            assert_eq!(set(text, pointer, "1"), None, "{text} {pointer}");
        }
    }
}
