//! The elements of a JSON array, each as the text that stands in the body.
//!
//! As in `json`, a key that occurs twice on the way is ambiguous: then there are no elements.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The elements of the array at `pointer`; `None` if there is no array, or not exactly one.
pub(super) fn items<'a>(body: &'a [u8], pointer: &[Box<str>]) -> Option<Vec<&'a [u8]>> {
    let mut text = body;
    for step in pointer {
        text = member(text, step)?;
    }
    let elements: Vec<&'a RawValue> = serde_json::from_slice(text).ok()?;
    Some(elements.iter().map(|raw| raw.get().as_bytes()).collect())
}

/// The one value with this key.
fn member<'a>(object: &'a [u8], key: &str) -> Option<&'a [u8]> {
    let mut json = serde_json::Deserializer::from_slice(object);
    let found = json.deserialize_map(Member(key)).ok()?;
    json.end().ok()?;
    found
}

struct Member<'k>(&'k str);

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<&'de [u8]>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut found, mut repeated) = (None, false);
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key.eq_ignore_ascii_case(self.0) {
                // Some readers do not look at the case of a key, and take the last one.
                repeated |= found.is_some() || key != self.0;
                found = Some(map.next_value::<&'de RawValue>()?.get().as_bytes());
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found.filter(|_| !repeated))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(body: &str, pointer: &[&str]) -> Option<Vec<String>> {
        let pointer: Vec<Box<str>> = pointer.iter().map(|step| (*step).into()).collect();
        let items = items(body.as_bytes(), &pointer)?;
        let text = |item: &[u8]| String::from_utf8(item.to_vec()).unwrap();
        Some(items.into_iter().map(text).collect())
    }

    #[test]
    fn elements_keep_their_bytes() {
        let body = r#"{"n":1,"value":[ {"a": 1.0} ,"\u0041" ]}"#;
        let expected = vec![r#"{"a": 1.0}"#.to_owned(), r#""\u0041""#.to_owned()];
        assert_eq!(texts(body, &["value"]), Some(expected));
        assert_eq!(texts("[1,2]", &[]), Some(vec!["1".into(), "2".into()]));
        assert_eq!(texts("[]", &[]), Some(Vec::new()));
    }

    #[test]
    fn anything_but_exactly_one_array_has_no_elements() {
        for body in [
            "",
            "{}",
            r#"{"value":{}}"#,
            r#"{"value":[1],"value":[2]}"#,
            r#"{"value":[1],"\u0076alue":[2]}"#,
            r#"{"value":[1],"Value":[2]}"#,
            r#"{"value":[1]} x"#,
            r#"{"value":[1"#,
            r#"[{"value":[1]}]"#,
        ] {
            assert_eq!(texts(body, &["value"]), None, "{body}");
        }
    }
}
